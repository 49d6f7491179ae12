//! Pods' names for programs of a test: each is an address of loopback, in an `/etc/hosts` of the program's own. That
//! takes a mount namespace, hence root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// Not each test counts for itself, and not each process either.
static NEXT: AtomicU8 = AtomicU8::new(0);
const FIRST: u8 = 64;

/// `$0` is the file, the rest the command.
const WITH_HOSTS: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;

pub struct Hosts {
    file: PathBuf,
    addresses: Vec<(String, String)>,
}

impl Hosts {
    /// For these pods: their names with the headless service and the namespace that they are of.
    pub fn new(folder: &Path, pods: &[String]) -> Hosts {
        let process = std::process::id();
        let (high, low) = ((process >> 8) & 0xff, process & 0xff);
        let address = |pod: &String| {
            let second = FIRST + NEXT.fetch_add(1, Ordering::Relaxed);
            (pod.clone(), format!("127.{second}.{high}.{low}"))
        };
        let addresses: Vec<(String, String)> = pods.iter().map(address).collect();
        let lines: String = addresses.iter().map(|(name, address)| format!("{address} {name}\n")).collect();
        let file = folder.join("hosts");
        std::fs::write(&file, format!("127.0.0.1 localhost\n{lines}")).unwrap();
        Hosts { file, addresses }
    }

    /// Address of the pod whose name this begins with.
    pub fn address(&self, pod: &str) -> &str {
        let (_, address) = self.addresses.iter().find(|(name, _)| name.starts_with(&format!("{pod}."))).unwrap();
        address
    }

    /// A command of this program which finds the pods. Its process is the program's.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", WITH_HOSTS]).arg(&self.file).arg(program);
        command
    }
}
