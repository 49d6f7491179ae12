//! Power losses while developers push: what was not synced is forgotten, and what was acknowledged is there all the
//! same, whole, and everywhere the same.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use power_loss::Survivors;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use scenarios::{Client, Developers, Installation, Mercurial, Options, Pushed, RegistryClient};
use scenarios::{mercurials, settings, wait_for};

/// Two developers share the first.
const PATHS: [&str; 3] = ["one", "one", "draft/two"];

/// Pushes between two losses.
const PUSHES: usize = 2;

/// A push makes more than fifty.
const CHANGES: u64 = 150;

/// More than a record holds, so that it travels as a blob.
const LARGE_BYTES: usize = 100_000;

/// Names another seed to try.
const SEED: &str = "POWER_LOSS_SEED";

struct Scene {
    installation: Installation,
    mercurial: Mercurial,
    developers: Developers,
    random: StdRng,
    /// Pushed into the repositories that were made meanwhile.
    pushed: Vec<Pushed>,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        let mercurial = mercurials().pop().unwrap();
        let mut options = Options::new(&mercurial, &["one", "draft/two"]);
        options.mirrors = 1;
        options.volumes = vec!["ssh-0", "ssh-1", "mirror-0"];
        let installation = Installation::start(options);
        let developers = Developers::start(&installation, &mercurial, &PATHS);
        let seed = std::env::var(SEED).map_or(seed, |text| text.parse().unwrap());
        Scene { installation, mercurial, developers, random: StdRng::seed_from_u64(seed), pushed: Vec::new() }
    }

    /// Makes a repository and pushes a blob to it, then lets pushes go on. Answers when the power is to go, in changes
    /// of a disk, and what is to survive.
    fn goes_on(&mut self) -> (u64, Survivors) {
        let path = format!("new-{}", self.pushed.len());
        RegistryClient::new(&self.installation).put(&path, &settings(true));
        let client = Client::new(&self.installation, &self.mercurial, &path);
        client.hg("", &["init", "work"]).ok();
        let text: String = (0..LARGE_BYTES).map(|_| char::from(self.random.random_range(b'!'..b'~'))).collect();
        std::fs::write(client.folder.join("work/large"), text).unwrap();
        let node = client.commit("work", "small", &path);
        wait_for("a push", || {
            let said = client.hg("work", &["push", &client.push_url(&path)]);
            if said.code == Some(0) { Ok(()) } else { Err(format!("{said:?}")) }
        });
        self.pushed.push(Pushed { path, acknowledged: vec![node], failures: Vec::new() });
        self.developers.go_on(PUSHES);
        let changes = self.random.random_range(0..CHANGES);
        // Where nothing survives, a missing sync is found; where a part does, belief in what was torn.
        let survivors = match self.pushed.len() % 3 {
            1 => Survivors::None,
            _ => Survivors::Some { seed: self.random.random() },
        };
        (changes, survivors)
    }

    fn agrees(mut self) {
        self.developers.go_on(PUSHES);
        let mut pushed = self.developers.stop();
        pushed.append(&mut self.pushed);
        self.installation.settled();
        self.installation.holds(&self.mercurial, &pushed);
        self.installation.stop();
        self.installation.logs_agree();
        self.installation.repositories_are_whole(&Client::new(&self.installation, &self.mercurial, "reader"));
    }
}

#[test]
fn each_loses_power_while_pushes_go_on() {
    let mut scene = Scene::new(1);
    for name in ["ssh-0", "ssh-1", "mirror-0", "ssh-0"] {
        let (changes, survivors) = scene.goes_on();
        scene.installation.loses_power(name, changes, survivors);
    }
    scene.agrees();
}

#[test]
fn all_lose_power_at_once_while_pushes_go_on() {
    let mut scene = Scene::new(2);
    for name in ["ssh-0", "mirror-0", "ssh-1"] {
        let (changes, survivors) = scene.goes_on();
        scene.installation.all_lose_power(name, changes, survivors);
    }
    scene.agrees();
}
