//! One `hgd` as a container runs it: a mount namespace with a read-only root, user and group 65532 without a name, no
//! capability, an empty environment; the volume at `data`, configuration and secrets read-only, behind the links that
//! the kubelet makes.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use scenarios::{get, hgd, signal, wait_longer_for};

pub const USER: u32 = 65532;
/// Where a pod finds its folders.
pub const MOUNTS: &str = "/mnt/pod";

const CONTAINER: &str = "set -eu
mount -t tmpfs -o mode=0755 none /mnt
mkdir -p /mnt/pod/data
for secret in config tls host-keys users; do
    mkdir /mnt/pod/$secret
    mount --bind -o ro \"$FOLDER/$secret\" /mnt/pod/$secret
done
mount --bind \"$FOLDER/data/$NAME\" /mnt/pod/data
mount -t tmpfs -o mode=1777 none /tmp
mount -o remount,bind,ro /
exec env -i PATH=/usr/bin:/bin KUBECONFIG=/mnt/pod/config/kubeconfig setpriv --reuid=65532 --regid=65532 \
    --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \"$HGD\" \"$ROLE\" --config \
    /mnt/pod/config/$NAME.json";

/// A grace period as a pod has it by default.
pub const GRACE: Duration = Duration::from_secs(30);

pub struct Pod {
    name: String,
    role: &'static str,
    folder: PathBuf,
    probes: String,
    process: Option<Child>,
}

impl Pod {
    pub fn new(folder: &Path, name: &str, role: &'static str, probe_port: u16) -> Pod {
        let data = folder.join("data").join(name);
        fs::create_dir_all(&data).unwrap();
        chown(&data, Some(USER), Some(USER)).unwrap();
        let probes = format!("http://127.0.0.1:{probe_port}");
        Pod { name: name.to_owned(), role, folder: folder.to_owned(), probes, process: None }
    }

    pub fn start(&mut self) {
        assert!(!hgd().starts_with("/tmp"), "a container has a /tmp of its own: the tree has to be elsewhere");
        let log = File::options().create(true).append(true).open(self.log()).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", CONTAINER])
            .envs([("FOLDER", self.folder.as_os_str()), ("NAME", self.name.as_ref()), ("ROLE", self.role.as_ref())])
            .env("HGD", hgd())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.process = Some(child.unwrap());
    }

    /// SIGTERM, as the kubelet sends it; the status with which it ended within the grace period.
    pub fn terminate(&mut self) {
        signal(self.process.as_ref().expect("the pod runs").id(), Signal::TERM);
    }

    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let name = self.name.clone();
        let process = self.process.as_mut().expect("the pod runs");
        let status = wait_longer_for(GRACE, &name, || process.try_wait().unwrap().ok_or("it still runs".to_owned()));
        self.process = None;
        status
    }

    /// The body, if the answer is a success.
    pub fn probe(&self, path: &str) -> Result<String, String> {
        get(&self.probes, path)
    }

    /// The value of a metric, with its labels as they are printed.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let text = self.probe("/metrics").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    /// Whether a file of this name is in the `.hg` of one of its repositories.
    pub fn has_in_a_repository(&self, file: &str) -> bool {
        let repositories = fs::read_dir(self.folder.join("data").join(&self.name).join("repositories")).unwrap();
        repositories.map(Result::unwrap).any(|repository| repository.path().join(".hg").join(file).exists())
    }

    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = fs::read_to_string(self.log()).unwrap_or_default();
            let last: Vec<_> = text.lines().rev().take(30).collect();
            eprintln!("== {}\n{}", self.name, last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        if let Some(mut process) = self.process.take() {
            signal(process.id(), Signal::KILL);
            process.wait().unwrap();
        }
    }
}

/// Writes a volume of a secret or of a ConfigMap, or replaces its content as the kubelet does.
pub fn write_secret(folder: &Path, files: &[(String, String)]) {
    fs::create_dir_all(folder).unwrap();
    let version = (1..).map(|n| format!("..version-{n}")).find(|name| !folder.join(name).exists()).unwrap();
    fs::create_dir(folder.join(&version)).unwrap();
    for (name, text) in files {
        let file = folder.join(&version).join(name);
        fs::write(&file, text).unwrap();
        chown(&file, Some(0), Some(USER)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o440)).unwrap();
        if !folder.join(name).is_symlink() {
            symlink(format!("..data/{name}"), folder.join(name)).unwrap();
        }
    }
    symlink(&version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}
