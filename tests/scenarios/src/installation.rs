//! One `hgd all-in-one`.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use power_loss::Volume;
use protocol::status::{MirrorState, Status};
use rustix::process::Signal;
use serde::Deserialize;
use tempfile::TempDir;

use crate::loss::nothing_was_lost;
use crate::processes::signal;
use crate::wait::wait_at_most;
use crate::{DEADLINE, Mercurial, for_good, power, wait_for, wait_longer_for};

#[derive(Clone, Debug)]
pub struct Options {
    pub mirrors: u32,
    pub repositories: Vec<String>,
    /// Further lines for the SshMaster's and the MirrorPool's spec.
    pub master: String,
    pub pool: String,
    /// Site hgrc of every instance.
    pub hgrc: String,
    /// Further documents of the resources' file, each behind its `---`.
    pub resources: String,
    /// Server Mercurial.
    pub mercurial: Mercurial,
    /// Instances whose data, as the supervisor's own, lies on volumes that can lose power.
    pub volumes: Vec<&'static str>,
}

impl Options {
    pub fn new(mercurial: &Mercurial, repositories: &[&str]) -> Options {
        Options {
            mirrors: 2,
            repositories: repositories.iter().map(|path| (*path).to_owned()).collect(),
            master: String::new(),
            pool: String::new(),
            hgrc: String::new(),
            resources: String::new(),
            mercurial: mercurial.clone(),
            volumes: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ready {
    pub ssh: ReadySsh,
    pub http: String,
    pub mirrors: Vec<String>,
    pub status: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadySsh {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub identity_file: PathBuf,
}

pub struct Installation {
    /// Before the folder, because they are mounted in it.
    pub(crate) volumes: Vec<Volume>,
    folder: TempDir,
    options: Options,
    pub(crate) process: Option<Child>,
    ready: Option<Ready>,
    numbers: AtomicU64,
}

impl Installation {
    /// Starts one and waits until it is ready.
    pub fn start(options: Options) -> Installation {
        nothing_was_lost();
        let folder = tempfile::Builder::new().prefix("hgd-scenario-").tempdir().unwrap();
        let numbers = AtomicU64::new(0);
        let mut installation =
            Installation { volumes: Vec::new(), folder, options, process: None, ready: None, numbers };
        std::fs::create_dir(installation.data()).unwrap();
        if !installation.options.volumes.is_empty() {
            installation.volumes = power::mount(
                &installation.data(),
                &installation.path().join("volumes"),
                &installation.options.volumes,
            );
            power::boot(installation.path());
        }
        std::fs::write(installation.data().join("hgrc"), &installation.options.hgrc).unwrap();
        installation.write_resources();
        installation.start_again();
        installation
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Another one each time.
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn ready(&self) -> &Ready {
        self.ready.as_ref().expect("the installation is running")
    }

    /// The file says this of the SshMaster from now on, and nobody is started for it.
    pub fn set_master(&mut self, fields: &str) {
        self.options.master = fields.into();
        self.write_resources();
    }

    fn write_resources(&self) {
        let Options { mirrors, repositories, master, pool, .. } = &self.options;
        let mut text = format!(
            "apiVersion: hg-operator.dev/v1alpha1\nkind: SshMaster\nmetadata: {{name: hg}}\nspec:\n  \
             publicUrl: http://hg.example.com\n  sshHost: hg.example.com\n  directory:\n    \
             authorizedKeys: {{secretRef: {{name: users}}}}\n    groups:\n    - {{name: developers, members: ['*']}}\n\
             {master}---\napiVersion: hg-operator.dev/v1alpha1\nkind: MirrorPool\nmetadata: {{name: web}}\nspec:\n  \
             masterRef: {{name: hg}}\n  replicas: {mirrors}\n{pool}"
        );
        for (number, path) in repositories.iter().enumerate() {
            text += &format!(
                "---\napiVersion: hg-operator.dev/v1alpha1\nkind: HgRepository\nmetadata: {{name: r{number}}}\n\
                 spec: {{path: {path}, masterRef: {{name: hg}}, writeGroups: [developers], \
                 publishing: {}, obsolescence: {}}}\n",
                !path.starts_with("draft"),
                path.starts_with("draft"),
            );
        }
        text += &self.options.resources;
        std::fs::write(self.folder.path().join("resources.yaml"), text).unwrap();
    }

    /// The command of this installation's supervisor.
    pub fn all_in_one(&self) -> Command {
        let mut command = Command::new(hgd());
        command
            .arg("all-in-one")
            .args(["--data-dir", self.data().to_str().unwrap()])
            .args(["-f", self.folder.path().join("resources.yaml").to_str().unwrap()])
            .args(["--python", self.options.mercurial.python.to_str().unwrap()])
            .args(["--ssh", "127.0.0.1:0", "--http", "127.0.0.1:0"])
            .args(["--ready-file", self.folder.path().join("ready.json").to_str().unwrap()])
            .env("HOME", self.folder.path())
            .env("USER", "tester")
            .stdin(Stdio::null());
        if !self.volumes.is_empty() {
            command.env("HGD_BOOT_ID_FILE", self.folder.path().join(power::BOOT_ID));
        }
        command
    }

    /// Starts the supervisor (again) and waits until all is ready.
    pub fn start_again(&mut self) {
        let ready = self.folder.path().join("ready.json");
        let _not_there = std::fs::remove_file(&ready);
        let log = self.folder.path().join("all-in-one.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let child = self.all_in_one().stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.process = Some(child);
        let text = wait_for("the ready file", || {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "all-in-one ended early: {}", self.logs());
            std::fs::read_to_string(&ready).map_err(|error| error.to_string())
        });
        self.ready = Some(serde_json::from_str(&text).unwrap());
    }

    /// SIGTERM, then waits until everything has stopped.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        signal(process.id(), Signal::TERM);
        process.wait().unwrap();
    }

    /// Answers what the master says, as soon as there is one.
    pub fn status(&self) -> Status {
        wait_for("a master's status", || self.try_status())
    }

    fn try_status(&self) -> Result<Status, String> {
        let status: Status =
            serde_json::from_str(&get(&self.ready().status, "/status.json")?).map_err(|error| error.to_string())?;
        if status.master.is_some() { Ok(status) } else { Err(format!("{:?}", status.absence)) }
    }

    pub fn get_json<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        wait_for(path, || serde_json::from_str(&get(&self.ready().status, path)?).map_err(|error| error.to_string()))
    }

    /// Waits until every mirror is active and shows everything that the master has, and all agree by content hash.
    pub fn settled(&self) -> Status {
        self.settled_within(DEADLINE)
    }

    #[track_caller]
    pub fn settled_within(&self, deadline: Duration) -> Status {
        let status = wait_longer_for(deadline, "everything published", || {
            let status = self.try_status()?;
            let newest = status.instances.iter().map(|i| i.applied).max().ok_or("no instance")?;
            let level = status.instances.iter().all(|i| i.applied == newest)
                && status.mirrors.iter().all(|m| m.state == MirrorState::Active && m.published == newest);
            if level { Ok(status) } else { Err(format!("{status:?}")) }
        });
        let equal = wait_at_most(deadline, || {
            let hashes: serde_json::Value = serde_json::from_str(&get(&self.ready().status, "/verify.json")?)
                .map_err(|error| error.to_string())?;
            if hashes["equal"] == true { Ok(()) } else { Err(hashes.to_string()) }
        });
        for_good(equal.is_ok(), format_args!("instances differ: {equal:?}"));
        status
    }

    /// How many records the log of the first instance holds, by `hgd log dump`.
    pub fn records(&self) -> usize {
        let directory = self.data().join("ssh-0").join("log").join("replication");
        let output = Command::new(hgd()).args(["log", "dump"]).arg(directory).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().count()
    }

    pub fn logs(&self) -> String {
        let mut text = String::new();
        let logs = std::fs::read_dir(self.data().join("logs")).into_iter().flatten();
        let files = logs.map(|entry| entry.unwrap().path()).chain([self.folder.path().join("all-in-one.log")]);
        for file in files {
            let content = std::fs::read_to_string(&file).unwrap_or_default();
            let last: Vec<_> = content.lines().rev().take(30).collect();
            text += &format!("== {}\n{}\n", file.display(), last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        text
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
            if let Some(process) = self.process.take() {
                signal(process.id(), Signal::KILL);
            }
        }
        self.stop();
    }
}

/// The program under test, beside the benchmarks' own executable or above the test's.
pub fn hgd() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join("hgd")).find(|file| file.exists());
    found.unwrap_or_else(|| panic!("no hgd near {}: run `cargo build -p hgd`", own.display()))
}

/// `GET` over plain HTTP/1.0, which needs no library: the body of a 200. `base` is an http URL, or `unix:` with a
/// socket.
pub fn get(base: &str, path: &str) -> Result<String, String> {
    if let Some(socket) = base.strip_prefix("unix:") {
        let stream = UnixStream::connect(socket).map_err(|error| error.to_string())?;
        return exchange(stream, "localhost", path);
    }
    let host = base.strip_prefix("http://").ok_or("an http URL")?.split('/').next().unwrap_or_default();
    exchange(TcpStream::connect(host).map_err(|error| error.to_string())?, host, path)
}

fn exchange(mut stream: impl Read + Write, host: &str, path: &str) -> Result<String, String> {
    let request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an HTTP answer")?;
    if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(head.to_owned()) }
}
