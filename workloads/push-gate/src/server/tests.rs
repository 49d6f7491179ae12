use std::collections::BTreeSet;

use log::Log;
use protocol::{Generation, LogName, Offset, Registry, RepositorySettings};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::Writable;

const GENERATION: Generation = Generation(3);

/// A gate that listens, and the log behind it.
struct World {
    data: tempfile::TempDir,
    log: Log,
    ledger: Arc<Ledger>,
    sessions: Sessions,
}

impl World {
    async fn new() -> World {
        let data = tempfile::tempdir().unwrap();
        let retention = log::Retention { age: Duration::from_secs(3600), bytes: 1 << 30 };
        let (directory, segment_bytes) = (data.path().join("log"), log::DEFAULT_SEGMENT_BYTES);
        let options = log::Options { directory, name: LogName::Replication, segment_bytes, retention };
        let log = Log::open(options).unwrap();
        log.lead(GENERATION, BTreeSet::new()).await.unwrap();
        let (_, writable) = watch::channel(Writable::Yes);
        let ledger = Arc::new(Ledger::new(log.clone(), GENERATION, Registry::default(), writable));
        let blobs = Blobs::open(data.path().join("blobs")).unwrap();
        let sessions = Sessions::default();
        let gate = Gate {
            ledger: ledger.clone(),
            lanes: Arc::new(LaneTable::default()),
            closing: Closing::default(),
            unsynced: Unsynced::open(data.path()).unwrap(),
            sessions: sessions.clone(),
            incoming: blobs.incoming(),
            blobs,
            metrics: GateMetrics::new(&prometheus::Registry::new()).unwrap(),
        };
        tokio::spawn(serve(listen(&data.path().join("gate.sock")).unwrap(), Arc::new(gate)));
        World { data, log, ledger, sessions }
    }

    /// Pushes a bookmark, and answers what the child is told.
    async fn pushes(&self, repository: CreationId) -> Value {
        let push = json!({
            "changesets": 0, "tip": null, "headsAdded": [], "headsRemoved": [], "heads": 1, "bookmarks": [],
            "published": [], "nodes": null, "bundle": null, "markers": null,
        });
        let applied = self.ledger.last(repository).await.unwrap();
        let request = json!({
            "op": "append", "repository": repository, "user": "ada", "applied": applied, "push": push,
        });
        self.asks(request).await
    }

    async fn asks(&self, request: Value) -> Value {
        let mut stream = UnixStream::connect(self.data.path().join("gate.sock")).await.unwrap();
        let bytes = serde_json::to_vec(&request).unwrap();
        stream.write_all(&u32::try_from(bytes.len()).unwrap().to_be_bytes()).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }
}

/// Reaches the next master, or not.
#[tokio::test]
async fn a_push_that_a_deposed_master_has_not_answered_has_an_unknown_outcome_and_the_next_is_refused() {
    let world = World::new().await;
    let created = world.ledger.put("a".parse().unwrap(), RepositorySettings::default()).await.unwrap();
    let repository = world.ledger.by_path(&"a".parse().unwrap()).await.unwrap().id;
    assert!(world.pushes(repository).await["recorded"].is_object(), "as long as it is master");
    world.log.set_in_sync(GENERATION, BTreeSet::from(["standby".parse().unwrap()])).await.unwrap();
    let late = Offset(created.0 + 2);
    let deposed = async {
        let mut view = world.log.watch();
        let there = view.wait_for(|view| view.generations.end() >= late);
        tokio::time::timeout(Duration::from_secs(20), there).await.unwrap().unwrap();
        world.log.follow().await;
    };
    let (answer, ()) = tokio::join!(world.pushes(repository), deposed);
    assert_eq!(answer, json!({"unknown": [OUTCOME_UNKNOWN]}));
    let answer = world.pushes(repository).await;
    assert_eq!(answer["refuse"][0], NOT_AVAILABLE, "{answer}");
    assert_eq!(world.log.positions().end, late, "nothing more is in the log");
}

/// The test is its own child here: the kernel tells its process id.
#[tokio::test]
async fn who_may_write_no_more_is_refused_in_a_session_that_was_open_before() {
    let world = World::new().await;
    world.ledger.put("a".parse().unwrap(), RepositorySettings::default()).await.unwrap();
    let repository = world.ledger.by_path(&"a".parse().unwrap()).await.unwrap().id;
    let open = json!({"op": "open", "repository": repository, "user": "ada", "mayWrite": true});
    let may = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let now = may.clone();
    let look = move |_: &RepositorySettings| now.load(std::sync::atomic::Ordering::SeqCst);
    let registered = world.sessions.register(std::process::id(), Arc::new(look));
    assert_eq!(world.asks(open.clone()).await, json!({"ok": {}}));
    assert!(world.pushes(repository).await["recorded"].is_object());
    let before = world.log.positions().end;
    may.store(false, std::sync::atomic::Ordering::SeqCst);
    let refused = json!({"refuse": ["ada has no write access to a"]});
    assert_eq!(world.asks(open.clone()).await, refused);
    assert_eq!(world.pushes(repository).await, refused, "its hooks took long");
    assert_eq!(world.log.positions().end, before, "nothing is in the log");
    drop(registered);
    assert_eq!(world.asks(open).await, json!({"ok": {}}), "a process that belongs to nobody");
}
