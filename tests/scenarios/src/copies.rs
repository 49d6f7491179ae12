//! Whether what clients get from the mirrors is what somebody has.

use std::path::Path;
use std::process::Stdio;

use crate::{Client, Installation};

/// A line for each changeset that is not hidden, sorted: hash, phase, branch, whether it closes it, bookmarks, tags.
const VIEW: &str = "{node} {phase} {branch} {get(extras, 'close')} {bookmarks % '{bookmark},'} {tags % '{tag},'}\n";

impl Client {
    pub fn view(&self, repository: impl AsRef<Path>) -> Vec<String> {
        let text = self.hg(repository, &["log", "-T", VIEW]).ok();
        let mut lines: Vec<_> = text.lines().map(|line| line.replace("tip,", "")).collect();
        lines.sort_unstable();
        lines
    }

    /// Settles, clones `path` from every mirror, and compares with this client's own `repository`: changesets, phases,
    /// branches, bookmarks, tags.
    #[track_caller]
    pub fn is_on_every_mirror(&self, installation: &Installation, path: &str, repository: &str) {
        installation.settled();
        let expected = self.view(repository);
        let clones: Vec<_> = installation
            .ready()
            .mirrors
            .iter()
            .enumerate()
            .map(|(n, url)| {
                let name = format!("{repository}-from-{n}");
                let _none_before = std::fs::remove_dir_all(self.folder.join(&name));
                let mut command = self.command("", &["clone", "-U", &format!("{url}/{path}"), &name]);
                (command.stdout(Stdio::null()).spawn().unwrap(), name)
            })
            .collect();
        assert!(!clones.is_empty());
        for (mut clone, name) in clones {
            assert!(clone.wait().unwrap().success(), "{name}");
            assert_eq!(self.view(&name), expected, "{name}");
        }
    }

    /// Fills the new repository `name` with `changesets` changesets of the seeded generator.
    pub fn generate(&self, name: &str, seed: u32, changesets: u32) {
        self.hg("", &["init", name]).ok();
        let script = include_str!("history.py");
        let mut command = self.python(name);
        command.args(["-c", script, &seed.to_string(), &changesets.to_string()]);
        assert!(command.status().unwrap().success());
    }
}
