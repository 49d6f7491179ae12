//! A reader who asks all the time, and tries once more when an answer fails.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use scenarios::{Answer, KeepAlive};

use crate::Cluster;

/// An answer that takes longer is not waited for, by whoever gives up at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Before the one other try.
const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Some ten rounds a second leave the processors to the cluster.
const PAUSE: Duration = Duration::from_millis(50);

pub struct Reader {
    /// The reader ends when it is dropped.
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Seen>,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub requests: u64,
    /// Again: how many of these were tried twice.
    pub again: u64,
    /// Twice without an answer: since when, and why.
    pub lost: Vec<(Instant, String)>,
    /// Contradictions: what one answer showed and a later one denied.
    pub contradictions: Vec<String>,
    pub hashes: BTreeSet<String>,
    gives_up: bool,
}

impl Reader {
    pub fn start(cluster: &Cluster) -> Reader {
        Reader::begin(cluster, false)
    }

    /// One for whom a connection that leads nowhere is a failure too.
    pub fn start_impatient(cluster: &Cluster) -> Reader {
        Reader::begin(cluster, true)
    }

    fn begin(cluster: &Cluster, gives_up: bool) -> Reader {
        let (stop, stopped) = mpsc::channel();
        let (service, mirrors) = (cluster.ready().http.clone(), cluster.mirrors.clone());
        let thread = std::thread::spawn(move || {
            let mut seen = Seen { gives_up, ..Seen::default() };
            seen.round(&service, &mirrors);
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                seen.round(&service, &mirrors);
            }
            seen
        });
        Reader { stop, thread }
    }

    pub fn reads_on_until(&self, end: Instant) {
        while Instant::now() < end {
            std::thread::park_timeout(PAUSE);
        }
    }

    fn end(self) -> Seen {
        drop(self.stop);
        self.thread.join().unwrap()
    }

    /// Ends it; it must have got every answer, and none that contradicts another.
    #[track_caller]
    pub fn is_content(self) {
        let seen = self.ends_consistent();
        assert!(seen.lost.is_empty(), "lost: {:?}", seen.lost);
    }

    /// Ends it; what it lost, it lost in at most this time, and before `end`.
    #[track_caller]
    pub fn was_cut_off_for(self, most: Duration, end: Instant) {
        let seen = self.ends_consistent();
        let (Some((first, _)), Some((last, why))) = (seen.lost.first(), seen.lost.last()) else {
            eprintln!("  reader: lost nothing");
            return;
        };
        let time = *last - *first;
        eprintln!("  reader: lost {} answers within {time:.1?}, the last: {why}", seen.lost.len());
        assert!(time <= most && *last <= end, "{time:?}, the last {:?} after the end", *last - end);
    }

    #[track_caller]
    fn ends_consistent(self) -> Seen {
        let seen = self.end();
        eprintln!("  reader: {} requests, {} tried twice, {} hashes", seen.requests, seen.again, seen.hashes.len());
        assert!(seen.requests > 0 && !seen.hashes.is_empty(), "{seen:?}");
        assert!(seen.contradictions.is_empty(), "contradictions: {:?}", seen.contradictions);
        seen
    }
}

impl Seen {
    fn round(&mut self, service: &str, mirrors: &[String]) {
        let Some(heads) = self.ask(service, "/hello?cmd=heads") else { return };
        self.hashes.extend(heads.split_whitespace().map(str::to_owned));
        // The newest, and one of the older ones by turns.
        let turn = self.requests as usize % self.hashes.len().max(1);
        let older = self.hashes.iter().nth(turn).cloned();
        for hash in heads.split_whitespace().map(str::to_owned).chain(older) {
            let path = format!("/hello?cmd=lookup&key={hash}");
            if let Some(answer) = self.ask(service, &path) {
                self.compare("the Service", &hash, &answer);
            }
            for mirror in mirrors {
                // Those that are not there say nothing; one that answers knows what another one showed.
                let answer = self.get(mirror, &path);
                if let Some(answer) = answer.ok().filter(|answer| answer.status == 200) {
                    self.compare(mirror, &hash, &answer.text());
                }
            }
        }
    }

    fn compare(&mut self, who: &str, hash: &str, answer: &str) {
        if answer.trim() != format!("1 {hash}") {
            self.contradictions.push(format!("{who} says of {hash}: {answer}"));
        }
    }

    fn get(&self, base: &str, path: &str) -> Result<Answer, String> {
        let mut client = KeepAlive::new(base);
        if !self.gives_up {
            return client.get(path, &[]).map_err(|error| error.to_string());
        }
        let (tell, told) = mpsc::channel();
        let path = path.to_owned();
        std::thread::spawn(move || {
            let _nobody_waits_any_more = tell.send(client.get(&path, &[]).map_err(|error| error.to_string()));
        });
        told.recv_timeout(ANSWER_WITHIN).unwrap_or_else(|_| Err(format!("no answer within {ANSWER_WITHIN:?}")))
    }

    /// A new connection each time, so that the Service may choose.
    fn ask(&mut self, service: &str, path: &str) -> Option<String> {
        self.requests += 1;
        let (mut failures, begun) = (Vec::new(), Instant::now());
        for _ in 0..2 {
            match self.get(service, path) {
                Ok(answer) if answer.status == 200 => return Some(answer.text()),
                Ok(answer) => failures.push(format!("{} {}", answer.status, answer.text())),
                Err(error) => failures.push(error),
            }
            if failures.len() == 1 {
                self.again += 1;
                wait_before_the_other_try();
            }
        }
        self.lost.push((begun, format!("{path}: {failures:?}")));
        None
    }
}

fn wait_before_the_other_try() {
    std::thread::park_timeout(AGAIN_AFTER);
}
