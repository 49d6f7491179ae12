//! Two SSH instances and a mirror, configured as the operator configures them.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use protocol::endpoints::Endpoints;
use protocol::status::Status;
use scenarios::{Client, Mercurial, Ready, ReadySsh, mercurials, settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use transport::{Authority, Identity, Target};

use crate::api_server::ApiServer;
use crate::pod::{MOUNTS, Pod, write_secret};

pub const NAMES: [&str; 3] = ["hg-ssh-0", "hg-ssh-1", "web-mirror-0"];

struct Ports {
    public: u16,
    admin: u16,
    probes: u16,
}

pub struct Cluster {
    pub pods: BTreeMap<&'static str, Pod>,
    pub api: ApiServer,
    pub runtime: Runtime,
    operator: transport::Client,
    ports: BTreeMap<&'static str, Ports>,
    mercurial: Mercurial,
    folder: TempDir,
}

impl Cluster {
    /// Everything is there but the Lease, and nothing runs.
    pub fn new(hgrc: &str) -> Cluster {
        transport::install_crypto_provider();
        let folder = tempfile::Builder::new().prefix("hgd-pods-").tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        let api = ApiServer::start(&runtime);
        let ports = ports();
        let mercurial = mercurials().pop().unwrap();
        write_configurations(folder.path(), &api.url, &ports, &mercurial, hgrc);
        let operator = transport::Client::new(write_certificates(folder.path()));
        write_host_keys(folder.path());
        make_key(&folder.path().join("developer"), "ed25519");
        let role = |name: &str| if name.contains("ssh") { "ssh" } else { "mirror" };
        let pod = |name| (name, Pod::new(folder.path(), name, role(name), ports[name].probes));
        let pods = NAMES.into_iter().map(pod).collect();
        let cluster = Cluster { pods, api, runtime, operator, ports, mercurial, folder };
        cluster.let_in(&["developer@example.com"]);
        cluster
    }

    /// Replaces the secret of the accounts: these log in with the one key.
    pub fn let_in(&self, users: &[&str]) {
        let key = std::fs::read_to_string(self.folder.path().join("developer.pub")).unwrap();
        let key: Vec<&str> = key.split_whitespace().take(2).collect();
        let lines = users.iter().map(|user| format!("{} {user}\n", key.join(" "))).collect();
        write_secret(&self.folder.path().join("users"), &[("authorized_keys".to_owned(), lines)]);
    }

    pub fn client(&self, user: &str) -> Client {
        let identity_file = self.folder.path().join("developer");
        let ssh = ReadySsh { host: "127.0.0.1".into(), port: self.port("hg-ssh-0"), user: user.into(), identity_file };
        let http = format!("http://127.0.0.1:{}", self.port("web-mirror-0"));
        let ready = Ready { ssh, http, mirrors: Vec::new(), status: String::new() };
        Client::of(&ready, &self.mercurial, self.folder.path().join("clients").join(user.replace('@', "-")))
    }

    fn port(&self, name: &str) -> u16 {
        self.ports[name].public
    }

    fn master(&self) -> Target {
        Target::new("hg-ssh-0".parse().unwrap(), format!("localhost:{}", self.ports["hg-ssh-0"].admin))
    }

    pub fn create(&self, path: &str) {
        let (master, url, settings) = (self.master(), format!("/v1/registry/{path}"), settings(true));
        self.runtime.block_on(self.operator.put_json::<Value>(&master, &url, &settings)).unwrap();
    }

    /// Reports as the operator does, who plays the balancer, and answers what it hears.
    pub fn report(&self, serving: &[&str]) -> Vec<(String, String)> {
        self.report_of(serving, &NAMES[2..])
    }

    /// While these mirrors shall be.
    pub fn report_of(&self, serving: &[&str], mirrors: &[&str]) -> Vec<(String, String)> {
        let one = |name: &&str| json!({"name": name, "connections": 0, "inRotation": true});
        let report = json!({"serving": serving.iter().map(one).collect::<Vec<_>>(), "mirrors": mirrors});
        let master = self.master();
        let answer = self.operator.post_json::<Endpoints>(&master, "/v1/endpoints", &report);
        let endpoints = self.runtime.block_on(answer).unwrap().endpoints;
        endpoints.into_iter().map(|endpoint| (endpoint.name.to_string(), endpoint.address)).collect()
    }

    pub fn status(&self) -> Status {
        self.runtime.block_on(self.operator.get_json(&self.master(), "/status.json")).unwrap()
    }

    pub fn advertised(&self, name: &str) -> String {
        format!("localhost:{}", self.ports[name].public)
    }
}

/// Held together, so that none is chosen twice.
fn ports() -> BTreeMap<&'static str, Ports> {
    let held: Vec<TcpListener> = (0..9).map(|_| TcpListener::bind("0.0.0.0:0").unwrap()).collect();
    let ports: Vec<u16> = held.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    let three = ports.chunks(3).map(|three| Ports { public: three[0], admin: three[1], probes: three[2] });
    NAMES.into_iter().zip(three).collect()
}

fn write_configurations(
    folder: &Path,
    api: &str,
    ports: &BTreeMap<&'static str, Ports>,
    mercurial: &Mercurial,
    hgrc: &str,
) {
    let anywhere = |port: u16| format!("0.0.0.0:{port}");
    let admin = |name: &str| format!("localhost:{}", ports[name].admin);
    let mut files = vec![("hgrc".to_owned(), hgrc.to_owned()), ("kubeconfig".to_owned(), kubeconfig(api))];
    for name in NAMES {
        let Ports { public, admin: own, probes } = &ports[name];
        let mut role = json!({
            "name": name,
            "dataDirectory": format!("{MOUNTS}/data"),
            "adminListen": anywhere(*own),
            "probeListen": anywhere(*probes),
            "python": mercurial.python,
            "siteHgrc": format!("{MOUNTS}/config/hgrc"),
            "tls": {"directory": format!("{MOUNTS}/tls"), "name": name},
        });
        let special = if name.contains("ssh") {
            let peer = if name == "hg-ssh-0" { "hg-ssh-1" } else { "hg-ssh-0" };
            json!({
                "sshListen": anywhere(*public),
                "hostKeysDirectory": format!("{MOUNTS}/host-keys"),
                "publicUrl": "http://hg.example.com",
                "peers": {peer: admin(peer)},
                "register": {"lease": {"namespace": "hg", "name": "main"}},
                "directory": {
                    "authorizedKeysFile": format!("{MOUNTS}/users/authorized_keys"),
                    "groups": {"developers": ["*"]},
                },
            })
        } else {
            json!({
                "httpListen": anywhere(*public),
                "advertisedUrl": format!("http://localhost:{public}"),
                "advertisedPeer": admin(name),
                "masters": {"hg-ssh-0": admin("hg-ssh-0"), "hg-ssh-1": admin("hg-ssh-1")},
            })
        };
        role.as_object_mut().unwrap().extend(special.as_object().unwrap().clone());
        files.push((format!("{name}.json"), role.to_string()));
    }
    write_secret(&folder.join("config"), &files);
}

fn kubeconfig(api: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": api}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}],
    })
    .to_string()
}

/// Writes the certificates of all pods in one secret; answers the operator's own.
fn write_certificates(folder: &Path) -> Identity {
    let now = SystemTime::now();
    let made = Authority::make(now).unwrap();
    let authority = Authority::from_pem(made.certificate, &made.key).unwrap();
    let mut files = vec![("ca.pem".to_owned(), authority.certificate().to_owned())];
    for name in NAMES {
        let addresses = [format!("{name}.hg-instances.hg.svc"), "127.0.0.1".to_owned()];
        let certified = authority.certify(&name.parse().unwrap(), &addresses, now).unwrap();
        files.push((format!("{name}-cert.pem"), certified.certificate));
        files.push((format!("{name}-key.pem"), certified.key));
    }
    write_secret(&folder.join("tls"), &files);
    let supervisor = authority.certify(&"supervisor".parse().unwrap(), &[], now).unwrap();
    Identity::from_pem(authority.certificate(), &supervisor).unwrap()
}

fn write_host_keys(folder: &Path) {
    let kinds = [("ssh_host_ed25519_key", "ed25519"), ("ssh_host_ecdsa_key", "ecdsa")];
    let keys = kinds.map(|(name, kind)| {
        let path = folder.join(name);
        make_key(&path, kind);
        (name.to_owned(), std::fs::read_to_string(path).unwrap())
    });
    write_secret(&folder.join("host-keys"), &keys);
}

fn make_key(path: &Path, kind: &str) {
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", kind, "-N", "", "-C", "", "-f"]).arg(path);
    assert!(command.status().unwrap().success());
}
