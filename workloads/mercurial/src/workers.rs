//! A bounded number of long-lived children of one kind. A caller holds one alone; it comes back only when its answer
//! was read to the end, else it is killed, so that no answer can reach the wrong caller.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::{ConnectError, Connection};
use crate::zygote::Mercurial;

/// Then it is replaced: Mercurial's caches grow.
const MAX_REQUESTS_PER_WORKER: u32 = 20_000;

#[derive(Serialize)]
struct First {
    mode: &'static str,
}

#[derive(Clone)]
pub(crate) struct Workers {
    inner: Arc<Inner>,
}

struct Inner {
    mercurial: Mercurial,
    mode: &'static str,
    limit: usize,
    /// Fair: whoever asked first is served first.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Worker>>,
}

struct Worker {
    connection: Box<Connection>,
    /// Deaths of zygotes, when it was made.
    deaths: u64,
    requests: u32,
    /// The repository it served last: its caches are warm there.
    directory: PathBuf,
}

/// How many wait for a worker.
#[derive(Default)]
pub(crate) struct Queue(AtomicUsize);

impl Queue {
    pub(crate) fn waiting(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn enter(&self) -> Waiting<'_> {
        Waiting { queue: self, before: self.0.fetch_add(1, Ordering::Relaxed) }
    }
}

/// Counts itself while it lives.
pub(crate) struct Waiting<'a> {
    queue: &'a Queue,
    pub(crate) before: usize,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queue.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) struct Loan {
    /// None only after it was given back.
    worker: Option<Worker>,
    workers: Workers,
    _permit: OwnedSemaphorePermit,
}

impl Workers {
    pub(crate) fn new(mercurial: Mercurial, mode: &'static str, limit: usize) -> Workers {
        let permits = Arc::new(Semaphore::new(limit));
        Workers { inner: Arc::new(Inner { mercurial, mode, limit, permits, idle: Mutex::default() }) }
    }

    pub(crate) fn mercurial(&self) -> &Mercurial {
        &self.inner.mercurial
    }

    pub(crate) fn limit(&self) -> usize {
        self.inner.limit
    }

    pub(crate) fn busy(&self) -> usize {
        self.inner.limit - self.inner.permits.available_permits()
    }

    /// A worker for a request about the repository in `directory`; a new one when `fresh`, because whatever killed one
    /// may be killing all that are idle now.
    pub(crate) async fn lend(&self, directory: PathBuf, fresh: bool) -> Result<Loan, ConnectError> {
        let closed = |_| ConnectError::NotRunning("its workers are closed".to_owned());
        let permit = self.inner.permits.clone().acquire_owned().await.map_err(closed)?;
        if fresh {
            self.end_idle();
        }
        let mut worker = match self.take_idle(&directory) {
            Some(worker) => worker,
            None => {
                let deaths = self.inner.mercurial.deaths();
                let first = First { mode: self.inner.mode };
                let connection = self.inner.mercurial.connect(&first, None).await?;
                Worker { connection: Box::new(connection), deaths, requests: 0, directory: PathBuf::new() }
            }
        };
        worker.requests += 1;
        worker.directory = directory;
        Ok(Loan { worker: Some(worker), workers: self.clone(), _permit: permit })
    }

    /// The one that knows the repository, else the one used last. Those that died meanwhile are dropped.
    fn take_idle(&self, directory: &std::path::Path) -> Option<Worker> {
        let mut idle = self.idle();
        while !idle.is_empty() {
            let place = idle.iter().rposition(|worker| worker.directory == directory).unwrap_or(idle.len() - 1);
            let worker = idle.remove(place);
            if worker.deaths == self.inner.mercurial.deaths() && worker.connection.is_quiet() {
                return Some(worker);
            }
            worker.connection.child().kill();
        }
        None
    }

    fn end_idle(&self) {
        for worker in self.idle().drain(..) {
            worker.connection.child().kill();
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Worker>> {
        // The list is whole between any two statements, also when a thread died with the lock.
        self.inner.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loan {
    /// None only after it was given back.
    pub(crate) fn connection(&mut self) -> Option<&mut Connection> {
        self.worker.as_mut().map(|worker| &mut *worker.connection)
    }

    /// Gives the worker back, whose answer was read to the end.
    pub(crate) fn give_back(mut self) {
        if let Some(worker) = self.worker.take_if(|worker| worker.requests < MAX_REQUESTS_PER_WORKER) {
            self.workers.idle().push(worker);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(worker) = &self.worker {
            worker.connection.child().kill();
        }
    }
}
