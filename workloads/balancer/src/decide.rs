//! Decides which endpoints take connections. Pure: time comes in as the time since the balancer's start.
//!
//! The master stops waiting for a mirror when the balancer has said long enough that it left. Hence an endpoint is
//! used only between a report that claims it, answered by a master that still wants it, and the first report that does
//! not.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::time::Duration;

use protocol::InstanceName;
use protocol::endpoints;
use protocol::endpoints::{Serving, ServingReport};

#[derive(Debug, Default)]
pub struct Rotation {
    endpoints: BTreeMap<InstanceName, Endpoint>,
}

#[derive(Debug)]
struct Endpoint {
    address: String,
    /// The last answer listed it.
    wanted: bool,
    /// Accepts: it accepted the last connection, or none was tried.
    accepts: bool,
    /// A master answered a report that claimed it, and none without it may have arrived since.
    confirmed: bool,
    connections: u64,
    /// When it was last in use; None while it is.
    left: Option<Duration>,
}

impl Endpoint {
    fn claimed(&self) -> bool {
        self.wanted && self.accepts
    }

    fn in_use(&self) -> bool {
        self.claimed() && self.confirmed
    }
}

impl Rotation {
    /// Reports what to tell the master now.
    pub fn report(&self) -> ServingReport {
        let serving = |(name, endpoint): (&InstanceName, &Endpoint)| Serving {
            name: name.clone(),
            connections: endpoint.connections,
            in_rotation: endpoint.claimed(),
        };
        ServingReport { serving: self.endpoints.iter().map(serving).collect(), mirrors: None }
    }

    /// Call before a report leaves: from here on a master may believe that what it does not claim has left. Answers
    /// what [`Rotation::unsent`] needs if it turns out that nothing left.
    pub fn sending(&mut self, report: &ServingReport) -> Vec<InstanceName> {
        let mut revoked = Vec::new();
        for (name, endpoint) in &mut self.endpoints {
            if endpoint.confirmed && !claims(report, name) {
                endpoint.confirmed = false;
                revoked.push(name.clone());
            }
        }
        revoked
    }

    /// No master has seen the report, so what it would have given up may be used again.
    pub fn unsent(&mut self, revoked: &[InstanceName]) {
        for name in revoked {
            if let Some(endpoint) = self.endpoints.get_mut(name) {
                endpoint.confirmed = true;
            }
        }
    }

    /// A master answered `report` with what it wants.
    pub fn answered(&mut self, now: Duration, report: &ServingReport, wanted: &[endpoints::Endpoint]) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.wanted = false;
        }
        for endpoints::Endpoint { name, address } in wanted {
            let endpoint = self.endpoints.entry(name.clone()).or_insert_with(|| Endpoint {
                address: address.clone(),
                wanted: true,
                accepts: true,
                confirmed: false,
                connections: 0,
                left: Some(now),
            });
            endpoint.wanted = true;
            if endpoint.address != *address {
                endpoint.address = address.clone();
                endpoint.accepts = true;
            }
            endpoint.confirmed |= claims(report, name);
        }
        for endpoint in self.endpoints.values_mut().filter(|endpoint| !endpoint.wanted) {
            endpoint.confirmed = false;
        }
        self.settle(now);
    }

    /// The endpoint at `address` did not accept a connection.
    pub fn refused(&mut self, now: Duration, name: &InstanceName, address: &str) {
        self.set_accepts(now, name, address, false);
    }

    /// Notes that it accepted one.
    pub fn accepted(&mut self, now: Duration, name: &InstanceName, address: &str) {
        self.set_accepts(now, name, address, true);
    }

    fn set_accepts(&mut self, now: Duration, name: &InstanceName, address: &str, accepts: bool) {
        if let Some(endpoint) = self.endpoints.get_mut(name)
            && endpoint.address == address
        {
            endpoint.accepts = accepts;
            self.settle(now);
        }
    }

    /// Wanted endpoints that refuse: try them again.
    pub fn refusing(&self) -> Vec<endpoints::Endpoint> {
        self.listed(|endpoint| endpoint.wanted && !endpoint.accepts)
    }

    pub fn in_use(&self) -> Vec<endpoints::Endpoint> {
        self.listed(Endpoint::in_use)
    }

    fn listed(&self, which: impl Fn(&Endpoint) -> bool) -> Vec<endpoints::Endpoint> {
        let chosen = self.endpoints.iter().filter(|(_, endpoint)| which(endpoint));
        chosen
            .map(|(name, endpoint)| endpoints::Endpoint { name: name.clone(), address: endpoint.address.clone() })
            .collect()
    }

    /// The endpoints in use in the order in which `client` should try them: the same for each of its connections, and
    /// an endpoint that comes or goes moves only its own clients (rendezvous hashing).
    pub fn candidates(&self, client: IpAddr) -> Vec<endpoints::Endpoint> {
        let client = client.to_canonical();
        let mut candidates = self.in_use();
        candidates.sort_by_cached_key(|endpoint| {
            let mut hasher = DefaultHasher::new();
            (client, endpoint.name.as_str()).hash(&mut hasher);
            hasher.finish()
        });
        candidates
    }

    /// A client's connection goes to this endpoint. False: it left meanwhile, the connection must not go there.
    pub fn opened(&mut self, name: &InstanceName) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(name).filter(|endpoint| endpoint.in_use()) else { return false };
        endpoint.connections += 1;
        true
    }

    pub fn closed(&mut self, now: Duration, name: &InstanceName) {
        if let Some(endpoint) = self.endpoints.get_mut(name) {
            endpoint.connections = endpoint.connections.saturating_sub(1);
        }
        self.settle(now);
    }

    /// Endpoints that left `max_age` ago and still have connections, which must be closed now.
    pub fn overdue(&self, now: Duration, max_age: Duration) -> Vec<InstanceName> {
        let overdue = |endpoint: &Endpoint| {
            endpoint.connections > 0 && endpoint.left.is_some_and(|left| now.saturating_sub(left) >= max_age)
        };
        self.endpoints.iter().filter(|(_, endpoint)| overdue(endpoint)).map(|(name, _)| name.clone()).collect()
    }

    fn settle(&mut self, now: Duration) {
        for endpoint in self.endpoints.values_mut() {
            endpoint.left = match endpoint.in_use() {
                true => None,
                false => endpoint.left.or(Some(now)),
            };
        }
        self.endpoints.retain(|_, endpoint| endpoint.wanted || endpoint.connections > 0);
    }
}

fn claims(report: &ServingReport, name: &InstanceName) -> bool {
    report.serving.iter().any(|serving| serving.in_rotation && serving.name == *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(30);

    fn name(text: &str) -> InstanceName {
        text.parse().unwrap()
    }

    fn wanted(names: &[&str]) -> Vec<endpoints::Endpoint> {
        let endpoint = |text: &&str| endpoints::Endpoint { name: name(text), address: format!("{text}:80") };
        names.iter().map(endpoint).collect()
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One whole exchange with a master that wants these.
    fn exchange(rotation: &mut Rotation, now: Duration, names: &[&str]) -> ServingReport {
        let report = rotation.report();
        rotation.sending(&report);
        rotation.answered(now, &report, &wanted(names));
        report
    }

    fn in_use(rotation: &Rotation) -> Vec<String> {
        rotation.in_use().into_iter().map(|endpoint| endpoint.name.to_string()).collect()
    }

    #[test]
    fn an_endpoint_is_used_only_after_a_master_has_read_that_it_will_be() {
        let mut rotation = Rotation::default();
        assert!(exchange(&mut rotation, at(0), &["a", "b"]).serving.is_empty());
        assert!(in_use(&rotation).is_empty());
        assert!(exchange(&mut rotation, at(1), &["a", "b"]).serving.iter().all(|serving| serving.in_rotation));
        assert_eq!(in_use(&rotation), ["a", "b"]);
        exchange(&mut rotation, at(2), &["b"]);
        assert_eq!(in_use(&rotation), ["b"]);
    }

    #[test]
    fn one_that_refused_comes_back_only_when_a_master_agrees() {
        let mut rotation = Rotation::default();
        exchange(&mut rotation, at(0), &["a"]);
        exchange(&mut rotation, at(0), &["a"]);
        rotation.refused(at(1), &name("a"), "a:80");
        assert!(!rotation.opened(&name("a")));
        assert_eq!(rotation.refusing(), wanted(&["a"]));
        let report = rotation.report();
        assert!(!report.serving[0].in_rotation);
        // The report is on its way when it accepts again: the master may already count on its absence.
        let revoked = rotation.sending(&report);
        assert_eq!(revoked, [name("a")]);
        rotation.accepted(at(2), &name("a"), "a:80");
        assert!(in_use(&rotation).is_empty());
        rotation.answered(at(2), &report, &wanted(&["a"]));
        assert!(in_use(&rotation).is_empty());
        exchange(&mut rotation, at(2), &["a"]);
        assert_eq!(in_use(&rotation), ["a"]);
    }

    #[test]
    fn without_any_master_the_endpoints_stay_and_recover() {
        let mut rotation = Rotation::default();
        exchange(&mut rotation, at(0), &["a"]);
        exchange(&mut rotation, at(0), &["a"]);
        rotation.refused(at(1), &name("a"), "a:80");
        let report = rotation.report();
        let revoked = rotation.sending(&report);
        rotation.unsent(&revoked);
        rotation.accepted(at(2), &name("a"), "a:80");
        assert_eq!(in_use(&rotation), ["a"]);
    }

    #[test]
    fn connections_to_one_that_left_are_reported_and_become_overdue() {
        let mut rotation = Rotation::default();
        exchange(&mut rotation, at(0), &["a"]);
        exchange(&mut rotation, at(0), &["a"]);
        assert!(rotation.opened(&name("a")) && rotation.opened(&name("a")));
        assert!(rotation.overdue(at(100), AGE).is_empty());
        exchange(&mut rotation, at(100), &[]);
        let report = exchange(&mut rotation, at(101), &[]);
        assert_eq!(report.serving, [Serving { name: name("a"), connections: 2, in_rotation: false }]);
        assert!(rotation.overdue(at(129), AGE).is_empty());
        assert_eq!(rotation.overdue(at(130), AGE), [name("a")]);
        rotation.closed(at(131), &name("a"));
        rotation.closed(at(131), &name("a"));
        assert!(rotation.overdue(at(131), AGE).is_empty());
        assert!(rotation.report().serving.is_empty());
    }

    #[test]
    fn a_client_keeps_its_endpoint_and_only_the_clients_of_one_that_left_move() {
        let clients: Vec<IpAddr> = (0..200).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let mut rotation = Rotation::default();
        exchange(&mut rotation, at(0), &["a", "b", "c", "d"]);
        exchange(&mut rotation, at(0), &["a", "b", "c", "d"]);
        let first = |rotation: &Rotation, client: IpAddr| rotation.candidates(client)[0].name.to_string();
        let before: Vec<String> = clients.iter().map(|client| first(&rotation, *client)).collect();
        for one in ["a", "b", "c", "d"] {
            assert!(before.iter().filter(|chosen| *chosen == one).count() > 25, "{one} has too few clients");
        }
        rotation.refused(at(1), &name("c"), "c:80");
        for (client, before) in clients.iter().zip(&before) {
            let after = first(&rotation, *client);
            assert!(after != "c" && (after == *before || before == "c"), "{client} moved from {before} to {after}");
        }
        let mapped: IpAddr = "::ffff:10.0.0.7".parse().unwrap();
        assert_eq!(rotation.candidates(mapped), rotation.candidates(clients[7]));
    }

    #[test]
    fn a_new_address_is_tried_at_once_and_news_of_the_old_one_is_ignored() {
        let mut rotation = Rotation::default();
        exchange(&mut rotation, at(0), &["a"]);
        rotation.refused(at(0), &name("a"), "a:80");
        let report = rotation.report();
        let moved = vec![endpoints::Endpoint { name: name("a"), address: "a:81".into() }];
        rotation.answered(at(1), &report, &moved);
        rotation.refused(at(1), &name("a"), "a:80");
        assert!(rotation.refusing().is_empty());
    }
}
