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
