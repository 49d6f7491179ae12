//! Writers with stock hg, a reader who switches mirrors, and faults by chance: one process after the other killed or
//! frozen, then several at once, then all (docs/checkers.md). What was acknowledged is everywhere afterwards, and on
//! the next master; what a reader saw stays.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use scenarios::{Client, Installation, Mercurial, Options, Soak, for_good, mercurials};
use serde_json::{Value, json};

const PATHS: [&str; 2] = ["draft/one", "two"];
/// Seconds of one round.
const SECONDS: u64 = 90;
/// The longest time without an acknowledged push of anybody while one process at a time fails.
const GAP_SECONDS: f64 = 6.0;
/// The same in `make test`, where other tests have the processors, too: two of the client's own waits for a server
/// that is frozen (`SSH_OPTIONS`). It fails when somebody waits for what does not come.
const GAP_BESIDE_OTHERS_SECONDS: f64 = 30.0;
/// A server that is frozen is given up, as a person's own ssh would be told to.
const SSH_OPTIONS: &str = "-o ServerAliveInterval=5 -o ServerAliveCountMax=3 -o ConnectTimeout=10";

#[test]
fn what_was_acknowledged_survives_whatever_fails() {
    let soak = Soak::new(1);
    let all = mercurials();
    for seed in soak.seed().. {
        let server = &all[usize::try_from(seed).unwrap() % all.len()];
        let gap = if soak.is_long() { GAP_SECONDS } else { GAP_BESIDE_OTHERS_SECONDS };
        one_round(server, seed, soak.number("HGD_CONSISTENCY_SECONDS", SECONDS), gap);
        if soak.is_over() {
            break;
        }
    }
}

fn one_round(server: &Mercurial, seed: u64, seconds: u64, gap: f64) {
    println!("seed {seed}, Mercurial {} serves", server.version);
    let mut installation = Installation::start(Options::new(server, &PATHS));
    let mut run = Run::start(&installation, seed, seconds);
    let figures = loop {
        let word = run.word();
        if let Some(sentence) = word["said"].as_str() {
            println!("{sentence}");
        } else if word["killAll"].is_boolean() {
            installation.kill_all();
            installation.start_again();
            run.say(&places(&installation));
        } else {
            break word["ended"].clone();
        }
    };
    println!("{figures:#}");
    assert!(figures["pushes"].as_u64() > Some(seconds), "too few pushes say little: {figures:#}");
    for_good(figures["found"] == json!([]), format_args!("seed {seed}: {:#}", figures["found"]));
    installation.settled();
    run.all_is_there(&installation, "before a promotion");
    installation.hgd(&["promote", "--data-dir", installation.data().to_str().unwrap()]).ok();
    installation.settled();
    run.all_is_there(&installation, "after a promotion");
    // Last: that something is lost is said first.
    assert_eq!(figures["failedTwice"], json!([]), "seed {seed}: a read that one more try does not mend");
    assert!(figures["gapOfAnybody"].as_f64() <= Some(gap), "seed {seed}: over {gap} s without a push: {figures:#}");
}

/// `consistency.py`.
struct Run {
    process: Child,
    orders: ChildStdin,
    words: BufReader<ChildStdout>,
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/consistency").join(name)
}

fn client(installation: &Installation) -> Client {
    Client::new(installation, &mercurials().pop().unwrap(), "consistency")
}

/// Lists what changes with a restart.
fn places(installation: &Installation) -> Value {
    let ready = installation.ready();
    json!({
        "supervisor": installation.supervisor(),
        "base": client(installation).ssh_url,
        "ready": {"http": ready.http, "mirrors": ready.mirrors},
    })
}

impl Run {
    fn start(installation: &Installation, seed: u64, seconds: u64) -> Run {
        let client = client(installation);
        let pythons: Vec<PathBuf> = mercurials().into_iter().map(|mercurial| mercurial.python).collect();
        let mut order = json!({
            "folder": client.folder, "seed": seed, "seconds": seconds, "data": installation.data(),
            "hgd": scenarios::hgd(), "ssh": format!("{} {SSH_OPTIONS}", client.ssh_command()), "pythons": pythons,
            "paths": PATHS,
        });
        order.as_object_mut().unwrap().append(places(installation).as_object_mut().unwrap());
        let mut command = Command::new(pythons.last().unwrap());
        command.arg(script("consistency.py")).arg(order.to_string()).env("HGRCPATH", "").env("HOME", &client.folder);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let orders = process.stdin.take().unwrap();
        let words = BufReader::new(process.stdout.take().unwrap());
        Run { process, orders, words }
    }

    fn word(&mut self) -> Value {
        let mut line = String::new();
        self.words.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("a word of consistency.py: {error}: {line:?}"))
    }

    fn say(&mut self, word: &Value) {
        writeln!(self.orders, "{word}").expect("consistency.py lives: see its standard error");
    }

    fn all_is_there(&mut self, installation: &Installation, when: &str) {
        let mut places = json!({"master": client(installation).ssh_url});
        for (number, url) in installation.ready().mirrors.iter().enumerate() {
            places[format!("mirror-{number}")] = json!(url);
        }
        self.say(&json!({"places": places}));
        let found = self.word()["found"].clone();
        for_good(found == json!([]), format_args!("{when}: {found:#}"));
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Writers end with the pipe that it holds.
        let _it_may_have_ended = self.process.kill();
        let _status = self.process.wait();
    }
}
