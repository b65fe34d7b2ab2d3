//! Inputs to begin with: the repository's fixtures, and whatever was found
//! before, which is in `fixtures/fuzz/<surface>`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use omne_pipe::{NoLookup, Source, check};

/// The fixtures of the repository.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The inputs of a surface, each at most `most` bytes, in the same order on every machine.
///
/// # Errors
/// When the fixtures can't be read.
pub fn of(surface: &str, most: usize) -> io::Result<Vec<Vec<u8>>> {
    let fixtures = fixtures();
    let mut inputs = files(&fixtures.join("fuzz").join(surface))?;
    inputs.extend(match surface {
        "pipe" | "pipe_markdown" => pipes(&fixtures)?,
        "command" | "prompt" => texts(&[
            "---\nallowed_tools: Read, Bash\nmodel: m\n---\nDo {{ inputs.name }} after {{ nodes.plan.outputs.risk }}.\n",
            "{% for x in inputs.list %}{{ loop.index }}: {{ x|upper }}\n{% else %}none{% endfor %}",
            "{% set ns = namespace(n=0) %}{% for i in range(9) %}{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}",
            "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ nodes['a-b'].output|length }}",
            "{{ [1, 2]|map('string')|join(', ') }} {{ 'a' * 3 ~ 'b' }} {{ {'a': 1}.a }} {{ run.id }} {{ iteration }}",
        ]),
        "when" => texts(&[
            "inputs.level > 2 and nodes.plan.outputs.risk != 'low'",
            "nodes['a-b'].output|length == 0 or not inputs.name is defined",
            "(inputs.level * 2 + 1) // 3 in [1, 2, 3] and 'x' ~ inputs.name == 'xx'",
            "nodes.plan.output.strip() if inputs.level else false",
        ]),
        "inputs" => texts(&[
            "{\"level\": 3, \"name\": \"x\", \"flag\": true}",
            "level: 3\nname: x\nratio: 2.5\nflag: 'true'\nmode: fast\n",
            "a: &a [1, 2]\nb: *a\n",
        ]),
        "duration" => texts(&["600", "90s", "1h30m", "500ms", "2d", "10m", "1h 30m"]),
        "event_line" | "log" | "index" => files(&fixtures.join("logs"))?,
        "agent_stream" => streams(&fixtures)?,
        "hook_reply" => texts(&[
            "{}",
            "{\"action\":\"allow\",\"id\":\"01kahj5zz0000000000000000a\"}",
            "{\"action\":\"modify\",\"delta\":{\"prompt\":\"p\",\"env\":{\"A\":\"1\",\"B\":null},\"model\":\"m\",\"timeout\":\"5m\",\"allowed_tools\":[\"Read\"]}}",
            "{\"action\":\"modify\",\"delta\":{\"input\":{\"command\":\"ls\"}}}",
            "warming up\n{\"action\":\"deny\",\"reason\":\"no\",\"code\":403}\n\n",
            "{\"action\":\"ask_user\",\"prompt\":\"go on?\",\"options\":[\"yes\",\"no\"],\"default\":\"no\"}",
        ]),
        "hooks_toml" => files(&fixtures.join("hooks"))?,
        "omne_toml" => texts(&[
            "jobs = 4\ndurability = \"strict\"\nask_timeout = \"2h\"\nanchor = \"git\"\nagent = \"mine\"\n[limits]\noutput_bytes = 1000\n",
            "[agents.mine]\nprogram = \"./mine\"\nargs = [\"-p\", \"{prompt}\"]\nstream = \"text\"\nprompt = \"argument\"\nmodel_args = [\"--model\", \"{model}\"]\nsession_args = [\"--session\", \"{session}\"]\nresume_args = [\"--resume\", \"{session}\"]\ntools_args = [\"--tools\", \"{tools}\"]\nturns_args = [\"{turns}\"]\nbudget_args = [\"{budget}\"]\nenv = { A = \"1\" }\ninstall = \"npm i\"\n[agents.claude]\nargs = [\"--verbose\"]\n",
        ]),
        "outputs" => texts(&[
            "risk=low\nurl=https://x/?a=b<<c\n\nnotes<<END\nline 1\nrisk=high\nEND\nempty=\n",
            "a=1\na=2\n", "a<<END\n\nEND\n", "k<<E\nx\r\ny\r\nE\r\n",
        ]),
        "bundle" => bundles(&fixtures)?,
        other => return Err(io::Error::other(format!("there is no surface `{other}`"))),
    });
    for input in &mut inputs {
        input.truncate(most);
    }
    Ok(inputs)
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// The plain files in a directory, by name; none when there is none.
fn files(directory: &Path) -> io::Result<Vec<Vec<u8>>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths =
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    paths.iter().map(fs::read).collect()
}

/// Good and bad ones, and the good ones as JSON, as logs carry them.
fn pipes(fixtures: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut pipes = files(&fixtures.join("pipes"))?;
    let json = |bytes: &Vec<u8>| {
        let source = Source::new("p.yaml", bytes.clone()).ok()?;
        check(&source, &NoLookup).pipe.map(|pipe| pipe.definition().as_bytes().to_vec())
    };
    let definitions: Vec<Vec<u8>> = pipes.iter().filter_map(json).collect();
    pipes.extend(definitions);
    pipes.extend(files(&fixtures.join("pipes/bad"))?);
    pipes.extend(files(&fixtures.join("feature/.omne/dist/pipes"))?);
    Ok(pipes)
}

/// The beginnings and ends of recorded streams: what is between them repeats.
fn streams(fixtures: &Path) -> io::Result<Vec<Vec<u8>>> {
    const LONG: usize = 6000;
    let mut streams = files(&fixtures.join("claude-stream"))?;
    streams.retain(|stream| stream.starts_with(b"{\"type\""));
    for stream in &mut streams {
        if stream.len() > 2 * LONG {
            stream.drain(LONG..stream.len() - LONG);
        }
    }
    streams.extend(texts(&[
        "{\"type\":\"thread.started\",\"thread_id\":\"t-1\"}\n{\"type\":\"item.started\",\"item\":{\"id\":\"i0\",\"type\":\"command_execution\",\"command\":\"ls\"}}\n{\"type\":\"item.completed\",\"item\":{\"id\":\"i1\",\"type\":\"agent_message\",\"text\":\"done\\nALL_DONE\"}}\n{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":20,\"cached_input_tokens\":5,\"output_tokens\":7}}\n",
        "{\"type\":\"turn.failed\",\"error\":{\"message\":\"unexpected status 401 Unauthorized\"}}\n",
        "{\"type\":\"init\",\"session_id\":\"s-1\",\"model\":\"g\"}\n{\"type\":\"message\",\"role\":\"assistant\",\"content\":\"ALL_\",\"delta\":true}\n{\"type\":\"tool_use\",\"tool_name\":\"shell\",\"tool_id\":\"c1\",\"parameters\":{\"command\":\"ls\"}}\n{\"type\":\"result\",\"status\":\"success\",\"stats\":{\"input_tokens\":3,\"output_tokens\":4}}\n",
        "plain text\nBLOCKED\n\u{e4}\u{20ac}\u{1f600}\r\nALL_DONE",
    ]));
    Ok(streams)
}

/// The archives of stored logs, packed and not.
fn bundles(fixtures: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut bundles = Vec::new();
    for log in files(&fixtures.join("logs"))? {
        let mut archive = tar::Builder::new(Vec::new());
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o600);
            archive.append_data(&mut header, format!("p-01kahj5zz0000000000000000a/{name}"), bytes)
        };
        add("events.jsonl", &log)?;
        add("nodes/a.out", b"hi\n")?;
        add(&format!("nodes/{}.out", "n".repeat(120)), b"")?;
        add("redactions.json", b"{\"events\":[],\"files\":[]}")?;
        let archive = archive.into_inner()?;
        bundles.push(zstd::encode_all(&archive[..], 3)?);
        bundles.push(archive);
    }
    Ok(bundles)
}
