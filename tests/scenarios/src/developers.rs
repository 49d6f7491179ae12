//! Developers who push all the time, each a history of their own, and remember what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::{Client, Installation, Mercurial, for_good, wait_for};

pub struct Developers {
    going: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Pushed>>,
}

/// Pushed by one developer.
#[derive(Debug)]
pub struct Pushed {
    pub path: String,
    /// Changesets whose push ended with exit code 0.
    pub acknowledged: Vec<String>,
    /// Failures of the others, as they were said.
    pub failures: Vec<String>,
}

impl Developers {
    /// One developer for each path. Several on one path push unrelated histories, hence heads of their own.
    pub fn start(installation: &Installation, mercurial: &Mercurial, paths: &[&str]) -> Developers {
        Developers::start_as(installation, mercurial, paths, "developer")
    }

    /// The same for others than those who have worked there before.
    pub fn start_as(installation: &Installation, mercurial: &Mercurial, paths: &[&str], name: &str) -> Developers {
        let going = Arc::new(AtomicBool::new(true));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let start = |(number, path): (usize, &&str)| {
            let client = Client::new(installation, mercurial, &format!("{name}-{number}"));
            let (going, acknowledged, path) = (going.clone(), acknowledged.clone(), (*path).to_owned());
            std::thread::spawn(move || develop(&client, path, number, &going, &acknowledged))
        };
        let threads = paths.iter().enumerate().map(start).collect();
        Developers { going, acknowledged, threads }
    }

    /// Waits until `number` pushes that had not ended before are acknowledged.
    pub fn go_on(&self, number: usize) {
        // One push of each may have been under way.
        let wanted = self.acknowledged.load(Ordering::Acquire) + number + self.threads.len();
        wait_for("pushes are acknowledged", || match self.acknowledged.load(Ordering::Acquire) {
            now if now >= wanted => Ok(()),
            now => Err(format!("{now} of {wanted}")),
        });
    }

    /// Lets everybody end the push under way.
    pub fn stop(self) -> Vec<Pushed> {
        self.going.store(false, Ordering::Release);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

fn develop(client: &Client, path: String, number: usize, going: &AtomicBool, total: &AtomicUsize) -> Pushed {
    let mut pushed = Pushed { path, acknowledged: Vec::new(), failures: Vec::new() };
    let url = client.push_url(&pushed.path);
    client.hg("", &["init", "work"]).ok();
    let mut unacknowledged = Vec::new();
    for round in 0.. {
        if !going.load(Ordering::Acquire) {
            return pushed;
        }
        unacknowledged.push(client.commit("work", "file", &format!("change {round} of developer {number}")));
        let outcome = client.hg("work", &["push", "--force", &url]);
        if outcome.code == Some(0) {
            pushed.acknowledged.append(&mut unacknowledged);
            total.fetch_add(1, Ordering::AcqRel);
        } else {
            pushed.failures.push(outcome.stdout + &outcome.stderr);
        }
    }
    unreachable!("there is no last round")
}

impl Installation {
    /// Every acknowledged changeset can be had from every mirror and from the master.
    #[track_caller]
    pub fn holds(&self, mercurial: &Mercurial, pushed: &[Pushed]) {
        let mirrors = self.ready().mirrors.clone();
        for (place, base) in mirrors.into_iter().chain([Client::new(self, mercurial, "reader").ssh_url]).enumerate() {
            for Pushed { path, acknowledged, .. } in pushed {
                let client = Client::new(self, mercurial, "reader");
                let copy = format!("{place}-{}-{}", path.replace('/', "-"), self.next_number());
                client.hg("", &["clone", "--noupdate", &format!("{base}/{path}"), &copy]).ok();
                let there = client.hg(&copy, &["log", "--template", "{node}\n"]).ok();
                let lost: Vec<_> = acknowledged.iter().filter(|node| !there.contains(node.as_str())).collect();
                for_good(lost.is_empty(), format_args!("acknowledged, and not in {path} of {base}: {lost:?}"));
            }
        }
    }
}
