//! Plain Mercurial: `hg serve --stdio` behind OpenSSH's sshd, with a configuration of our own on loopback.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use scenarios::{Client, Installation, Mercurial, wait_for};

pub struct PlainSsh {
    process: Child,
    folder: tempfile::TempDir,
    port: u16,
    user: String,
    mercurial: Mercurial,
}

impl PlainSsh {
    /// Lets the installation's own key in.
    pub fn start(installation: &Installation, mercurial: &Mercurial) -> PlainSsh {
        let folder = tempfile::Builder::new().prefix("plain-ssh-").tempdir().unwrap();
        let path = folder.path();
        let key = path.join("host_key");
        let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        let identity = &installation.ready().ssh.identity_file;
        let public = Command::new("ssh-keygen").args(["-y", "-f"]).arg(identity).output().unwrap();
        std::fs::write(path.join("authorized_keys"), public.stdout).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let lines = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             StrictModes no\nSetEnv HGRCPATH={}\n",
            key.display(),
            path.join("authorized_keys").display(),
            path.join("hgrc").display(),
        );
        std::fs::write(path.join("sshd_config"), lines).unwrap();
        std::fs::write(path.join("hgrc"), "").unwrap();
        // sshd wants this folder when it runs as root.
        let _exists_or_not_root = std::fs::create_dir_all("/run/sshd");
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-f"]).arg(path.join("sshd_config")).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        wait_for("sshd", || TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string()));
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap().trim().to_owned();
        PlainSsh { process, folder, port, user, mercurial: mercurial.clone() }
    }

    /// A new publishing repository; its address.
    pub fn repository(&self, name: &str) -> (PathBuf, String) {
        let path = self.folder.path().join(name);
        let made = Command::new(&self.mercurial.hg).env("HGRCPATH", "").arg("init").arg(&path).status();
        assert!(made.unwrap().success());
        let url = format!("ssh://{}@127.0.0.1:{}/{}", self.user, self.port, path.display());
        (path, url)
    }

    /// `hg push` of `client` to an address of ours.
    pub fn push(&self, client: &Client, repository: impl AsRef<Path>, url: &str) -> Command {
        let remote = format!("ui.remotecmd={}", self.mercurial.hg.display());
        client.command(repository, &["push", "--config", &remote, url])
    }
}

impl Drop for PlainSsh {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _status = self.process.wait();
    }
}
