//! Stopping and starting again.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use scenarios::{Client, Installation, Options, mercurials, wait_for, wait_longer_for};

/// "Within a few seconds", on a machine that does other things too.
const STOPS_WITHIN: Duration = Duration::from_secs(20);

fn children(installation: &Installation) -> Vec<u32> {
    let status = installation.status();
    let instances = status.instances.iter().map(|i| i.pid.expect("it runs"));
    instances.chain(status.mirrors.iter().map(|m| m.pid.expect("it runs"))).collect()
}

/// Processes whose command line names the installation's folder, also those of Mercurial.
fn processes(installation: &Installation) -> Vec<String> {
    let folder = installation.path().to_string_lossy().into_owned();
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let command = std::fs::read(entry.unwrap().path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    all.filter(|command| command.contains(&folder)).collect()
}

#[test]
fn a_second_start_continues_where_the_first_was_stopped() {
    let server = mercurials().remove(0);
    let mut installation = Installation::start(Options::new(&server, &["hello", "draft"]));
    let client = Client::new(&installation, &server, "developer");
    client.init("local");
    client.hg("local", &["bookmark", "mark"]).ok();
    client.hg("local", &["push", "-B", "mark", &client.push_url("hello")]).ok();
    let before = installation.ready().clone();
    let hashes_before = hashes(&installation);
    let running = children(&installation);
    assert_eq!(running.len(), 4);
    only_its_owner_asks(&installation);

    let started = Instant::now();
    installation.stop();
    let took = started.elapsed();
    assert!(took < STOPS_WITHIN, "stopping took {took:?}");
    // The kernel ends Mercurial with its instance, a moment after it.
    wait_longer_for(STOPS_WITHIN - took, "nothing is left", || match processes(&installation) {
        left if left.is_empty() => Ok(()),
        left => Err(format!("{left:?}")),
    });

    assert_eq!(open_to_others(&installation.data()), [""; 0]);
    // As older versions have left it.
    let log = installation.data().join("ssh-0/log/replication");
    for path in [&installation.data(), &installation.data().join("ssh-0"), &log] {
        std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    for segment in std::fs::read_dir(&log).unwrap() {
        std::fs::set_permissions(segment.unwrap().path(), Permissions::from_mode(0o644)).unwrap();
    }

    installation.start_again();
    assert_eq!(open_to_others(&installation.data()), [""; 0]);
    let after = installation.ready().clone();
    assert_eq!(
        (before.ssh.port, &before.http, &before.mirrors, &before.status),
        (after.ssh.port, &after.http, &after.mirrors, &after.status)
    );
    client.is_on_every_mirror(&installation, "hello", "local");
    assert_eq!(hashes(&installation), hashes_before);
    client.commit("local", "file", "second");
    client.hg("local", &["push", &client.push_url("hello")]).ok();
    client.is_on_every_mirror(&installation, "hello", "local");
}

/// The status names private repositories: no port has it, and nobody else may open the socket.
fn only_its_owner_asks(installation: &Installation) {
    let data = installation.data();
    let folder = std::fs::metadata(data.join("run")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700);
    let socket = data.join("run/status");
    assert_eq!(installation.ready().status, format!("unix:{}", socket.display()));
    let ports = std::fs::read_to_string(data.join("config/ports.json")).unwrap();
    assert!(!ports.contains("status"), "{ports}");
    let table = installation.hgd(&["status", "--data-dir", data.to_str().unwrap()]).ok();
    assert!(table.starts_with("INSTANCE  ROLE     IN-SYNC  PID") && table.contains("hello"), "{table}");
}

/// Lists what another user of the machine has any right in.
fn open_to_others(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
        for path in entries.chain([folder.clone()]) {
            // Gone meanwhile, or a link.
            let Ok(metadata) = path.symlink_metadata() else { continue };
            if metadata.is_dir() && path != folder {
                folders.push(path.clone());
            }
            if !metadata.is_symlink() && metadata.permissions().mode() & 0o077 != 0 {
                found.push(format!("{} {:o}", path.display(), metadata.permissions().mode()));
            }
        }
    }
    found
}

/// Content hashes of the first repository, pushlog included, with the record that they are of.
fn hashes(installation: &Installation) -> serde_json::Value {
    installation.settled();
    let all: serde_json::Value = installation.get_json("/verify.json");
    let hashes = all["repositories"][0]["copies"][0]["hashes"].clone();
    assert!(hashes["pushlog"].is_string(), "{all}");
    hashes
}

#[test]
fn a_stop_waits_for_the_push_that_is_being_made() {
    let server = mercurials().remove(0);
    let folder = tempfile::tempdir().unwrap();
    let (began, go_on) = (folder.path().join("began"), folder.path().join("go-on"));
    let mut options = Options { mirrors: 1, ..Options::new(&server, &["hello"]) };
    options.hgrc = format!(
        "[hooks]\npretxnclose.site = touch {}; for n in $(seq 600); do test -e {} && exit 0; \
         sleep 0.1; done; exit 1\n",
        began.display(),
        go_on.display()
    );
    let mut installation = Installation::start(options);
    let client = Client::new(&installation, &server, "developer");
    client.init("local");
    let push = client.start("local", &["push", &client.push_url("hello")]);
    wait_for("the push to begin", || began.exists().then_some(()).ok_or_else(|| "no hook yet".into()));
    std::thread::scope(|threads| {
        threads.spawn(|| installation.stop());
        // A new command is refused as soon as the front drains; the old one goes on.
        wait_for("the front to drain", || match client.ssh(&["hg -R hello serve --stdio"]).code {
            Some(0) => Err("commands are still served".into()),
            _ => Ok(()),
        });
        std::fs::write(&go_on, "").unwrap();
    });
    let said = push.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{text} {}", String::from_utf8_lossy(&said.stderr));
    assert!(text.contains("recorded push in pushlog"), "{text}");
    installation.start_again();
    client.is_on_every_mirror(&installation, "hello", "local");
}

#[test]
fn a_killed_child_is_started_again() {
    let server = mercurials().remove(0);
    let installation = Installation::start(Options::new(&server, &["hello"]));
    let client = Client::new(&installation, &server, "developer");
    client.init("local");
    client.hg("local", &["push", &client.push_url("hello")]).ok();
    for name in ["mirror-0", "ssh-1", "ssh-0", "balancer"] {
        installation.kill(name);
        client.commit("local", "file", &format!("after the death of {name}"));
        wait_for("a push", || {
            let said = client.hg("local", &["push", &client.push_url("hello")]);
            if said.code == Some(0) { Ok(()) } else { Err(format!("{said:?}")) }
        });
        client.is_on_every_mirror(&installation, "hello", "local");
        wait_for("the balancer", || {
            let said = client.hg("", &["identify", "--id", &format!("{}/hello", client.http)]);
            let tip = client.tip("local");
            if said.code == Some(0) && tip.starts_with(said.stdout.trim()) { Ok(()) } else { Err(format!("{said:?}")) }
        });
    }
}
