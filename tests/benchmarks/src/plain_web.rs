//! Plain Mercurial over HTTP: hgwebdir under gunicorn, as the reference runs it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use scenarios::{KeepAlive, Mercurial, wait_for};

const WORKERS: &str = "2";
const APPLICATION: &str = "\
try:
    from mercurial import initialization
    initialization.init()
except ImportError:
    pass
from mercurial.hgweb import hgweb
application = hgweb(b'hgweb.conf')
";

pub struct PlainWeb {
    process: Child,
    pub url: String,
}

impl PlainWeb {
    /// Serves all repositories below `folder`.
    pub fn start(folder: &Path, mercurial: &Mercurial) -> PlainWeb {
        std::fs::write(folder.join("plain_application.py"), APPLICATION).unwrap();
        let lines = "[paths]\n/ = repositories/*\n[web]\nallow-archive = zip\n";
        std::fs::write(folder.join("hgweb.conf"), lines).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(&mercurial.python);
        command.args(["-m", "gunicorn", "--workers", WORKERS, "--bind", &address.to_string()]);
        command.arg("plain_application:application").current_dir(folder);
        command.env("HGRCPATH", "").env("PYTHONPATH", gunicorn()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let url = format!("http://{address}");
        wait_for("gunicorn", || {
            let answer = KeepAlive::new(&url).get("/", &[]).map_err(|error| error.to_string())?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        });
        PlainWeb { process, url }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}

/// Where Python finds gunicorn: beside the interpreter of the script that `PATH` or `HGOP_VENV` has.
fn gunicorn() -> PathBuf {
    let in_venv = std::env::var_os("HGOP_VENV").map(|venv| PathBuf::from(venv).join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let script = in_venv.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join("gunicorn"));
    let script = script.into_iter().find(|file| file.exists()).expect("gunicorn: `make setup` installs it");
    let python = script.with_file_name("python");
    let tell = "import gunicorn, os; print(os.path.dirname(os.path.dirname(gunicorn.__file__)))";
    let output = Command::new(python).args(["-c", tell]).output().unwrap();
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

impl Drop for PlainWeb {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _status = self.process.wait();
    }
}
