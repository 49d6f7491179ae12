//! Lines that are logged, and what is counted.

use std::io::Write;
use std::sync::{Arc, Mutex};

use crate::bench::{Bench, output};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The only test that sets the subscriber of this program; other tests' lines have other keys.
#[tokio::test(flavor = "multi_thread")]
async fn each_login_and_each_command_is_one_line() {
    let lines = Lines::default();
    let writer = lines.clone();
    tracing_subscriber::fmt().json().with_writer(move || writer.clone()).init();
    let bench = Bench::start().await;
    output(bench.ssh("bob").arg("hg -R exit-3 serve --stdio --x")).await;
    output(bench.ssh("bob").arg("hg -R lines serve --stdio")).await;
    output(bench.ssh_with("bob", "stranger").arg("id")).await;
    let said = output(bench.ssh("bob").arg("hg -R both serve --stdio")).await;
    assert_eq!((said.stdout.len(), said.stderr.len()), (3_000_000, 2_000_000));
    let mut found = Vec::new();
    bench
        .until("the last line is there", |_| {
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            let all = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
            let mine: Vec<_> = all.map(|line| line["fields"].clone()).filter(|line| line["user"] == "bob").collect();
            mine.iter().any(|line| line["repository"] == "both" && line["bytes_out"] == 5_000_000)
        })
        .await;
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    for line in text.lines() {
        let line = serde_json::from_str::<serde_json::Value>(line).unwrap()["fields"].clone();
        if line["user"] == "bob" {
            assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
            found.push(line);
        }
    }
    let fingerprint = bench.fingerprint("bob").await;
    let with = |name: &str, value: &str| found.iter().filter(|line| line[name] == value).collect::<Vec<_>>();
    assert!(with("fingerprint", &fingerprint).iter().filter(|line| line["event"] == "login").count() >= 3);
    let [refused] = with("command", "hg -R lines serve --stdio")[..] else { panic!("one line: {text}") };
    assert_eq!(
        (&refused["result"], &refused["exit"], &refused["repository"]),
        (&"refused".into(), &1.into(), &"lines".into())
    );
    assert!(refused["milliseconds"].as_u64().is_some());
    let [other] = with("command", "hg -R exit-3 serve --stdio --x")[..] else { panic!("one line: {text}") };
    assert_eq!((&other["event"], &other["fingerprint"]), (&"command".into(), &fingerprint.as_str().into()));
    assert!(text.contains("login-failed"));
}
