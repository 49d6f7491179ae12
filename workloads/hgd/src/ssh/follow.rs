//! The master's end of the replication stream: one task group per connected standby or mirror.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use failover::Requirement;
use log::{Event, Level, Log, SubscribeError};
use protocol::stream::{FollowerKind, FromFollower, FromMaster, HEARTBEAT_MILLISECONDS};
use protocol::{DiskId, Generation, InstanceName, LogName, Offset, PerLog, Timestamp};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use transport::messages::{MessageReader, MessageSender, channel};
use transport::{CancellationToken, Peer};

use super::publication::Input;
use super::standbys::{StandbySeen, Standbys, seen};

/// A follower that has not said `Hello` by then is sent away.
const HELLO_WAIT: Duration = Duration::from_secs(10);

type Reader = MessageReader<FromFollower, Body>;

/// Following: what the stream needs of the master.
pub struct Following {
    pub name: InstanceName,
    pub generation: Generation,
    pub logs: PerLog<Log>,
    /// Standbys that are connected and have acknowledged something.
    pub standbys: watch::Sender<Standbys>,
    /// Requirement: whose acknowledgement counts.
    pub requirement: watch::Receiver<Requirement>,
    pub publisher: mpsc::Sender<Input>,
    /// Mirrors that release waits for.
    pub active: watch::Receiver<BTreeSet<InstanceName>>,
    /// The publication log's end as the aggregator knows it, with what it is about to append.
    pub welcome: watch::Receiver<Offset>,
    /// The other SSH instances: only they may follow as standbys.
    pub ssh_instances: BTreeSet<InstanceName>,
    /// Numbers connections, so that the end of an old one is not taken for the end of its successor.
    pub connections: AtomicU64,
    /// Ends all streams, which have no other end.
    pub stop: CancellationToken,
}

struct Hello {
    name: InstanceName,
    kind: FollowerKind,
    /// Next record wanted of each log, and the generation of the one before it.
    from: PerLog<(Offset, Generation)>,
    url: Option<String>,
    peer: Option<String>,
    disk: Option<DiskId>,
}

pub async fn follow(
    State(following): State<Arc<Following>>,
    Extension(Peer(peer)): Extension<Peer>,
    body: Body,
) -> Response {
    let mut reader = Reader::new(body);
    let hello = match tokio::time::timeout(HELLO_WAIT, reader.next()).await {
        Ok(Ok(Some(message))) => hello(message),
        _ => None,
    };
    let allowed = |hello: &Hello| match hello.kind {
        FollowerKind::Standby => hello.disk.is_some() && following.ssh_instances.contains(&hello.name),
        FollowerKind::Mirror => !following.ssh_instances.contains(&hello.name),
    };
    let Some(hello) = hello.filter(|hello| hello.name == peer && allowed(hello)) else {
        return (StatusCode::BAD_REQUEST, "the first message is a Hello with the name of the certificate")
            .into_response();
    };
    let (sender, body) = channel::<FromMaster>();
    tokio::spawn(async move {
        let name = hello.name.clone();
        tracing::info!(follower = %name, kind = ?hello.kind, from = ?hello.from, "a follower connected");
        let why = serve(&following, hello, reader, sender).await;
        tracing::info!(follower = %name, why, "a follower left");
    });
    Response::new(body.into())
}

fn hello(message: FromFollower) -> Option<Hello> {
    match message {
        FromFollower::Hello {
            name,
            kind,
            replication_from,
            replication_generation,
            publication_from,
            publication_generation,
            url,
            peer,
            disk,
        } => Some(Hello {
            name,
            kind,
            from: PerLog::new((replication_from, replication_generation), (publication_from, publication_generation)),
            url,
            peer,
            disk,
        }),
        FromFollower::Stored { .. }
        | FromFollower::Progress(_)
        | FromFollower::Window { .. }
        | FromFollower::Leaving => None,
    }
}

async fn serve(
    following: &Arc<Following>,
    hello: Hello,
    reader: Reader,
    sender: MessageSender<FromMaster>,
) -> &'static str {
    let truncate = match hello.kind {
        FollowerKind::Standby => {
            following.logs.as_ref().zip(hello.from).map(|(log, (from, generation))| log.fork(from, generation))
        }
        FollowerKind::Mirror => PerLog::default(),
    };
    let welcome = FromMaster::Welcome {
        master: following.name.clone(),
        generation: following.generation,
        replication_committed: following.logs.replication.positions().committed,
        publication_committed: following.logs.publication.positions().committed.max(*following.welcome.borrow()),
        replication_truncate: truncate.replication,
        publication_truncate: truncate.publication,
        active: following.active.borrow().contains(&hello.name),
    };
    if sender.send(&welcome).await.is_err() {
        return "it closed the connection";
    }
    let level = match hello.kind {
        FollowerKind::Standby => Level::Stored,
        FollowerKind::Mirror => Level::Committed,
    };
    let connection = following.connections.fetch_add(1, Ordering::Relaxed);
    let mut tasks = JoinSet::new();
    let (window, granted) = watch::channel(match hello.kind {
        FollowerKind::Standby => Offset(u64::MAX),
        FollowerKind::Mirror => Offset::ZERO,
    });
    for (log, ((from, _), truncate)) in hello.from.zip(truncate) {
        let from = truncate.map_or(from, |cut| cut.min(from));
        let granted = (log == LogName::Replication).then(|| granted.clone());
        tasks.spawn(forward(following.clone(), log, from, level, sender.clone(), granted));
    }
    tasks.spawn(beat(following.clone(), sender));
    let why = match (hello.kind, hello.disk.clone()) {
        (FollowerKind::Standby, disk) => tokio::select! {
            _ = tasks.join_next() => "the stream to it ended",
            () = following.stop.cancelled() => "this master stops",
            why = read_standby(following, &hello.name, disk, connection, reader) => why,
        },
        (FollowerKind::Mirror, _) => {
            let (name, url, peer) =
                (hello.name.clone(), hello.url.unwrap_or_default(), hello.peer.unwrap_or_default());
            let _publisher_gone = following.publisher.send(Input::Connected { name, connection, url, peer }).await;
            tokio::select! {
                _ = tasks.join_next() => "the stream to it ended",
                () = following.stop.cancelled() => "this master stops",
                why = read_mirror(following, &hello.name, connection, reader, window) => why,
            }
        }
    };
    match hello.kind {
        FollowerKind::Standby => following.standbys.send_modify(|set| {
            if set.get(&hello.name).is_some_and(|standby| standby.connection == connection) {
                set.remove(&hello.name);
            }
        }),
        FollowerKind::Mirror => {
            let _publisher_gone = following.publisher.send(Input::Lost { name: hello.name, connection }).await;
        }
    }
    why
}

async fn forward(
    following: Arc<Following>,
    log: LogName,
    from: Offset,
    level: Level,
    sender: MessageSender<FromMaster>,
    mut granted: Option<watch::Receiver<Offset>>,
) {
    let mut subscription = following.logs[log].subscribe(from, level);
    loop {
        let message = match subscription.next().await {
            Ok(Event::Entry(entry)) => {
                if let Some(granted) = &mut granted
                    && granted.wait_for(|through| *through >= entry.offset).await.is_err()
                {
                    return;
                }
                FromMaster::Entry { log, entry }
            }
            Ok(Event::Committed(through)) => FromMaster::Committed { log, through },
            Err(SubscribeError::OutOfRange { start, end }) => {
                let _follower_gone = sender.send(&FromMaster::OutOfRange { log, start, end }).await;
                return;
            }
            Err(error) => {
                tracing::error!(?log, %error, "the log cannot be read for a follower");
                return;
            }
        };
        if sender.send(&message).await.is_err() {
            return;
        }
    }
}

async fn beat(following: Arc<Following>, sender: MessageSender<FromMaster>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(HEARTBEAT_MILLISECONDS));
    loop {
        ticks.tick().await;
        let heartbeat = FromMaster::Heartbeat {
            generation: following.generation,
            time: Timestamp::from_system(std::time::SystemTime::now()),
            replication_start: following.logs.replication.positions().start,
            publication_start: following.logs.publication.positions().start,
        };
        if sender.send(&heartbeat).await.is_err() {
            return;
        }
    }
}

async fn read_standby(
    following: &Following,
    name: &InstanceName,
    disk: Option<DiskId>,
    connection: u64,
    mut reader: Reader,
) -> &'static str {
    let Some(disk) = disk else { return "it has not said which disk it has" };
    loop {
        match reader.next().await {
            Ok(Some(FromFollower::Stored { log, through })) => {
                // Noted before it is asked whether it counts: the keeper counts what is noted when that changes.
                let noted = |seen: &mut StandbySeen| std::mem::replace(&mut seen.stored[log], through) != through;
                following.standbys.send_if_modified(|set| seen(set, name, connection, &disk).is_some_and(noted));
                if following.requirement.borrow().counts(name, &disk) {
                    following.logs[log].acknowledge(following.generation, disk.clone(), through).await;
                }
            }
            Ok(Some(FromFollower::Progress(progress))) => {
                let input = Input::Standby { name: name.clone(), progress };
                let _publisher_gone = following.publisher.send(input).await;
            }
            Ok(Some(FromFollower::Leaving)) => {
                let noted = |seen: &mut StandbySeen| !std::mem::replace(&mut seen.leaving, true);
                following.standbys.send_if_modified(|set| seen(set, name, connection, &disk).is_some_and(noted));
            }
            Ok(Some(FromFollower::Hello { .. } | FromFollower::Window { .. })) => return "it spoke as a mirror",
            Ok(None) => return "it closed the connection",
            Err(_) => return "the connection broke",
        }
    }
}

async fn read_mirror(
    following: &Following,
    name: &InstanceName,
    connection: u64,
    mut reader: Reader,
    window: watch::Sender<Offset>,
) -> &'static str {
    loop {
        match reader.next().await {
            Ok(Some(FromFollower::Progress(progress))) => {
                let input = Input::Progress { name: name.clone(), connection, progress };
                let _publisher_gone = following.publisher.send(input).await;
            }
            Ok(Some(FromFollower::Window { replication_through })) => {
                window.send_replace(replication_through);
            }
            Ok(Some(FromFollower::Hello { .. } | FromFollower::Stored { .. } | FromFollower::Leaving)) => {
                return "it spoke as a standby";
            }
            Ok(None) => return "it closed the connection",
            Err(_) => return "the connection broke",
        }
    }
}
