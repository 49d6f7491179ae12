//! Pushes at the same time, to one repository and to several.

use std::process::{Child, Output};

use scenarios::{Client, Installation, Options, mercurials};

fn said(child: Child) -> (bool, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.success(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
}

#[track_caller]
fn succeeds(child: Child) {
    let (success, text) = said(child);
    assert!(success && text.contains("remote: recorded push in pushlog"), "{text}");
}

/// A clone of `path` for each Mercurial, with a changeset of its own on top.
fn two_developers(installation: &Installation, path: &str, round: usize) -> Vec<(Client, String)> {
    let all = mercurials();
    let of = |number: usize| {
        let client = Client::new(installation, &all[number % all.len()], &format!("{path}-{round}-{number}"));
        client.hg("", &["clone", "-q", &client.push_url(path), "local"]).ok();
        let tip = client.commit("local", &format!("file-{round}-{number}"), &format!("{round}, {number}"));
        (client, tip)
    };
    vec![of(0), of(1)]
}

#[test]
fn at_the_same_time_to_one_repository() {
    for server in mercurials() {
        let installation = Installation::start(Options::new(&server, &["shared"]));
        let first = Client::new(&installation, &server, "first");
        first.init("local");
        let url = first.push_url("shared");
        first.hg("local", &["push", &url]).ok();
        for round in 0..3 {
            let before = installation.records();
            let developers = two_developers(&installation, "shared", round);
            // With -f nothing is compared with what the other one brings meanwhile: both must get in.
            let pushes: Vec<_> =
                developers.iter().map(|(client, _)| client.start("local", &["push", "-f", &url])).collect();
            pushes.into_iter().for_each(succeeds);
            assert_eq!(installation.records(), before + 2);
        }
        // Without it, one of them is told that it raced or would make a new head; nothing of it is recorded.
        let before = installation.records();
        let developers = two_developers(&installation, "shared", 3);
        let pushes: Vec<_> = developers.iter().map(|(client, _)| client.start("local", &["push", &url])).collect();
        let outcomes: Vec<_> = pushes.into_iter().map(said).collect();
        let through = outcomes.iter().filter(|(success, _)| *success).count();
        assert_eq!(through, 1, "{outcomes:?}");
        assert_eq!(installation.records(), before + 1);
        first.hg("local", &["pull", "-q", &url]).ok();
        for (_, tip) in developers.iter().zip(&outcomes).filter(|(_, (success, _))| *success).map(|(d, _)| d) {
            first.hg("local", &["log", "-r", tip]).ok();
        }
        first.is_on_every_mirror(&installation, "shared", "local");
    }
}

#[test]
fn at_the_same_time_to_two_repositories() {
    for server in mercurials() {
        let installation = Installation::start(Options::new(&server, &["one", "two"]));
        let developers: Vec<_> = ["one", "two"]
            .iter()
            .zip(mercurials().iter().cycle())
            .map(|(path, mercurial)| {
                let client = Client::new(&installation, mercurial, path);
                client.init("local");
                (client, *path)
            })
            .collect();
        let before = installation.records();
        for round in 0..3 {
            let push = |(client, path): &(Client, &str)| client.start("local", &["push", &client.push_url(path)]);
            let pushes: Vec<_> = developers.iter().map(push).collect();
            pushes.into_iter().for_each(succeeds);
            for (client, path) in &developers {
                client.commit("local", "file", &format!("{path} {round}"));
            }
        }
        assert_eq!(installation.records(), before + 6);
        for (client, path) in &developers {
            client.hg("local", &["push", &client.push_url(path)]).ok();
            client.is_on_every_mirror(&installation, path, "local");
        }
    }
}
