//! From an SshMaster to its objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use config::{Address, Directory, LeaseName, MaxLag, Mirrors, Register, SshRole, Tls};
use crds::conditions::Reason;
use crds::{Durability, SshMasterSpec, StorageMode};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use protocol::InstanceName;
use serde_json::{Value, json};

use super::observe::{Observed, Pool};
use crate::apply::{Wanted, unchanged};
use crate::certificates::Leaves;
use crate::names::{
    ADMIN_PORT, AUTHORIZED_KEYS, DATA_FOLDER, HOST_KEYS_FOLDER, PROBE_PORT, ROLE, RUN_FOLDER, SSH_PORT, TLS_FOLDER,
    USERS_FOLDER, Workload, host_keys_secret, operator_secret, selector,
};
use crate::objects::pod::{self, Template, Volumes, stateful_set};
use crate::objects::services::{Front, front, headless};
use crate::objects::{Maker, access, policies};
use crate::problem::Problem;
use crate::storage;

/// Everything that one SshMaster owns.
pub struct Objects {
    pub account: Wanted<ServiceAccount>,
    pub role: Wanted<Role>,
    pub binding: Wanted<RoleBinding>,
    pub config: Wanted<ConfigMap>,
    pub certificates: Wanted<Secret>,
    pub operator_certificate: Wanted<Secret>,
    pub headless: Wanted<Service>,
    pub front: Wanted<Service>,
    pub budget: Wanted<PodDisruptionBudget>,
    pub network: Wanted<NetworkPolicy>,
    pub stateful_set: Wanted<StatefulSet>,
}

/// Made before: its values are not ours to choose.
pub struct Made {
    pub certificates: Leaves,
    pub operator_certificate: Leaves,
}

pub fn build(observed: &Observed, made: Made, maker: &Maker) -> Result<Objects, Problem> {
    let (spec, workload) = (&observed.master.spec, observed.workload());
    let labels = selector(workload.component, workload.name);
    let files = configurations(workload, spec, &observed.pools)?;
    let host_keys =
        spec.host_keys_secret_ref.as_ref().map_or_else(|| host_keys_secret(workload.name), |named| named.name.clone());
    let secrets = [
        (workload.tls_secret(), TLS_FOLDER),
        (host_keys, HOST_KEYS_FOLDER),
        (spec.directory.authorized_keys.secret_ref.name.clone(), USERS_FOLDER),
    ];
    let template = Template {
        workload,
        knobs: spec.pods(),
        image: pod::image(observed.stateful_set.as_deref(), &maker.image),
        config_hash: &unchanged::hash(&json!(files)),
        secrets: &secrets,
        replicas: spec.instances,
        data: match spec.storage.mode {
            StorageMode::PerInstance => {
                Volumes::Each(storage::template(&spec.storage, observed.stateful_set.as_deref()))
            }
            StorageMode::Shared => Volumes::Shared(workload.shared_claim()),
        },
    };
    let service = Front {
        name: workload.object(),
        kind: spec.service.kind,
        port: ("ssh", spec.service.port),
        node_port: spec.service.node_port,
        annotations: &spec.service.annotations,
        selects: Some((ROLE, "master")),
        sticky: false,
    };
    Ok(Objects {
        account: access::account(workload),
        role: access::role(workload),
        binding: access::binding(workload),
        config: Wanted::new(workload.object(), labels.clone(), json!({"data": files})),
        certificates: certificates(workload.tls_secret(), &labels, made.certificates),
        operator_certificate: certificates(operator_secret(workload.name), &labels, made.operator_certificate),
        headless: headless(workload),
        front: front(workload, service),
        budget: policies::budget(workload),
        network: policies::network(workload, maker),
        stateful_set: stateful_set(&template),
    })
}

fn certificates(name: String, labels: &Value, leaves: Leaves) -> Wanted<Secret> {
    Wanted::new(name, labels.clone(), json!({"data": leaves.data})).made_of(leaves.of)
}

/// The files of all instances, by name.
fn configurations(
    workload: Workload<'_>,
    spec: &SshMasterSpec,
    pools: &[Pool],
) -> Result<BTreeMap<String, String>, Problem> {
    let mut names = BTreeMap::new();
    for ordinal in 0..spec.instances {
        let pod = workload.pod(ordinal);
        let name: InstanceName = pod.parse().map_err(|_| unusable(&pod))?;
        let address: Address = workload.admin(&pod).parse().map_err(|_| unusable(&pod))?;
        names.insert(name, address);
    }
    let file = |name: &InstanceName| {
        let role = role(workload, spec, pools, name, &names);
        let text = config::print(&role).map_err(|error| unusable(&error))?;
        Ok((format!("{name}.json"), text))
    };
    names.keys().map(file).collect()
}

fn unusable(what: &dyn std::fmt::Display) -> Problem {
    Problem::human(Reason::SpecInvalid, format!("no configuration can be written: {what}"))
}

fn role(
    workload: Workload<'_>,
    spec: &SshMasterSpec,
    pools: &[Pool],
    name: &InstanceName,
    instances: &BTreeMap<InstanceName, Address>,
) -> SshRole {
    let groups = &spec.directory.groups;
    let shared = spec.storage.mode == StorageMode::Shared;
    let first = workload.instance(0);
    let standbys = instances.keys().filter(|instance| Some(*instance) != first.as_ref() && !shared);
    let in_sync: BTreeSet<InstanceName> = standbys.cloned().collect();
    let retention = &spec.log.retention;
    SshRole {
        name: name.clone(),
        data_directory: DATA_FOLDER.into(),
        shared: shared.then(|| config::SharedVolume {
            run_directory: RUN_FOLDER.into(),
            lease_seconds: spec.failover.lease.duration.seconds,
            renew_deadline_seconds: spec.failover.lease.renew_deadline.seconds,
            retry_period_seconds: spec.failover.lease.retry_period.seconds,
        }),
        ssh_listen: everywhere(SSH_PORT),
        behind_balancer: false,
        host_keys_directory: HOST_KEYS_FOLDER.into(),
        admin_listen: everywhere(ADMIN_PORT),
        probe_listen: Some(everywhere(PROBE_PORT)),
        public_url: spec.public_url.clone(),
        peers: instances
            .iter()
            .filter(|(peer, _)| *peer != name)
            .map(|(peer, at)| (peer.clone(), at.clone()))
            .collect(),
        in_sync,
        register: Register::Lease {
            lease: LeaseName { namespace: workload.namespace.to_owned(), name: workload.name.to_owned() },
        },
        python: "/usr/bin/python3".into(),
        site_hgrc: None,
        directory: Directory {
            authorized_keys_file: format!("{USERS_FOLDER}/{AUTHORIZED_KEYS}").into(),
            groups: groups.iter().map(|group| (group.name.clone(), group.members.iter().cloned().collect())).collect(),
        },
        mirrors: mirrors(pools),
        log: config::Log {
            retention: config::Retention { age_seconds: retention.age.seconds, bytes: retention.size.bytes },
            segment_bytes: segment_bytes(retention.size.bytes),
            durability: match spec.log.durability {
                Durability::Strict => config::Durability::Strict,
                Durability::Degraded => config::Durability::Degraded,
            },
        },
        lanes: LANES,
        tls: Tls { directory: TLS_FOLDER.into(), name: Some(name.clone()) },
        read_only_reason: None,
    }
}

/// One set of bounds for the mirrors of all pools: the most patient ones, and the floors added up.
fn mirrors(pools: &[Pool]) -> Mirrors {
    let specs = || pools.iter().map(|pool| &pool.pool.spec);
    let Some(records) = specs().map(|spec| spec.max_lag.records).max() else { return Mirrors::default() };
    let seconds = specs().map(|spec| spec.max_lag.seconds).max().unwrap_or(MaxLag::default().seconds);
    let floor: u32 = specs().map(|spec| spec.min_active).sum();
    Mirrors { min_active: floor.min(LARGEST_FLOOR), max_lag: MaxLag { records, seconds } }
}

/// The log goes segment by segment: several must fit into what is kept.
fn segment_bytes(kept: u64) -> u64 {
    (kept / SEGMENTS_KEPT).clamp(SMALLEST_SEGMENT_BYTES, config::Log::default().segment_bytes)
}

/// Least of `hgd`'s configuration.
const LARGEST_FLOOR: u32 = 100;
const SEGMENTS_KEPT: u64 = 8;
const SMALLEST_SEGMENT_BYTES: u64 = 64 * 1024;
/// Repositories that one instance works on at once.
const LANES: u32 = 4;

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}
