//! A pod of the operator's that really runs: `hgd` with the configuration and the secrets that the operator has
//! written, as the kubelet would start it.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::{Api, Client, ResourceExt};

use crate::hosts::Hosts;
use crate::operator::program;

/// Where the operator says that a pod finds what it is given.
const MOUNTS: &str = "/etc/hg-operator";
/// Where it says that sockets are, when the data folder is everybody's.
const RUN_FOLDER: &str = "/tmp/hgd";

/// Where it is to run.
pub struct Node<'a> {
    pub client: Client,
    pub namespace: &'a str,
    pub kubeconfig: &'a Path,
    pub hosts: &'a Hosts,
    pub folder: &'a Path,
}

/// Instance that is killed when dropped.
pub struct Instance {
    child: Child,
    log: PathBuf,
}

impl Node<'_> {
    /// `volumes`: what the folders below `/etc/hg-operator` are of, beside the certificates.
    pub async fn run(&self, workload: &str, ordinal: u32, volumes: &[(&str, &str)]) -> Instance {
        let pod = format!("{workload}-{ordinal}");
        let folder = self.folder.join(&pod);
        let mounts = folder.join("mounts");
        self.mount(&format!("{workload}-tls"), &mounts.join("tls")).await;
        for (volume, secret) in volumes {
            self.mount(secret, &mounts.join(volume)).await;
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), self.namespace);
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        let map = maps.get(workload).await.unwrap();
        let text = &map.data.unwrap()[&format!("{pod}.json")];
        // One volume for all instances is one folder.
        let is_shared = text.contains(RUN_FOLDER);
        let data = if is_shared { self.folder.join(workload).join("data") } else { folder.join("data") };
        std::fs::create_dir_all(&data).unwrap();
        let text = text
            .replace("0.0.0.0:", &format!("{}:", self.hosts.address(&pod)))
            .replace(MOUNTS, mounts.to_str().unwrap())
            .replace(RUN_FOLDER, folder.join("run").to_str().unwrap())
            .replace(r#""/data""#, &format!("{data:?}"));
        let config = folder.join("config.json");
        std::fs::write(&config, text).unwrap();
        let role = if workload.ends_with("-ssh") { "ssh" } else { "mirror" };
        let log = folder.join("log");
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = self
            .hosts
            .command(&program("hgd"))
            .args([role, "--config"])
            .arg(&config)
            .env("KUBECONFIG", self.kubeconfig)
            .env("POD_UID", pods.get(&pod).await.unwrap().uid().unwrap())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Instance { child, log }
    }

    async fn mount(&self, secret: &str, folder: &Path) {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), self.namespace);
        std::fs::create_dir_all(folder).unwrap();
        for (name, bytes) in secrets.get(secret).await.unwrap().data.unwrap_or_default() {
            std::fs::write(folder.join(name), bytes.0).unwrap();
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let last: Vec<&str> = text.lines().rev().take(30).collect();
            eprintln!("== {}\n{}", self.log.display(), last.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
    }
}
