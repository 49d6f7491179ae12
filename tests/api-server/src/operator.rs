//! A running operator, as a process.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ApiServer;
use crate::hosts::Hosts;

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Operator that is killed when dropped.
pub struct Operator {
    child: Child,
    address: String,
    pub log: PathBuf,
}

impl Operator {
    pub fn start(server: &ApiServer, identity: &str, folder: &Path) -> Operator {
        Operator::start_with(server.kubeconfig(), identity, folder, &["--own-namespace", "default"])
    }

    pub fn start_with(kubeconfig: &Path, identity: &str, folder: &Path, arguments: &[&str]) -> Operator {
        Operator::run(Command::new(program("hg-operator")), kubeconfig, identity, folder, arguments)
    }

    /// One that finds pods which really run.
    pub fn start_among(
        hosts: &Hosts,
        kubeconfig: &Path,
        identity: &str,
        folder: &Path,
        arguments: &[&str],
    ) -> Operator {
        Operator::run(hosts.command(&program("hg-operator")), kubeconfig, identity, folder, arguments)
    }

    fn run(mut command: Command, kubeconfig: &Path, identity: &str, folder: &Path, arguments: &[&str]) -> Operator {
        // Freed again at once; nobody else here takes ports of this range.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let log = folder.join(format!("{identity}-{port}.log"));
        let child = command
            .args(["run", "--listen", &address, "--image", "example/hg-operator:1", "--identity", identity])
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Operator { child, address, log }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// One value of `/metrics`; None: there is no such line (yet).
    pub async fn metric(&self, line: &str) -> Option<f64> {
        let text = get(&self.address, "/metrics").await?;
        let found = text.lines().find(|found| found.strip_prefix(line).is_some_and(|rest| rest.starts_with(' ')))?;
        found.rsplit(' ').next()?.parse().ok()
    }

    pub async fn metrics(&self) -> String {
        get(&self.address, "/metrics").await.unwrap_or_default()
    }

    pub async fn is_ready(&self) -> bool {
        get(&self.address, "/readyz").await.is_some()
    }

    /// Answers what it says of that, ready or not.
    pub async fn readiness(&self) -> String {
        ask(&self.address, "/readyz").await.map(|(_, text)| text).unwrap_or_default()
    }

    pub async fn acts(&self) -> bool {
        self.metric("hg_operator_acting").await == Some(1.0)
    }

    pub async fn wait_until_acting(&self, limit: Duration) {
        let start = Instant::now();
        while !self.acts().await {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(start.elapsed() < limit, "the operator does not act within {limit:?}:\n{log}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// The program under test, above the test's own executable or beside the benchmarks'.
pub(crate) fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("no {name} near {}: run `cargo build --workspace`", own.display()))
}

async fn get(address: &str, path: &str) -> Option<String> {
    ask(address, path).await.filter(|(code, _)| code == "200").map(|(_, text)| text)
}

/// The code and the text of an answer.
async fn ask(address: &str, path: &str) -> Option<(String, String)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.to_owned(), body.to_owned()))
}
