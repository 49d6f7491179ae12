//! Carries out what [`decide`] says about the connections of one server.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::UserName;
use tokio_util::sync::CancellationToken;

use crate::Limits;
pub(crate) use decide::Stage;
use decide::{Crowd, Order, Place, Shares};

mod decide;

/// How soon one that waits gets the place of one that takes too long.
const SETTLE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Entrance {
    started: Instant,
    inside: Mutex<Inside>,
}

#[derive(Debug)]
struct Inside {
    crowd: Crowd,
    guests: BTreeMap<Place, Handle>,
}

#[derive(Debug)]
struct Handle {
    served: CancellationToken,
    cut: CancellationToken,
}

/// A connection as the others count it, until it is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    entrance: Arc<Entrance>,
    place: Place,
    served: CancellationToken,
}

impl Entrance {
    pub(crate) fn new(limits: &Limits) -> Arc<Entrance> {
        let crowd = Crowd::new(Shares {
            arriving: limits.unauthenticated,
            arriving_per_source: limits.unauthenticated_per_address,
            waiting: limits.waiting,
            logged_in: limits.connections,
            logged_in_per_account: limits.connections_per_user,
        });
        let inside = Mutex::new(Inside { crowd, guests: BTreeMap::new() });
        Arc::new(Entrance { started: Instant::now(), inside })
    }

    /// `cut` ends the connection.
    pub(crate) fn arrive(self: &Arc<Self>, client: IpAddr, cut: CancellationToken) -> Guest {
        let served = CancellationToken::new();
        let place = self.with(|inside, now| {
            let (place, orders) = inside.crowd.arrive(now, client.into(), rand::random());
            inside.guests.insert(place, Handle { served: served.clone(), cut });
            (place, orders)
        });
        Guest { entrance: Arc::clone(self), place, served }
    }

    /// Gives places to those who wait, for as long as it is awaited.
    pub(crate) async fn keep(&self) {
        let mut ticks = tokio::time::interval(SETTLE);
        loop {
            ticks.tick().await;
            self.with(|inside, now| {
                let waited = inside.crowd.is_waited_in();
                ((), if waited { inside.crowd.settle(now) } else { Vec::new() })
            });
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inside, Duration) -> (T, Vec<Order>)) -> T {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let (result, orders) = act(&mut inside, self.started.elapsed());
        for order in orders {
            match order {
                Order::Serve(place) => {
                    if let Some(guest) = inside.guests.get(&place) {
                        guest.served.cancel();
                    }
                }
                Order::End(place) => {
                    if let Some(guest) = inside.guests.remove(&place) {
                        guest.cut.cancel();
                    }
                }
            }
        }
        result
    }
}

impl Guest {
    /// Until it has a place.
    pub(crate) async fn served(&self) {
        self.served.cancelled().await;
    }

    /// Answers whether it had to leave for others.
    pub(crate) fn gave_way(&self) -> bool {
        self.entrance.with(|inside, _| (!inside.guests.contains_key(&self.place), Vec::new()))
    }

    pub(crate) fn shows(&self, stage: Stage) {
        self.entrance.with(|inside, _| {
            inside.crowd.shown(self.place, stage);
            ((), Vec::new())
        });
    }

    /// False: it finds no place among those of its account, or of all; the caller says so, and ends it.
    pub(crate) fn logs_in(&self, user: &UserName) -> bool {
        self.entrance.with(|inside, now| {
            let orders = inside.crowd.log_in(now, self.place, user);
            let stays = !orders.contains(&Order::End(self.place));
            if !stays {
                inside.guests.remove(&self.place);
            }
            (stays, orders)
        })
    }

    pub(crate) fn runs(&self, commands: u32) {
        self.entrance.with(|inside, now| {
            inside.crowd.runs(now, self.place, commands);
            ((), Vec::new())
        });
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.entrance.with(|inside, now| {
            inside.guests.remove(&self.place);
            ((), inside.crowd.leave(now, self.place))
        });
    }
}
