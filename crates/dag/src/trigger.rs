//! Trigger rules as pure predicates over how a node's dependencies ended.

/// When a node may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TriggerRule {
    /// All dependencies completed.
    #[default]
    AllSuccess,
    /// One completed; fires as soon as it has.
    OneSuccess,
    /// All ended, however.
    AllDone,
    /// All ended, and none failed or was blocked.
    NoneFailed,
}

impl TriggerRule {
    /// All rules.
    pub const ALL: [TriggerRule; 4] =
        [TriggerRule::AllSuccess, TriggerRule::OneSuccess, TriggerRule::AllDone, TriggerRule::NoneFailed];

    /// The word in pipe files.
    pub fn as_str(self) -> &'static str {
        match self {
            TriggerRule::AllSuccess => "all_success",
            TriggerRule::OneSuccess => "one_success",
            TriggerRule::AllDone => "all_done",
            TriggerRule::NoneFailed => "none_failed",
        }
    }
}

/// How a node's dependencies ended so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends {
    /// How many have not ended.
    pub open: u32,
    /// Whether one completed.
    pub any_completed: bool,
    /// Whether one failed or was blocked.
    pub any_failed: bool,
    /// Whether one was skipped.
    pub any_skipped: bool,
}

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It can't be said yet.
    Wait,
    /// The node may run.
    Fire,
    /// The node is skipped.
    Skip,
    /// The node can never run.
    Block,
}

impl TriggerRule {
    /// What the rule says of a node with `dependencies` dependencies that ended as `ends` tells.
    pub fn decide(self, dependencies: usize, ends: Ends) -> Verdict {
        match self {
            _ if dependencies == 0 => Verdict::Fire,
            TriggerRule::OneSuccess if ends.any_completed => Verdict::Fire,
            _ if ends.open > 0 => Verdict::Wait,
            TriggerRule::AllSuccess if ends.any_failed => Verdict::Block,
            TriggerRule::AllSuccess if ends.any_skipped => Verdict::Skip,
            TriggerRule::NoneFailed if ends.any_failed => Verdict::Block,
            TriggerRule::OneSuccess => Verdict::Block,
            TriggerRule::AllSuccess | TriggerRule::AllDone | TriggerRule::NoneFailed => Verdict::Fire,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(rule: TriggerRule, ends: &str) -> Verdict {
        let over = |c| ends.contains(c);
        let open = u32::try_from(ends.matches('.').count()).unwrap();
        let ends_so_far =
            Ends { open, any_completed: over('c'), any_failed: over('f'), any_skipped: over('s') };
        rule.decide(ends.len(), ends_so_far)
    }

    #[test]
    fn the_rules_are_those_of_the_language() {
        use TriggerRule::{AllDone, AllSuccess, NoneFailed, OneSuccess};
        use Verdict::{Block, Fire, Skip, Wait};
        // A letter a dependency: `c`ompleted, `f`ailed or blocked, `s`kipped, `.` open.
        for (ends, all_success, one_success, all_done, none_failed) in [
            ("", Fire, Fire, Fire, Fire),
            ("c", Fire, Fire, Fire, Fire),
            ("f", Block, Block, Fire, Block),
            ("s", Skip, Block, Fire, Fire),
            ("c.", Wait, Fire, Wait, Wait),
            ("f.", Wait, Wait, Wait, Wait),
            ("fs", Block, Block, Fire, Block),
            ("cf", Block, Fire, Fire, Block),
            ("cs", Skip, Fire, Fire, Fire),
            ("cfs", Block, Fire, Fire, Block),
        ] {
            assert_eq!(decide(AllSuccess, ends), all_success, "all_success over {ends:?}");
            assert_eq!(decide(OneSuccess, ends), one_success, "one_success over {ends:?}");
            assert_eq!(decide(AllDone, ends), all_done, "all_done over {ends:?}");
            assert_eq!(decide(NoneFailed, ends), none_failed, "none_failed over {ends:?}");
        }
    }
}
