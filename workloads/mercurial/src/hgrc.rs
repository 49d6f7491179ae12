//! The instance's hgrc. Repositories have small ones of their own, which the lane writes from their settings.

use std::fmt::Write;

use crate::run_directory::{Options, Role, RunDirectory};

/// A lane or a push waits this long for the repository lock before it says `locked`.
const LOCK_WAIT_SECONDS: u32 = 30;
/// facts/hgmo.md, L9: clients put arguments into headers up to this size; the front accepts far more.
const CLIENT_HEADER_BYTES: u32 = 6144;

/// protocol::RepositoryFormat::V1, spelled out so that the defaults of a Mercurial version do not matter. A version
/// that does not know an option ignores it.
const FORMAT_V1: &str = "\
[format]
usestore = true
usefncache = true
dotencode = true
usegeneraldelta = true
sparse-revlog = true
revlog-compression = zstd
bookmarks-in-store = false
use-share-safe = false
use-persistent-nodemap = false
use-dirstate-v2 = false
use-dirstate-tracked-hint = false
use-internal-phase = false
use-delta-info-flags = false
use-fileindex-v1 = false
exp-archived-phase = false
exp-use-copies-side-data-changeset = false
[experimental]
treemanifest = false
narrow = false
changegroup3 = false
";

/// No prompt, no pager, no progress bar: nobody sits in front of these processes.
const QUIET: &str = "\
nontty = true
interactive = false
paginate = never
report_untrusted = false
timeout.warn = 0
[progress]
disable = true
";

/// facts/hgmo.md, L9 and A19: `push_ssl` is false only so that a refused push reads `authorization failed`.
const WEB: &str = "\
[web]
allow-archive = zip
allow-push =
push_ssl = false
maxchanges = 20
guessmime = true
encoding = UTF-8
cache = true
";

pub(crate) fn text(options: &Options, run: &RunDirectory) -> String {
    let mut text = String::from("# Written by hgd at each start: a change made here is lost.\n[extensions]\n");
    line(&mut text, "hg_operator", &run.extension.display());
    text += "[hg-operator]\n";
    line(&mut text, "role", &options.role.as_str());
    if let Some(url) = options.public_url.as_ref().filter(|url| !url.contains(['\n', '\r'])) {
        line(&mut text, "url", url);
    }
    if let Some(cached) = options.web_cached {
        line(&mut text, "web-cached", &cached);
    }
    text += "[ui]\n";
    line(&mut text, "timeout", &LOCK_WAIT_SECONDS);
    text += QUIET;
    text += FORMAT_V1;
    text += "httppostargs = true\n[server]\nbundle1 = true\nuncompressed = true\n";
    line(&mut text, "maxhttpheaderlen", &CLIENT_HEADER_BYTES);
    line(&mut text, "validate", &(options.role == Role::Ssh));
    text += WEB;
    if let Some(site) = &options.site_hgrc {
        // Mercurial's own word for reading another file at this place.
        let _ = writeln!(text, "%include {}", site.display());
    }
    text
}

fn line(text: &mut String, name: &str, value: &dyn std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name} = {value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn options(role: Role) -> Options {
        Options {
            python: "/usr/bin/python3".into(),
            run_directory: "/r".into(),
            gate: Some("/r/gate.sock".into()),
            spool: "/r/spool".into(),
            role,
            public_url: Some("https://hg.test".into()),
            web_cached: (role == Role::Mirror).then_some(7),
            site_hgrc: Some("/etc/site.rc".into()),
            background: false,
        }
    }

    #[test]
    fn the_site_file_is_read_last_and_only_the_ssh_role_validates() {
        let run = RunDirectory::new(Path::new("/r"));
        let ssh = text(&options(Role::Ssh), &run);
        assert!(ssh.ends_with("%include /etc/site.rc\n"), "{ssh}");
        assert!(ssh.contains("\nurl = https://hg.test\n"));
        assert!(ssh.contains("\nrole = ssh\n") && ssh.contains("\nvalidate = true\n"));
        assert!(ssh.contains("\nhg_operator = /r/extension/hg_operator\n"));
        let mirror = text(&options(Role::Mirror), &run);
        assert!(mirror.contains("\nrole = mirror\n") && mirror.contains("\nvalidate = false\n"));
        assert!(mirror.contains("\nweb-cached = 7\n") && !ssh.contains("web-cached"));
    }

    #[test]
    fn post_arguments_stay_in_the_experimental_section() {
        let text = text(&options(Role::Mirror), &RunDirectory::new(Path::new("/r")));
        let section = text[..text.find("httppostargs").unwrap()].rfind('[').unwrap();
        assert!(text[section..].starts_with("[experimental]"));
    }
}
