//! `codex` and `gemini` from npm: that they are called as they want to be, and understood.

use crate::{programs::find, world::World};

/// What the Responses API streams for one message.
const CODEX: &str = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r1\"}}\n\n\
event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"message\",\"role\":\"assistant\",\"id\":\"m1\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hello from codex.\\nALL_DONE\"}]}}\n\n\
event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"r1\",\"usage\":{\"input_tokens\":11,\"input_tokens_details\":null,\"output_tokens\":7,\"output_tokens_details\":null,\"total_tokens\":18}}}\n\n";

const GEMINI: &str = "data: {\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{\"text\":\"Hello from gemini.\"}]},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":11,\"candidatesTokenCount\":7,\"totalTokenCount\":18}}\r\n\r\n";

#[test]
fn codex_answers_and_goes_on_in_its_thread() {
    if find("codex").is_none() {
        return;
    }
    let world = World::with_answer(CODEX);
    let provider = format!(
        "model_providers.fake={{name=\"fake\",base_url=\"{}/v1\",env_key=\"FAKE_KEY\",wire_api=\"responses\"}}",
        world.url()
    );
    let args = serde_json::json!(["-c", "model_provider=\"fake\"", "-c", provider]);
    world.pipe(&format!(
        "agent: codex\nenv: {{FAKE_KEY: none}}\nnodes:\n- {{id: a, prompt: /plan is text here, agent_args: {args}}}\n\
         - {{id: b, depends_on: [a], agent_args: {args}, loop: {{prompt: again, until: NEVER, max_iterations: 2}}}}"
    ));
    assert_eq!(world.code(&["run", "p"]), 1);
    assert_eq!(world.capture("a"), "Hello from codex.\nALL_DONE\n");
    let completed = &world.events("node.completed")[0];
    assert_eq!(
        (&completed["usage"]["input_tokens"], &completed["usage"]["output_tokens"]),
        (&11.into(), &7.into())
    );
    let threads = world.events("agent.started");
    assert!(threads[1]["session_id"].is_string());
    assert_eq!(
        threads[1]["session_id"], threads[2]["session_id"],
        "the second round is in the thread of the first"
    );
    assert_eq!(world.events("node.failed")[0]["error"]["kind"], "max_iterations_exceeded");
}

#[test]
fn gemini_answers_in_a_directory_that_it_was_never_told_to_trust() {
    if find("gemini").is_none() {
        return;
    }
    let world = World::with_answer(GEMINI);
    let settings = r#"{"security":{"auth":{"selectedType":"gemini-api-key"}},"telemetry":{"enabled":false},"general":{"disableAutoUpdate":true}}"#;
    world.file("home/.gemini/settings.json", settings);
    world.pipe(&format!(
        "agent: gemini\nenv: {{GEMINI_API_KEY: none, GOOGLE_GEMINI_BASE_URL: '{}'}}\nnodes: [{{id: a, prompt: hello, model: gemini-2.5-flash}}]",
        world.url()
    ));
    assert_eq!(world.code(&["run", "p"]), 0);
    assert_eq!(world.capture("a"), "Hello from gemini.\n");
    assert!(world.events("agent.started")[0]["session_id"].is_string());
    assert!(world.events("node.completed")[0]["usage"]["output_tokens"].is_number());
}
