//! Plain Mercurial as a server (`plain.py`).

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use scenarios::Mercurial;
use serde::Deserialize;

pub struct Plain {
    process: Child,
    said: Said,
}

#[derive(Deserialize)]
struct Said {
    socket: PathBuf,
    http: String,
}

/// This test's own folder.
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sameness").join(name)
}

impl Plain {
    /// `repositories`: path and hgrc of each; `hgrc` is for all of them.
    pub fn start(mercurial: &Mercurial, folder: &Path, hgrc: &str, repositories: &[(String, String)]) -> Plain {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("hgrc"), hgrc).unwrap();
        let log = std::fs::File::create(folder.join("log")).unwrap();
        let mut command = Command::new(&mercurial.python);
        command.arg(script("plain.py")).arg(folder).arg(serde_json::to_string(repositories).unwrap());
        command.env_clear().envs([("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8"), ("USER", "tester")]);
        command.env("HGRCPATH", folder.join("hgrc")).env("HOME", folder);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line);
        let said = said.unwrap_or_else(|_| panic!("{}", std::fs::read_to_string(folder.join("log")).unwrap()));
        Plain { process, said }
    }

    /// `ui.ssh` for its sessions.
    pub fn ssh(&self) -> String {
        format!("/usr/bin/python3 -IS {} {}", script("standin.py").display(), self.said.socket.display())
    }

    pub fn http(&self) -> &str {
        &self.said.http
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // What it has forked ends when it is gone.
        let _it_may_have_ended = self.process.kill();
        let _status = self.process.wait();
    }
}
