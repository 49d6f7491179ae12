//! A real etcd, kube-apiserver and kube-controller-manager for one test, from `tests/kubernetes`. No node: pods are
//! made, and nobody runs them, but what a test starts itself as an [`Instance`].

mod hosts;
mod instance;
mod operator;
mod proxy;
mod requests;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub use hosts::Hosts;
pub use instance::{Instance, Node};
use kube::config::{KubeConfigOptions, Kubeconfig};
pub use operator::Operator;
pub use proxy::{Fault, Proxy, Snapshot};
pub use requests::Right;
use serde::Deserialize;
use tempfile::TempDir;

/// Until the API server answers, on a machine that runs other tests at the same time.
const START_LIMIT: Duration = Duration::from_secs(180);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// API server that ends when this is dropped.
pub struct ApiServer {
    testbed: Child,
    ready: Ready,
    _directory: TempDir,
}

#[derive(Deserialize)]
struct Ready {
    kubeconfig: PathBuf,
}

/// Between two looks at a level.
pub async fn until_next_look() {
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
}

impl ApiServer {
    /// Builds the testbed where nobody has (minutes), and starts it.
    pub fn start() -> ApiServer {
        let directory = TempDir::new().unwrap();
        let ready_file = directory.path().join("ready.json");
        let log = std::fs::File::create(directory.path().join("testbed.log")).unwrap();
        let mut testbed = Command::new(testbed())
            .arg("api-server")
            .args(["--dir".as_ref(), directory.path().join("state").as_os_str()])
            .args(["--ready-file".as_ref(), ready_file.as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let ready = wait(&mut testbed, &ready_file, &directory.path().join("testbed.log"));
        ApiServer { testbed, ready, _directory: directory }
    }

    pub fn kubeconfig(&self) -> &Path {
        &self.ready.kubeconfig
    }

    /// As the administrator.
    pub async fn client(&self) -> kube::Client {
        kube::Client::try_from(self.config().await).unwrap()
    }

    /// As somebody else, who may do what RBAC says, with a client that never repeats a request by itself.
    pub async fn client_as(&self, user: &str) -> kube::Client {
        let mut config = self.config().await;
        config.auth_info.impersonate = Some(user.to_owned());
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }

    async fn config(&self) -> kube::Config {
        let kubeconfig = Kubeconfig::read_from(&self.ready.kubeconfig).unwrap();
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        // Its children end with it.
        let _ = self.testbed.kill();
        let _ = self.testbed.wait();
    }
}

fn testbed() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = Command::new(root.join("tests/kubernetes/build.sh")).arg("testbed").stderr(Stdio::inherit()).output();
    let built = built.unwrap();
    assert!(built.status.success(), "tests/kubernetes/build.sh has failed");
    Path::new(String::from_utf8(built.stdout).unwrap().trim()).join("testbed")
}

fn wait(testbed: &mut Child, ready_file: &Path, log: &Path) -> Ready {
    let start = Instant::now();
    let said = || std::fs::read_to_string(log).unwrap_or_default();
    loop {
        if let Ok(text) = std::fs::read(ready_file) {
            return serde_json::from_slice(&text).unwrap();
        }
        if let Some(status) = testbed.try_wait().unwrap() {
            panic!("the testbed has ended: {status}\n{}", said());
        }
        if start.elapsed() > START_LIMIT {
            let _ = testbed.kill();
            panic!("the API server does not answer within {START_LIMIT:?}\n{}", said());
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
