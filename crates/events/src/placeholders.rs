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

    /// The text as it is in every run.
    pub fn stable<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for (found, placeholder) in &self.0 {
            if text.contains(found.as_str()) {
                text = text.replace(found.as_str(), placeholder).into();
            }
        }
        text
    }
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
}
