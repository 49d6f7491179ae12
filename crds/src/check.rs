//! Mistakes that only the whole file shows: names that are there twice, references to what is not there.

use std::collections::HashMap;

use crate::bounds::says;
use crate::error::either;
use crate::places::Places;
use crate::{Durability, Lease, MasterRef, Resources, ServiceType, SshMasterSpec, StorageMode};

/// Where the fields of each resource stand, in the order of [`Resources`].
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) masters: Vec<Places>,
    pub(crate) pools: Vec<Places>,
    pub(crate) repositories: Vec<Places>,
}

type Wrong = (u64, String);

pub(crate) fn whole(resources: &Resources, sources: &Sources) -> Result<(), Wrong> {
    let masters: Vec<&str> = resources.masters.iter().map(|found| found.metadata.name.as_str()).collect();
    unique("SshMaster", masters.iter().copied(), &sources.masters)?;
    unique("MirrorPool", resources.pools.iter().map(|found| found.metadata.name.as_str()), &sources.pools)?;
    let names = resources.repositories.iter().map(|found| found.metadata.name.as_str());
    unique("HgRepository", names, &sources.repositories)?;
    for (master, places) in resources.masters.iter().zip(&sources.masters) {
        is_consistent(&master.spec, places)?;
        let groups = &master.spec.directory.groups;
        let twice = groups.iter().enumerate().find(|(at, group)| groups[..*at].iter().any(|g| g.name == group.name));
        if let Some((_, group)) = twice {
            let field = "spec.directory.groups";
            return Err((places.line(field), format!("{field}: the group '{}' is there twice", group.name)));
        }
    }
    for (pool, places) in resources.pools.iter().zip(&sources.pools) {
        refers(&pool.spec.master_ref, &masters, places)?;
        has_node_port(pool.spec.service.kind, pool.spec.service.node_port, places)?;
        if pool.spec.storage.mode == StorageMode::Shared {
            return Err((places.line("spec.storage.mode"), format!("spec: {}", says::POOLS_HAVE_VOLUMES)));
        }
        if pool.spec.min_active > pool.spec.replicas {
            let (least, all) = (pool.spec.min_active, pool.spec.replicas);
            let field = if places.line("spec.minActive") == places.line("spec") { "spec" } else { "spec.minActive" };
            let sentence =
                format!("spec.minActive: {least} is more than the {all} of spec.replicas: 0 to {all} is allowed");
            return Err((places.line(field), sentence));
        }
    }
    let mut paths = HashMap::new();
    for (repository, places) in resources.repositories.iter().zip(&sources.repositories) {
        refers(&repository.spec.master_ref, &masters, places)?;
        if repository.spec.source.is_some() {
            return Err(only_on_kubernetes("spec.source", "push to the repository instead", places));
        }
        let key = (&repository.spec.master_ref.name, &repository.spec.path);
        if let Some(first) = paths.insert(key, &repository.metadata.name) {
            let path = &repository.spec.path;
            let sentence =
                format!("spec.path: '{path}' is the path of HgRepository '{first}' already: each has its own");
            return Err((places.line("spec.path"), sentence));
        }
    }
    Ok(())
}

/// Checks what the API server checks by rules between fields; and what would surprise if it did nothing.
fn is_consistent(master: &SshMasterSpec, places: &Places) -> Result<(), Wrong> {
    if master.host_keys_secret_ref.is_some() {
        let instead = "host keys are made in the data directory, where others can be put";
        return Err(only_on_kubernetes("spec.hostKeysSecretRef", instead, places));
    }
    if master.log.retention.size.bytes >= master.storage.size.bytes {
        let line = places.line("spec.log.retention.size").max(places.line("spec.storage.size"));
        return Err((line, format!("spec: {}", says::RETENTION_FITS)));
    }
    if master.storage.mode == StorageMode::Shared && master.log.durability == Durability::Strict {
        let line = places.line("spec.log.durability").max(places.line("spec.storage.mode"));
        return Err((line, format!("spec: {}", says::STRICT_NEEDS_STANDBYS)));
    }
    if master.instances == 1 && master.log.durability == Durability::Strict {
        let line = places.line("spec.log.durability").max(places.line("spec.instances"));
        return Err((line, format!("spec: {}", says::STRICT_NEEDS_TWO)));
    }
    let Lease { duration, renew_deadline, retry_period } = &master.failover.lease;
    if renew_deadline.seconds >= duration.seconds || retry_period.seconds + 1 >= renew_deadline.seconds {
        return Err((places.line("spec.failover.lease"), format!("spec.failover.{}", says::LEASE)));
    }
    has_node_port(master.service.kind, master.service.node_port, places)
}

fn has_node_port(kind: ServiceType, port: Option<u16>, places: &Places) -> Result<(), Wrong> {
    if kind == ServiceType::ClusterIP && port.is_some() {
        return Err((places.line("spec.service.nodePort"), format!("spec.service: {}", says::NODE_PORT)));
    }
    Ok(())
}

fn only_on_kubernetes(field: &str, instead: &str, places: &Places) -> Wrong {
    (places.line(field), format!("{field}: is for Kubernetes: {instead}"))
}

fn unique<'a>(kind: &str, names: impl Iterator<Item = &'a str>, places: &[Places]) -> Result<(), Wrong> {
    let mut seen = HashMap::new();
    for (name, at) in names.zip(places) {
        let line = at.line("metadata.name");
        if let Some(first) = seen.insert(name, line) {
            return Err((line, format!("metadata.name: {kind} '{name}' is there already, in line {first}")));
        }
    }
    Ok(())
}

fn refers(reference: &MasterRef, masters: &[&str], places: &Places) -> Result<(), Wrong> {
    if masters.contains(&reference.name.as_str()) {
        return Ok(());
    }
    let name = &reference.name;
    let sentence = match masters {
        [] => format!("spec.masterRef.name: there is no SshMaster '{name}', nor any other, in this file"),
        some => {
            format!("spec.masterRef.name: there is no SshMaster '{name}' in this file: {} is allowed", either(some))
        }
    };
    Err((places.line("spec.masterRef.name"), sentence))
}
