//! A developer who pushes to `hello`, and remembers what was acknowledged.

use std::process::{Command, Stdio};

use scenarios::Client;

use crate::writer::lose_nothing;
use crate::{Cluster, Writer, eventually};

/// A hg whose connection went to a pod that is gone is not waited for.
const ONE_PUSH_SECONDS: &str = "40";
/// The master lets no push wait for longer: for its repository, a lock, the log and the record (docs/operating).
const LONGEST_PUSH_SECONDS: &str = "150";
const PATH: &str = "hello";
const COPY: &str = "copy";

pub struct Developer {
    client: Client,
    /// Oldest first.
    pub acknowledged: Vec<String>,
    number: u32,
    /// The other one, who pushes to another repository.
    pub writer: Writer,
}

impl Developer {
    /// Clones `hello` through the mirrors' Service.
    pub fn new(cluster: &Cluster, folder: &str) -> Developer {
        let client = Client::of(cluster.ready(), &cluster.mercurial, cluster.folder(folder));
        client.hg("", &["clone", "-q", &format!("{}/{PATH}", client.http), COPY]).ok();
        let writer = Writer::new(cluster, &format!("{folder}-writer"));
        Developer { client, acknowledged: Vec::new(), number: 0, writer }
    }

    fn commit(&mut self) -> String {
        self.number += 1;
        // Nothing that an earlier run has pushed.
        let text = format!("{} {}", std::process::id(), self.number);
        self.client.commit(COPY, &format!("file{}", self.number % 7), &text)
    }

    /// One attempt, without an end that never comes; what the master says to it.
    fn try_push(&self) -> Result<String, String> {
        self.try_push_for(ONE_PUSH_SECONDS)
    }

    fn try_push_for(&self, seconds: &str) -> Result<String, String> {
        let hg = self.client.command(COPY, &["push", &self.client.push_url(PATH)]);
        let mut command = Command::new("timeout");
        command.arg(seconds).arg(hg.get_program()).args(hg.get_args()).env_clear();
        command.envs(hg.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        let output = command.current_dir(hg.get_current_dir().unwrap()).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            // 1: nothing to push, because an earlier try was recorded after all.
            Some(0 | 1) => Ok(said.into_owned()),
            code => Err(format!("{code:?}: {said}")),
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
        eventually("a push is acknowledged", || self.try_push());
        self.acknowledged.push(hash.clone());
        hash
    }

    /// One that must succeed at once; what the master says to it.
    #[track_caller]
    pub fn push_and_listen(&mut self) -> String {
        let hash = self.commit();
        let said = self.try_push().unwrap();
        self.acknowledged.push(hash);
        said
    }

    /// A push that must not be acknowledged; why it was not. What was to be pushed goes along with the next one.
    #[track_caller]
    pub fn is_refused(&mut self) -> String {
        self.commit();
        self.try_push_for(LONGEST_PUSH_SECONDS).unwrap_err()
    }

    /// Waits until each of the first `mirrors` mirrors shows `hash` as its tip.
    #[track_caller]
    pub fn shown(&self, cluster: &Cluster, mirrors: &[usize], hash: &str) {
        for number in mirrors {
            let url = format!("{}/{PATH}", cluster.mirrors[*number]);
            eventually(&format!("mirror {number} shows {hash}"), || {
                let tip = self.client.remote_tip(&url)?;
                if tip == hash { Ok(()) } else { Err(tip) }
            });
        }
    }

    /// A clone from the Service has everything that was acknowledged to either of them.
    #[track_caller]
    pub fn nothing_is_lost(&self) {
        lose_nothing(&self.client, PATH, &self.acknowledged, None);
        self.writer.nothing_is_lost();
    }
}
