use std::collections::BTreeSet;
use std::task::Poll;

use protocol::LogName;

use super::*;

const GENERATION: Generation = Generation(3);

async fn ledger(data: &std::path::Path) -> (Log, Ledger) {
    let retention = log::Retention { age: Duration::from_secs(3600), bytes: 1 << 30 };
    let segment_bytes = log::DEFAULT_SEGMENT_BYTES;
    let options = log::Options { directory: data.join("log"), name: LogName::Replication, segment_bytes, retention };
    let log = Log::open(options).unwrap();
    log.lead(GENERATION, BTreeSet::new()).await.unwrap();
    let (_, writable) = watch::channel(Writable::Yes);
    (log.clone(), Ledger::new(log, GENERATION, Registry::default(), writable))
}

async fn is_in_log(log: &Log, offset: Offset) {
    let mut view = log.watch();
    let there = view.wait_for(|view| view.generations.end() >= offset);
    tokio::time::timeout(Duration::from_secs(20), there).await.unwrap().unwrap();
}

async fn asked_and_left<T>(asked: impl Future<Output = T>) {
    let mut asked = std::pin::pin!(asked);
    let waits = std::future::poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_pending())).await;
    assert!(waits, "the log has answered already");
}

#[tokio::test]
async fn what_is_in_the_log_is_known_also_when_whoever_asked_has_gone() {
    let data = tempfile::tempdir().unwrap();
    let (log, ledger) = ledger(data.path()).await;
    let path: RepositoryPath = "a".parse().unwrap();
    // A client that resets its connection drops what answers it.
    asked_and_left(ledger.put(path.clone(), RepositorySettings::default())).await;
    is_in_log(&log, Offset(1)).await;
    let known = ledger.by_path(&path).await.expect("the repository is known");
    asked_and_left(ledger.delete(&path)).await;
    is_in_log(&log, Offset(2)).await;
    assert!(ledger.by_path(&path).await.is_none(), "{known:?} is known to be deleted");
    let again = ledger.put(path, RepositorySettings::default()).await.unwrap();
    assert_eq!(again, Offset(3));
}

#[tokio::test]
async fn a_push_that_is_appended_is_not_taken_back_when_another_master_is_named() {
    let data = tempfile::tempdir().unwrap();
    let (log, ledger) = ledger(data.path()).await;
    let standby = BTreeSet::from(["standby".parse().unwrap()]);
    log.set_in_sync(GENERATION, standby).await.unwrap();
    let put = ledger.put("a".parse().unwrap(), RepositorySettings::default());
    let deposed = async {
        is_in_log(&log, Offset(1)).await;
        log.follow().await;
    };
    let (put, ()) = tokio::join!(put, deposed);
    assert!(matches!(put, Err(LedgerError::OutcomeUnknown(Offset(1)))), "{put:?}");
    let late = ledger.put("b".parse().unwrap(), RepositorySettings::default()).await;
    assert!(matches!(late, Err(LedgerError::Append(AppendError::NotLeading))), "{late:?}");
    assert!(ledger.by_path(&"b".parse().unwrap()).await.is_none());
}

async fn pushes(ledger: &Ledger, repository: CreationId, applied: Offset) -> Result<Offset, LedgerError> {
    let make = |push_id, time| Push {
        repository,
        push_id,
        user: "ada".parse().unwrap(),
        time,
        bundle: None,
        changesets: 0,
        tip: None,
        heads_added: Vec::new(),
        heads_removed: Vec::new(),
        heads: 1,
        bookmarks: Vec::new(),
        published: Vec::new(),
        markers: None,
        nodes: None,
    };
    ledger.append_push(repository, applied, false, make).await.map(|(offset, _)| offset)
}

#[tokio::test]
async fn a_push_must_know_the_content_and_not_how_the_repository_is_set_up() {
    let data = tempfile::tempdir().unwrap();
    let (_log, ledger) = ledger(data.path()).await;
    let path: RepositoryPath = "a".parse().unwrap();
    let created = ledger.put(path.clone(), RepositorySettings::default()).await.unwrap();
    let repository = ledger.by_path(&path).await.unwrap().id;
    let settings = RepositorySettings { description: "new".into(), ..Default::default() };
    let updated = ledger.put(path.clone(), settings).await.unwrap();
    let first = pushes(&ledger, repository, created).await.unwrap();
    assert_eq!(first, updated.next());
    for behind in [created, updated] {
        let refused = pushes(&ledger, repository, behind).await;
        assert!(matches!(refused, Err(LedgerError::Behind { .. })), "{refused:?}");
    }
    let ahead = pushes(&ledger, repository, first.next()).await;
    assert!(matches!(ahead, Err(LedgerError::Behind { .. })), "{ahead:?}");
    let stripped = ledger.strip(&path, Vec::new(), "ada".parse().unwrap()).await.unwrap();
    let refused = pushes(&ledger, repository, first).await;
    assert!(matches!(refused, Err(LedgerError::Behind { .. })), "{refused:?}");
    pushes(&ledger, repository, stripped).await.unwrap();
}

#[tokio::test]
async fn a_push_that_is_on_its_way_is_refused_when_all_become_read_only() {
    let data = tempfile::tempdir().unwrap();
    let (log, ledger) = ledger(data.path()).await;
    let path: RepositoryPath = "a".parse().unwrap();
    let created = ledger.put(path.clone(), RepositorySettings::default()).await.unwrap();
    let repository = ledger.by_path(&path).await.unwrap().id;
    let moving = MasterSettings { read_only_reason: Some("moving".into()), ..Default::default() };
    let told = ledger.put_settings(moving.clone()).await.unwrap();
    assert_eq!(ledger.put_settings(moving).await.unwrap(), told, "unchanged settings write nothing");
    let all = |error: LedgerError| crate::messages::Answer::refused(&error);
    let lines = |words: [&str; 3]| crate::messages::Answer::Refuse(words.map(String::from).to_vec());
    let expected = lines(["all repositories currently read only", "moving", "refusing to add changesets"]);
    assert_eq!(all(ledger.pushable(repository).await.unwrap_err()), expected);
    assert_eq!(all(pushes(&ledger, repository, created).await.unwrap_err()), expected);
    let own = RepositorySettings { read_only_reason: Some("closed".into()), ..Default::default() };
    ledger.put(path.clone(), own).await.unwrap();
    let expected = lines(["repository is read only", "closed", "refusing to add changesets"]);
    assert_eq!(all(ledger.pushable(repository).await.unwrap_err()), expected);
    ledger.put(path, RepositorySettings::default()).await.unwrap();
    ledger.put_settings(MasterSettings::default()).await.unwrap();
    // The next master folds the same log.
    assert_eq!(log.positions().end, Offset(5));
    pushes(&ledger, repository, created).await.unwrap();
}
