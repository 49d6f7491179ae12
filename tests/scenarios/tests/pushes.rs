//! Every kind of push by real clients of every Mercurial to servers of every Mercurial, over OpenSSH.

use std::process::Command;

use scenarios::{Client, Installation, Mercurial, Options, mercurials};

/// One developer with one repository of their own on the server; the local one has the same name.
struct Developer<'a> {
    installation: &'a Installation,
    client: Client,
    path: String,
}

type Kind = (&'static str, fn(&Developer<'_>));

/// Repositories whose names begin with `draft` are non-publishing and exchange markers.
const KINDS: [Kind; 9] = [
    ("one-changeset", one_changeset),
    ("bookmarks-only", bookmarks_only),
    ("draft-phases-only", phases_only),
    ("draft-amend", amend),
    ("draft-markers-only", markers_only),
    ("branches", branches),
    ("old-client", old_client),
    ("draft-old-client", old_client_with_drafts),
    ("heads-and-tags", heads_and_tags),
];

const EVOLUTION: [&str; 4] =
    ["--config", "experimental.evolution.createmarkers=yes", "--config", "experimental.evolution.exchange=yes"];
const BUNDLE1: [&str; 2] = ["--config", "devel.legacy.exchange=bundle1"];

#[test]
fn every_kind_of_push() {
    std::thread::scope(|threads| {
        for server in mercurials() {
            threads.spawn(move || kinds_with_server(&server));
        }
    });
}

fn kinds_with_server(server: &Mercurial) {
    let clients = mercurials();
    let path = |kind: &str, client: &Mercurial| format!("{kind}/{}", client.version);
    let paths: Vec<_> = clients.iter().flat_map(|client| KINDS.map(|(kind, _)| path(kind, client))).collect();
    let paths: Vec<_> = paths.iter().map(String::as_str).collect();
    let installation = Installation::start(Options::new(server, &paths));
    for mercurial in &clients {
        for (kind, run) in KINDS {
            eprintln!("server {}, client {}: {kind}", server.version, mercurial.version);
            let client = Client::new(&installation, mercurial, &mercurial.version);
            let developer = Developer { installation: &installation, client, path: path(kind, mercurial) };
            developer.begin();
            run(&developer);
        }
    }
}

impl Developer<'_> {
    /// A local repository with one changeset, which is made once for all of them.
    fn begin(&self) {
        let folder = &self.client.folder;
        if !folder.join("base").exists() {
            self.client.init("base");
        }
        std::fs::create_dir_all(folder.join(&self.path).parent().unwrap()).unwrap();
        let copied = Command::new("cp").arg("-r").arg(folder.join("base")).arg(folder.join(&self.path)).status();
        assert!(copied.unwrap().success());
    }

    fn hg(&self, arguments: &[&str]) -> scenarios::Outcome {
        self.client.hg(&self.path, arguments)
    }

    fn commit(&self, text: &str) {
        std::fs::write(self.client.folder.join(&self.path).join("file"), text).unwrap();
        self.hg(&["commit", "-m", text]).ok();
    }

    /// Pushes and requires each of `lines` in what the server says, and exactly one more record, which all get. A
    /// push without changesets ends with 1.
    #[track_caller]
    fn push(&self, arguments: &[&str], code: i32, lines: &[&str]) {
        let before = self.installation.records();
        let url = self.client.push_url(&self.path);
        let said = self.hg(&[&["push", &url], arguments].concat());
        assert_eq!(said.code, Some(code), "{said:?}");
        let text = said.stdout + &said.stderr;
        for line in lines {
            assert!(text.contains(line), "no '{line}' in: {text}");
        }
        assert_eq!(self.installation.records(), before + 1, "{text}");
        self.installation.settled();
    }

    #[track_caller]
    fn same_everywhere(&self) {
        self.client.is_on_every_mirror(self.installation, &self.path, &self.path);
    }
}

const CHANGESETS: [&str; 2] =
    ["remote: recorded push in pushlog", "remote: recorded changegroup in replication log in "];
const BOOKMARKS: [&str; 1] = ["remote: recorded updates to bookmarks in replication log in "];
const PHASES: [&str; 1] = ["remote: recorded updates to phases in replication log in "];
const MARKERS: [&str; 1] = ["remote: recorded updates to obsolete in replication log in "];

fn one_changeset(developer: &Developer<'_>) {
    developer.push(&[], 0, &CHANGESETS);
    developer.commit("second");
    developer.push(&[], 0, &CHANGESETS);
    developer.same_everywhere();
}

fn bookmarks_only(developer: &Developer<'_>) {
    developer.push(&[], 0, &CHANGESETS);
    developer.hg(&["bookmark", "mark"]).ok();
    developer.push(&["-B", "mark"], 1, &BOOKMARKS);
    developer.commit("second");
    developer.push(&["-B", "mark"], 0, &CHANGESETS);
    developer.same_everywhere();
    developer.hg(&["bookmark", "-f", "-r", "0", "mark"]).ok();
    developer.push(&["-f", "-B", "mark"], 1, &BOOKMARKS);
    developer.hg(&["bookmark", "-d", "mark"]).ok();
    developer.push(&["-B", "mark"], 1, &BOOKMARKS);
    developer.same_everywhere();
}

fn phases_only(developer: &Developer<'_>) {
    developer.commit("second");
    developer.push(&[], 0, &CHANGESETS);
    developer.hg(&["phase", "--public", "-r", "0"]).ok();
    developer.push(&[], 1, &PHASES);
    developer.hg(&["phase", "--public", "-r", "tip"]).ok();
    developer.push(&[], 1, &PHASES);
    developer.same_everywhere();
}

fn amend(developer: &Developer<'_>) {
    developer.commit("second");
    developer.push(&EVOLUTION, 0, &CHANGESETS);
    developer.hg(&[&EVOLUTION[..], &["commit", "--amend", "-m", "amended"]].concat()).ok();
    developer.push(&EVOLUTION, 0, &[CHANGESETS[0], CHANGESETS[1], MARKERS[0]]);
    assert_eq!(developer.client.view(&developer.path).len(), 2);
    developer.same_everywhere();
}

fn markers_only(developer: &Developer<'_>) {
    developer.commit("second");
    let gone = developer.client.tip(&developer.path);
    developer.push(&EVOLUTION, 0, &CHANGESETS);
    developer.hg(&["update", "-r", "0"]).ok();
    developer.hg(&[&EVOLUTION[..], &["debugobsolete", "--record-parents", &gone]].concat()).ok();
    developer.push(&EVOLUTION, 1, &MARKERS);
    assert_eq!(developer.client.view(&developer.path).len(), 1);
    developer.same_everywhere();
}

fn branches(developer: &Developer<'_>) {
    developer.push(&[], 0, &CHANGESETS);
    developer.hg(&["branch", "other"]).ok();
    developer.commit("second");
    developer.push(&["--new-branch"], 0, &CHANGESETS);
    developer.hg(&["commit", "--close-branch", "-m", "closed"]).ok();
    developer.push(&[], 0, &CHANGESETS);
    developer.same_everywhere();
}

fn old_client(developer: &Developer<'_>) {
    developer.push(&BUNDLE1, 0, &CHANGESETS);
    developer.hg(&["bookmark", "mark"]).ok();
    developer.push(&[&BUNDLE1[..], &["-B", "mark"]].concat(), 1, &BOOKMARKS);
    developer.same_everywhere();
}

fn old_client_with_drafts(developer: &Developer<'_>) {
    developer.push(&BUNDLE1, 0, &CHANGESETS);
    developer.hg(&["phase", "--public", "-r", "tip"]).ok();
    developer.push(&BUNDLE1, 1, &PHASES);
    developer.same_everywhere();
}

fn heads_and_tags(developer: &Developer<'_>) {
    developer.push(&[], 0, &CHANGESETS);
    developer.hg(&["tag", "release"]).ok();
    developer.hg(&["update", "-r", "0"]).ok();
    developer.commit("another head");
    developer.push(&["-f"], 0, &CHANGESETS);
    developer.hg(&["merge", "-r", "1"]).ok();
    developer.hg(&["commit", "-m", "merged"]).ok();
    developer.push(&[], 0, &CHANGESETS);
    developer.same_everywhere();
}
