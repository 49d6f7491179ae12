//! `kill -9` of everything there is, while developers push: afterwards all copies are equal, and what was acknowledged
//! is there.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use scenarios::{Developers, Installation, Mercurial, Options, mercurials, wait_for};

/// Two developers share the first.
const PATHS: [&str; 3] = ["one", "one", "draft/two"];

/// Pushes between two kills.
const PUSHES: usize = 2;

fn agrees(mut installation: Installation, mercurial: &Mercurial, developers: Developers) {
    let pushed = developers.stop();
    installation.settled();
    installation.holds(mercurial, &pushed);
    installation.stop();
    installation.logs_agree();
}

fn newest() -> Mercurial {
    mercurials().pop().unwrap()
}

#[test]
fn hg_is_killed_at_each_stage_of_a_push() {
    for server in mercurials() {
        let orders = tempfile::tempdir().unwrap();
        let order = orders.path().join("kill");
        let mut options = Options::new(&server, &["one", "draft/two"]);
        options.hgrc = format!("[hg-operator]\ntest-kill-file = {}\n", order.display());
        let installation = Installation::start(options);
        let developers = Developers::start(&installation, &newest(), &PATHS);
        for stage in ["before-append", "after-append", "during-close"] {
            let written = orders.path().join("new");
            std::fs::write(&written, stage).unwrap();
            std::fs::rename(&written, &order).unwrap();
            wait_for(stage, || if order.exists() { Err("nobody got there".into()) } else { Ok(()) });
            developers.go_on(PUSHES);
        }
        agrees(installation, &newest(), developers);
    }
}

#[test]
fn each_process_is_killed_while_pushes_go_on() {
    let installation = Installation::start(Options::new(&newest(), &["one", "draft/two"]));
    let developers = Developers::start(&installation, &newest(), &PATHS);
    for name in ["ssh-0", "ssh-1", "mirror-0", "mirror-1", "balancer"] {
        developers.go_on(PUSHES);
        installation.kill(name);
        developers.go_on(PUSHES);
    }
    agrees(installation, &newest(), developers);
}

#[test]
fn all_are_killed_at_once_while_pushes_go_on() {
    let mut installation = Installation::start(Options::new(&newest(), &["one", "draft/two"]));
    let developers = Developers::start(&installation, &newest(), &PATHS);
    for _ in 0..3 {
        developers.go_on(PUSHES);
        installation.kill_all();
        installation.start_again();
    }
    developers.go_on(PUSHES);
    agrees(installation, &newest(), developers);
}
