//! A record that nobody can apply: it is shown whose repository it holds up, and a person gives it up.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use scenarios::{Client, Installation, Options, RegistryClient, mercurials, wait_for};
use serde_json::{Value, json};

const NODE: [u8; 20] = [0xaa; 20];
/// The SHA-256 of the one node.
const NODES: &str = "750837cbeaadaf72ab0a852ee3e0517760ca56eb6b8fc3c08b2d9e73348b6bea";

/// A bundle that brings the changeset `NODE`, as far as the heads of its chunks say; what is in it is none.
fn unfit_bundle() -> Vec<u8> {
    let framed = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let header = b"\x0bCHANGEGROUP\0\0\0\0\x01\0\x07\x02version02";
    let chunk = [&NODE[..], &[0; 80], b"this is no delta"].concat();
    let chunk = [&u32::try_from(chunk.len() + 4).unwrap().to_be_bytes(), &chunk[..]].concat();
    let payload = [&chunk[..], &[0; 12]].concat();
    [b"HG20\0\0\0\0", &framed(header)[..], &framed(&payload), &[0; 8]].concat()
}

/// Records as a child would that has gone wrong: it closes nothing afterwards. Answers the record's offset.
fn record(installation: &Installation, repository: u64, applied: u64) -> u64 {
    let mut gate = UnixStream::connect(installation.data().join("ssh-0/run/gate.sock")).unwrap();
    let bundle = unfit_bundle();
    let push = json!({
        "changesets": 1, "tip": "aa".repeat(20), "headsAdded": [], "headsRemoved": [], "heads": 1, "bookmarks": [],
        "published": [], "nodes": NODES, "bundle": {"inline": bundle.len()}, "markers": null,
    });
    let user = "ada@example.com";
    let open = json!({"op": "open", "repository": repository, "user": user, "mayWrite": true});
    let append = json!({"op": "append", "repository": repository, "user": user, "applied": applied, "push": push,
        "body": bundle.len()});
    assert!(ask(&mut gate, &open, &[])["ok"].is_object());
    let answer = ask(&mut gate, &append, &bundle);
    answer["recorded"]["offset"].as_u64().unwrap_or_else(|| panic!("{answer}"))
}

fn ask(gate: &mut UnixStream, request: &Value, body: &[u8]) -> Value {
    let text = serde_json::to_vec(request).unwrap();
    gate.write_all(&u32::try_from(text.len()).unwrap().to_be_bytes()).unwrap();
    gate.write_all(&text).unwrap();
    gate.write_all(body).unwrap();
    let mut length = [0; 4];
    gate.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    gate.read_exact(&mut answer).unwrap();
    serde_json::from_slice(&answer).unwrap()
}

fn set_aside(installation: &Installation) -> BTreeSet<String> {
    let status = installation.status();
    let instances = status.instances.into_iter().map(|one| (one.name, one.quarantined));
    let all = instances.chain(status.mirrors.into_iter().map(|one| (one.name, one.quarantined)));
    all.flat_map(|(name, paths)| paths.into_iter().map(move |path| format!("{path} on {name}"))).collect()
}

#[test]
fn a_record_that_nobody_can_apply_is_given_up() {
    let server = mercurials().remove(0);
    let installation = Installation::start(Options { mirrors: 1, ..Options::new(&server, &["hello", "other"]) });
    let client = Client::new(&installation, &server, "developer");
    client.init("local");
    for path in ["hello", "other"] {
        client.hg("local", &["push", &client.push_url(path)]).ok();
    }
    let repository = RegistryClient::new(&installation).id("hello");
    let status = installation.settled();
    assert_eq!(status.master.unwrap().as_str(), "ssh-0");
    let newest = status.repositories.iter().find(|one| one.path.as_str() == "hello").unwrap().newest;
    let offset = record(&installation, repository.0, newest.0).to_string();

    let everywhere = ["hello on mirror-0", "hello on ssh-0", "hello on ssh-1"].map(String::from).into();
    wait_for("everybody sets the repository aside", || match set_aside(&installation) {
        found if found == everywhere => Ok(()),
        found => Err(format!("{found:?}")),
    });
    client.commit("local", "file", "after it");
    let said = client.hg("local", &["push", &client.push_url("hello")]).fails();
    assert!(said.contains("still being brought up to the replication log"), "{said}");
    client.hg("local", &["push", &client.push_url("other")]).ok();

    let data = installation.data();
    let skip = ["log", "skip", "--data-dir", data.to_str().unwrap(), "hello", &offset];
    let told = installation.hgd(&skip);
    let lost = format!("lost with record {offset} of hello: a push of ada@example.com at 20");
    assert!(told.stdout.starts_with(&lost), "{told:?}");
    assert_eq!(
        (told.code, told.stderr.as_str()),
        (Some(1), "hgd: nothing is lost yet; give the record up with --lose\n")
    );
    let newest = installation.records();
    // As in the master's pod, with its own certificate.
    let config = data.join("config/ssh-0.json");
    installation.hgd(&["log", "skip", "--config", config.to_str().unwrap(), "hello", &offset, "--lose"]).ok();
    assert_eq!(installation.records(), newest + 1);
    wait_for("nobody has the repository set aside", || match set_aside(&installation) {
        found if found.is_empty() => Ok(()),
        found => Err(format!("{found:?}")),
    });
    client.hg("local", &["push", &client.push_url("hello")]).ok();
    client.is_on_every_mirror(&installation, "hello", "local");
    installation.settled();
    installation.hgd(&["promote", "--data-dir", data.to_str().unwrap(), "ssh-1"]).ok();
    client.commit("local", "file", "by the next master");
    client.hg("local", &["push", &client.push_url("hello")]).ok();
    client.is_on_every_mirror(&installation, "hello", "local");
    installation.settled();
}
