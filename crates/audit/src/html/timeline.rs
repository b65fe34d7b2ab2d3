//! When what ran: a bar for each attempt, the times between runners left out.

use std::io::{self, Write};

use omne_events::{Timestamp, milliseconds};
use rustc_hash::FxHashMap;

use super::{
    Page,
    head::clock,
    node::{attempt_ms, outcome, round_outcome},
    open,
};
use crate::{
    Attempt, Story,
    markup::{Escaped, sign, took},
};

/// With more nodes than this a row is a slot, not a node.
const MOST_ROWS: usize = 80;
/// More rounds of an attempt than this are too thin to be seen.
const MOST_ROUNDS: usize = 60;

impl Page<'_> {
    pub(super) fn timeline(&self, out: &mut dyn Write) -> io::Result<()> {
        let story = self.story;
        let Some(scale) = Scale::new(story) else { return Ok(()) };
        let mut rows: Vec<(String, Vec<&Attempt>)> = Vec::new();
        let started = self.nodes.iter().filter(|told| !told.attempts.is_empty()).count();
        let by_node = started <= MOST_ROWS;
        let mut places: FxHashMap<&str, usize> = FxHashMap::default();
        for attempt in &story.attempts {
            let place = if by_node {
                *places.entry(attempt.node.as_str()).or_insert_with(|| {
                    rows.push((self.link(attempt.node.as_str()), Vec::new()));
                    rows.len() - 1
                })
            } else {
                let slot = attempt.slot as usize;
                while rows.len() <= slot {
                    rows.push((format!("slot {}", rows.len() + 1), Vec::new()));
                }
                slot
            };
            rows[place].1.push(attempt);
        }
        // Bars of many attempts get room, and the box scrolls.
        let most = rows.iter().map(|(_, attempts)| attempts.len()).max().unwrap_or(0);
        let width = if by_node { 560 } else { (most * 5).clamp(560, 12_000) };
        write!(
            out,
            "<section id=\"timeline\"><h2>Timeline</h2>\n<details{}><summary>{} attempts, {} at once at most</summary>\n\
             <ul class=\"legend\">",
            open(story.attempts.len()),
            story.attempts.len(),
            story.slots,
        )?;
        for (word, text) in [
            ("completed", "completed"),
            ("failed", "failed"),
            ("retried", "failed, tried again"),
            ("interrupted", "cut off"),
        ] {
            write!(out, "<li class=\"{word}\"><i class=\"bar {word}\">{}</i> {text}</li>", sign(word))?;
        }
        write!(
            out,
            "</ul>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Timeline\">\
             <div class=\"gantt\" style=\"--w:{width}px\">\n"
        )?;
        scale.write(width, out)?;
        for (label, attempts) in rows {
            write!(out, "<div class=\"row\"><span class=\"label\">{label}</span><div class=\"track\">")?;
            for attempt in attempts {
                self.bar(attempt, &scale, out)?;
            }
            out.write_all(b"</div></div>\n")?;
        }
        out.write_all(b"</div></div></details></section>\n")
    }

    fn bar(&self, attempt: &Attempt, scale: &Scale, out: &mut dyn Write) -> io::Result<()> {
        let (word, text) = outcome(attempt);
        let end = attempt.ended.or(self.story.last()).unwrap_or(attempt.started);
        let (left, right) = (scale.at(attempt.started), scale.at(end));
        let place = self.state.find(attempt.node.as_str()).map_or(0, |node| node.place());
        let ms = attempt_ms(attempt).unwrap_or_else(|| milliseconds(end.since(attempt.started)));
        write!(
            out,
            "<a class=\"bar {word}\" href=\"#n{place}\" style=\"left:{left:.2}%;width:{:.2}%\" \
             title=\"{} · attempt {} · {} · {}\">",
            right - left,
            Escaped(attempt.node.as_str()),
            attempt.number,
            Escaped(text),
            took(ms),
        )?;
        let rounds = if attempt.rounds.len() <= MOST_ROUNDS { &attempt.rounds[..] } else { &[] };
        for round in rounds {
            let from = scale.at(round.started);
            let to = scale.at(round.ended.unwrap_or(end));
            let within = |at: f64| if right > left { (at - left) / (right - left) * 100.0 } else { 0.0 };
            write!(
                out,
                "<i class=\"{}\" style=\"left:{:.1}%;width:{:.1}%\"></i>",
                round_outcome(round).0,
                within(from),
                (within(to) - within(from)).max(0.0),
            )?;
        }
        // A thinner bar has no room for its sign.
        match right - left {
            0.3.. => write!(out, "<span>{}</span></a>", sign(word)),
            _ => out.write_all(b"</a>"),
        }
    }
}

/// Where a time stands, in percent: the goes at a run one after the other, with a little room between.
struct Scale {
    goes: Vec<Stretch>,
}

/// A go at the run.
struct Stretch {
    from: Timestamp,
    to: Timestamp,
    left: f64,
    width: f64,
    resume: u32,
}

impl Scale {
    fn new(story: &Story) -> Option<Self> {
        if story.attempts.is_empty() {
            return None;
        }
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut attempts = story.attempts.iter().peekable();
        for (number, go) in story.goes.iter().enumerate() {
            let next = story.goes.get(number + 1);
            let mut to = match (&go.end, next) {
                (Some(end), _) => end.at,
                (None, Some(_)) => go.at,
                (None, None) => story.last().unwrap_or(go.at),
            };
            while let Some(attempt) = attempts.next_if(|a| next.is_none_or(|next| a.seq < next.seq)) {
                to = to.max(attempt.ended.unwrap_or(attempt.started));
            }
            let to = Timestamp::from_millisecond(to.as_millisecond().max(go.at.as_millisecond() + 1));
            stretches.push(Stretch { from: go.at, to, left: 0.0, width: 0.0, resume: go.resume });
        }
        let count = f64::from(u32::try_from(stretches.len()).unwrap_or(u32::MAX));
        let gap = if count > 1.0 { (30.0 / (count - 1.0)).min(3.0) } else { 0.0 };
        let total: f64 = stretches.iter().map(Stretch::seconds).sum();
        let room = 100.0 - gap * (count - 1.0);
        // Every go is wide enough to be seen.
        let least = room / count * 0.2;
        let mut left = 0.0;
        for stretch in &mut stretches {
            stretch.left = left;
            stretch.width = least + stretch.seconds() / total * (room - least * count);
            left += stretch.width + gap;
        }
        if stretches.is_empty() { None } else { Some(Self { goes: stretches }) }
    }

    fn at(&self, at: Timestamp) -> f64 {
        let place = self.goes.partition_point(|go| go.from <= at).saturating_sub(1);
        let go = &self.goes[place];
        let share = (at.since(go.from).as_secs_f64() / go.seconds()).min(1.0);
        go.left + share * go.width
    }

    /// The axis: ticks in round numbers since each go began, and marks where time is left out.
    fn write(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(
            b"<div class=\"row axis\"><span class=\"label\">since start</span><div class=\"track\">",
        )?;
        // A tick's text takes up to 80 pixels.
        let apart = 8000.0 / f64::from(u32::try_from(width).unwrap_or(u32::MAX));
        for (number, go) in self.goes.iter().enumerate() {
            if let Some(before) = number.checked_sub(1).map(|before| &self.goes[before]) {
                let left = before.left + before.width;
                let gap = took(milliseconds(go.from.since(before.to)));
                write!(
                    out,
                    "<i class=\"gap\" style=\"left:{left:.2}%;width:{:.2}%\" title=\"nobody was at it for {gap}; \
                     resume {} at {}\"></i>",
                    go.left - left,
                    go.resume,
                    clock(&go.from.to_string()),
                )?;
            }
            let step = step(go.seconds() * 1000.0 / (go.width / apart).max(1.0));
            let length = milliseconds(go.to.since(go.from));
            let mut tick = 0;
            while tick <= length {
                let at = Timestamp::from_millisecond(
                    go.from.as_millisecond() + i64::try_from(tick).unwrap_or(i64::MAX / 2),
                );
                let text =
                    if tick == 0 && go.resume > 0 { format!("resume {}", go.resume) } else { label(tick) };
                // The last one would stick out.
                let left = self.at(at);
                if left < 100.0 - apart / 2.0 {
                    write!(out, "<b style=\"left:{left:.2}%\">{text}</b>")?;
                }
                tick += step;
            }
        }
        out.write_all(b"</div></div>\n")
    }
}

impl Stretch {
    fn seconds(&self) -> f64 {
        self.to.since(self.from).as_secs_f64()
    }
}

/// A round number of milliseconds that is `least` or a little more.
fn step(least: f64) -> u64 {
    const DAY: u64 = 86_400_000;
    const STEPS: [u64; 24] = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000,
        300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 21_600_000,
    ];
    let least = std::time::Duration::from_secs_f64(least.max(0.0) / 1000.0);
    let least = milliseconds(least);
    STEPS.into_iter().find(|step| *step >= least).unwrap_or_else(|| least.div_ceil(DAY) * DAY)
}

/// A tick's text.
fn label(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        _ if ms < 60_000 && ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => took(ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::told;

    #[test]
    fn time_between_runners_is_left_out_and_no_time_goes_back() {
        let story = told("resumed");
        let scale = Scale::new(&story).unwrap();
        assert_eq!(scale.goes.len(), 2);
        assert!(scale.goes[1].left - (scale.goes[0].left + scale.goes[0].width) < 3.1);
        let mut before = 0.0;
        for attempt in &story.attempts {
            let (from, to) = (scale.at(attempt.started), scale.at(attempt.ended.unwrap()));
            assert!(before <= from && from <= to && to <= 100.01, "{from} {to}");
            before = from;
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            [0.0, 3.0, 999.0, 1001.0, 61_000.0, 1e9].map(step),
            [1, 5, 1000, 2000, 120_000, 1_036_800_000]
        );
        assert_eq!([0, 500, 5000, 120_000].map(label), ["0", "500ms", "5s", "2m00s"]);
    }
}
