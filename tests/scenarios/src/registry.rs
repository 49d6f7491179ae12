//! Registry: what the installation's own parts ask a master for, with the supervisor's certificate.

use std::path::PathBuf;

use protocol::status::Status;
use protocol::{CreationId, Registry, RepositorySettings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use transport::{Client, ClientError, Identity, Target};

use crate::{Installation, wait_for};

const AT_ONCE: usize = 32;

pub struct RegistryClient {
    runtime: Runtime,
    client: Client,
    data: PathBuf,
}

/// Settings of a repository that developers may push to.
pub fn settings(publishing: bool) -> RepositorySettings {
    RepositorySettings { write_groups: vec!["developers".into()], publishing, ..RepositorySettings::default() }
}

impl RegistryClient {
    pub fn new(installation: &Installation) -> RegistryClient {
        RegistryClient::of(installation, "supervisor")
    }

    /// With the certificate of another process.
    pub fn of(installation: &Installation, process: &str) -> RegistryClient {
        transport::install_crypto_provider();
        let identity = Identity::open(&installation.data().join("pki").join(process)).unwrap();
        let client = Client::new(identity);
        RegistryClient { runtime: Runtime::new().unwrap(), client, data: installation.data() }
    }

    /// Whoever the register names now.
    fn master(&self) -> Target {
        let name = wait_for("the register names a master", || {
            let register = std::fs::read(self.data.join("register.json")).map_err(|error| error.to_string())?;
            let register: serde_json::Value = serde_json::from_slice(&register).map_err(|error| error.to_string())?;
            register["master"].as_str().map(str::to_owned).ok_or_else(|| register.to_string())
        });
        let config = std::fs::read(self.data.join(format!("config/{name}.json"))).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
        Target::new(name.parse().unwrap(), config["adminListen"].as_str().unwrap())
    }

    pub fn put(&self, path: &str, settings: &impl Serialize) {
        self.put_all(&[path.to_owned()], settings);
    }

    /// Many at once: they share the master's fsyncs. Asked again while there is no master.
    pub fn put_all(&self, paths: &[String], settings: &impl Serialize) {
        let put = async |master: &Target, path: &String| {
            let url = format!("/v1/registry/{path}");
            self.client.put_json::<serde_json::Value>(master, &url, settings).await
        };
        for some in paths.chunks(AT_ONCE) {
            let answers = wait_for("the registry takes repositories", || {
                let master = self.master();
                let all = futures::future::join_all(some.iter().map(|path| put(&master, path)));
                let answers: Result<Vec<_>, _> = self.runtime.block_on(all).into_iter().collect();
                answers.map_err(|error| error.to_string())
            });
            let last = answers.iter().map(|answer| answer["offset"].as_u64().unwrap()).max().unwrap();
            self.is_applied(last);
        }
    }

    pub fn delete(&self, path: &str) {
        let last = self.registry().by_path(&path.parse().unwrap()).unwrap().last;
        self.runtime.block_on(self.client.delete(&self.master(), &format!("/v1/registry/{path}"))).unwrap();
        self.is_applied(last.0 + 1);
    }

    /// Waits until the master's status knows of that record, which was answered when it was committed.
    fn is_applied(&self, offset: u64) {
        wait_for("the master applies a record", || {
            let status: Status = self
                .runtime
                .block_on(self.client.get_json(&self.master(), "/status.json"))
                .map_err(|error| error.to_string())?;
            let applied = status.instances.iter().map(|instance| instance.applied.0).max();
            if applied >= Some(offset) { Ok(()) } else { Err(format!("{applied:?} of {offset}")) }
        });
    }

    fn registry(&self) -> Registry {
        self.runtime.block_on(self.client.get_json(&self.master(), "/v1/registry")).unwrap()
    }

    pub fn id(&self, path: &str) -> CreationId {
        let registry: Registry = self.runtime.block_on(self.client.get_json(&self.master(), "/v1/registry")).unwrap();
        registry.by_path(&path.parse().unwrap()).expect("a repository of that path").id
    }

    /// Asks the master, and answers what it says.
    pub fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.runtime.block_on(self.client.get_json(&self.master(), path))
    }

    /// `POST` to the master, who answers nothing.
    pub fn tell(&self, path: &str, value: &impl Serialize) -> Result<(), ClientError> {
        self.runtime.block_on(self.client.post_json(&self.master(), path, value))
    }

    /// Gets what an instance or mirror answers on its admin port.
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
