//! A developer who pushes all the time, one changeset after another (`writer.py`), and remembers what was acknowledged
//! when.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use scenarios::{Client, wait_longer_for};
use serde_json::Value;

use crate::{Cluster, LIMIT, eventually};

const PROGRAM: &str = include_str!("writer.py");
/// Path of the quickstart; `hello` is the other developer's.
const PATH: &str = "projects/tools";
const COPY: &str = "copy";
/// A push that has no answer is given up, and made again. One takes less than half a second on two busy cores.
const ONE_PUSH_SECONDS: &str = "2";
/// Where nobody is any more, nobody answers: a longer wait would be measured instead of what is to be.
const CONNECT: &str = "-o ConnectTimeout=1";
/// Acknowledged before an event and after it.
const AROUND: usize = 3;

/// One attempt to push.
#[derive(Clone, Debug)]
struct Attempt {
    at: f64,
    node: String,
    /// Nothing: it was acknowledged. Else it may have been recorded all the same.
    said: Option<String>,
}

/// Writer that writes now and then; the copy stays, and what was acknowledged.
pub struct Writer {
    client: Client,
    python: std::path::PathBuf,
    path: &'static str,
    /// Oldest first.
    acknowledged: Vec<String>,
    /// Made last, and pushed without an answer.
    unknown: Option<String>,
}

/// Writing that goes on until it is ended.
pub struct Writing {
    process: Child,
    /// Orders to the process, which ends when they do.
    orders: Option<ChildStdin>,
    attempts: Arc<Mutex<Vec<Attempt>>>,
    thread: Option<JoinHandle<()>>,
}

/// Stretch of writing: what it came to.
#[derive(Debug)]
pub struct Stretch {
    /// How many were acknowledged.
    pub pushes: usize,
    /// The longest time between two of them, the first and the last included.
    pub longest_gap: Duration,
}

impl Writer {
    pub fn new(cluster: &Cluster, folder: &str) -> Writer {
        let client = Client::of(cluster.ready(), &cluster.mercurial, cluster.folder(folder));
        client.hg("", &["clone", "-q", "-U", &format!("{}/{PATH}", client.http), COPY]).ok();
        let python = cluster.mercurial.python.clone();
        Writer { client, python, path: PATH, acknowledged: Vec::new(), unknown: None }
    }

    /// Returns when pushes are acknowledged.
    #[track_caller]
    pub fn start(&self) -> Writing {
        let mut command = Command::new(&self.python);
        command.arg("-c").arg(PROGRAM).arg(self.client.push_url(self.path)).arg(self.client.folder.join(COPY));
        let ssh = format!("{} {CONNECT}", self.client.ssh_command());
        command.args([&ssh, ONE_PUSH_SECONDS]).current_dir(&self.client.folder);
        command.env("HGRCPATH", "").env("HOME", &self.client.folder);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = process.stdin.take();
        let told = BufReader::new(process.stdout.take().unwrap());
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&attempts);
        let thread = std::thread::spawn(move || {
            for line in told.lines() {
                all.lock().unwrap().push(attempt(&line.unwrap()));
            }
        });
        let writing = Writing { process, orders, attempts, thread: Some(thread) };
        writing.goes_on();
        writing
    }

    /// A clone from the Service has everything that was acknowledged.
    #[track_caller]
    pub fn nothing_is_lost(&self) {
        lose_nothing(&self.client, self.path, &self.acknowledged, self.unknown.as_deref());
    }
}

fn attempt(line: &str) -> Attempt {
    let line: Value = serde_json::from_str(line).unwrap();
    Attempt {
        at: line["at"].as_f64().unwrap(),
        node: line["node"].as_str().unwrap().to_owned(),
        said: line["said"].as_str().map(str::to_owned),
    }
}

impl Stretch {
    #[track_caller]
    pub fn stood_still_within(&self, most: Duration) {
        assert!(self.longest_gap <= most, "pushes stood still for {:?}: at most {most:?}", self.longest_gap);
    }
}

impl Writing {
    /// How many pushes, until now.
    pub fn acknowledged(&self) -> usize {
        self.attempts.lock().unwrap().iter().filter(|attempt| attempt.said.is_none()).count()
    }

    /// Waits until some more pushes are acknowledged.
    #[track_caller]
    pub fn goes_on(&self) {
        let before = self.acknowledged();
        wait_longer_for(LIMIT, "the writer's pushes are acknowledged", || {
            let last = self.attempts.lock().unwrap().last().cloned();
            if self.acknowledged() >= before + AROUND { Ok(()) } else { Err(format!("{last:?}")) }
        });
    }

    /// Ends it, after some more pushes were acknowledged.
    #[track_caller]
    pub fn end(mut self, writer: &mut Writer) -> Stretch {
        self.goes_on();
        self.orders = None;
        self.thread.take().unwrap().join().unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "the writer: {status}");
        let attempts = std::mem::take(&mut *self.attempts.lock().unwrap());
        let (well, badly): (Vec<_>, Vec<_>) = attempts.iter().partition(|attempt| attempt.said.is_none());
        let gaps = well.windows(2).map(|pair| (pair[1].at - pair[0].at, pair[0].at));
        let (longest, since) = gaps.fold((0.0, 0.0), |longest, gap| if gap.0 > longest.0 { gap } else { longest });
        let meanwhile = badly.iter().filter(|attempt| attempt.at > since && attempt.at < since + longest);
        let reasons: std::collections::BTreeSet<_> = meanwhile.filter_map(|attempt| attempt.said.as_ref()).collect();
        reasons.iter().for_each(|said| eprintln!("    in the gap: {said}"));
        let last = attempts.last().filter(|attempt| attempt.said.is_some());
        writer.unknown = last.map(|attempt| attempt.node.clone());
        writer.acknowledged.extend(well.iter().map(|attempt| attempt.node.clone()));
        let written = Stretch { pushes: well.len(), longest_gap: Duration::from_secs_f64(longest) };
        eprintln!("  writer: {} pushes, {} attempts more, longest gap {longest:.2} s", written.pushes, badly.len());
        written
    }
}

/// By a test that fails.
impl Drop for Writing {
    fn drop(&mut self) {
        let _it_may_have_ended = self.process.kill();
        let _status = self.process.wait();
    }
}

/// A clone from the mirrors' Service has all of `acknowledged`, the last of which is shown there, or the one that was
/// pushed after it without an answer.
#[track_caller]
pub(crate) fn lose_nothing(client: &Client, path: &str, acknowledged: &[String], unknown: Option<&str>) {
    let Some(last) = acknowledged.last() else { return };
    let url = format!("{}/{path}", client.http);
    eventually("the Service shows the last push", || {
        let shown = client.remote_tip(&url)?;
        if shown == *last || Some(shown.as_str()) == unknown { Ok(()) } else { Err(shown) }
    });
    let _none_before = std::fs::remove_dir_all(client.folder.join("check"));
    client.hg("", &["clone", "-q", "-U", &url, "check"]).ok();
    let has = client.hg("check", &["log", "-T", "{node}\n"]).ok();
    let has: std::collections::BTreeSet<&str> = has.lines().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|hash| !has.contains(hash.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
}
