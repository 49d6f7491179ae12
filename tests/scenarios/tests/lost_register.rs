//! A register that is missing is made again from what all instances hold, and, where one has lost its volume, by a
//! person's word.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;

use scenarios::{Developers, Installation, Options, hgd, mercurials, wait_for};
use serde_json::Value;

/// Before and after each event.
const PUSHES: usize = 2;

struct Setting {
    installation: Installation,
    developers: Developers,
}

impl Setting {
    fn new() -> Setting {
        let server = mercurials().pop().unwrap();
        let installation = Installation::start(Options { mirrors: 1, ..Options::new(&server, &["one", "two"]) });
        let setting = Setting { developers: Developers::start(&installation, &server, &["one", "two"]), installation };
        setting.developers.go_on(PUSHES);
        setting
    }

    fn remove_register(&self) -> u64 {
        let path = self.installation.data().join("register.json");
        let generation = generation(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        generation
    }

    /// Ends well: it is there again, of a later generation, and whoever pushed has lost nothing and goes on.
    fn ends_well(self, before: u64) {
        let path = self.installation.data().join("register.json");
        wait_for("a register of a later generation", || match generation(&path) {
            Some(now) if now > before => Ok(()),
            other => Err(format!("{other:?}, before {before}")),
        });
        self.developers.go_on(PUSHES);
        let pushed = self.developers.stop();
        self.installation.holds(&mercurials().pop().unwrap(), &pushed);
        self.installation.logs_agree();
    }
}

fn generation(register: &Path) -> Option<u64> {
    let text = std::fs::read(register).ok()?;
    serde_json::from_slice::<Value>(&text).unwrap()["generation"].as_u64()
}

#[test]
fn one_that_is_removed_while_all_run_is_made_again() {
    let setting = Setting::new();
    let before = setting.remove_register();
    setting.ends_well(before);
}

#[test]
fn one_that_is_removed_while_nothing_runs_is_made_again() {
    let mut setting = Setting::new();
    setting.installation.kill_all();
    let before = setting.remove_register();
    setting.installation.start_again();
    setting.ends_well(before);
}

#[test]
fn an_instance_that_has_lost_its_volume_too_is_left_out_by_a_persons_word() {
    let mut setting = Setting::new();
    setting.installation.kill_all();
    let before = setting.remove_register();
    let data = setting.installation.data();
    std::fs::remove_dir_all(data.join("ssh-1")).unwrap();
    let log = setting.installation.path().join("all-in-one.log");
    let fence = |words: &[&str]| Command::new(hgd()).arg("fence").arg("--data-dir").arg(&data).args(words).output();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            wait_for("the trouble to be told", || {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                let trouble = "the register is missing while volumes exist, and ssh-1 is empty";
                said.contains(trouble).then_some(()).ok_or_else(|| "it is not".to_owned())
            });
            let refused = fence(&[]).unwrap();
            assert!(!refused.status.success());
            let said = String::from_utf8(refused.stderr).unwrap();
            assert!(said.contains("nothing was done: the register is missing; with --confirm"), "{said}");
            assert_eq!(generation(&data.join("register.json")), None);
            assert!(fence(&["--confirm"]).unwrap().status.success());
        });
        setting.installation.start_again();
    });
    setting.ends_well(before);
}
