//! The log's decisions as a state machine without files, clock or threads. The engine's thread drives exactly this,
//! and so does the simulation: hand it events, take its commands with [`Core::poll`], carry each out before taking
//! the next, and hand back the result as an event.
//!
//! Promises: offsets have no gaps and generations never go back; an append happens only in the generation it was meant
//! for; `durable` moves only when a sync has succeeded; `committed` never exceeds `durable` nor, while leading, the
//! acknowledgement of any member of the in-sync set, and never goes back (except by [`Cut::AlsoCommitted`]); after a
//! failed sync nothing is promised any more.

mod batch;
mod messages;
mod reign;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use protocol::{DiskId, Entry, Generation, Offset};

use crate::generations::Generations;
use crate::refusal::{AppendError, LogError, WriteFailure};
use batch::Batch;
pub use messages::{Command, Cut, Event, Ticket, View};
pub use reign::MAX_MEMBERS;
use reign::Reign;

#[derive(Debug)]
enum Request {
    Lead(Ticket, Generation, BTreeSet<DiskId>),
    Append(Ticket, Generation, Vec<Vec<u8>>),
    Store(Ticket, Vec<Entry>),
    Sync(Ticket),
    Truncate(Ticket, Offset, Cut),
    Reset(Ticket, Offset, Generation),
    Trim(Ticket, Offset),
}

#[derive(Debug)]
enum Running {
    Write(Batch),
    Sync,
    Truncate(Ticket, Offset),
    Reset(Ticket, Offset, Generation),
    Trim(Ticket),
}

#[derive(Debug)]
pub struct Core {
    generations: Arc<Generations>,
    durable: Offset,
    committed: Offset,
    /// The highest commit the master named, maybe beyond what is stored here.
    announced: Offset,
    reign: Option<Reign>,
    /// The newest generation that ever was written or to be written here.
    newest: Generation,
    queue: VecDeque<Request>,
    running: Option<Running>,
    /// Wait for the next sync.
    syncing: Vec<Ticket>,
    sync_wanted: bool,
    answers: VecDeque<Command>,
    truncations: u64,
    discards: u64,
    refused: Option<WriteFailure>,
    stopped: Option<Arc<str>>,
}

impl Core {
    /// A log as it was found: all of it is on disk.
    pub fn new(found: Generations) -> Core {
        Core {
            durable: found.end(),
            committed: found.start().previous(),
            announced: Offset::ZERO,
            newest: found.last(),
            generations: Arc::new(found),
            reign: None,
            queue: VecDeque::new(),
            running: None,
            syncing: Vec::new(),
            sync_wanted: false,
            answers: VecDeque::new(),
            truncations: 0,
            discards: 0,
            refused: None,
            stopped: None,
        }
    }

    pub fn view(&self) -> View {
        View {
            generations: self.generations.clone(),
            durable: self.durable,
            committed: self.committed,
            leading: self.reign.as_ref().map(|reign| reign.generation),
            acknowledged: self.reign.as_ref().map(Reign::acknowledged).unwrap_or_default(),
            truncations: self.truncations,
            discards: self.discards,
            refused: self.refused.clone(),
            stopped: self.stopped.clone(),
        }
    }

    pub fn handle(&mut self, event: Event) {
        match event {
            Event::Lead { ticket, generation, in_sync } => self.request(Request::Lead(ticket, generation, in_sync)),
            Event::Append { ticket, generation, records } => {
                self.request(Request::Append(ticket, generation, records));
            }
            Event::Store { ticket, entries } => self.request(Request::Store(ticket, entries)),
            Event::Sync { ticket } => self.request(Request::Sync(ticket)),
            Event::Truncate { ticket, from, cut } => self.request(Request::Truncate(ticket, from, cut)),
            Event::Reset { ticket, start, before } => self.request(Request::Reset(ticket, start, before)),
            Event::Trim { ticket, below } => self.request(Request::Trim(ticket, below)),
            Event::InSync { ticket, generation, in_sync } => self.in_sync(ticket, generation, in_sync),
            Event::Follow => self.follow(),
            Event::Acknowledged { generation, member, through } => {
                if let Some(reign) = self.reign.as_mut().filter(|reign| reign.generation == generation) {
                    reign.acknowledge(member, through.min(self.generations.end()));
                }
            }
            Event::Announced { through } => self.announced = self.announced.max(through),
            Event::Written(result) => self.written(result),
            Event::Synced => self.synced(),
            Event::Cut => self.cut(),
            Event::Trimmed { start } => self.trimmed(start),
            Event::Failed { why } => self.stop(why),
        }
        self.commit();
    }

    /// The next thing to do; None until another event comes.
    pub fn poll(&mut self) -> Option<Command> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Some(answer);
            }
            if self.running.is_some() || self.stopped.is_some() {
                return None;
            }
            if self.sync_wanted {
                self.sync_wanted = false;
                self.running = Some(Running::Sync);
                return Some(Command::Sync);
            }
            if self.queue.is_empty() {
                return None;
            }
            if let Some(command) = self.start() {
                return Some(command);
            }
        }
    }

    fn request(&mut self, request: Request) {
        self.queue.push_back(request);
        if let Some(why) = self.stopped.clone() {
            self.stop(why);
        }
    }

    /// Takes one request from the queue (or several that are written together). None: it needed no I/O.
    fn start(&mut self) -> Option<Command> {
        if matches!(self.queue.front(), Some(Request::Append(..) | Request::Store(..))) {
            return self.start_write();
        }
        match self.queue.pop_front()? {
            Request::Append(..) | Request::Store(..) => None,
            Request::Lead(ticket, generation, in_sync) => {
                let outcome = self.lead(generation, in_sync);
                self.answer(ticket, outcome);
                None
            }
            Request::Sync(ticket) => {
                if self.durable == self.generations.end() {
                    self.answer(ticket, Ok(self.durable));
                } else {
                    self.syncing.push(ticket);
                    self.sync_wanted = true;
                }
                None
            }
            Request::Truncate(ticket, from, cut) => self.start_truncate(ticket, from, cut),
            Request::Reset(ticket, start, before) => match self.only_following() {
                Err(refused) => self.refuse(ticket, refused),
                Ok(()) => {
                    let start = start.max(Offset(1));
                    self.running = Some(Running::Reset(ticket, start, before));
                    Some(Command::Reset { start, before })
                }
            },
            Request::Trim(ticket, below) => {
                // What is not final may still be needed to find where logs fork.
                let below = below.min(self.committed.next());
                self.running = Some(Running::Trim(ticket));
                Some(Command::Trim { below })
            }
        }
    }

    fn start_truncate(&mut self, ticket: Ticket, from: Offset, cut: Cut) -> Option<Command> {
        let start = self.generations.start();
        if let Err(refused) = self.only_following() {
            return self.refuse(ticket, refused);
        }
        if from < start {
            return self.refuse(ticket, LogError::BelowStart { from, start });
        }
        if from > self.generations.end() {
            self.answer(ticket, Ok(self.generations.end()));
            return None;
        }
        if from <= self.committed && cut == Cut::Uncommitted {
            return self.refuse(ticket, LogError::Committed { from, committed: self.committed });
        }
        self.running = Some(Running::Truncate(ticket, from));
        Some(Command::Truncate { from })
    }

    fn only_following(&self) -> Result<(), LogError> {
        self.reign.as_ref().map_or(Ok(()), |reign| Err(LogError::Leading(reign.generation)))
    }

    fn lead(&mut self, generation: Generation, in_sync: BTreeSet<DiskId>) -> Result<Offset, LogError> {
        let last = self.newest.max(self.generations.last());
        if generation <= last {
            return Err(LogError::OldGeneration { asked: generation, last });
        }
        self.reign = Some(Reign::new(generation, in_sync)?);
        self.newest = generation;
        self.sync_wanted |= self.durable < self.generations.end();
        self.commit();
        Ok(self.generations.end())
    }

    fn in_sync(&mut self, ticket: Ticket, generation: Generation, in_sync: BTreeSet<DiskId>) {
        let outcome = match &mut self.reign {
            Some(reign) if reign.generation == generation => reign.require(in_sync),
            _ => Err(LogError::NotLeading { asked: generation }),
        };
        self.answer(ticket, outcome.map(|()| self.generations.end()));
    }

    /// At once, before whatever waits: a deposed master writes nothing more.
    fn follow(&mut self) {
        self.reign = None;
        for request in std::mem::take(&mut self.queue) {
            match request {
                Request::Append(ticket, ..) => self.appended(ticket, Err(AppendError::NotLeading)),
                Request::Lead(ticket, asked, _) => self.answer(ticket, Err(LogError::NotLeading { asked })),
                other => self.queue.push_back(other),
            }
        }
    }

    fn written(&mut self, result: Result<(), WriteFailure>) {
        let Some(Running::Write(batch)) = self.running.take() else { return };
        self.refused = result.as_ref().err().cloned();
        if result.is_ok() {
            let generations = Arc::make_mut(&mut self.generations);
            batch.generations.iter().for_each(|generation| generations.push(*generation));
            // A follower says itself when it needs the disk, a master always does.
            self.sync_wanted |= !batch.appends.is_empty();
        }
        for (ticket, last) in batch.appends {
            self.appended(ticket, result.clone().map(|()| last).map_err(AppendError::Write));
        }
        for (ticket, last) in batch.stores {
            self.answer(ticket, result.clone().map(|()| last).map_err(LogError::Write));
        }
    }

    fn synced(&mut self) {
        let Some(Running::Sync) = self.running.take() else { return };
        // Nothing was written meanwhile: one command runs at a time.
        self.durable = self.generations.end();
        for ticket in std::mem::take(&mut self.syncing) {
            self.answer(ticket, Ok(self.durable));
        }
    }

    fn cut(&mut self) {
        match self.running.take() {
            Some(Running::Truncate(ticket, from)) => {
                Arc::make_mut(&mut self.generations).truncate(from);
                self.dropped_from(from);
                self.answer(ticket, Ok(self.generations.end()));
            }
            Some(Running::Reset(ticket, start, before)) => {
                self.truncations += 1;
                self.discards += 1;
                self.generations = Arc::new(Generations::empty(start, before));
                // A log begins anew from what is committed elsewhere.
                self.durable = start.previous();
                self.committed = start.previous();
                self.announced = start.previous();
                self.answer(ticket, Ok(start.previous()));
            }
            other => self.running = other,
        }
    }

    fn dropped_from(&mut self, from: Offset) {
        self.truncations += 1;
        if from <= self.committed {
            self.discards += 1;
            self.committed = from.previous();
            self.announced = self.announced.min(from.previous());
        }
        self.durable = self.durable.min(from.previous());
    }

    fn trimmed(&mut self, start: Offset) {
        let Some(Running::Trim(ticket)) = self.running.take() else { return };
        Arc::make_mut(&mut self.generations).trim(start);
        self.answer(ticket, Ok(self.generations.start()));
    }

    fn commit(&mut self) {
        if self.stopped.is_some() {
            return;
        }
        let reached = match &self.reign {
            Some(reign) => reign.stored_everywhere(self.durable),
            None => self.announced.min(self.durable),
        };
        self.committed = self.committed.max(reached);
    }

    fn stop(&mut self, why: Arc<str>) {
        self.reign = None;
        let mut tickets = std::mem::take(&mut self.syncing);
        match self.running.take() {
            Some(Running::Write(batch)) => {
                for (ticket, _) in batch.appends {
                    self.appended(ticket, Err(AppendError::Unknown(why.clone())));
                }
                tickets.extend(batch.stores.into_iter().map(|store| store.0));
            }
            Some(Running::Truncate(ticket, _) | Running::Reset(ticket, ..) | Running::Trim(ticket)) => {
                tickets.push(ticket);
            }
            Some(Running::Sync) | None => {}
        }
        for request in std::mem::take(&mut self.queue) {
            match request {
                Request::Append(ticket, ..) => self.appended(ticket, Err(AppendError::Stopped(why.clone()))),
                Request::Lead(ticket, ..)
                | Request::Store(ticket, _)
                | Request::Sync(ticket)
                | Request::Truncate(ticket, ..)
                | Request::Reset(ticket, ..)
                | Request::Trim(ticket, _) => tickets.push(ticket),
            }
        }
        for ticket in tickets {
            self.answer(ticket, Err(LogError::Stopped(why.clone())));
        }
        self.stopped.get_or_insert(why);
    }

    fn refuse(&mut self, ticket: Ticket, refused: LogError) -> Option<Command> {
        self.answer(ticket, Err(refused));
        None
    }

    fn answer(&mut self, ticket: Ticket, outcome: Result<Offset, LogError>) {
        self.answers.push_back(Command::Answered { ticket, outcome });
    }

    fn appended(&mut self, ticket: Ticket, outcome: Result<Offset, AppendError>) {
        self.answers.push_back(Command::Appended { ticket, outcome });
    }
}
