//! Starting a cluster, taking it down, and telling it what to do.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use scenarios::{Mercurial, Ready};

/// The SSH instances are on the first two; the third one has mirrors only, and so publication can go on without it.
const NODES: &str = "3";
const LAST_NODE: &str = "n3";
/// Holds the image's full name.
const IMAGE: &str = "target/images/hg-operator.name";
const NAME_SERVER: &str = "10.200.0.1:53";
/// The most mirrors that a test asks for.
const MIRRORS: usize = 4;
/// Set: a cluster that is there is used, and stays. For whoever writes a test.
const KEEP: &str = "HGOP_KEEP_CLUSTER";

/// Built programs and images that everything is started with.
pub struct Built {
    /// The repository's.
    pub root: PathBuf,
    /// The folder of the testbed, kubectl and helm.
    pub programs: PathBuf,
}

impl Built {
    pub fn find() -> Built {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let built = said(Command::new(root.join("tests/kubernetes/build.sh")).stderr(Stdio::inherit())).unwrap();
        Built { programs: PathBuf::from(built.trim()), root }
    }
}

/// Cluster that is taken down when this is dropped, also by a test that fails.
pub struct Cluster {
    root: PathBuf,
    pub(crate) directory: PathBuf,
    programs: PathBuf,
    ready: Option<Ready>,
    forwarder: Option<Child>,
    /// Each mirror for itself, also those that are not there now.
    pub mirrors: Vec<String>,
    /// The port here that leads to the SSH Service of an SshMaster called `one`, once there is one.
    pub one_ssh: u16,
    pub mercurial: Mercurial,
}

impl Cluster {
    /// Returns when everything of the quickstart is ready. `make test-cluster` has made the images.
    pub fn start(built: Built) -> Cluster {
        let Built { root, programs } = built;
        let mut cluster = Cluster {
            directory: root.join("target/test-cluster"),
            programs,
            root,
            ready: None,
            forwarder: None,
            mirrors: Vec::new(),
            one_ssh: 0,
            mercurial: scenarios::mercurials().pop().unwrap(),
        };
        if std::env::var_os(KEEP).is_none() || !cluster.directory.join("ready.json").exists() {
            cluster.testbed("cluster up --nodes", &[NODES, "--image", "target/images/pause.tar"]);
            cluster.testbed("cluster import", &["target/images/hg-operator.tar"]);
            cluster.kubectl(&format!("cordon {LAST_NODE}"));
            let image = std::fs::read_to_string(cluster.root.join(IMAGE)).unwrap();
            cluster.testbed("deploy --image", &[image.trim()]);
            cluster.kubectl(&format!("uncordon {LAST_NODE}"));
        }
        cluster.ready =
            Some(serde_json::from_slice(&std::fs::read(cluster.directory.join("ready.json")).unwrap()).unwrap());
        cluster.forward();
        cluster
    }

    pub fn ready(&self) -> &Ready {
        self.ready.as_ref().unwrap()
    }

    /// A folder for what tests write.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.directory.join("clients").join(name);
        let _none_before = std::fs::remove_dir_all(&folder);
        folder
    }

    /// Where everything is that a volume holds, by its name.
    pub fn volume(&self, name: &str) -> PathBuf {
        self.directory.join("volumes").join(name)
    }

    /// A command of the testbed: its words, `--dir`, and the rest.
    pub(crate) fn testbed(&self, command: &str, rest: &[&str]) {
        let words = command.split(' ');
        let flag = words.clone().filter(|word| word.starts_with("--"));
        let mut line = Command::new(self.programs.join("testbed"));
        line.args(words.filter(|word| !word.starts_with("--"))).arg("--dir").arg(&self.directory);
        line.args(flag).args(rest).current_dir(&self.root).stdin(Stdio::null());
        let status = line.status().unwrap();
        assert!(status.success(), "testbed {command}: {status}");
    }

    /// The file of the network namespace from which readers and writers come.
    pub(crate) fn namespace(&self) -> String {
        let pid = std::fs::read_to_string(self.directory.join("pids/forward-quickstart")).unwrap();
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", pid.trim())).unwrap();
        line.split('\0').find_map(|word| word.strip_prefix("--namespace=")).unwrap().to_owned()
    }

    /// The pods' own addresses, by name; the testbed forwards only to those of the beginning.
    fn forward(&mut self) {
        let mut command = Command::new(self.programs.join("testbed"));
        command.args(["forward", &format!("--namespace={}", self.namespace()), "--name-server", NAME_SERVER]);
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let ssh = free();
        self.one_ssh = ssh.port();
        command.arg(format!("{ssh}=one-ssh.quickstart.svc.cluster.local:22"));
        for number in 0..MIRRORS {
            let free = free();
            let host = format!("web-mirror-{number}.web-mirror-instances.quickstart.svc.cluster.local");
            command.arg(format!("{free}={host}:8080"));
            self.mirrors.push(format!("http://{free}"));
        }
        let log = std::fs::File::create(self.directory.join("logs/forward-mirrors.log")).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.forwarder = Some(command.spawn().unwrap());
    }

    pub fn kubeconfig_file(&self) -> std::path::PathBuf {
        self.directory.join("kubeconfig")
    }

    fn kubeconfig(&self) -> String {
        format!("--kubeconfig={}", self.kubeconfig_file().display())
    }

    /// Asks kubectl in the quickstart's namespace, and answers what it says; of failures too.
    pub fn try_kubectl(&self, line: &str) -> Result<String, String> {
        let mut command = Command::new(self.programs.join("kubectl"));
        command.arg(self.kubeconfig()).args(["--namespace=quickstart", "--request-timeout=20s"]);
        said(command.args(line.split_whitespace()).current_dir(&self.root).stdin(Stdio::null()))
    }

    #[track_caller]
    pub fn kubectl(&self, line: &str) -> String {
        self.try_kubectl(line).unwrap()
    }

    pub fn try_apply(&self, manifest: &str) -> Result<String, String> {
        let file = self.directory.join("applied.yaml");
        std::fs::write(&file, manifest).unwrap();
        self.try_kubectl(&format!("apply -f {}", file.display()))
    }

    #[track_caller]
    pub fn apply(&self, manifest: &str) {
        self.try_apply(manifest).unwrap();
    }

    #[track_caller]
    pub fn helm(&self, line: &str) -> String {
        let mut command = Command::new(self.programs.join("helm"));
        command.arg(self.kubeconfig()).arg("--namespace=hg-operator").args(line.split_whitespace());
        said(command.current_dir(&self.root).stdin(Stdio::null())).unwrap()
    }

    /// Explains what a person would look at first; a cluster that is taken down tells nothing any more.
    fn explain(&self) {
        for line in [
            "get nodes",
            "get pods,pvc -o wide",
            "get hg",
            "get sshmasters,mirrorpools -o yaml",
            "get events --sort-by=.lastTimestamp",
            "logs -n hg-operator -l app.kubernetes.io/name=hg-operator --tail=40 --prefix",
            "logs -l app.kubernetes.io/name=hg-operator --tail=15 --prefix",
        ] {
            eprintln!("--- kubectl {line}:\n{}", self.try_kubectl(line).unwrap_or_else(|error| error));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut forwarder) = self.forwarder.take() {
            let _it_may_have_ended = forwarder.kill();
            let _status = forwarder.wait();
        }
        if std::thread::panicking() {
            self.explain();
        }
        if std::env::var_os(KEEP).is_none() {
            let mut command = Command::new(self.programs.join("testbed"));
            let down = command.args(["cluster", "down", "--dir"]).arg(&self.directory).status();
            eprintln!("the cluster is taken down: {down:?}");
        }
    }
}

pub(crate) fn said(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(stdout),
        false => Err(format!("{command:?}: {stdout}{}", String::from_utf8_lossy(&output.stderr))),
    }
}
