//! Honest clients beside an attacker (docs/checkers.md): whatever one client does, others keep at least half of their
//! rate, and beside other tests on a machine under load: never nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use scenarios::{Client, Installation, Mercurial, Options, Soak, mercurials};
use serde::Deserialize;
use serde_json::json;

const PATH: &str = "draft/one";
/// The attacker may write there, too: who may take a repository's lock may keep others of that repository waiting.
const OWN: &str = "draft/own";
/// Nobody may write there.
const FOREIGN: &str = "others";
/// Seconds of each attack.
const SECONDS: u64 = 4;
/// Kept of what honest clients have beside nobody.
const KEPT: f64 = 0.5;
/// In `make test` others take the processor meanwhile: an attack that works leaves nothing at all.
const KEPT_UNDER_LOAD: f64 = 0.05;
const MAX_CHILD_MEGABYTES: f64 = 1200.0;
/// Headers, bodies and answers are bounded for all clients together.
const MAX_INSTANCE_MEGABYTES: f64 = 400.0;

#[derive(Debug, Deserialize)]
struct Said {
    /// Pushes, reads and failed reads a second, and the megabytes of the largest process and the largest instance.
    rates: BTreeMap<String, [f64; 5]>,
    /// Answers that nobody should get.
    wrong: Vec<String>,
}

#[test]
fn honest_clients_keep_half_their_rate_beside_an_attacker() {
    let soak = Soak::new(1);
    let all = mercurials();
    for seed in soak.seed().. {
        let server = &all[usize::try_from(seed).unwrap() % all.len()];
        let said = one_round(server, seed, soak.number("HGD_ATTACKER_SECONDS", SECONDS));
        println!("seed {seed}, Mercurial {} serves: {said:#?}", server.version);
        let part = if soak.is_long() { KEPT } else { KEPT_UNDER_LOAD };
        let [pushes, reads, ..] = said.rates["nobody"];
        let kept = |[pushed, read, failed, child, instance]: &[f64; 5]| {
            let is_small = *child <= MAX_CHILD_MEGABYTES && *instance <= MAX_INSTANCE_MEGABYTES;
            *pushed >= part * pushes && *read >= part * reads && *failed <= *read && is_small
        };
        let lost: Vec<_> = said.rates.iter().filter(|(_, rates)| !kept(rates)).collect();
        assert!(lost.is_empty(), "seed {seed}: beside nobody {pushes} and {reads} a second, beside {lost:?}");
        assert!(said.wrong.is_empty(), "seed {seed}: {:?}", said.wrong);
        if soak.is_over() {
            break;
        }
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn one_round(server: &Mercurial, seed: u64, seconds: u64) -> Said {
    let mut options = Options::new(server, &[PATH, OWN]);
    options.resources = format!(
        "---\napiVersion: hg-operator.dev/v1alpha1\nkind: HgRepository\nmetadata: {{name: others}}\nspec: \
         {{path: {FOREIGN}, masterRef: {{name: hg}}, writeGroups: [strangers]}}\n"
    );
    let installation = Installation::start(options);
    let mercurial = mercurials().pop().unwrap();
    let client = Client::new(&installation, &mercurial, "attacker");
    let order = json!({
        "folder": client.folder, "seed": seed, "seconds": seconds, "ssh": client.ssh_command(),
        "base": client.ssh_url, "http": installation.ready().http, "path": PATH, "own": OWN, "foreign": FOREIGN,
        "hg": [mercurial.hg], "writer": [mercurial.python, script("consistency/writer.py")],
        "supervisor": installation.supervisor(),
    });
    let mut command = Command::new(&mercurial.python);
    command.arg(script("attacker/attacker.py")).arg(order.to_string());
    command.env("HGRCPATH", "").env("HOME", &client.folder).stdin(Stdio::null());
    let said = command.stderr(Stdio::inherit()).output().unwrap();
    serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("attacker.py: {error}: {said:?}"))
}
