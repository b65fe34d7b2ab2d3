//! `test`: recorded runs played through the real runner, and compared.

use std::{fmt::Write as _, io::Write as _, process::ExitCode, time::Instant};

use omne_events::Durability;
use omne_process::Signal;
use omne_runner::{Case, CaseError, Options, Volume, VolumeError};

use super::log::begun;
use crate::{
    args,
    failure::{Exit, Failure, Result, stopped_by},
    render::{Paint, visible},
    wire::{Context, FailFast},
};

/// How many lines around a difference are shown.
const AROUND: usize = 3;

pub(super) fn test(args: &args::Test, context: &Context) -> Result<ExitCode> {
    let volume = context.volume()?;
    let mut options = context.options(&volume, None, FailFast::No, None)?;
    // A case is played again at will: nothing of it has to survive a power cut.
    options.settings.durability = Durability::None;
    let test = Test { volume, options, context, paint: context.paint() };
    match &args.record {
        Some(run) => test.record(run, args.name.as_deref()),
        None => test.run(&args.cases, if args.accept { Accept::Yes } else { Accept::No }),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accept {
    Yes,
    No,
}

struct Test<'a> {
    volume: Volume,
    options: Options,
    context: &'a Context,
    paint: Paint,
}

impl Test<'_> {
    fn record(&self, run: &str, name: Option<&str>) -> Result<ExitCode> {
        let run = self.volume.resolve(run)?;
        begun(&run)?;
        let case = Case::record(&self.volume, &run, name)?;
        let accept = |played: omne_runner::Played| case.accept(&played.snapshot).map_err(Failure::from);
        if let Err(stopped) = self.play(&case).and_then(|played| Ok(accept(played)?)) {
            // A case that can't be played is none.
            let _ = std::fs::remove_dir_all(&case.path);
            return match stopped {
                Stopped::Failure(failure) => Err(failure),
                Stopped::Signal(signal) => Ok(stopped_by(signal)),
            };
        }
        let text = format!(
            "recorded {} in {}\n  case.yaml       the pipe, its inputs, which bash nodes run for real\n  \
             nodes/          what agents and nodes printed: look whether it may be shared\n  \
             snapshot.txt    what has to come out\nplay it with: omne test {}\n",
            self.paint.bold(&case.name),
            self.context.shown(&case.path),
            case.name
        );
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }

    fn run(&self, names: &[String], accept: Accept) -> Result<ExitCode> {
        let cases = match names {
            [] => Case::all(&self.volume)?,
            names => names
                .iter()
                .map(|name| Case::find(&self.volume, name))
                .collect::<std::result::Result<Vec<_>, _>>()?,
        };
        if cases.is_empty() {
            return Err(Failure::message(Exit::NotFound, "the volume has no test cases")
                .help("make one of a run that has ended: `omne test --record @last`"));
        }
        let (mut passed, mut failed, mut different) = (0, 0, Vec::new());
        for case in &cases {
            let since = Instant::now();
            let verdict = match self.compare(case, accept) {
                Err(Stopped::Signal(signal)) => {
                    return Ok(stopped_by(signal));
                }
                Err(Stopped::Failure(failure)) => Err(failure),
                Ok(compared) => Ok(compared),
            };
            let took = format!("{} ms", since.elapsed().as_millis());
            let is_well = matches!(verdict, Ok(Compared::Same | Compared::Accepted));
            let (word, details) = match verdict {
                Ok(Compared::Same) => (self.paint.green("ok      "), String::new()),
                Ok(Compared::Accepted) => (self.paint.yellow("accepted"), String::new()),
                Ok(Compared::Different(difference)) => {
                    different.push(case.name.as_str());
                    (self.paint.red("differs "), difference)
                }
                Err(failure) => (self.paint.red("error   "), failure.describe()),
            };
            let mut stdout = std::io::stdout().lock();
            writeln!(stdout, "{word} {}  {}", visible(&case.name), self.paint.dim(&took))?;
            stdout.write_all(details.as_bytes())?;
            match is_well {
                true => passed += 1,
                false => failed += 1,
            }
        }
        let mut end = format!("\n{passed} passed, {failed} failed\n");
        if !different.is_empty() {
            let names = different.join(" ");
            let _ = writeln!(end, "what came out is right? store it: omne test {names} --accept");
        }
        std::io::stdout().lock().write_all(end.as_bytes())?;
        Ok(if failed == 0 { ExitCode::SUCCESS } else { Exit::Aborted.into() })
    }

    fn play(&self, case: &Case) -> std::result::Result<omne_runner::Played, Stopped> {
        let name = case.pipe().map_err(Failure::from)?;
        let now = match self.volume.pipe(name.as_str()) {
            Ok(found) => Some(self.context.load_pipe(&found.path, &self.volume)?),
            Err(VolumeError::NoPipe { .. }) => {
                let warning = self.context.paint_errors().yellow("warning");
                anstream::eprintln!(
                    "{warning}: the volume has no pipe `{name}` any more; `{}` plays it as it was recorded",
                    visible(&case.name)
                );
                None
            }
            Err(error) => return Err(Failure::from(error).into()),
        };
        let (context, volume) = (self.context, &self.volume);
        case.play(volume, now, &self.options, &context.clock, context.ids()).map_err(|error| match error {
            CaseError::Interrupted(signal) => Stopped::Signal(signal),
            error => Stopped::Failure(error.into()),
        })
    }

    fn compare(&self, case: &Case, accept: Accept) -> std::result::Result<Compared, Stopped> {
        let played = self.play(case)?;
        // Git may change the ends of lines, and editors the last one.
        let mut stored = played.stored.unwrap_or_default().replace("\r\n", "\n");
        if !stored.is_empty() && !stored.ends_with('\n') {
            stored.push('\n');
        }
        if stored == played.snapshot {
            return Ok(Compared::Same);
        }
        if accept == Accept::Yes {
            case.accept(&played.snapshot).map_err(Failure::from)?;
            return Ok(Compared::Accepted);
        }
        Ok(Compared::Different(self.difference(&stored, &played.snapshot)))
    }

    fn difference(&self, stored: &str, now: &str) -> String {
        let diff = similar::TextDiff::from_lines(stored, now);
        let mut text = String::new();
        for group in diff.grouped_ops(AROUND) {
            let _ = writeln!(text, "  {}", self.paint.dim("────"));
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let line = visible(change.value().trim_end_matches('\n'));
                let line = format!("{} {line}", change.tag());
                let line = match change.tag() {
                    similar::ChangeTag::Delete => self.paint.red(&line),
                    similar::ChangeTag::Insert => self.paint.green(&line),
                    similar::ChangeTag::Equal => line.as_str().into(),
                };
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }
}

/// Why a case was not played.
enum Stopped {
    Signal(Signal),
    Failure(Failure),
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Stopped::Failure(failure)
    }
}

enum Compared {
    Same,
    Accepted,
    Different(String),
}

impl From<CaseError> for Failure {
    fn from(error: CaseError) -> Self {
        let (exit, help) = match error {
            CaseError::Run(error) => return error.into(),
            CaseError::NotOver(_) => (Exit::Input, Some("wait for it, or go on with it: `omne resume`")),
            CaseError::Exists(_) => {
                (Exit::Input, Some("give another name with `--name`, or remove that one"))
            }
            CaseError::BadName(_) => (Exit::Input, Some("use letters, digits, `-`, `_` and `.`")),
            CaseError::Description { .. } => (
                Exit::Input,
                Some("mend it; or remove the case, and record it again: `omne test --record RUN`"),
            ),
            CaseError::Unknown(_) => (Exit::NotFound, Some("`omne test` plays all that there are")),
            CaseError::Interrupted(_) => (Exit::Aborted, None),
            CaseError::Io { verb: "read", .. } => {
                (Exit::NotFound, Some("remove the case, and record it again: `omne test --record RUN`"))
            }
            CaseError::Io { .. } => (Exit::Write, None),
        };
        let failure = Failure::new(exit, error);
        match help {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}
