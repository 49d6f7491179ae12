//! Decides who of those that connect is served, who waits, and who has to leave, so that nobody keeps the others out.
//! As OpenSSH's `MaxStartups` and `PerSourceMaxStartups` (sshd_config(5)), with one difference: not the newest is
//! refused when places are taken, but who has taken longest and shown least.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use protocol::UserName;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(u64);

/// One client as far as addresses tell: an IPv4 address, or the 64 bits of an IPv6 address that a site is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    V4(Ipv4Addr),
    V6([u8; 8]),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Source {
        match address.to_canonical() {
            IpAddr::V4(address) => Source::V4(address),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Source::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// Stage that a connection which is not logged in has shown. While others wait for its place it may take only so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Nothing: an SSH client speaks at once.
    Silent,
    /// Bytes, which anybody can send.
    Speaking,
    /// A key that opens an account. A person may have to touch a token before it signs.
    Known,
}

impl Stage {
    fn patience(self) -> Duration {
        match self {
            Stage::Silent => Duration::from_millis(500),
            Stage::Speaking => Duration::from_secs(3),
            Stage::Known => Duration::from_secs(10),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// Served and not logged in.
    pub(crate) arriving: usize,
    pub(crate) arriving_per_source: usize,
    /// Accepted and not yet served.
    pub(crate) waiting: usize,
    pub(crate) logged_in: usize,
    pub(crate) logged_in_per_account: usize,
}

/// Order of what is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Serve(Place),
    End(Place),
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    Arriving(Stage),
    LoggedIn { user: UserName, running: u32 },
}

#[derive(Clone, Debug)]
struct Guest {
    source: Source,
    state: State,
    /// In this state (of those logged in: without a command).
    since: Duration,
}

#[derive(Debug)]
pub(crate) struct Crowd {
    shares: Shares,
    next: u64,
    guests: BTreeMap<Place, Guest>,
}

impl Crowd {
    pub(crate) fn new(shares: Shares) -> Crowd {
        Crowd { shares, next: 0, guests: BTreeMap::new() }
    }

    /// A new connection. `lot` (0 to 1) is drawn for it: from half a full waiting room on, one leaves with a chance
    /// that grows to certainty.
    pub(crate) fn arrive(&mut self, now: Duration, source: Source, lot: f64) -> (Place, Vec<Order>) {
        let mut orders = Vec::new();
        if lot < self.crowded() {
            orders.extend(self.longest_waiting().map(|place| self.end(place)));
        }
        let place = Place(self.next);
        self.next += 1;
        self.guests.insert(place, Guest { source, state: State::Waiting, since: now });
        orders.extend(self.settle(now));
        (place, orders)
    }

    /// Notes what a connection has shown; it never shows less than before.
    pub(crate) fn shown(&mut self, place: Place, shown: Stage) {
        if let Some(Guest { state: State::Arriving(stage), .. }) = self.guests.get_mut(&place) {
            *stage = shown.max(*stage);
        }
    }

    /// Somebody has logged in: who has been idle longest gives way. One that finds nobody idle is itself ended.
    pub(crate) fn log_in(&mut self, now: Duration, place: Place, user: &UserName) -> Vec<Order> {
        let mut orders = Vec::new();
        if self.guests.contains_key(&place) {
            let of_user = |guest: &Guest| matches!(&guest.state, State::LoggedIn { user: other, .. } if other == user);
            let own = self.guests.values().filter(|guest| of_user(guest)).count();
            let all = self.guests.values().filter(|guest| matches!(guest.state, State::LoggedIn { .. })).count();
            let full = if own >= self.shares.logged_in_per_account {
                Some(self.idlest(|user_of| user_of == user))
            } else if all >= self.shares.logged_in {
                let heaviest = self.heaviest_account();
                Some(self.idlest(|user_of| Some(user_of) == heaviest.as_ref()).or_else(|| self.idlest(|_| true)))
            } else {
                None
            };
            match full {
                Some(None) => orders.push(self.end(place)),
                leaver => orders.extend(leaver.flatten().map(|leaver| self.end(leaver))),
            }
        }
        if let Some(guest) = self.guests.get_mut(&place) {
            guest.state = State::LoggedIn { user: user.clone(), running: 0 };
            guest.since = now;
        }
        orders.extend(self.settle(now));
        orders
    }

    /// How many commands a connection runs.
    pub(crate) fn runs(&mut self, now: Duration, place: Place, commands: u32) {
        if let Some(Guest { state: State::LoggedIn { running, .. }, since, .. }) = self.guests.get_mut(&place) {
            *running = commands;
            *since = now;
        }
    }

    pub(crate) fn leave(&mut self, now: Duration, place: Place) -> Vec<Order> {
        self.guests.remove(&place);
        self.settle(now)
    }

    /// Gives places to those who wait, first to whose address has fewest, and ends whoever takes too long for it.
    pub(crate) fn settle(&mut self, now: Duration) -> Vec<Order> {
        let mut orders = Vec::new();
        while let Some((place, leaver)) = self.next_served(now) {
            orders.extend(leaver.map(|leaver| self.end(leaver)));
            if let Some(guest) = self.guests.get_mut(&place) {
                guest.state = State::Arriving(Stage::Silent);
                guest.since = now;
            }
            orders.push(Order::Serve(place));
        }
        orders
    }

    pub(crate) fn is_waited_in(&self) -> bool {
        self.guests.values().any(|guest| matches!(guest.state, State::Waiting))
    }

    fn next_served(&self, now: Duration) -> Option<(Place, Option<Place>)> {
        let mut first: BTreeMap<Source, (Duration, Place)> = BTreeMap::new();
        for (place, guest) in self.guests.iter().filter(|(_, guest)| matches!(guest.state, State::Waiting)) {
            first.entry(guest.source).or_insert((guest.since, *place));
        }
        let taken = self.arriving();
        let all: usize = taken.values().sum();
        let mut waiting: Vec<_> = first.into_iter().collect();
        waiting.sort_by_key(|(source, (since, place))| (taken.get(source).copied().unwrap_or(0), *since, *place));
        waiting.into_iter().find_map(|(source, (_, place))| {
            if taken.get(&source).is_some_and(|taken| *taken >= self.shares.arriving_per_source) {
                self.overdue(now, |other| other == source).map(|leaver| (place, Some(leaver)))
            } else if all >= self.shares.arriving {
                let most = taken.values().copied().max().unwrap_or(0);
                self.overdue(now, |other| taken.get(&other) == Some(&most)).map(|leaver| (place, Some(leaver)))
            } else {
                Some((place, None))
            }
        })
    }

    /// How many connections of each address are on their way to a login.
    fn arriving(&self) -> BTreeMap<Source, usize> {
        let mut taken = BTreeMap::new();
        for guest in self.guests.values().filter(|guest| matches!(guest.state, State::Arriving(_))) {
            *taken.entry(guest.source).or_default() += 1;
        }
        taken
    }

    /// Finds who has taken too long, and of those who has shown least, and for longest.
    fn overdue(&self, now: Duration, of: impl Fn(Source) -> bool) -> Option<Place> {
        let late = self.guests.iter().filter(|(_, guest)| of(guest.source)).filter_map(|(place, guest)| {
            let State::Arriving(stage) = guest.state else { return None };
            (now.saturating_sub(guest.since) >= stage.patience()).then_some((stage, guest.since, *place))
        });
        late.min().map(|(_, _, place)| place)
    }

    /// 0 up to half a full waiting room, 1 when it is full.
    fn crowded(&self) -> f64 {
        let waiting = self.guests.values().filter(|guest| matches!(guest.state, State::Waiting)).count();
        let half = self.shares.waiting / 2;
        waiting.saturating_sub(half) as f64 / (self.shares.waiting - half).max(1) as f64
    }

    /// Finds the longest waiting of the address of which most wait.
    fn longest_waiting(&self) -> Option<Place> {
        let waiting = || self.guests.iter().filter(|(_, guest)| matches!(guest.state, State::Waiting));
        let mut counts: BTreeMap<Source, usize> = BTreeMap::new();
        for (_, guest) in waiting() {
            *counts.entry(guest.source).or_default() += 1;
        }
        let most = counts.values().copied().max()?;
        waiting().filter(|(_, guest)| counts.get(&guest.source) == Some(&most)).map(|(place, _)| *place).min()
    }

    fn heaviest_account(&self) -> Option<UserName> {
        let mut counts: BTreeMap<&UserName, usize> = BTreeMap::new();
        for guest in self.guests.values() {
            if let State::LoggedIn { user, .. } = &guest.state {
                *counts.entry(user).or_default() += 1;
            }
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(user, _)| user.clone())
    }

    fn idlest(&self, of: impl Fn(&UserName) -> bool) -> Option<Place> {
        let idle = self.guests.iter().filter_map(|(place, guest)| match &guest.state {
            State::LoggedIn { user, running: 0 } if of(user) => Some((guest.since, *place)),
            State::Waiting | State::Arriving(_) | State::LoggedIn { .. } => None,
        });
        idle.min().map(|(_, place)| place)
    }

    fn end(&mut self, place: Place) -> Order {
        self.guests.remove(&place);
        Order::End(place)
    }
}

#[cfg(test)]
mod tests;
