//! The handle to a log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;

use protocol::{DiskId, Entry, Generation, LogName, Offset, Record, Timestamp};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::core::{Core, Cut, Event, Ticket, View};
use crate::engine::{Engine, INBOX, MayWrite, Message, Reply};
use crate::open_error::OpenError;
use crate::refusal::{AppendError, LogError};
use crate::retention::{self, Retention, Stored};
use crate::storage::{SharedIndex, Statistics, Storage, read};
use crate::subscription::{Level, Subscription};
use crate::tail::Tail;

pub const DEFAULT_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// Requests in flight: those that wait for the writer's thread, in units of 1 KiB: 64 MiB.
const IN_FLIGHT_KIB: u32 = 64 * 1024;

#[derive(Clone, Debug)]
pub struct Options {
    pub directory: PathBuf,
    pub name: LogName,
    /// A segment that is at least this large is followed by another.
    pub segment_bytes: u64,
    pub retention: Retention,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Positions {
    /// The first record still held, `end + 1` when there is none.
    pub start: Offset,
    /// The last record in the file.
    pub end: Offset,
    /// The last record that is on disk here.
    pub durable: Offset,
    /// The last record known to be final.
    pub committed: Offset,
    /// Generation of the last record.
    pub generation: Generation,
}

/// The outcome of a record that was appended is not known: it may be committed, now, later or never.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {offset} of generation {generation} may or may not be committed: {why}")]
pub struct Unknown {
    pub generation: Generation,
    pub offset: Offset,
    pub why: &'static str,
}

/// Cheap to clone. When the last clone is gone, the writer's thread has ended and the directory is free.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    name: LogName,
    directory: Arc<PathBuf>,
    retention: Retention,
    to_engine: Option<mpsc::Sender<Message>>,
    engine: Option<JoinHandle<()>>,
    tickets: AtomicU64,
    in_flight: Arc<Semaphore>,
    view: watch::Receiver<View>,
    index: SharedIndex,
    tail: Arc<Tail>,
    holds: Arc<Mutex<Holds>>,
    statistics: Arc<Statistics>,
}

/// Offsets below which nothing is trimmed, by number of the hold.
#[derive(Debug, Default)]
struct Holds {
    next: u64,
    held: BTreeMap<u64, Offset>,
}

/// While this lives, records from its offset on are not trimmed.
#[derive(Debug)]
pub struct Hold {
    holds: Arc<Mutex<Holds>>,
    number: u64,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.holds.lock().unwrap_or_else(PoisonError::into_inner).held.remove(&self.number);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.to_engine = None;
        if let Some(engine) = self.engine.take() {
            // At most one write and sync: then whoever opens the directory next finds it free.
            let _ = engine.join();
        }
    }
}

impl Log {
    /// Reads and checks the whole log, so it blocks: about a second per gigabyte or two.
    pub fn open(options: Options) -> Result<Log, OpenError> {
        Log::open_with(options, None)
    }

    /// The same on a volume that other machines have, too: without a lock, which would outlive the machine that held
    /// it. `may_write` is asked before each write, and a write that may not be is refused as by a full disk.
    pub fn open_shared(options: Options, may_write: MayWrite) -> Result<Log, OpenError> {
        Log::open_with(options, Some(may_write))
    }

    fn open_with(options: Options, may_write: Option<MayWrite>) -> Result<Log, OpenError> {
        let Options { directory, name, segment_bytes, retention } = options;
        let (storage, found) = Storage::open(&directory, name, segment_bytes, may_write.is_none())?;
        let core = Core::new(found);
        let (to_engine, inbox) = mpsc::channel(INBOX);
        let (view, watched) = watch::channel(core.view());
        let (index, statistics, tail) = (storage.index(), storage.statistics(), Arc::new(Tail::default()));
        let engine = Engine { core, storage, may_write, tail: tail.clone(), inbox, view };
        let thread = std::thread::Builder::new().name(format!("log {}", name.directory()));
        let engine = thread.spawn(|| engine.run()).map_err(|why| OpenError::Io { path: directory.clone(), why })?;
        Ok(Log(Arc::new(Inner {
            name,
            directory: Arc::new(directory),
            retention,
            to_engine: Some(to_engine),
            engine: Some(engine),
            tickets: AtomicU64::new(0),
            in_flight: Arc::new(Semaphore::new(IN_FLIGHT_KIB as usize)),
            view: watched,
            index,
            tail,
            holds: Arc::default(),
            statistics,
        })))
    }

    pub fn name(&self) -> LogName {
        self.0.name
    }

    pub fn positions(&self) -> Positions {
        let view = self.view();
        Positions {
            start: view.generations.start(),
            end: view.generations.end(),
            durable: view.durable,
            committed: view.committed,
            generation: view.generations.last(),
        }
    }

    /// Everything that is known of the log now.
    pub fn view(&self) -> View {
        self.0.view.borrow().clone()
    }

    /// To wait for a change of [`Log::view`], also for `stopped`, upon which the process must end.
    pub fn watch(&self) -> watch::Receiver<View> {
        self.0.view.clone()
    }

    /// Becomes the writer: from now on appends happen in exactly this generation, which must be new. A commit needs
    /// the acknowledgement of every disk of `in_sync`, from this reign. Answers the end of what is there, which
    /// counts as committed when it has been acknowledged, too.
    pub async fn lead(&self, generation: Generation, in_sync: BTreeSet<DiskId>) -> Result<Offset, LogError> {
        self.request(1, |ticket| Event::Lead { ticket, generation, in_sync }).await
    }

    /// Replaces the in-sync set. While a write of the register is in doubt, that is the union of what it may hold.
    pub async fn set_in_sync(&self, generation: Generation, in_sync: BTreeSet<DiskId>) -> Result<Offset, LogError> {
        self.request(1, |ticket| Event::InSync { ticket, generation, in_sync }).await
    }

    /// Stops being the writer, before anything that is still waiting to be appended.
    pub async fn follow(&self) {
        self.tell(Event::Follow).await;
    }

    /// Appends when this log is led in exactly the `expected` generation. The record is in the file but neither synced
    /// nor committed when this answers; when it refuses, nothing is in the log, except after `Unknown`, where it may
    /// be. A future that is dropped before its answer may or may not have appended.
    pub async fn append(&self, expected: Generation, record: &Record) -> Result<Offset, AppendError> {
        self.append_bytes(expected, vec![record.encode()]).await
    }

    /// Appends all or none, in one write, without anything between; answers the offset of the last one.
    pub async fn append_many(&self, expected: Generation, records: &[Record]) -> Result<Offset, AppendError> {
        self.append_bytes(expected, records.iter().map(Record::encode).collect()).await
    }

    async fn append_bytes(&self, generation: Generation, records: Vec<Vec<u8>>) -> Result<Offset, AppendError> {
        let ticket = self.ticket();
        let bytes = records.iter().map(Vec::len).sum();
        let event = Event::Append { ticket, generation, records };
        let (reply, answer) = oneshot::channel();
        self.send(bytes, Some((ticket, Reply::Append(reply))), event).await;
        answer.await.unwrap_or_else(|_| Err(AppendError::Unknown("its thread has ended".into())))
    }

    /// Until the record that was appended in this generation at this offset is committed: on disk here and at every
    /// member of the in-sync set.
    pub async fn wait_committed(
        &self,
        generation: Generation,
        offset: Offset,
        deadline: Instant,
    ) -> Result<(), Unknown> {
        let unknown = |why| Unknown { generation, offset, why };
        let mut view = self.watch();
        let settled = |view: &View| {
            if view.committed >= offset && view.stopped.is_none() {
                let same = offset < view.generations.start() || view.generations.at(offset) == Some(generation);
                return Some(if same { Ok(()) } else { Err("another record is committed there") });
            }
            match view.leading {
                _ if view.stopped.is_some() => Some(Err("the log has stopped")),
                Some(leading) if leading == generation => None,
                _ => Some(Err("this instance does not write the log any more")),
            }
        };
        match tokio::time::timeout_at(deadline, view.wait_for(|view| settled(view).is_some())).await {
            Err(_) => Err(unknown("a standby or the disk did not answer in time")),
            Ok(Err(_)) => Err(unknown("the log was closed")),
            Ok(Ok(view)) => settled(&view).unwrap_or(Err("the log changed")).map_err(unknown),
        }
    }

    /// A standby's `Stored` to the master of this generation, from this disk: it has everything up to there on disk.
    pub async fn acknowledge(&self, generation: Generation, member: DiskId, through: Offset) {
        self.tell(Event::Acknowledged { generation, member, through }).await;
    }

    /// Records from `from` on. Bounded memory, however slow the reader.
    pub fn subscribe(&self, from: Offset, level: Level) -> Subscription {
        let Inner { directory, view, index, tail, .. } = &*self.0;
        Subscription::new(directory.clone(), index.clone(), tail.clone(), view.clone(), from, level)
    }

    /// Writes entries of another instance's log behind this one's; what is here already may be repeated. Answers the
    /// last of them; on disk only after [`Log::sync`].
    pub async fn store(&self, entries: Vec<Entry>) -> Result<Offset, LogError> {
        let bytes = entries.iter().map(|entry| entry.bytes.len()).sum();
        self.request(bytes, |ticket| Event::Store { ticket, entries }).await
    }

    /// Until everything stored before is on disk; answers how far the disk is.
    pub async fn sync(&self) -> Result<Offset, LogError> {
        self.request(1, |ticket| Event::Sync { ticket }).await
    }

    /// Drops `from` and everything behind it, which must not be committed. Durable when it answers.
    pub async fn truncate(&self, from: Offset, cut: Cut) -> Result<Offset, LogError> {
        self.request(1, |ticket| Event::Truncate { ticket, from, cut }).await
    }

    /// Empties the log so that the next record is `start`: after a snapshot that includes everything before. `before`
    /// is the generation of the record before `start`, 0 when it is not known.
    pub async fn reset(&self, start: Offset, before: Generation) -> Result<Offset, LogError> {
        self.request(1, |ticket| Event::Reset { ticket, start, before }).await
    }

    /// The master said that everything up to here is committed; may be beyond what is stored here.
    pub async fn set_committed(&self, through: Offset) {
        self.tell(Event::Announced { through }).await;
    }

    /// Answers what a follower says to the master first: the first offset it wants and the generation of its entry
    /// before.
    pub fn wanted(&self) -> (Offset, Generation) {
        let view = self.view();
        (view.generations.end().next(), view.generations.last())
    }

    /// Where a follower must truncate whose entry before `from` has that generation; None when it may go on at `from`.
    /// After a truncation it asks again (says `Hello` again) before it stores anything: one answer may not be enough.
    pub fn fork(&self, from: Offset, generation_before: Generation) -> Option<Offset> {
        self.view().generations.fork(from, generation_before)
    }

    /// Drops whole segments whose records are all below, committed, and not held; answers the new start.
    pub async fn trim(&self, below: Offset) -> Result<Offset, LogError> {
        let below = self.lowest_hold().map_or(below, |held| held.min(below));
        self.request(1, |ticket| Event::Trim { ticket, below }).await
    }

    /// Trims what the retention limits allow; `keep_from` is the first record that an active instance still needs.
    pub async fn retain(&self, now: SystemTime, keep_from: Offset) -> Result<Offset, LogError> {
        let below = retention::decide(Timestamp::from_system(now), &self.segments(), keep_from, self.0.retention);
        match below {
            Some(below) => self.trim(below).await,
            None => Ok(self.positions().start),
        }
    }

    pub fn statistics(&self) -> &Statistics {
        &self.0.statistics
    }

    /// The segment files, oldest first.
    pub fn segments(&self) -> Vec<Stored> {
        let index = read(&self.0.index);
        let stored = index.segments.iter().map(|segment| Stored {
            first: segment.first,
            next: segment.next,
            bytes: segment.length,
            modified: Timestamp::from_system(segment.modified),
        });
        stored.collect()
    }

    /// Keeps `from` and what follows from being trimmed, while a newcomer takes a snapshot.
    pub fn hold(&self, from: Offset) -> Hold {
        let mut holds = self.0.holds.lock().unwrap_or_else(PoisonError::into_inner);
        let number = holds.next;
        holds.next += 1;
        holds.held.insert(number, from);
        Hold { holds: self.0.holds.clone(), number }
    }

    fn lowest_hold(&self) -> Option<Offset> {
        self.0.holds.lock().unwrap_or_else(PoisonError::into_inner).held.values().min().copied()
    }

    fn ticket(&self) -> Ticket {
        Ticket(self.0.tickets.fetch_add(1, Ordering::Relaxed))
    }

    async fn request(&self, bytes: usize, event: impl FnOnce(Ticket) -> Event) -> Result<Offset, LogError> {
        let ticket = self.ticket();
        let (reply, answer) = oneshot::channel();
        self.send(bytes, Some((ticket, Reply::Other(reply))), event(ticket)).await;
        answer.await.unwrap_or_else(|_| Err(LogError::Stopped("its thread has ended".into())))
    }

    async fn tell(&self, event: Event) {
        self.send(0, None, event).await;
    }

    /// A request that cannot be sent drops its reply, which the one who waits reads as `Stopped`.
    async fn send(&self, bytes: usize, reply: Option<(Ticket, Reply)>, event: Event) {
        let Some(to_engine) = &self.0.to_engine else { return };
        let share = match &reply {
            // A single request larger than all of it waits until it is alone.
            Some(_) => {
                let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX).saturating_add(1).min(IN_FLIGHT_KIB);
                self.0.in_flight.clone().acquire_many_owned(kib).await.ok()
            }
            None => None,
        };
        let _ = to_engine.send(Message { reply, event, share }).await;
    }
}
