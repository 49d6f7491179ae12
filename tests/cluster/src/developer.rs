//! A developer who pushes to `hello`, and remembers what was acknowledged.

use std::process::{Command, Stdio};

use scenarios::{Client, wait_longer_for};

use crate::{Cluster, LIMIT};

/// A hg whose connection went to a pod that is gone is not waited for.
const ONE_PUSH_SECONDS: &str = "40";
const PATH: &str = "hello";
const COPY: &str = "copy";

pub struct Developer {
    client: Client,
    /// Oldest first.
    pub acknowledged: Vec<String>,
    number: u32,
}

impl Developer {
    /// Clones `hello` through the mirrors' Service.
    pub fn new(cluster: &Cluster, folder: &str) -> Developer {
        let client = Client::of(cluster.ready(), &cluster.mercurial, cluster.folder(folder));
        client.hg("", &["clone", "-q", &format!("{}/{PATH}", client.http), COPY]).ok();
        Developer { client, acknowledged: Vec::new(), number: 0 }
    }

    fn commit(&mut self) -> String {
        self.number += 1;
        // Nothing that an earlier run has pushed.
        let text = format!("{} {}", std::process::id(), self.number);
        self.client.commit(COPY, &format!("file{}", self.number % 7), &text)
    }

    /// One attempt, without an end that never comes.
    fn try_push(&self) -> Result<(), String> {
        let hg = self.client.command(COPY, &["push", "-q", &self.client.push_url(PATH)]);
        let mut command = Command::new("timeout");
        command.arg(ONE_PUSH_SECONDS).arg(hg.get_program()).args(hg.get_args()).env_clear();
        command.envs(hg.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        let output = command.current_dir(hg.get_current_dir().unwrap()).stdin(Stdio::null()).output().unwrap();
        match output.status.code() {
            // 1: nothing to push, because an earlier try was recorded after all.
            Some(0 | 1) => Ok(()),
            code => Err(format!("{code:?}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// A push that must succeed at once.
    #[track_caller]
    pub fn push(&mut self) -> String {
        let hash = self.commit();
        self.try_push().unwrap();
        self.acknowledged.push(hash.clone());
        hash
    }

    /// A push that is tried until it is acknowledged.
    #[track_caller]
    pub fn push_when_possible(&mut self) -> String {
        let hash = self.commit();
        wait_longer_for(LIMIT, "a push is acknowledged", || self.try_push());
        self.acknowledged.push(hash.clone());
        hash
    }

    /// Waits until each of the first `mirrors` mirrors shows `hash` as its tip.
    #[track_caller]
    pub fn shown(&self, cluster: &Cluster, mirrors: &[usize], hash: &str) {
        for number in mirrors {
            let url = format!("{}/{PATH}", cluster.mirrors[*number]);
            wait_longer_for(LIMIT, &format!("mirror {number} shows {hash}"), || {
                let tip = self.client.remote_tip(&url)?;
                if tip == hash { Ok(()) } else { Err(tip) }
            });
        }
    }

    /// A clone from the Service has everything that was acknowledged.
    #[track_caller]
    pub fn nothing_is_lost(&self) {
        let tip = self.acknowledged.last().unwrap();
        let url = format!("{}/{PATH}", self.client.http);
        wait_longer_for(LIMIT, "the Service shows the last push", || {
            let shown = self.client.remote_tip(&url)?;
            if shown == *tip { Ok(()) } else { Err(shown) }
        });
        let _none_before = std::fs::remove_dir_all(self.client.folder.join("check"));
        self.client.hg("", &["clone", "-q", "-U", &url, "check"]).ok();
        let has = self.client.hg("check", &["log", "-T", "{node}\n"]).ok();
        let lost: Vec<_> = self.acknowledged.iter().filter(|hash| !has.contains(hash.as_str())).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}
