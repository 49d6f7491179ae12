//! Mercurial's client code as one process that pushes again and again through one SSH session (`pusher.py`).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::{Client, Mercurial};

const PROGRAM: &str = include_str!("pusher.py");

pub struct Pusher {
    process: Child,
    orders: ChildStdin,
    words: BufReader<ChildStdout>,
}

#[derive(Clone, Copy, Debug)]
pub enum Kinds {
    /// For repositories that keep drafts and markers.
    Everything,
    /// For publishing ones.
    Published,
    /// One changeset per push.
    One,
}

/// State that a repository shows after a push.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct State {
    pub heads: Vec<String>,
    pub branches: BTreeMap<String, Vec<String>>,
    pub bookmarks: BTreeMap<String, String>,
    /// Visible roots of the draft phase.
    pub drafts: Vec<String>,
    /// Changesets that came with this push.
    #[serde(default)]
    pub new: Vec<New>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct New {
    pub node: String,
    pub file: String,
    pub content: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Word {
    Ready(()),
    State(State),
    Pushed(f64),
}

impl Pusher {
    /// Connects to the repository `path`; its own copy of it is `folder` of `client`.
    pub fn start(client: &Client, mercurial: &Mercurial, path: &str, folder: &str, seed: u64, kinds: Kinds) -> Pusher {
        let url = client.push_url(path);
        Pusher::start_at(client, mercurial, &url, client.ssh_command(), folder, seed, kinds)
    }

    /// The same for any server that `ssh` reaches.
    pub fn start_at(
        client: &Client,
        mercurial: &Mercurial,
        url: &str,
        ssh: &str,
        folder: &str,
        seed: u64,
        kinds: Kinds,
    ) -> Pusher {
        let kinds = match kinds {
            Kinds::Everything => "everything",
            Kinds::Published => "published",
            Kinds::One => "one",
        };
        let mut command = Command::new(&mercurial.python);
        command.args(["-c", PROGRAM, url, folder, &seed.to_string(), kinds, ssh]).current_dir(&client.folder);
        command.env("HGRCPATH", "").env("HOME", &client.folder);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = process.stdin.take().unwrap();
        let words = BufReader::new(process.stdout.take().unwrap());
        let mut pusher = Pusher { process, orders, words };
        match pusher.word() {
            Word::Ready(()) => pusher,
            Word::State(_) | Word::Pushed(_) => panic!("a pusher says first that it is ready"),
        }
    }

    /// Makes the next push's changes without pushing them.
    pub fn prepare(&mut self) -> State {
        self.order("next");
        match self.word() {
            Word::State(state) => state,
            Word::Ready(()) | Word::Pushed(_) => panic!("a pusher says what it is going to push"),
        }
    }

    /// Pushes them; the answer is when the push was acknowledged, in seconds since 1970.
    pub fn push(&mut self) -> f64 {
        self.order("go");
        match self.word() {
            Word::Pushed(time) => time,
            Word::Ready(()) | Word::State(_) => panic!("a pusher says when it has pushed"),
        }
    }

    fn order(&mut self, word: &str) {
        writeln!(self.orders, "{word}").expect("the pusher lives: see its standard error");
    }

    fn word(&mut self) -> Word {
        let mut line = String::new();
        self.words.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("a pusher's word: {error}: {line:?}"))
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        let _it_may_have_ended = self.process.kill();
        let _status = self.process.wait();
    }
}
