//! The register as a `coordination.k8s.io` Lease: holder, and annotations for what a Lease has no field for. Only a
//! write changes it: it does not end by itself. Where all instances have one volume its holder renews it all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client, Config};
use protocol::{DiskId, Generation, InstanceName};

use crate::{ReadError, Register, State, Version, Versioned, WriteError};

/// Annotations of the Lease.
pub const GENERATION: &str = "hg-operator.dev/generation";
/// Names of standbys, with commas between them.
pub const IN_SYNC: &str = "hg-operator.dev/in-sync";
/// Names and disks, `ssh-0=UUID,...`: which disk is meant by the holder and by each standby of the set.
pub const DISKS: &str = "hg-operator.dev/disks";
/// Previous holder: who held it before a write gave it to another.
pub const PREVIOUS_HOLDER: &str = "hg-operator.dev/previous-holder";
/// The newest change of master, as JSON: for whoever tells of it.
pub const PROMOTION: &str = "hg-operator.dev/promotion";

/// `ssh-0=UID`: who wrote last as holder that renews the Lease, and from which pod.
pub const POD: &str = "hg-operator.dev/pod";

/// The number of writes. No two writes are equal: one that changes nothing would keep the version, and an earlier one
/// that is still on its way could land after it.
const WRITES: &str = "hg-operator.dev/writes";

/// For one request and its answer.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub struct LeaseRegister {
    api: Api<Lease>,
    name: String,
    /// `Lease namespace/name`
    place: String,
    /// Each write says when it was made (`renewTime`), and in which pod.
    stamps: Option<Stamp>,
    /// For one request and its answer.
    deadline: Duration,
}

/// Stamp of a holder that renews its Lease.
#[derive(Clone)]
struct Stamp {
    pod: Option<String>,
}

impl LeaseRegister {
    pub(crate) async fn open(namespace: &str, name: &str) -> Result<LeaseRegister, ReadError> {
        let mut config = Config::infer().await.map_err(|error| ReadError::Client(error.to_string()))?;
        // A write that is sent twice by itself reads its own first success as somebody else's.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| ReadError::Client(error.to_string()))?;
        Ok(LeaseRegister::with(client, namespace, name))
    }

    /// With a client that does not repeat requests by itself.
    pub fn with(client: Client, namespace: &str, name: &str) -> LeaseRegister {
        let place = format!("Lease {namespace}/{name}");
        LeaseRegister {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            place,
            stamps: None,
            deadline: DEADLINE,
        }
    }

    /// For somebody who has less time for each request.
    pub fn within(self, deadline: Duration) -> LeaseRegister {
        LeaseRegister { deadline, ..self }
    }

    /// For the holder of a register that is renewed: each of its writes says when it was made, and in which pod.
    pub fn stamping(self, pod: Option<String>) -> LeaseRegister {
        LeaseRegister { stamps: Some(Stamp { pod }), ..self }
    }

    pub(crate) async fn read(&self) -> Result<Option<Versioned<State>>, ReadError> {
        let Some(lease) = self.get().await? else { return Ok(None) };
        let value = state(&lease).map_err(|reason| ReadError::Damaged { place: self.place.clone(), reason })?;
        Ok(Some(Versioned { version: version(&lease), value }))
    }

    /// As [`LeaseRegister::read`]; and whether the last one who wrote as `name` did so in another pod than this one.
    pub(crate) async fn read_as(&self, name: &InstanceName) -> Result<Option<(Versioned<State>, bool)>, ReadError> {
        let Some(lease) = self.get().await? else { return Ok(None) };
        let value = state(&lease).map_err(|reason| ReadError::Damaged { place: self.place.clone(), reason })?;
        let own = self.stamps.as_ref().and_then(|stamp| stamp.pod.as_deref());
        let seat = lease.metadata.annotations.as_ref().and_then(|all| all.get(POD)?.split_once('='));
        let elsewhere = seat.is_some_and(|(who, pod)| who == name.as_str() && Some(pod) != own);
        Ok(Some((Versioned { version: version(&lease), value }, elsewhere)))
    }

    async fn get(&self) -> Result<Option<Lease>, ReadError> {
        let silence = || ReadError::Silence { place: self.place.clone(), seconds: self.deadline.as_secs() };
        let answer = self.bounded(self.api.get_opt(&self.name)).await.ok_or_else(silence)?;
        answer.map_err(|error| ReadError::Api { place: self.place.clone(), source: Box::new(error) })
    }

    /// Reads it first, because the rest of the object (labels, owner) has to be written as it is.
    pub(crate) async fn write(&self, expected: &Version, new: State) -> Result<Version, WriteError> {
        let mut lease = self.get().await?.ok_or_else(|| WriteError::Missing(self.place.clone()))?;
        let current = version(&lease);
        if current != *expected {
            return Err(WriteError::Conflict { expected: expected.clone(), current: Some(current) });
        }
        set(&mut lease, &new);
        if let Some(Stamp { pod }) = &self.stamps {
            lease.spec.get_or_insert_default().renew_time = Some(MicroTime(Timestamp::now()));
            let annotations = lease.metadata.annotations.get_or_insert_default();
            let seat = new.master.as_ref().zip(pod.as_ref()).map(|(master, pod)| format!("{master}={pod}"));
            annotations.extend(seat.map(|seat| (POD.to_owned(), seat)));
        }
        let unknown = |reason: String| WriteError::Unknown { place: self.place.clone(), reason };
        let answer = self.bounded(self.api.replace(&self.name, &PostParams::default(), &lease)).await;
        match answer {
            Some(Ok(lease)) => Ok(version(&lease)),
            Some(Err(kube::Error::Api(status))) if status.code == 409 => {
                Err(WriteError::Conflict { expected: expected.clone(), current: None })
            }
            // A refusal before anything was stored; what begins with 5 may come from behind the store.
            Some(Err(error)) if matches!(&error, kube::Error::Api(status) if (400..500).contains(&status.code)) => {
                Err(WriteError::Refused { place: self.place.clone(), source: Box::new(error) })
            }
            Some(Err(error)) => Err(unknown(error.to_string())),
            None => Err(unknown(format!("the API server did not answer within {} s", self.deadline.as_secs()))),
        }
    }
    /// None: no answer in time.
    async fn bounded<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(self.deadline, request).await.ok()
    }
}

/// Reads what a Lease holds; the error says what is wrong with it.
pub fn of_lease(lease: &Lease) -> Result<Versioned<State>, String> {
    Ok(Versioned { version: version(lease), value: state(lease)? })
}

/// A Lease that holds this. Instances never make one: a register that is missing is made by whoever governs them.
pub fn to_lease(metadata: ObjectMeta, state: &State) -> Lease {
    let mut lease = Lease { metadata, ..Lease::default() };
    set(&mut lease, state);
    lease
}

fn version(lease: &Lease) -> Version {
    Version::Lease(lease.metadata.resource_version.clone().unwrap_or_default())
}

fn state(lease: &Lease) -> Result<State, String> {
    let annotation = |name: &str| lease.metadata.annotations.as_ref().and_then(|all| all.get(name));
    let generation = annotation(GENERATION).ok_or_else(|| format!("the annotation {GENERATION} is missing"))?;
    let generation = generation.parse().map_err(|_| format!("{GENERATION} is not a number: '{generation}'"))?;
    let listed =
        |key| annotation(key).map_or("", String::as_str).split(',').map(str::trim).filter(|word| !word.is_empty());
    let in_sync = listed(IN_SYNC).map(name).collect::<Result<BTreeSet<_>, _>>()?;
    let disks = listed(DISKS).map(disk).collect::<Result<BTreeMap<_, _>, _>>()?;
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
    let master = holder.filter(|holder| !holder.is_empty()).map(name).transpose()?;
    let previous = annotation(PREVIOUS_HOLDER).map(String::as_str).map(name).transpose()?;
    // Nothing is decided by it: one that cannot be read is none.
    let promotion = annotation(PROMOTION).and_then(|text| serde_json::from_str(text).ok());
    Ok(State { generation: Generation(generation), master, in_sync, disks, previous, promotion })
}

fn disk(text: &str) -> Result<(InstanceName, DiskId), String> {
    let wrong = || format!("'{text}' is not an instance's name, '=' and the id of its disk");
    let (instance, id) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name(instance)?, id.parse().map_err(|_| wrong())?))
}

fn name(text: &str) -> Result<InstanceName, String> {
    text.parse().map_err(|_| format!("'{text}' is not an instance's name"))
}

fn set(lease: &mut Lease, new: &State) {
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = new.master.as_ref().map(ToString::to_string);
    let annotations = lease.metadata.annotations.get_or_insert_with(BTreeMap::new);
    let names: Vec<&str> = new.in_sync.iter().map(InstanceName::as_str).collect();
    let disks: Vec<String> = new.disks.iter().map(|(name, disk)| format!("{name}={disk}")).collect();
    let writes = annotations.get(WRITES).and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    annotations.insert(WRITES.to_owned(), writes.saturating_add(1).to_string());
    annotations.insert(GENERATION.to_owned(), new.generation.to_string());
    annotations.insert(IN_SYNC.to_owned(), names.join(","));
    annotations.insert(DISKS.to_owned(), disks.join(","));
    let promotion = new.promotion.as_ref().and_then(|promotion| serde_json::to_string(promotion).ok());
    let previous = new.previous.as_ref().map(ToString::to_string);
    for (key, value) in [(PREVIOUS_HOLDER, previous), (PROMOTION, promotion)] {
        match value {
            Some(value) => annotations.insert(key.to_owned(), value),
            None => annotations.remove(key),
        };
    }
}

impl From<LeaseRegister> for Register {
    fn from(lease: LeaseRegister) -> Register {
        Register::Lease(Box::new(lease))
    }
}

#[cfg(test)]
pub(crate) mod tests;
