//! Plain text: all that the program prints is what it says.

use super::{Item, Read, Sink, Told};
use crate::{
    Exit, Verdict,
    verdict::{Failure, class},
};

#[derive(Debug)]
pub(super) struct Text;

impl Read for Text {
    fn is_idle(&self, _: &[u8]) -> bool {
        false
    }

    fn line(&mut self, line: &[u8], told: &mut Told, sink: &mut Sink<'_>) {
        let text = String::from_utf8_lossy(line);
        told.spoke |= !text.trim().is_empty();
        sink(Item::Text(&text));
        sink(Item::TextEnd);
    }

    fn verdict(&self, told: &Told, exit: Exit, stderr: &str) -> Verdict {
        if !exit.is_success() {
            return Failure::without_result(exit, stderr);
        }
        if !told.spoke {
            return Failure::agent(class::EMPTY, "it said nothing");
        }
        Verdict::Success
    }
}
