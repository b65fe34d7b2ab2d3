//! What a run does not choose itself: its id, its host, and where it works.

use std::borrow::Cow;

use crate::{Host, Workspace};

/// What stands in texts of a run and is another in the next one, with what stands for it where runs are compared.
#[derive(Debug, Clone, Default)]
pub struct Placeholders(Vec<(String, String)>);

impl Placeholders {
    /// Those of a run: of its id, and of its places as its first event tells them.
    pub fn new(run: &str, workspace: Option<&Workspace>, host: Option<&Host>) -> Self {
        let mut all = Self::default();
        all.add(run, "<run>");
        if let Some(workspace) = workspace {
            all.add(&workspace.path, "<workspace>");
            if let Some(volume) = workspace.path.strip_suffix(&format!("/.omne/wt/{run}")) {
                all.add(volume, "<volume>");
            }
        }
        if let Some(host) = host {
            all.add(&host.name, "<host>");
        }
        all
    }

    /// Adds one. What is a single character long stands for nothing.
    pub fn add(&mut self, text: &str, placeholder: impl Into<String>) {
        if text.len() > 1 {
            self.0.push((text.to_owned(), placeholder.into()));
            // The longest first: a worktree lies below its volume.
            self.0.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        }
    }

    /// Adds those of another run, whose texts this one has as well.
    pub fn extend(&mut self, other: &Self) {
        for (text, placeholder) in &other.0 {
            self.add(text, placeholder.clone());
        }
    }

    /// The text as it is in every run. A part of a longer name is none of them.
    pub fn stable<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut stable = String::new();
        let mut taken = 0;
        for (at, first) in text.char_indices() {
            let here = |(found, _): &&(String, String)| {
                at >= taken
                    && found.starts_with(first)
                    && text[at..].starts_with(found.as_str())
                    && stands_alone(found, &text[..at], &text[at + found.len()..])
            };
            if let Some((found, placeholder)) = self.0.iter().find(here) {
                stable.push_str(&text[taken..at]);
                stable.push_str(placeholder);
                taken = at + found.len();
            }
        }
        if taken == 0 {
            return Cow::Borrowed(text);
        }
        stable.push_str(&text[taken..]);
        stable.into()
    }
}

/// Whether what is found between the two is a name, and not a part of one. A path of many parts may follow a letter, as in
/// `-I/home/me/project`; one of few may well be the end of another one.
fn stands_alone(found: &str, before: &str, after: &str) -> bool {
    const MANY: usize = 3;
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
    let may_follow = found.starts_with('/') && found.matches('/').count() >= MANY;
    !after.starts_with(is_part) && (may_follow || !before.ends_with(|c| is_part(c) || c == '.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::WorkspaceMode;

    #[test]
    fn what_lies_below_is_replaced_first() {
        let path = "/v/.omne/wt/p-1".to_owned();
        let workspace = Workspace { mode: WorkspaceMode::Worktree, path, base_commit: None };
        let mut all = Placeholders::new("p-1", Some(&workspace), None);
        assert_eq!(all.stable("/v/.omne/wt/p-1/a /v/b p-1"), "<workspace>/a <volume>/b <run>");
        all.add("/elsewhere/p-1", "<volume>/.omne/var/runs/<run>");
        assert_eq!(all.stable("/elsewhere/p-1/nodes"), "<volume>/.omne/var/runs/<run>/nodes");
        assert!(matches!(all.stable("nothing of it"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_part_of_a_longer_name_stays() {
        let host = Host { name: "vm".into(), pid: 1, omne_version: "0.3.0".into() };
        let workspace = Workspace { mode: WorkspaceMode::Root, path: "/w".into(), base_commit: None };
        let all = Placeholders::new("p-1", Some(&workspace), Some(&host));
        for (text, stable) in [
            ("on vm: /w/include", "on <host>: <workspace>/include"),
            ("vmlinux in /srv/w or ./w of xvm", "vmlinux in /srv/w or ./w of xvm"),
            ("/w", "<workspace>"),
            ("p-1.log, p-12", "<run>.log, p-12"),
        ] {
            assert_eq!(all.stable(text), stable);
        }
        let workspace = Workspace { path: "/home/me/w".into(), ..workspace };
        let all = Placeholders::new("p-1", Some(&workspace), None);
        assert_eq!(all.stable("-I/home/me/w/include"), "-I<workspace>/include");
    }
}
