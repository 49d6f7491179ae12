//! A developer with a hg and an ssh of their own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Installation, Mercurial, Ready};

/// Outcome: what a command said.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Standard output of a command that must succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }

    /// Both outputs of a command that must fail.
    #[track_caller]
    pub fn fails(self) -> String {
        assert_ne!(self.code, Some(0), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout + &self.stderr
    }
}

#[derive(Clone, Debug)]
pub struct Client {
    mercurial: Mercurial,
    /// `ui.ssh`: OpenSSH with the installation's key and no file of the person who runs the tests.
    ssh: String,
    pub ssh_url: String,
    pub http: String,
    pub folder: PathBuf,
}

impl Client {
    pub fn new(installation: &Installation, mercurial: &Mercurial, folder: &str) -> Client {
        Client::of(installation.ready(), mercurial, installation.path().join("clients").join(folder))
    }

    /// Makes a client of an installation that says it is ready like this.
    pub fn of(ready: &Ready, mercurial: &Mercurial, folder: PathBuf) -> Client {
        std::fs::create_dir_all(&folder).unwrap();
        let identity = ready.ssh.identity_file.display();
        let ssh = format!(
            "ssh -F none -i {identity} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR \
             -o UserKnownHostsFile=/dev/null -o ControlMaster=no"
        );
        let ssh_url = format!("ssh://{}@{}:{}", ready.ssh.user, ready.ssh.host, ready.ssh.port);
        Client { mercurial: mercurial.clone(), ssh, ssh_url, http: ready.http.clone(), folder }
    }

    /// `hg` as a command of this developer in `repository` (below the client's folder; "" for the folder itself).
    pub fn command(&self, repository: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let mut command = self.program(&self.mercurial.hg, repository.as_ref());
        command
            .args(["--config", &format!("ui.ssh={}", self.ssh)])
            .args(["--config", "ui.username=Test User <test@example.com>", "--config", "ui.timeout=60"])
            .args(arguments);
        command
    }

    /// The interpreter of this developer's Mercurial in `repository`.
    pub fn python(&self, repository: impl AsRef<Path>) -> Command {
        self.program(&self.mercurial.python, repository.as_ref())
    }

    fn program(&self, program: &Path, repository: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.folder.join(repository))
            .env_clear()
            .envs([("HGRCPATH", ""), ("HGPLAIN", "1"), ("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")])
            .env("HOME", &self.folder)
            .stdin(Stdio::null());
        command
    }

    pub fn hg(&self, repository: impl AsRef<Path>, arguments: &[&str]) -> Outcome {
        outcome(self.command(repository, arguments))
    }

    pub fn start(&self, repository: impl AsRef<Path>, arguments: &[&str]) -> Child {
        self.command(repository, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Answers what `ui.ssh` is.
    pub fn ssh_command(&self) -> &str {
        &self.ssh
    }

    /// The URL of a repository on the master.
    pub fn push_url(&self, path: &str) -> String {
        format!("{}/{path}", self.ssh_url)
    }

    /// A new local repository with one changeset.
    pub fn init(&self, repository: &str) {
        self.hg("", &["init", repository]).ok();
        self.commit(repository, "file", "first");
    }

    /// Commits `text` as the content of `file` and returns the changeset's full hash.
    pub fn commit(&self, repository: &str, file: &str, text: &str) -> String {
        let path = self.folder.join(repository).join(file);
        std::fs::write(path, text).unwrap();
        self.hg(repository, &["commit", "--addremove", "-m", text]).ok();
        self.tip(repository)
    }

    pub fn tip(&self, repository: &str) -> String {
        self.hg(repository, &["log", "-r", ".", "-T", "{node}"]).ok()
    }

    /// The tip's hash of the repository at a URL; what hg says when there is none.
    pub fn remote_tip(&self, url: &str) -> Result<String, String> {
        let Outcome { code, stdout, stderr } = self.hg("", &["identify", "--debug", "--id", url]);
        // Among what `--debug` tells of the exchange.
        let is_hash = |line: &&str| line.len() == 40 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
        stdout.lines().rfind(is_hash).filter(|_| code == Some(0)).map(str::to_owned).ok_or(stderr)
    }

    /// `ssh` with this developer's options and these further arguments.
    pub fn ssh(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.ssh_with(&[]);
        command.args(arguments).stdin(Stdio::null());
        outcome(command)
    }

    /// `ssh` to the master with this developer's options; `options` come first, hence win.
    pub fn ssh_with(&self, options: &[String]) -> Command {
        let mut words = self.ssh.split(' ');
        let mut command = Command::new(words.next().unwrap());
        let (user_host, port) = self.ssh_url.trim_start_matches("ssh://").rsplit_once(':').unwrap();
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command.args(words).args(["-p", port, user_host]);
        command
    }
}

pub(crate) fn outcome(mut command: Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
