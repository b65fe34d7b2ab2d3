//! The HTML report in a real browser: what is hostile in it does nothing, it
//! can be read without its script, and it fits the window.

use std::path::PathBuf;

use serde_json::json;

use crate::{
    chromium::{Browser, address},
    world::World,
};

/// A log with markup in every text of it, by people, hooks and agents.
const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../audit/src/html/hostile.jsonl");
const LONG: &str = "a-node-with-a-very-long-name-that-does-not-fit-into-any-box";

/// What would be noticed if it became markup: by a dialog, the title, a request, or by what is left in sight.
const PAYLOAD: &str = "</pre></code></style></title></script><script>document.title='taken';alert('script')</script>\
<img src=http://omne.invalid/image onerror=\"alert('image')\"><svg onload=\"alert('svg')\"></svg>\
<link rel=stylesheet href=http://omne.invalid/style><iframe srcdoc=\"<script>alert('frame')</script>\"></iframe>\
<style>body{display:none}</style><base href=http://omne.invalid/><a href=\"javascript:alert('link')\">a</a>\
<!-- ]]> \" onmouseover=alert('attribute') x=\" ' onfocus=alert('attribute') autofocus tabindex=0 x='";

/// Shows all that is folded up, as a reader does.
const UNFOLD: &str =
    "for (const head of document.querySelectorAll('details:not([open]) > summary')) head.click()";

/// Where text of a log has become part of the page's own markup.
const STRANGERS: &str = r##"[
    ...document.querySelectorAll(`img, image, picture, audio, video, source, iframe, frame, object, embed, portal,
        link, base, template, foreignObject, use, set, animate, form:not(#events form), script:not(body > :last-child),
        style:not(head > style), meta:not(head > meta), [src], [srcset], [srcdoc], [action], [formaction], [ping],
        [autofocus]`),
    ...[...document.querySelectorAll("*")].filter((element) => [...element.attributes].some(({ name, value }) =>
        name.startsWith("on") || (/href$/.test(name) && !value.startsWith("#")) || /url\((?!#)/.test(value))),
].map((element) => element.outerHTML.slice(0, 200))"##;

/// The report of the hostile log.
fn of_log(world: &World) -> PathBuf {
    std::fs::copy(LOG, world.path("hostile.jsonl")).unwrap();
    assert_eq!(world.code(&["export", "hostile.jsonl", "--format", "html", "-o", "log.html"]), 0);
    world.path("log.html")
}

/// The report of a run whose definition, input, outputs and captures are hostile.
fn of_run(world: &World) -> PathBuf {
    let text = serde_json::to_string(PAYLOAD).unwrap();
    world.file("payload", PAYLOAD).pipe(&format!(
        "description: {text}\ninputs: {{text: {{default: {text}}}}}\nnodes:\n\
         - {{id: print, bash: 'cat payload; printf \"said=%s\\n\" \"$(cat payload)\" >> \"$OMNE_OUTPUT\"'}}\n\
         - {{id: fail, bash: 'cat payload; cat payload >&2; exit 3', env: {{TEXT: {text}}}}}\n\
         - {{id: after, depends_on: [fail], bash: 'true'}}\n"
    ));
    assert_eq!(world.code(&["run", "p"]), 1);
    assert_eq!(world.code(&["export", "@last", "--format", "html", "-o", "run.html"]), 0);
    world.path("run.html")
}

/// The report of a log whose texts are wider than any window.
fn of_long_words(world: &World) -> PathBuf {
    let log = std::fs::read_to_string(LOG).unwrap();
    // The first line is left as it is: the digest of the definition is in it.
    let (first, rest) = log.split_once('\n').unwrap();
    world.file("long.jsonl", &format!("{first}\n{}", rest.replace("alert(1)", &"w".repeat(300))));
    assert_eq!(world.code(&["export", "long.jsonl", "--format", "html", "-o", "long.html"]), 0);
    world.path("long.html")
}

/// Checks that nothing but the page's own script ran, and that it ran well.
#[track_caller]
fn assert_inert(browser: &mut Browser) {
    assert_eq!(browser.dialogs, [""; 0]);
    assert_eq!(browser.complaints, [""; 0]);
    let title = browser.text("document.title");
    assert!(title.starts_with("✗ aborted · "), "{title}");
    assert_eq!(browser.value(STRANGERS), json!([]));
}

#[test]
fn a_hostile_page_would_be_noticed() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    world.file("page.html", &format!("<!doctype html><title>a</title><pre>{PAYLOAD}</pre>"));
    browser.open(&world.path("page.html"), "");
    for dialog in ["script", "image", "svg", "frame"] {
        assert!(browser.dialogs.iter().any(|said| said == dialog), "{dialog}: {:?}", browser.dialogs);
    }
    for name in ["image", "style"] {
        let url = format!("http://omne.invalid/{name}");
        assert!(browser.requests().contains(&url.as_str()), "{name}: {:?}", browser.requests());
    }
    assert_eq!(browser.text("document.title"), "taken");
    assert!(browser.value(STRANGERS).as_array().unwrap().len() > 7);
}

#[test]
fn nothing_of_a_hostile_log_becomes_markup() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.open(&of_log(&world), "");
    assert_inert(&mut browser);
    let text = browser.text("document.body.textContent");
    assert!(text.contains("never `rm -rf` </script><img src=x onerror=alert(1)>"), "it is there as text");
    assert!(!text.contains('\u{202e}') && !text.contains('\x1b'));
}

#[test]
fn nothing_of_a_hostile_run_becomes_markup() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.open(&of_run(&world), "");
    assert_inert(&mut browser);
    // The description, the input, an output, the captures of two nodes.
    let text = browser.text("document.body.textContent");
    assert!(text.matches(PAYLOAD).count() >= 5, "it is there as text");
}

#[test]
fn nothing_hostile_runs_even_where_no_policy_forbids_it() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.without_policy();
    for page in [of_log(&world), of_run(&world)] {
        browser.open(&page, "");
        browser.value(UNFOLD);
        assert_inert(&mut browser);
    }
}

#[test]
fn markup_that_got_through_could_not_run() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    let page = std::fs::read_to_string(of_log(&world)).unwrap();
    world.file("page.html", &page.replace("<main>", &format!("<main><pre>{PAYLOAD}</pre>")));
    let page = world.path("page.html");
    browser.open(&page, "");
    assert!(!browser.complaints.is_empty(), "the policy is asked");
    assert_eq!(browser.dialogs, [""; 0]);
    let beyond: Vec<&str> =
        browser.requests().into_iter().filter(|url| url.contains("omne.invalid")).collect();
    assert_eq!(beyond, [""; 0]);
    assert!(browser.text("document.title").starts_with("✗ aborted · "));
}

#[test]
fn a_page_asks_for_nothing_but_itself() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    let pages = [of_log(&world), of_run(&world)];
    browser.without_policy();
    for page in &pages {
        browser.open(page, "");
        browser.value(UNFOLD);
    }
    assert_eq!(browser.requests(), pages.map(|page| address(&page)));
}

#[test]
fn without_scripts_all_can_be_read_and_no_tool_is_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.without_scripts();
    browser.open(&of_log(&world), "");
    browser.value(UNFOLD);
    let seen = browser.text("document.body.innerText");
    for text in [
        "a greeting </script>",                     // an input
        LONG,                                       // a node
        "test result: FAILED",                      // why it failed
        "second line",                              // the rest of it
        "line one\nline two",                       // an output
        "never `rm -rf`",                           // why a hook said no
        "Is it good?",                              // what people were asked
        "Looks fine",                               // what one of them answered
        "`when` is false: 1 > 2",                   // why a node was skipped
        "again in 5.0s",                            // what came of an attempt
        "until: DONE",                              // a definition
        "gate.decided",                             // an event
        "\"definition_sha256\":\"e9fb90f7e78968ac", // its fields
    ] {
        assert!(seen.contains(text), "{text} is not to be seen");
    }
    browser.open(&of_run(&world), "");
    browser.value(UNFOLD);
    let seen = browser.text("document.body.innerText");
    assert!(seen.contains("stdout, ") && seen.contains("stderr, "));
    assert!(seen.matches("alert('script')").count() >= 5, "what nodes printed is not to be seen");
    let tools =
        "[...document.querySelectorAll('.tools, th button')].filter((tool) => tool.checkVisibility()).length";
    assert_eq!(browser.value(tools), 0);
}

#[test]
fn with_scripts_the_tools_are_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.open(&of_log(&world), "");
    browser.value(UNFOLD);
    let tools = "[...document.querySelectorAll('.tools')].map((tool) => tool.checkVisibility())";
    assert_eq!(browser.value(tools), json!([true, true]));
    assert_inert(&mut browser);
}

#[test]
fn every_node_is_unfolded_and_folded_up_at_once() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.open(&of_log(&world), "");
    let mut open_after = |button: &str| {
        browser.value(&format!("document.querySelector('[data-all=\"{button}\"]').click()"));
        browser.value("document.querySelectorAll('details.node[open]').length")
    };
    assert_eq!((open_after("open"), open_after("")), (json!(8), json!(0)));
}

#[test]
fn events_are_filtered_by_text_and_node_and_type() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.open(&of_log(&world), "");
    browser.value(UNFOLD);
    let mut shown = |field: &str, value: &str| {
        browser.text(&format!(
            "new Promise((done) => {{
                const form = document.querySelector('#events form');
                const output = form.querySelector('output');
                new MutationObserver(() => done(output.textContent)).observe(output, {{ childList: true }});
                form.reset();
                form.elements.{field}.value = '{value}';
                form.dispatchEvent(new Event('input'));
            }})"
        ))
    };
    assert_eq!(shown("type", "node.failed"), "2 of 38 shown");
    assert_eq!(shown("node", " FIX "), "8 of 38 shown");
    assert_eq!(shown("text", "never `rm"), "1 of 38 shown");
    assert_eq!(shown("text", "nowhere"), "0 of 38 shown");
    let rows =
        "[...document.querySelectorAll('#events tbody tr')].filter((row) => row.checkVisibility()).length";
    assert_eq!(browser.value(rows), 0);
}

#[test]
fn nodes_are_sorted_by_a_click_on_the_head_of_a_column() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.open(&of_log(&world), "");
    let mut order = |column: u32| -> Vec<String> {
        browser.value(&format!("document.querySelectorAll('#nodes thead button')[{column}].click()"));
        let names =
            browser.value("[...document.querySelectorAll('#nodes tbody th')].map((cell) => cell.innerText)");
        names.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let names = [LONG, "fix", "implement", "lint", "notify", "plan", "publish", "review"];
    assert_eq!(order(0), names);
    let mut backwards = names;
    backwards.reverse();
    assert_eq!(order(0), backwards);
    // By time and not by spelling; what never ran is last both ways.
    assert_eq!(order(3)[..5], ["lint", "plan", "implement", "fix", LONG]);
    assert_eq!(order(3)[..5], [LONG, "fix", "implement", "plan", "lint"]);
}

#[test]
fn an_address_unfolds_what_it_points_to() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.open(&of_log(&world), "#n3");
    let open = "[...document.querySelectorAll('details.node[open] > div')].map((node) => node.id)";
    assert_eq!(browser.value(open), json!(["n3"]));
}

#[test]
fn every_link_to_a_node_unfolds_it() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    browser.open(&of_log(&world), "");
    let followed = "new Promise((done) => {
        const to = (link) => link.getAttribute('href');
        const links = [...document.querySelectorAll('a')].filter((link) => /^#n\\d+$/.test(to(link)));
        const ids = new Set(links.map(to));
        const next = ([id, ...rest]) => {
            if (!id) return done([ids.size, document.querySelectorAll('details.node:not([open])').length]);
            addEventListener('hashchange', () => next(rest), { once: true });
            links.find((link) => to(link) === id).dispatchEvent(new MouseEvent('click', { bubbles: true }));
        };
        next([...ids]);
    })";
    assert_eq!(browser.value(followed), json!([8, 0]), "links, and nodes that are folded up after them");
}

#[test]
fn a_page_fits_a_phone_and_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    let world = World::without_api();
    world.file("blank.html", "<!doctype html>");
    let pages = [of_log(&world), of_run(&world), of_long_words(&world)];
    for width in [320, 390, 1280] {
        browser.width(width);
        browser.open(&world.path("blank.html"), "");
        let blank = browser.picture();
        for page in &pages {
            browser.open(page, "");
            let picture = browser.picture();
            assert_eq!(size(&picture), (width, 800));
            assert!(picture.len() > 3 * blank.len(), "{} at {width} shows nothing", page.display());
            // Only what scrolls by itself is wider than the window.
            browser.value(UNFOLD);
            let overflow =
                browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert!(overflow.as_i64().unwrap() <= 0, "{} at {width}: {overflow}", page.display());
        }
    }
}

/// The size that the first chunk of a PNG tells.
fn size(picture: &str) -> (u32, u32) {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String =
        picture.chars().take(32).map(|digit| format!("{:06b}", DIGITS.find(digit).unwrap())).collect();
    let number = |byte: usize| u32::from_str_radix(&bits[byte * 8..(byte + 4) * 8], 2).unwrap();
    (number(16), number(20))
}
