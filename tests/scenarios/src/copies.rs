//! Whether what clients get from the mirrors is what somebody has.

use std::path::Path;

use crate::client::outcome;
use crate::{Client, Installation, for_good};

/// A line for each changeset that is not hidden, sorted: hash, phase, branch, whether it closes it, bookmarks, tags.
const VIEW: &str = "{node} {phase} {branch} {get(extras, 'close')} {bookmarks % '{bookmark},'} {tags % '{tag},'}\n";

/// Several commands in one process of the client's Mercurial, which spares most of their time; a line of its own after
/// the output of each.
const SEVERAL: &str = "
import json, sys
from mercurial import dispatch
try:
    from mercurial import initialization
    from mercurial.main_script import request
    initialization.init()
except ImportError:
    request = dispatch.request
for command in json.loads(sys.argv[1]):
    code = dispatch.dispatch(request([word.encode() for word in command]))
    print(f'== {code or 0}', flush=True)
";

impl Client {
    pub fn view(&self, repository: impl AsRef<Path>) -> Vec<String> {
        lines(&self.hg(repository, &["log", "-T", VIEW]).ok())
    }

    /// Settles, clones `path` from every mirror, and compares with this client's own `repository`: changesets, phases,
    /// branches, bookmarks, tags.
    #[track_caller]
    pub fn is_on_every_mirror(&self, installation: &Installation, path: &str, repository: &str) {
        installation.settled();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
        let mut commands = vec![words(&["log", "-R", repository, "-T", VIEW])];
        for (number, url) in installation.ready().mirrors.iter().enumerate() {
            let name = format!("{repository}-from-{number}");
            let _none_before = std::fs::remove_dir_all(self.folder.join(&name));
            commands.push(words(&["clone", "-q", "-U", &format!("{url}/{path}"), &name]));
            commands.push(words(&["log", "-R", &name, "-T", VIEW]));
        }
        let mut python = self.python("");
        python.args(["-c", SEVERAL, &serde_json::to_string(&commands).unwrap()]);
        let said = outcome(python);
        let texts: Vec<_> =
            said.stdout.split_inclusive("== 0\n").map(|text| text.trim_end_matches("== 0\n")).collect();
        assert_eq!(texts.len(), commands.len(), "{said:?}");
        let views: Vec<_> = texts.iter().step_by(2).map(|text| lines(text)).collect();
        assert!(views.len() > 1 && !views[0].is_empty(), "{said:?}");
        for (number, view) in views.iter().skip(1).enumerate() {
            for_good(
                view == &views[0],
                format_args!("mirror {number} has {view:#?}, and {repository} {:#?}", views[0]),
            );
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

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<_> = text.lines().map(|line| line.replace("tip,", "")).collect();
    lines.sort_unstable();
    lines
}
