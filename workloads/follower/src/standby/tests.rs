use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use tokio::sync::mpsc;
use transport::messages::channel;
use transport::{Authority, CancellationToken, Identity};

use super::*;

type ToFollower = MessageSender<FromMaster>;

/// A standby on its disk, and a master that says what the test says.
struct World {
    data: tempfile::TempDir,
    standby: Arc<Standby>,
    master: Target,
    streams: mpsc::Receiver<ToFollower>,
}

async fn follow(State(streams): State<mpsc::Sender<ToFollower>>) -> Response {
    let (sender, body) = channel();
    streams.send(sender).await.unwrap();
    Response::new(Body::from(body))
}

impl World {
    async fn new() -> World {
        let data = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(&data.path().join("ca")).unwrap();
        let identity = |name: &str| {
            let folder = data.path().join(name);
            authority.issue(&name.parse().unwrap(), &[], &folder).unwrap();
            Identity::open(&folder).unwrap()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let master = Target::new("ssh-0".parse().unwrap(), listener.local_addr().unwrap().to_string());
        let (told, streams) = mpsc::channel(1);
        let router = Router::new().route("/v1/follow", post(follow)).with_state(told);
        tokio::spawn(transport::serve(listener, identity("ssh-0"), router, CancellationToken::new()));
        let log = |name: LogName| {
            let retention = log::Retention { age: Duration::from_secs(3600), bytes: 1 << 30 };
            let (directory, segment_bytes) = (data.path().join(name.directory()), log::DEFAULT_SEGMENT_BYTES);
            Log::open(log::Options { directory, name, segment_bytes, retention }).unwrap()
        };
        let standby = Arc::new(Standby {
            name: "ssh-1".parse().unwrap(),
            disk: "disk".parse().unwrap(),
            seal: Arc::new(Seal::open(data.path()).unwrap()),
            heard: watch::Sender::new(None),
            starts: watch::Sender::new(PerLog::of(|_| Offset(1))),
            client: Client::new(identity("ssh-1")),
            logs: PerLog::of(log),
            blobs: Blobs::open(data.path().join("blobs")).unwrap(),
            progress: watch::channel(None).1,
            following: watch::Sender::new(false),
            leaving: watch::channel(false).1,
        });
        World { data, standby, master, streams }
    }

    /// The standby follows a master of `generation` until that ends.
    async fn follows(&mut self, generation: u64) -> (tokio::task::JoinHandle<StandbyError>, ToFollower) {
        let (standby, master) = (self.standby.clone(), self.master.clone());
        let following = tokio::spawn(async move {
            let mut turn = Turn::new(vec![master.clone()]);
            standby.follow(&master, &mut turn).await
        });
        let stream = self.streams.recv().await.unwrap();
        let welcome = FromMaster::Welcome {
            master: "ssh-0".parse().unwrap(),
            generation: Generation(generation),
            replication_committed: Offset::ZERO,
            publication_committed: Offset::ZERO,
            replication_truncate: None,
            publication_truncate: None,
            active: false,
        };
        stream.send(&welcome).await.unwrap();
        (following, stream)
    }

    /// Tells of as many records until it is stored, or nobody listens any more.
    async fn is_told_of(&self, stream: &ToFollower, generation: u64) {
        let record = protocol::record::RepositoryDeleted { repository: protocol::CreationId(1) };
        let bytes = Record::RepositoryDeleted(record).encode();
        let entry = Entry { offset: Offset(1), generation: Generation(generation), bytes };
        let _not_heard = stream.send(&FromMaster::Entry { log: LogName::Replication, entry }).await;
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what).await.expect("in time")
}

#[tokio::test]
async fn a_sealed_standby_follows_no_older_master_also_after_a_restart() {
    let mut world = World::new().await;
    world.standby.seal.raise(Generation(7)).await.unwrap();
    let (following, stream) = world.follows(6).await;
    world.is_told_of(&stream, 6).await;
    let ended = soon(following).await.unwrap();
    assert!(matches!(ended, StandbyError::Sealed(Generation(6))), "{ended}");
    assert_eq!(world.standby.logs.replication.positions().end, Offset::ZERO, "nothing is stored");
    assert_eq!(Seal::on_disk(world.data.path()).unwrap(), Generation(7));
}

#[tokio::test]
async fn whoever_follows_a_generation_is_sealed_with_it_and_leaves_it_when_a_later_one_seals() {
    let mut world = World::new().await;
    let (following, stream) = world.follows(7).await;
    let mut follows = world.standby.following.subscribe();
    soon(follows.wait_for(|follows| *follows)).await.unwrap();
    assert_eq!(Seal::on_disk(world.data.path()).unwrap(), Generation(7));
    world.standby.seal.raise(Generation(8)).await.unwrap();
    let ended = soon(following).await.unwrap();
    assert!(matches!(ended, StandbyError::Sealed(Generation(7))), "{ended}");
    world.is_told_of(&stream, 7).await;
    assert_eq!(world.standby.logs.replication.positions().end, Offset::ZERO, "nothing is stored");
    assert!(!*world.standby.following.borrow());
}
