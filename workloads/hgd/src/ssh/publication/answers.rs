//! Answers of the publisher: to the balancer, to mirrors, and as status.

use protocol::endpoints::{Endpoint, Endpoints};
use protocol::status::{Cursor, InstanceStatus, MirrorStatus, RepositoryStatus, Role, Status};
use protocol::stream::Progress;
use protocol::{CreationId, InstanceName, Offset, Repository};

use interface::PeerAddress;

use super::{Publisher, RECONNECT};
use crate::ssh::{held, writable};

impl Publisher {
    /// None: a new master does not know yet, and what readers use stays as it is. To list no mirror would send all
    /// readers away.
    pub(super) fn endpoints(&self) -> Option<Endpoints> {
        let desired = self.publishing.core.desired();
        let awaits = self.now() < RECONNECT && desired.iter().any(|name| !self.mirrors.contains_key(name));
        if awaits || !self.publishing.knows_the_logs() {
            return None;
        }
        let address = |name: &InstanceName| {
            let url = &self.mirrors.get(name)?.url;
            Some(url.strip_prefix("http://").unwrap_or(url).to_owned())
        };
        let endpoints = desired.into_iter().filter_map(|name| Some(Endpoint { address: address(&name)?, name }));
        Some(Endpoints { endpoints: endpoints.collect() })
    }

    pub(super) fn peers(&self) -> Vec<PeerAddress> {
        let active = self.publishing.core.active();
        let ssh = self.options.peers.iter().map(|(name, address)| PeerAddress {
            name: name.clone(),
            address: address.to_string(),
            url: None,
        });
        let mirrors = self.mirrors.iter().filter(|(name, _)| active.contains(name));
        let mirrors = mirrors.map(|(name, mirror)| PeerAddress {
            name: name.clone(),
            address: mirror.peer.clone(),
            url: Some(mirror.url.clone()),
        });
        mirrors.chain(ssh).collect()
    }

    /// Without repositories.
    pub(super) fn status(&self) -> Status {
        let own = self.options.progress.borrow().clone();
        let in_sync = self.options.requirement.borrow().in_sync.clone();
        let instance = |name: &InstanceName, role, progress: Option<&Progress>| InstanceStatus {
            name: name.clone(),
            role,
            pid: None,
            generation: self.options.generation,
            applied: progress.map_or(Offset::ZERO, |progress| progress.applied_through),
            in_sync: role == Role::Master || in_sync.contains(name),
            quarantined: held::quarantined(self.publishing.registry(), progress),
        };
        let connected = self.options.connected.borrow();
        let others = self.options.peers.keys().map(|name| {
            let role = if connected.contains_key(name) { Role::Standby } else { Role::Unknown };
            instance(name, role, self.standbys.get(name))
        });
        let waiting = self.options.waiting.iter().map(|name| instance(name, Role::Standby, own.as_ref()));
        let master = instance(&self.options.name, Role::Master, own.as_ref());
        let instances = [master].into_iter().chain(others).chain(waiting).collect();
        let path = |id| self.publishing.registry().get(id).map(|repository| repository.path.clone());
        let mirrors = self.publishing.core.mirrors().into_iter().map(|mirror| MirrorStatus {
            pid: None,
            state: mirror.state,
            url: self.mirrors.get(&mirror.name).map(|known| known.url.clone()).unwrap_or_default(),
            applied: mirror.applied,
            published: mirror.shown,
            lag_seconds: mirror.lag.as_secs(),
            quarantined: mirror.quarantined.into_iter().filter_map(path).collect(),
            name: mirror.name,
        });
        Status {
            master: Some(self.options.name.clone()),
            absence: None,
            generation: self.options.generation,
            log: Some(writable::status(&self.options.logs.replication, *self.options.refuses.borrow())),
            settings: Some(self.publishing.registry().settings().clone()),
            unable: self.options.unable.borrow().clone(),
            instances,
            mirrors: mirrors.collect(),
            repositories: Vec::new(),
            changes: None,
        }
    }

    pub(super) fn repositories(&self) -> Vec<RepositoryStatus> {
        self.publishing.registry().iter().map(|repository| self.repository(repository)).collect()
    }

    /// With what has changed of the repositories only.
    pub(super) fn since(&mut self, since: Cursor) -> Status {
        let touched = self.seen.touched(&self.options.table);
        let now =
            |id: CreationId| (id, self.publishing.registry().get(id).map(|repository| self.repository(repository)));
        let now: Vec<_> = touched.into_iter().map(now).collect();
        self.seen.take(now);
        let (repositories, changes) = self.seen.answer(since, self.options.generation);
        Status { repositories, changes: Some(changes), ..self.status() }
    }

    pub(super) fn repository(&self, repository: &Repository) -> RepositoryStatus {
        let published = self.publishing.core.published(repository.id).unwrap_or(repository.last);
        held::repository(&self.options.table, repository, published)
    }
}
