//! From a MirrorPool to its objects.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use config::{Address, MirrorRole, Tls, Web};
use crds::SshMaster;
use crds::conditions::Reason;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use protocol::InstanceName;
use serde_json::json;

use super::Observed;
use crate::apply::{Wanted, unchanged};
use crate::certificates::Leaves;
use crate::names::{
    ADMIN_PORT, Component, DATA_FOLDER, HTTP_PORT, PROBE_PORT, TLS_FOLDER, Workload, http_service, selector,
};
use crate::objects::pod::{self, Template, Volumes, stateful_set};
use crate::objects::services::{Front, front, headless};
use crate::objects::{Maker, policies};
use crate::problem::Problem;
use crate::storage;

/// Everything that one MirrorPool owns.
pub struct Objects {
    pub config: Wanted<ConfigMap>,
    pub certificates: Wanted<Secret>,
    pub headless: Wanted<Service>,
    pub front: Wanted<Service>,
    pub budget: Wanted<PodDisruptionBudget>,
    pub network: Wanted<NetworkPolicy>,
    pub stateful_set: Wanted<StatefulSet>,
}

/// `replicas`: how many pods there should be now.
pub fn build(
    observed: &Observed,
    master: &SshMaster,
    certificates: Leaves,
    replicas: u32,
    maker: &Maker,
) -> Result<Objects, Problem> {
    let (spec, workload) = (&observed.pool.spec, observed.workload());
    let labels = selector(workload.component, workload.name);
    let masters = masters(observed, master.spec.instances)?;
    let file = |ordinal: u32| {
        let name = workload.instance(ordinal).ok_or_else(|| unusable(&workload.pod(ordinal)))?;
        let role = role(workload, &masters, spec.web.workers, name.clone());
        config::print(&role?).map(|text| (format!("{name}.json"), text)).map_err(|error| unusable(&error))
    };
    let files = (0..replicas).map(file).collect::<Result<BTreeMap<_, _>, _>>()?;
    // Of one mirror's: the others' differ in their names only, and how many there are is no reason to replace any.
    let (_, first) = file(0)?;
    let secrets = [(workload.tls_secret(), TLS_FOLDER)];
    let template = Template {
        workload,
        knobs: spec.pods(),
        image: pod::image(observed.stateful_set.as_deref(), &maker.image),
        config_hash: &unchanged::hash(&json!(first)),
        secrets: &secrets,
        replicas,
        data: Volumes::Each(storage::template(&spec.storage, observed.stateful_set.as_deref())),
    };
    let service = Front {
        name: http_service(workload.name),
        kind: spec.service.kind,
        port: ("http", spec.service.http),
        node_port: spec.service.node_port,
        annotations: &spec.service.annotations,
        selects: None,
        sticky: true,
    };
    Ok(Objects {
        config: Wanted::new(workload.object(), labels.clone(), json!({"data": files})),
        certificates: Wanted::new(workload.tls_secret(), labels, json!({"data": certificates.data}))
            .made_of(certificates.of),
        headless: headless(workload),
        front: front(workload, service),
        budget: policies::budget(workload),
        network: policies::network(workload, maker),
        stateful_set: stateful_set(&template),
    })
}

fn masters(observed: &Observed, instances: u32) -> Result<BTreeMap<InstanceName, Address>, Problem> {
    let master = &observed.pool.spec.master_ref.name;
    let ssh = Workload { component: Component::Ssh, namespace: &observed.name.namespace, name: master };
    let one = |ordinal: u32| {
        let pod = ssh.pod(ordinal);
        let name: InstanceName = pod.parse().map_err(|_| unusable(&pod))?;
        let address: Address = ssh.admin(&pod).parse().map_err(|_| unusable(&pod))?;
        Ok((name, address))
    };
    (0..instances).map(one).collect()
}

fn unusable(what: &dyn std::fmt::Display) -> Problem {
    Problem::human(Reason::SpecInvalid, format!("no configuration can be written: {what}"))
}

fn role(
    workload: Workload<'_>,
    masters: &BTreeMap<InstanceName, Address>,
    workers: u32,
    name: InstanceName,
) -> Result<MirrorRole, Problem> {
    let peer: Address = workload.admin(name.as_str()).parse().map_err(|_| unusable(&name))?;
    Ok(MirrorRole {
        data_directory: DATA_FOLDER.into(),
        http_listen: everywhere(HTTP_PORT),
        behind_balancer: false,
        advertised_url: format!("http://{}:{HTTP_PORT}", workload.host(name.as_str())),
        admin_listen: everywhere(ADMIN_PORT),
        probe_listen: Some(everywhere(PROBE_PORT)),
        advertised_peer: Some(peer),
        masters: masters.clone(),
        python: "/usr/bin/python3".into(),
        site_hgrc: None,
        web: Web { light: workers, heavy: workers, ..Web::default() },
        lanes: LANES,
        tls: Tls { directory: TLS_FOLDER.into(), name: Some(name.clone()) },
        name,
    })
}

/// Repositories that one mirror works on at once.
const LANES: u32 = 4;

fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}
