//! A repository's life: created, set up anew, stripped, deleted, and its path created again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use scenarios::{
    Client, Developers, Installation, Mercurial, Options, RegistryClient, mercurials, settings, wait_for,
};

fn newest() -> Mercurial {
    mercurials().pop().unwrap()
}

/// Every place that serves a repository to readers: the mirrors, and the master over SSH.
fn places(installation: &Installation, client: &Client) -> Vec<String> {
    installation.ready().mirrors.iter().cloned().chain([client.ssh_url.clone()]).collect()
}

fn nodes(client: &Client, base: &str, path: &str, copy: &str) -> Vec<String> {
    client.hg("", &["clone", "--noupdate", &format!("{base}/{path}"), copy]).ok();
    let all = client.hg(copy, &["log", "--hidden", "--template", "{node}\n"]).ok();
    all.lines().map(str::to_owned).collect()
}

#[test]
fn a_path_that_is_created_again_meets_no_old_content() {
    for server in mercurials() {
        let installation = Installation::start(Options::new(&server, &["stays"]));
        let registry = RegistryClient::new(&installation);
        let client = Client::new(&installation, &newest(), "developer");
        let url = client.push_url("team/tools");
        registry.put("team/tools", &settings(true));
        client.init("old");
        client.hg("old", &["push", &url]).ok();
        installation.settled();
        let (old_id, old) = (registry.id("team/tools"), client.tip("old"));
        for base in places(&installation, &client) {
            assert_eq!(client.remote_tip(&format!("{base}/team/tools")).unwrap(), old);
        }

        registry.delete("team/tools");
        installation.settled();
        let refused = client.hg("old", &["push", &url]).fails();
        assert!(refused.contains("team/tools does not exist"), "{refused}");
        for mirror in &installation.ready().mirrors {
            let refused = client.remote_tip(&format!("{mirror}/team/tools")).unwrap_err();
            assert!(refused.contains("HTTP Error 404"), "{refused}");
        }
        for instance in ["ssh-0", "ssh-1", "mirror-0", "mirror-1"] {
            let folder = installation.data().join(instance).join("repositories").join(old_id.directory());
            wait_for(
                "the folder is gone",
                || if folder.exists() { Err(folder.display().to_string()) } else { Ok(()) },
            );
        }

        registry.put("team/tools", &settings(true));
        installation.settled();
        assert_ne!(registry.id("team/tools"), old_id);
        for (number, base) in places(&installation, &client).into_iter().enumerate() {
            assert_eq!(nodes(&client, &base, "team/tools", &format!("empty-{number}")), [""; 0]);
            let unknown = client.hg("", &["identify", "--rev", &old, &format!("{base}/team/tools")]).fails();
            assert!(unknown.contains("unknown revision") || unknown.contains("HTTP Error 5"), "{unknown}");
        }
        client.hg("", &["init", "new"]).ok();
        let new = client.commit("new", "other", "a new beginning");
        client.hg("new", &["push", &url]).ok();
        installation.settled();
        for (number, base) in places(&installation, &client).into_iter().enumerate() {
            assert_eq!(nodes(&client, &base, "team/tools", &format!("new-{number}")), std::slice::from_ref(&new));
        }
    }
}

#[test]
fn settings_change_on_every_instance() {
    let mut installation = Installation::start(Options::new(&newest(), &["one"]));
    let registry = RegistryClient::new(&installation);
    let client = Client::new(&installation, &newest(), "developer");
    let url = client.push_url("one");
    client.init("work");
    client.hg("work", &["push", &url]).ok();
    let phase = |client: &Client| client.hg("work", &["log", "-r", ".", "-T", "{phase}"]).ok();
    assert_eq!(phase(&client), "public");

    let mut drafts = settings(false);
    drafts.description = "Keeps drafts".into();
    registry.put("one", &drafts);
    let second = client.commit("work", "file", "second");
    client.hg("work", &["push", &url]).ok();
    assert_eq!(phase(&client), "draft");
    installation.settled();
    for (number, base) in places(&installation, &client).into_iter().enumerate() {
        let copy = format!("copy-{number}");
        assert!(nodes(&client, &base, "one", &copy).contains(&second));
        assert_eq!(client.hg(&copy, &["log", "-r", &second, "-T", "{phase}"]).ok(), "draft", "cloned from {base}");
    }

    drafts.read_only_reason = Some("closed for the move".into());
    registry.put("one", &drafts);
    client.commit("work", "file", "third");
    let refused = client.hg("work", &["push", &url]).fails();
    assert!(refused.contains("closed for the move"), "{refused}");

    drafts.read_only_reason = None;
    drafts.write_groups.clear();
    registry.put("one", &drafts);
    let refused = client.hg("work", &["push", &url]).fails();
    assert!(refused.contains("no write access"), "{refused}");
    registry.put("one", &settings(true));
    client.hg("work", &["push", &url]).ok();
    assert_eq!(phase(&client), "public");
    all_are_read_only_as_long_as_the_file_says_so(&mut installation, &registry, &client);
    a_push_is_as_large_as_the_file_says(&mut installation, &registry, &client);
    installation.settled();
}

/// Every kind of push is refused, by the next master too, and nobody is started for it.
fn all_are_read_only_as_long_as_the_file_says_so(
    installation: &mut Installation,
    registry: &RegistryClient,
    client: &Client,
) {
    const EVOLUTION: [&str; 2] = ["--config", "experimental.evolution=all"];
    let url = client.push_url("one");
    registry.put("one", &protocol::RepositorySettings { obsolescence: true, ..settings(false) });
    client.commit("work", "file", "a draft");
    client.hg("work", &["push", &url]).ok();
    let pids = |installation: &Installation| -> Vec<Option<u32>> {
        installation.status().instances.iter().map(|instance| instance.pid).collect()
    };
    let (before, records) = (pids(installation), installation.records());
    installation.set_master("  readOnly: {reason: moving to another house}\n");
    said(registry, Some("moving to another house"));
    let refused = |what: &str, push: &[&str]| {
        let said = client.hg("work", &[&["push", &url], push, &EVOLUTION].concat()).fails();
        let words = "remote: all repositories currently read only\nremote: moving to another house\n";
        assert!(said.contains(words) && said.contains("refusing to add changesets"), "{what}: {said}");
    };
    client.hg("work", &["bookmark", "-r", ".", "mark"]).ok();
    refused("a bookmark", &["-B", "mark"]);
    let (gone, tip) = ("1".repeat(40), client.tip("work"));
    client.hg("work", &[&["debugobsolete", &gone, &tip][..], &EVOLUTION].concat()).ok();
    refused("a marker", &[]);
    client.hg("work", &["phase", "--public", "-r", "."]).ok();
    refused("a phase", &[]);
    client.commit("work", "file", "one more");
    refused("changesets", &[]);
    assert_eq!(pids(installation), before);
    assert_eq!(installation.records(), records + 1, "that all are read only, and nothing else");
    installation.hgd(&["promote", "--data-dir", installation.data().to_str().unwrap(), "ssh-1"]).ok();
    said(registry, Some("moving to another house"));
    refused("changesets, by the next master", &[]);
    installation.set_master("");
    said(registry, None);
    client.hg("work", &[&["push", &url][..], &EVOLUTION].concat()).ok();
}

fn said(registry: &RegistryClient, reason: Option<&str>) {
    holds(registry, |settings| settings.read_only_reason.as_deref() == reason);
}

fn holds(registry: &RegistryClient, as_told: impl Fn(&protocol::MasterSettings) -> bool) {
    wait_for("the master says what holds for all repositories", || {
        let status: protocol::status::Status = registry.ask("/status.json").map_err(|error| error.to_string())?;
        let said = status.settings.unwrap_or_default();
        if as_told(&said) { Ok(()) } else { Err(format!("{said:?}")) }
    });
}

/// A push that is larger than what the file names goes in when the file names more.
fn a_push_is_as_large_as_the_file_says(installation: &mut Installation, registry: &RegistryClient, client: &Client) {
    let url = client.push_url("one");
    let written = client.python("work").args(["-c", "open('large', 'w').write('x' * 2**21)"]).status().unwrap();
    assert!(written.success());
    client.hg("work", &["commit", "-q", "-A", "-m", "two mebibytes"]).ok();
    let records = installation.records();
    for (field, bytes) in [("1Mi", 1_u64 << 20), ("1Gi", 1 << 30)] {
        installation.set_master(&format!("  largestPush: {field}\n"));
        holds(registry, |settings| settings.largest_push_bytes == Some(bytes));
        let pushed = client.hg("work", &["push", &url]);
        if field == "1Gi" {
            pushed.ok();
            continue;
        }
        let said = pushed.fails();
        assert!(said.contains("the push is larger than this server takes (1.00 MB)"), "{said}");
        assert_eq!(installation.records(), records + 1, "what may be pushed, and nothing else");
    }
}

#[test]
fn a_private_repository_leaves_the_mirrors_and_comes_back() {
    let installation = Installation::start(Options::new(&newest(), &["one", "other"]));
    let registry = RegistryClient::new(&installation);
    let client = Client::new(&installation, &newest(), "developer");
    let url = client.push_url("one");
    client.init("work");
    client.hg("work", &["push", &url]).ok();
    installation.settled();

    let mut private = settings(true);
    private.read_groups = vec!["developers".into()];
    registry.put("one", &private);
    installation.settled();
    let second = client.commit("work", "file", "second");
    client.hg("work", &["push", &url]).ok();
    let id = registry.id("one");
    for (mirror, name) in installation.ready().mirrors.iter().zip(["mirror-0", "mirror-1"]) {
        let refused = client.remote_tip(&format!("{mirror}/one")).unwrap_err();
        assert!(refused.contains("HTTP Error 404"), "{refused}");
        let folder = installation.data().join(name).join("repositories").join(id.directory());
        wait_for("the folder is gone", || if folder.exists() { Err(folder.display().to_string()) } else { Ok(()) });
    }
    assert_eq!(client.remote_tip(&url).unwrap(), second);
    a_mirrors_certificate_is_for_what_mirrors_do(&installation, &registry);

    registry.put("one", &settings(true));
    installation.settled();
    for base in places(&installation, &client) {
        assert_eq!(client.remote_tip(&format!("{base}/one")).unwrap(), second);
    }
}

/// Nor does it read what is private, nor say who has readers.
fn a_mirrors_certificate_is_for_what_mirrors_do(installation: &Installation, registry: &RegistryClient) {
    let mirror = RegistryClient::of(installation, "mirror-0");
    let hash = |path: &str| format!("/v1/repositories/{}/hash", registry.id(path));
    for instance in ["ssh-0", "ssh-1"] {
        let ask = |path: &str| mirror.get::<serde_json::Value>(installation, instance, path);
        let status = |path: &str| ask(path).map_err(|error| error.status().map(|status| status.as_u16()));
        assert!(status(&hash("other")).is_ok());
        for refused in [&hash("one"), &hash("one").replace("hash", "archive"), "/v1/registry", "/status.json", "/v1"] {
            assert_eq!(status(refused), Err(Some(403)), "{refused} of {instance}");
        }
    }
    let refused = mirror.tell("/v1/endpoints", &serde_json::json!({"serving": []})).unwrap_err().to_string();
    assert!(refused.contains("the certificate of mirror-0 is not for POST /v1/endpoints"), "{refused}");
}

#[test]
fn strip_while_pushes_go_on() {
    for server in mercurials() {
        let mut installation = Installation::start(Options::new(&server, &["one", "draft/two"]));
        let client = Client::new(&installation, &newest(), "stripped");
        let data = installation.data();
        let developers = Developers::start(&installation, &newest(), &["one", "draft/two"]);
        let mut gone = Vec::new();
        for path in ["one", "draft/two"] {
            let url = client.push_url(path);
            let work = format!("work-{}", path.replace('/', "-"));
            client.init(&work);
            let (first, second) = (client.tip(&work), client.commit(&work, "file", "not for the public"));
            client.hg(&work, &["push", "--force", &url]).ok();
            developers.go_on(1);
            // The second one goes as a descendant of the first.
            let said = installation.hgd(&["strip", "--data-dir", data.to_str().unwrap(), path, &first]).ok();
            assert!(said.contains("recorded strip"), "{said}");
            developers.go_on(2);
            gone.push((path, [first, second]));
        }
        let pushed = developers.stop();
        installation.settled();
        installation.holds(&newest(), &pushed);
        for (number, base) in places(&installation, &client).into_iter().enumerate() {
            for (path, stripped) in &gone {
                let copy = format!("copy-{number}-{}", path.replace('/', "-"));
                let left = nodes(&client, &base, path, &copy);
                assert!(
                    !stripped.iter().any(|node| left.contains(node)),
                    "{base} still has what was stripped of {path}"
                );
            }
        }
        installation.stop();
        installation.start_again();
        installation.settled();
        installation.stop();
        installation.logs_agree();
    }
}
