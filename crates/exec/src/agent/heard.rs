//! What an agent said, in a form that outlives its line and fits an event.

use omne_agent::{Item, ToolCall};
use omne_events::beginning;

/// The longest word of an agent that goes into an event, in bytes: events are lines, and lines have an end.
const MOST_WORD: usize = 256;

/// The most refused tools that an event names.
pub(super) const MOST_DENIED: usize = 50;

/// The beginning of a word that fits.
pub(crate) fn clip(word: &str) -> &str {
    beginning(word, MOST_WORD)
}

/// An item that outlives its line.
pub(super) enum Heard {
    Session { id: Option<String>, model: Option<String>, version: Option<String> },
    Text(String),
    TextEnd,
    Partial(String),
    Tool(ToolCall),
}

impl From<Item<'_>> for Heard {
    fn from(item: Item<'_>) -> Self {
        let own = |text: Option<&str>| text.map(str::to_owned);
        match item {
            Item::Session { id, model, version } => Heard::Session {
                // A name that was cut would be another one.
                id: own(id.filter(|id| id.len() <= MOST_WORD)),
                model: own(model.map(clip)),
                version: own(version.map(clip)),
            },
            Item::Text(text) => Heard::Text(text.to_owned()),
            Item::TextEnd => Heard::TextEnd,
            Item::Partial(text) => Heard::Partial(text.to_owned()),
            Item::Tool(call) => {
                Heard::Tool(ToolCall { name: clip(&call.name).into(), id: clip(&call.id).to_owned(), ..call })
            }
        }
    }
}
