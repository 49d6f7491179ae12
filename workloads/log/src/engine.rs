//! The writer's thread: drives the core and carries out its commands, one at a time. Whatever arrives while a sync
//! runs is written and synced together afterwards.

use std::collections::HashMap;
use std::sync::Arc;

use protocol::Offset;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use crate::core::{Command, Core, Event, Ticket, View};
use crate::refusal::{AppendError, LogError, WriteFailure};
use crate::storage::{Storage, Trouble};
use crate::tail::Tail;

/// Requests handed to the thread and not yet taken by it; each also holds a share of the bytes in flight.
pub(crate) const INBOX: usize = 1024;

pub(crate) enum Reply {
    Append(oneshot::Sender<Result<Offset, AppendError>>),
    Other(oneshot::Sender<Result<Offset, LogError>>),
}

pub(crate) struct Message {
    /// With the ticket that the event carries.
    pub reply: Option<(Ticket, Reply)>,
    pub event: Event,
    /// Given back when the request is answered.
    pub share: Option<OwnedSemaphorePermit>,
}

/// Asked by the writer's thread itself, the moment before it writes.
pub type MayWrite = Box<dyn Fn() -> bool + Send>;

pub(crate) struct Engine {
    pub core: Core,
    pub storage: Storage,
    /// None: always.
    pub may_write: Option<MayWrite>,
    pub tail: Arc<Tail>,
    pub inbox: mpsc::Receiver<Message>,
    pub view: watch::Sender<View>,
}

impl Engine {
    /// Until every handle to the log is gone.
    pub fn run(mut self) {
        let mut waiting = HashMap::new();
        loop {
            while let Ok(message) = self.inbox.try_recv() {
                self.take(message, &mut waiting);
            }
            // What the commands below answer must be seen by whoever gets the answer.
            self.publish();
            if let Some(command) = self.core.poll() {
                self.carry_out(command, &mut waiting);
                continue;
            }
            match self.inbox.blocking_recv() {
                Some(message) => self.take(message, &mut waiting),
                None => return,
            }
        }
    }

    fn take(&mut self, message: Message, waiting: &mut HashMap<Ticket, (Reply, Option<OwnedSemaphorePermit>)>) {
        if let Some((ticket, reply)) = message.reply {
            waiting.insert(ticket, (reply, message.share));
        }
        self.core.handle(message.event);
    }

    fn publish(&self) {
        let view = self.core.view();
        self.view.send_if_modified(|old| {
            let changed = *old != view;
            *old = view;
            changed
        });
    }

    fn carry_out(&mut self, command: Command, waiting: &mut HashMap<Ticket, (Reply, Option<OwnedSemaphorePermit>)>) {
        let result = match command {
            // Nobody may wait any more; that is their choice.
            Command::Appended { ticket, outcome } => {
                if let Some((Reply::Append(to), _)) = waiting.remove(&ticket) {
                    let _ = to.send(outcome);
                }
                return;
            }
            Command::Answered { ticket, outcome } => {
                if let Some((Reply::Other(to), _)) = waiting.remove(&ticket) {
                    let _ = to.send(outcome);
                }
                return;
            }
            Command::Write { .. } if self.may_write.as_ref().is_some_and(|may| !may()) => {
                Ok(Event::Written(Err(WriteFailure::NotNow)))
            }
            Command::Write { entries, durable } => match self.storage.write(&entries, durable) {
                Ok(()) => {
                    self.tail.push(entries);
                    Ok(Event::Written(Ok(())))
                }
                Err(Trouble::Refused(why)) => {
                    tracing::error!(%why, "the log could not be written; what was to be appended is not in it");
                    Ok(Event::Written(Err(why)))
                }
                Err(Trouble::Fatal(why)) => Err(why),
            },
            Command::Sync => self.storage.sync().map(|()| Event::Synced),
            Command::Truncate { from } => {
                self.tail.truncate(from);
                self.storage.truncate(from).map(|()| Event::Cut)
            }
            Command::Reset { start, before } => {
                self.tail.truncate(Offset::ZERO);
                match self.storage.reset(start, before) {
                    Ok(()) => Ok(Event::Cut),
                    Err(Trouble::Refused(why)) => Err(std::io::Error::other(why)),
                    Err(Trouble::Fatal(why)) => Err(why),
                }
            }
            Command::Trim { below } => self.storage.trim(below).map(|start| Event::Trimmed { start }),
        };
        self.core.handle(result.unwrap_or_else(|why| {
            tracing::error!(%why, "the log's files may not be what they should be; this process must end");
            Event::Failed { why: why.to_string().into() }
        }));
    }
}
