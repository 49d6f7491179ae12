//! Mercurial's clients, through the whole way.

use std::path::Path;

use tokio::process::Command;

use crate::bench::{Bench, hg, programs, pythons, run, serve_command, text};

/// The repository `VERSION/hello` is served by the Mercurial of that number.
fn by_version(base: &Path, path: &str) -> Option<Command> {
    let (version, _) = path.split_once('/')?;
    let python = pythons().get(version.parse::<usize>().ok()?)?.clone();
    let directory = base.join("repositories").join(path);
    directory.join(".hg").is_dir().then(|| serve_command(&python, &directory))
}

#[tokio::test(flavor = "multi_thread")]
async fn clone_commit_push_and_pull() {
    let bench = Bench::with(ssh_server::Limits::default(), by_version).await;
    assert!(!pythons().is_empty(), "no Mercurial is installed");
    for (server, python) in pythons().iter().enumerate() {
        let directory = bench.base.path().join(format!("repositories/{server}/hello"));
        std::fs::create_dir_all(&directory).unwrap();
        run(hg(python).arg("init").arg(&directory)).await;
        for (client, python) in pythons().iter().enumerate() {
            let clone = bench.base.path().join(format!("clone-{server}-{client}"));
            let url = format!("ssh://ann%40example.com@127.0.0.1/{server}/hello");
            let ssh = format!("ui.ssh=ssh {}", bench.options("ann@example.com").join(" "));
            run(hg(python).args(["--config", &ssh, "clone", &url]).arg(&clone)).await;
            std::fs::write(clone.join(format!("file-{client}")), vec![b'x'; 300_000]).unwrap();
            let inside = |arguments: &[&str]| {
                let mut command = hg(python);
                command.args(["--config", &ssh, "-R"]).arg(&clone).args(arguments);
                command
            };
            run(&mut inside(&["commit", "-A", "-m", "one more"])).await;
            let said = run(&mut inside(&["push", &url])).await;
            assert!(said.contains("remote: added 1 changesets with 1 changes to 1 files"), "{said}");
            let tips = [run(&mut inside(&["id", "-i", &url])).await, run(&mut inside(&["id", "-i", "-r", "."])).await];
            assert_eq!(tips[0], tips[1]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_say_when_they_are_refused() {
    let bench = Bench::with(ssh_server::Limits::default(), programs).await;
    for python in pythons() {
        for (path, line) in [
            ("nowhere", "remote: requested repo nowhere does not exist"),
            (".hidden", "remote: names.  Additionally the first character of repository names must be alpha-numeric."),
        ] {
            let ssh = format!("ui.ssh=ssh {}", bench.options("ann@example.com").join(" "));
            let url = format!("ssh://ann%40example.com@127.0.0.1/{path}");
            let said = hg(&python).args(["--config", &ssh, "id", &url]).output().await.unwrap();
            assert_eq!(said.status.code(), Some(255));
            let text = text(&said.stderr) + &text(&said.stdout);
            assert!(text.lines().any(|said| said == line), "{text}");
        }
    }
}
