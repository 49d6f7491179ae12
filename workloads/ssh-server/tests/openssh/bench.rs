//! A server with two accounts, and the clients to try it with.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ssh_server::{AuthorizedKeys, Directory, Ended, Hg, Limits, Metrics, Open, OpenRefused, OpenRequest, Options};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::io::InspectReader;
use tokio_util::sync::CancellationToken;

/// Everything that is waited for comes within this, also on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

pub struct Bench {
    pub base: tempfile::TempDir,
    pub port: u16,
    pub shutdown: CancellationToken,
    pub served: Arc<Served>,
    pub server: Option<tokio::task::JoinHandle<()>>,
}

/// Served: what was asked of the one who runs Mercurial.
#[derive(Default)]
pub struct Served {
    pub requests: Mutex<Vec<OpenRequest>>,
    /// Read from the processes' standard output.
    pub bytes: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    pub started: AtomicU64,
    pub ended: AtomicU64,
}

/// Names the program for a repository; None: there is no such repository.
pub type Program = fn(&Path, &str) -> Option<Command>;

impl Bench {
    pub async fn start() -> Bench {
        Bench::with(Limits::default(), programs).await
    }

    pub async fn with(limits: Limits, program: Program) -> Bench {
        Bench::made(tempfile::tempdir().unwrap(), limits, program, false).await
    }

    pub async fn behind_balancer() -> Bench {
        Bench::made(tempfile::tempdir().unwrap(), Limits::default(), programs, true).await
    }

    /// Somebody has put an RSA key where host keys are.
    pub async fn with_rsa_host_key() -> Bench {
        let base = tempfile::tempdir().unwrap();
        let folder = base.path().join("host-keys");
        std::fs::create_dir(&folder).unwrap();
        let rsa = folder.join("ssh_host_rsa_key");
        run(Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-N", "", "-f"]).arg(rsa)).await;
        Bench::made(base, Limits::default(), programs, false).await
    }

    async fn made(base: tempfile::TempDir, limits: Limits, program: Program, behind_balancer: bool) -> Bench {
        let mut lines = String::new();
        for user in ["ann@example.com", "bob"] {
            let key = base.path().join(user);
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", user, "-f"]).arg(&key)).await;
            lines += &std::fs::read_to_string(key.with_file_name(format!("{user}.pub"))).unwrap();
        }
        let stranger = base.path().join("stranger");
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&stranger)).await;
        let file = base.path().join("authorized_keys");
        std::fs::write(&file, lines).unwrap();
        let groups = BTreeMap::from([
            ("developers".to_owned(), BTreeSet::from(["*".to_owned()])),
            ("admins".to_owned(), BTreeSet::from(["bob".to_owned()])),
        ]);
        let host_keys = ssh_server::load_or_generate(&base.path().join("host-keys")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let known: String =
            host_keys.public_lines().iter().map(|line| format!("[127.0.0.1]:{port} {line}\n")).collect();
        std::fs::write(base.path().join("known_hosts"), known).unwrap();
        let served = Arc::new(Served::default());
        let directory =
            Directory::AuthorizedKeys(AuthorizedKeys::open(&file, &file.with_extension("kept"), groups).unwrap());
        let metrics = Metrics::new().unwrap();
        let options = Options { host_keys, directory, limits, metrics, behind_balancer };
        let shutdown = CancellationToken::new();
        let open = open(Arc::clone(&served), base.path().to_owned(), program);
        let server = Some(tokio::spawn(ssh_server::serve(listener, options, open, shutdown.clone())));
        Bench { base, port, shutdown, served, server }
    }

    /// `ssh` with this account's own key.
    pub fn ssh(&self, user: &str) -> Command {
        self.ssh_with(user, user)
    }

    pub fn ssh_with(&self, user: &str, key: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(self.options(key)).arg("-l").arg(user).arg("127.0.0.1");
        ssh.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.base.path());
        ssh.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        ssh
    }

    pub fn options(&self, key: &str) -> Vec<String> {
        let base = self.base.path().display();
        let key = format!("{base}/{key}");
        let mut options = vec!["-F".into(), "none".into(), "-i".into(), key, "-p".into(), self.port.to_string()];
        for option in [
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "StrictHostKeyChecking=yes",
            "LogLevel=ERROR",
            &format!("UserKnownHostsFile={base}/known_hosts"),
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        options
    }

    /// Runs one command as `ann@example.com`.
    pub async fn ask(&self, command: &str) -> Output {
        output(self.ssh("ann@example.com").arg(command)).await
    }

    pub async fn until(&self, what: &str, reached: impl Fn(&Served) -> bool) {
        let waiting = async {
            while !reached(&self.served) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"));
    }

    /// As `ssh-keygen` says it.
    pub async fn fingerprint(&self, user: &str) -> String {
        let file = self.base.path().join(format!("{user}.pub"));
        let said = run(Command::new("ssh-keygen").arg("-lf").arg(file)).await;
        said.split_whitespace().nth(1).unwrap().to_owned()
    }

    pub fn bytes(&self, path: &str) -> u64 {
        self.served.bytes.lock().unwrap().get(path).map_or(0, |bytes| bytes.load(Ordering::Relaxed))
    }
}

impl Served {
    pub fn running(&self) -> u64 {
        self.started.load(Ordering::SeqCst) - self.ended.load(Ordering::SeqCst)
    }
}

pub async fn run(command: &mut Command) -> String {
    let said = output(command).await;
    assert!(said.status.success(), "{command:?}: {}", text(&said.stderr));
    text(&said.stdout)
}

pub async fn output(command: &mut Command) -> Output {
    tokio::time::timeout(DEADLINE, command.stdin(Stdio::null()).output())
        .await
        .unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {command:?}"))
        .unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Programs that show one thing each, and Mercurial.
pub fn programs(base: &Path, path: &str) -> Option<Command> {
    let program = |name: &str, arguments: &[&str]| {
        let mut command = Command::new(name);
        command.args(arguments);
        Some(command)
    };
    match path {
        "echo" => program("cat", &[]),
        // As Mercurial: first it listens to everything, then it answers.
        "in-turn" => program("sh", &["-c", "cat > \"$1\"; cat \"$1\"", "sh", base.join("heard").to_str()?]),
        "exit-3" => program("sh", &["-c", "exit 3"]),
        "large" | "large-2" => program("head", &["-c", "200000000", "/dev/zero"]),
        "endless" => program("cat", &["/dev/zero"]),
        "deaf" => program("sleep", &["1000"]),
        "both" => program("sh", &["-c", "head -c 3000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait"]),
        "killed" => program("sh", &["-c", "echo before; kill -9 $$"]),
        path if base.join("repositories").join(path).join(".hg").is_dir() => {
            let python = pythons().into_iter().next()?;
            Some(serve_command(&python, &base.join("repositories").join(path)))
        }
        _ => None,
    }
}

pub fn serve_command(python: &Path, directory: &Path) -> Command {
    let mut command = hg(python);
    command.arg("-R").arg(directory).args(["serve", "--stdio"]);
    command
}

/// `hg` as it is installed beside its Python.
pub fn hg(python: &Path) -> Command {
    let mut command = Command::new(python.with_file_name("hg"));
    command.env("HGRCPATH", "").env("HGUSER", "ann").env_remove("HG");
    command
}

/// Mercurials to try: `HG_PYTHONS`, or those that are usually there.
pub fn pythons() -> Vec<PathBuf> {
    let named = std::env::var("HG_PYTHONS").unwrap_or_else(|_| {
        let venv = std::env::var("HGOP_VENV").map(|venv| format!(":{venv}/bin/python")).unwrap_or_default();
        format!("/usr/bin/python3{venv}")
    });
    named.split(':').map(PathBuf::from).filter(|python| python.with_file_name("hg").exists()).collect()
}

fn open(served: Arc<Served>, base: PathBuf, program: Program) -> Open {
    Arc::new(move |request| {
        let (served, base) = (Arc::clone(&served), base.clone());
        Box::pin(async move {
            served.requests.lock().unwrap().push(request.clone());
            let Some(mut command) = program(&base, request.path.as_str()) else {
                return Err(OpenRefused::does_not_exist(&request.path));
            };
            let child = command
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .unwrap();
            served.started.fetch_add(1, Ordering::SeqCst);
            Ok(carried(served, request.path.as_str(), child))
        })
    })
}

fn carried(served: Arc<Served>, path: &str, mut child: Child) -> Hg {
    let count = Arc::clone(served.bytes.lock().unwrap().entry(path.to_owned()).or_default());
    let stdout = InspectReader::new(child.stdout.take().unwrap(), move |bytes| {
        count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    });
    Hg {
        stdin: Box::new(child.stdin.take().unwrap()),
        stdout: Box::new(stdout),
        stderr: Box::new(child.stderr.take().unwrap()),
        ended: Box::pin(async move {
            let status = child.wait().await.unwrap();
            served.ended.fetch_add(1, Ordering::SeqCst);
            status.code().map_or(Ended::Abnormal, Ended::Exit)
        }),
    }
}

/// Exactly this many bytes, then stops reading.
pub async fn take(from: &mut (impl AsyncRead + Unpin), bytes: u64) {
    let (mut limited, mut nowhere) = (from.take(bytes), tokio::io::sink());
    let taken = tokio::io::copy(&mut limited, &mut nowhere);
    assert_eq!(tokio::time::timeout(DEADLINE, taken).await.unwrap().unwrap(), bytes);
}
