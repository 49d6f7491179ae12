//! From resources to processes: what runs, with which configuration, under which name. No process is started here.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Address, BalancerRole, Directory, MaxLag, MirrorRole, Mirrors, SshFront, SshRole, Tls, Web};
use crds::{Durability, MirrorPoolSpec, Resources, SshMasterSpec, StorageMode};
use protocol::InstanceName;
use serde::Serialize;

use super::children::{BALANCER_PATIENCE, Child, PATIENCE};
use super::ports::{PortError, Ports};
use super::users::Users;
use crate::arguments::AllInOne;
use crate::ssh::family;

/// The folder of all SSH instances.
const VOLUME: &str = "shared";

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the file names {0} SshMasters: all-in-one runs exactly one")]
    Masters(usize),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("{path} cannot be written: {source}")]
    Write { path: String, source: io::Error },
    #[error("'{0}' is not a name for an instance")]
    Name(String),
}

/// Everything that is decided before the first child runs.
pub struct Plan {
    pub ssh: BTreeMap<InstanceName, Address>,
    pub mirrors: Vec<PlannedMirror>,
    pub children: Vec<Child>,
    pub ssh_address: SocketAddr,
    pub http: SocketAddr,
    /// Where the supervisor is asked for a switchover.
    pub admin: SocketAddr,
    pub failover: failover::Policy,
    /// Nobody, where all SSH instances have one volume.
    pub in_sync: BTreeSet<InstanceName>,
    /// That volume.
    pub volume: Option<PathBuf>,
}

pub struct PlannedMirror {
    pub name: InstanceName,
    pub url: String,
    pub admin: Address,
}

/// Chooses ports and writes every role's configuration below `data`.
pub fn plan(options: &AllInOne, data: &Path, resources: &Resources, users: &Users) -> Result<Plan, PlanError> {
    let [master] = resources.masters.as_slice() else { return Err(PlanError::Masters(resources.masters.len())) };
    let pool = resources.pools.first().map(|pool| &pool.spec);
    let mut ports = Ports::load(&data.join("config"));
    let ssh_address = ports.named("ssh", options.ssh, "ssh")?;
    let http = ports.named("http", options.http, "http")?;
    let admin = ports.choose("admin")?;
    let names = (0..master.spec.instances).map(|n| name(format!("ssh-{n}"))).collect::<Result<Vec<_>, _>>()?;
    let mut ssh = BTreeMap::new();
    for name in &names {
        ssh.insert(name.clone(), Address::from(ports.choose(&format!("{name}-admin"))?));
    }
    let shared = master.spec.storage.mode == StorageMode::Shared;
    let in_sync: BTreeSet<InstanceName> = names.iter().skip(1).filter(|_| !shared).cloned().collect();
    let volume = shared.then(|| data.join(VOLUME));
    let maker = Maker { options, data, users, ssh: &ssh, volume: volume.as_deref() };
    let mut children = Vec::new();
    let mut fronts = BTreeMap::new();
    for name in &names {
        let listen = ports.choose(&format!("{name}-ssh"))?;
        fronts.insert(name.clone(), Address::from(listen));
        let role = maker.ssh_role(name, listen, http, &in_sync, &master.spec, pool);
        let run = role.shared.as_ref().map(|shared| shared.run_directory.as_path());
        children.push(Child { family: run.map(family::lock_file), ..maker.child(name, "ssh", &role)? });
    }
    let mut mirrors = Vec::new();
    for number in 0..pool.map_or(0, |pool| pool.replicas) {
        let name = name(format!("mirror-{number}"))?;
        let listen = ports.choose(&format!("{name}-http"))?;
        let admin = ports.choose(&format!("{name}-admin"))?;
        let role = maker.mirror_role(&name, listen, admin, pool);
        mirrors.push(PlannedMirror { name: name.clone(), url: role.advertised_url.clone(), admin: admin.into() });
        children.push(maker.child(&name, "mirror", &role)?);
    }
    let balancer = name("balancer".into())?;
    let front = SshFront { listen: ssh_address, register: maker.register(), instances: fronts };
    let role = BalancerRole { listen: http, ssh: Some(front), masters: ssh.clone(), tls: maker.tls(&balancer) };
    children.push(Child { patience: BALANCER_PATIENCE, ..maker.child(&balancer, "balancer", &role)? });
    ports.store()?;
    let failover = failover::Policy {
        enabled: master.spec.failover.enabled,
        detection: Duration::from_secs(master.spec.failover.detection_seconds.into()),
        min_interval: Duration::from_secs(master.spec.failover.min_interval.seconds),
        shared: shared.then(|| Duration::from_secs(master.spec.failover.lease.duration.seconds)),
    };
    Ok(Plan { ssh, mirrors, children, ssh_address, http, admin, failover, in_sync, volume })
}

struct Maker<'a> {
    options: &'a AllInOne,
    data: &'a Path,
    users: &'a Users,
    ssh: &'a BTreeMap<InstanceName, Address>,
    volume: Option<&'a Path>,
}

impl Maker<'_> {
    fn tls(&self, name: &InstanceName) -> Tls {
        Tls { directory: self.data.join("pki").join(name.as_str()), name: None }
    }

    fn register(&self) -> PathBuf {
        self.data.join("register.json")
    }

    /// `DIR/hgrc`, when the person has put one there.
    fn site_hgrc(&self) -> Option<PathBuf> {
        Some(self.data.join("hgrc")).filter(|path| path.exists())
    }

    fn ssh_role(
        &self,
        name: &InstanceName,
        ssh_listen: SocketAddr,
        http: SocketAddr,
        in_sync: &BTreeSet<InstanceName>,
        master: &SshMasterSpec,
        pool: Option<&MirrorPoolSpec>,
    ) -> SshRole {
        let public_url =
            if master.public_url.is_empty() { format!("http://{http}") } else { master.public_url.clone() };
        let groups = &master.directory.groups;
        let peers = self.ssh.iter().filter(|(peer, _)| *peer != name);
        let admin_listen = socket(&self.ssh[name]);
        SshRole {
            name: name.clone(),
            data_directory: self.volume.map_or_else(|| self.data.join(name.as_str()), Path::to_owned),
            shared: self.volume.map(|_| config::SharedVolume {
                run_directory: self.data.join(name.as_str()).join("run"),
                lease_seconds: master.failover.lease.duration.seconds,
                renew_deadline_seconds: master.failover.lease.renew_deadline.seconds,
                retry_period_seconds: master.failover.lease.retry_period.seconds,
            }),
            ssh_listen,
            behind_balancer: true,
            host_keys_directory: self.data.join("host-keys"),
            admin_listen,
            probe_listen: None,
            public_url,
            peers: peers.map(|(peer, address)| (peer.clone(), address.clone())).collect(),
            in_sync: in_sync.clone(),
            register: config::Register::File(self.register()),
            python: self.options.python.clone(),
            site_hgrc: self.site_hgrc(),
            directory: Directory {
                authorized_keys_file: self.users.authorized_keys.clone(),
                groups: groups.iter().map(|g| (g.name.clone(), g.members.iter().cloned().collect())).collect(),
            },
            mirrors: pool.map_or_else(Mirrors::default, |pool| Mirrors {
                min_active: pool.min_active,
                max_lag: MaxLag { records: pool.max_lag.records, seconds: pool.max_lag.seconds },
            }),
            log: config::Log {
                retention: config::Retention {
                    age_seconds: master.log.retention.age.seconds,
                    bytes: master.log.retention.size.bytes,
                },
                segment_bytes: segment_bytes(master.log.retention.size.bytes),
                durability: match master.log.durability {
                    Durability::Strict => config::Durability::Strict,
                    Durability::Degraded => config::Durability::Degraded,
                },
            },
            lanes: LANES,
            tls: self.tls(name),
            read_only_reason: None,
        }
    }

    fn mirror_role(
        &self,
        name: &InstanceName,
        http_listen: SocketAddr,
        admin_listen: SocketAddr,
        pool: Option<&MirrorPoolSpec>,
    ) -> MirrorRole {
        let workers = pool.map_or(Web::default().light, |pool| pool.web.workers);
        MirrorRole {
            name: name.clone(),
            data_directory: self.data.join(name.as_str()),
            http_listen,
            behind_balancer: true,
            advertised_url: format!("http://{http_listen}"),
            admin_listen,
            probe_listen: None,
            advertised_peer: None,
            masters: self.ssh.clone(),
            python: self.options.python.clone(),
            site_hgrc: self.site_hgrc(),
            web: Web { light: workers, heavy: workers, ..Web::default() },
            lanes: LANES,
            tls: self.tls(name),
        }
    }

    fn child(&self, name: &InstanceName, role: &'static str, config: &impl Serialize) -> Result<Child, PlanError> {
        let path = self.data.join("config").join(format!("{name}.json"));
        let write = |source| PlanError::Write { path: path.display().to_string(), source };
        let text = serde_json::to_vec_pretty(config).map_err(|error| write(error.into()))?;
        std::fs::write(&path, text).map_err(write)?;
        let log = self.data.join("logs").join(format!("{name}.log"));
        Ok(Child { name: name.to_string(), role, config: path, log, patience: PATIENCE, family: None })
    }
}

/// The log goes segment by segment: several must fit into what is kept.
fn segment_bytes(kept: u64) -> u64 {
    (kept / SEGMENTS_KEPT).clamp(SMALLEST_SEGMENT_BYTES, config::Log::default().segment_bytes)
}

const SEGMENTS_KEPT: u64 = 8;
const SMALLEST_SEGMENT_BYTES: u64 = 64 * 1024;

/// Lane workers per instance: several instances share one machine here.
const LANES: u32 = 2;

fn name(text: String) -> Result<InstanceName, PlanError> {
    text.clone().try_into().map_err(|_| PlanError::Name(text))
}

/// Ours are made of socket addresses.
fn socket(address: &Address) -> SocketAddr {
    address.as_str().parse().unwrap_or_else(|_| SocketAddr::from(([127, 0, 0, 1], 0)))
}
