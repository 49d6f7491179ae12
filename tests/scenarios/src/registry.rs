//! What the installation's own parts ask a master for, with the supervisor's certificate.

use protocol::{CreationId, InstanceName, Registry, RepositorySettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use transport::{Client, ClientError, Identity, Target};

use crate::Installation;

pub struct RegistryClient {
    runtime: Runtime,
    client: Client,
    master: Target,
}

/// Settings of a repository that developers may push to.
pub fn settings(publishing: bool) -> RepositorySettings {
    RepositorySettings { write_groups: vec!["developers".into()], publishing, ..RepositorySettings::default() }
}

impl RegistryClient {
    pub fn new(installation: &Installation) -> RegistryClient {
        transport::install_crypto_provider();
        let identity = Identity::open(&installation.data().join("pki/supervisor")).unwrap();
        let client = Client::new(identity);
        let name: InstanceName = "ssh-0".parse().unwrap();
        let config = std::fs::read(installation.data().join("config/ssh-0.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        let master = Target::new(name, config["adminListen"].as_str().unwrap());
        RegistryClient { runtime: Runtime::new().unwrap(), client, master }
    }

    pub fn put(&self, path: &str, settings: &impl Serialize) {
        let url = format!("/v1/registry/{path}");
        let _: serde_json::Value = self.runtime.block_on(self.client.put_json(&self.master, &url, settings)).unwrap();
    }

    /// Many at once: they share the master's fsyncs.
    pub fn put_all(&self, paths: &[String], settings: &impl Serialize) {
        let put = async |path: &String| {
            let url = format!("/v1/registry/{path}");
            self.client.put_json::<serde_json::Value>(&self.master, &url, settings).await.unwrap()
        };
        self.runtime.block_on(async {
            for some in paths.chunks(32) {
                futures::future::join_all(some.iter().map(put)).await;
            }
        });
    }

    pub fn delete(&self, path: &str) {
        self.runtime.block_on(self.client.delete(&self.master, &format!("/v1/registry/{path}"))).unwrap();
    }

    pub fn id(&self, path: &str) -> CreationId {
        let registry: Registry = self.runtime.block_on(self.client.get_json(&self.master, "/v1/registry")).unwrap();
        registry.by_path(&path.parse().unwrap()).expect("a repository of that path").id
    }

    /// What an instance or mirror answers on its admin port.
    pub fn get<T: DeserializeOwned>(
        &self,
        installation: &Installation,
        name: &str,
        path: &str,
    ) -> Result<T, ClientError> {
        let config = std::fs::read(installation.data().join(format!("config/{name}.json"))).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        let target = Target::new(name.parse().unwrap(), config["adminListen"].as_str().unwrap());
        self.runtime.block_on(self.client.get_json(&target, path))
    }
}
