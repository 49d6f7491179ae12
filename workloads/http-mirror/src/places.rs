//! Places that connections have, and who leaves when there are too many, so that nobody keeps the others out: not the
//! newest, but who has asked for nothing for longest, of the client that has most.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::front::Limits;
use decide::{Number, Places, Room};

mod decide;

/// How soon one that waits gets the place of one that is idle by then.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) struct Doors {
    started: Instant,
    inside: Mutex<Inside>,
    left: Notify,
}

struct Inside {
    places: Places,
    cuts: BTreeMap<Number, CancellationToken>,
}

/// A connection's place, until it is dropped.
pub(crate) struct Place {
    doors: Arc<Doors>,
    number: Number,
    cut: CancellationToken,
}

/// One request that is being answered, until it is dropped.
pub(crate) struct Busy(Arc<Place>);

impl Doors {
    pub(crate) fn new(limits: &Limits) -> Arc<Doors> {
        let places = Places::new(limits.connections, limits.connections_per_client);
        let inside = Mutex::new(Inside { places, cuts: BTreeMap::new() });
        Arc::new(Doors { started: Instant::now(), inside, left: Notify::new() })
    }

    /// Waits for a place.
    pub(crate) async fn enter(self: &Arc<Self>, client: IpAddr) -> Arc<Place> {
        loop {
            let left = self.left.notified();
            let entered = self.with(|inside, now| match inside.places.room(now) {
                Room::Free => {
                    let (number, cut) = (inside.places.enter(client, now), CancellationToken::new());
                    inside.cuts.insert(number, cut.clone());
                    Some((number, cut))
                }
                Room::Of(leaver) => {
                    inside.cut(leaver);
                    None
                }
                Room::None => None,
            });
            if let Some((number, cut)) = entered {
                return Arc::new(Place { doors: self.clone(), number, cut });
            }
            let _either = tokio::time::timeout(LOOK, left).await;
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inside, Duration) -> T) -> T {
        let now = self.started.elapsed();
        act(&mut self.inside.lock().unwrap_or_else(PoisonError::into_inner), now)
    }
}

impl Inside {
    fn cut(&mut self, number: Number) {
        self.places.leave(number);
        if let Some(cut) = self.cuts.remove(&number) {
            cut.cancel();
        }
    }
}

impl Place {
    /// Notes whose the connection is. One of that client's leaves if they are too many, which may be this one.
    pub(crate) fn belongs_to(&self, client: IpAddr) {
        self.doors.with(|inside, _| {
            if let Some(leaver) = inside.places.belongs_to(self.number, client) {
                inside.cut(leaver);
            }
        });
    }

    /// Until it has to leave.
    pub(crate) async fn given_up(&self) {
        self.cut.cancelled().await;
    }

    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.doors.with(|inside, _| inside.places.begins(self.number));
        Busy(self.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.doors.with(|inside, now| inside.places.ends(self.0.number, now));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.doors.with(|inside, _| inside.cut(self.number));
        self.doors.left.notify_one();
    }
}
