//! Imports: an empty repository is filled, once, from a Mercurial server or from a bundle. It is a push of the user
//! `hg-operator`, through the push gate like any other. What is under way is not remembered over a restart of the
//! master: nothing is in the log then, and it may be asked for again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use interface::{ImportSource, ImportStage, ImportState};
use mercurial::{FetchRequest, Fetched};
use protocol::{CreationId, Offset, Repository, RepositoryPath, UserName};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use transport::CancellationToken;

use super::front::{MAKING, Opener};

/// Further ones wait for their turn.
const AT_ONCE: usize = 2;
/// An import that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(4 * 3600);
const MAX_URL_BYTES: usize = 2048;
const USER: &str = "hg-operator";

/// The sentence, and the status that it is answered with.
pub type Refusal = (StatusCode, String);

pub struct Imports {
    opener: Arc<Opener>,
    places: Semaphore,
    known: Mutex<BTreeMap<CreationId, ImportState>>,
    stop: CancellationToken,
}

impl Imports {
    /// Imports under way are given up when `stop` is cancelled.
    pub fn new(opener: Arc<Opener>, stop: CancellationToken) -> Arc<Imports> {
        Arc::new(Imports { opener, places: Semaphore::new(AT_ONCE), known: Mutex::default(), stop })
    }

    /// Begins it; to ask again while it runs changes nothing.
    pub async fn start(self: &Arc<Self>, path: &RepositoryPath, source: ImportSource) -> Result<(), Refusal> {
        let (url, bundle) = match source {
            ImportSource::Url(url) => (url, false),
            ImportSource::BundleUrl(url) => (url, true),
        };
        check(&url).map_err(|why| (StatusCode::BAD_REQUEST, why))?;
        let user: UserName = USER.parse().map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, USER.to_owned()))?;
        let repository = self.find(path).await?;
        let id = repository.id;
        {
            let mut known = self.known();
            if known.get(&id).is_some_and(|import| import.state == ImportStage::Running) {
                return Ok(());
            }
            if repository.last_push.0 > 0 {
                return Err((StatusCode::CONFLICT, format!("{path} is not empty: only an empty one is filled")));
            }
            known.insert(id, ImportState { state: ImportStage::Running, message: format!("fetching from {url}") });
        }
        let directory = self.opener.repositories.join(id.directory());
        let request = FetchRequest { directory, repository: id, user, source: url, bundle };
        let imports = self.clone();
        tokio::spawn(async move {
            let import = imports.run(&request).await;
            tracing::info!(repository = %id, state = ?import.state, message = import.message, "import ended");
            imports.known().insert(id, import);
        });
        Ok(())
    }

    pub async fn state(&self, path: &RepositoryPath) -> Result<ImportState, Refusal> {
        let id = self.find(path).await?.id;
        let none = || (StatusCode::NOT_FOUND, format!("no import into {path} was asked of this master"));
        self.known().get(&id).cloned().ok_or_else(none)
    }

    async fn find(&self, path: &RepositoryPath) -> Result<Repository, Refusal> {
        let missing = || (StatusCode::NOT_FOUND, format!("repository {path} does not exist"));
        self.opener.ledger.by_path(path).await.ok_or_else(missing)
    }

    async fn run(&self, request: &FetchRequest) -> ImportState {
        let failed = |message: String| ImportState { state: ImportStage::Failed, message };
        let ended = tokio::select! {
            ended = timeout(LONGEST, self.fetch(request)) => ended,
            () = self.stop.cancelled() => return failed("the master stopped; ask again".to_owned()),
        };
        match ended {
            Ok(Ok(Fetched::Done(changesets))) => {
                ImportState { state: ImportStage::Done, message: format!("{changesets} changesets") }
            }
            Ok(Ok(Fetched::Failed(why))) => failed(why),
            Ok(Ok(Fetched::Abnormal)) => {
                self.opener.recover(request.repository).await;
                failed("Mercurial ended abnormally; the master's log says more".to_owned())
            }
            Ok(Err(error)) => failed(error.to_string()),
            Err(_) => {
                self.opener.recover(request.repository).await;
                failed(format!("given up after {} h", LONGEST.as_secs() / 3600))
            }
        }
    }

    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched, mercurial::ConnectError> {
        let _place = self.places.acquire().await;
        // One that was created this moment may still be in the making.
        let made = |lane: &follower::LaneRow| lane.applied > Offset::ZERO;
        if !self.opener.table.wait(request.repository, Instant::now() + MAKING, made).await {
            return Ok(Fetched::Failed("the repository is not ready on the server yet".to_owned()));
        }
        Ok(self.opener.mercurial.fetch(request).await?.ended().await)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<CreationId, ImportState>> {
        // Nothing panics while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks a source: what would reach other parts of the server, or would put a password into logs, is refused.
fn check(url: &str) -> Result<(), String> {
    let wrong = || format!("'{}' is not a URL to import from: http://... or https://... is allowed", shorten(url));
    if url.len() > MAX_URL_BYTES || url.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(wrong());
    }
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let authority = uri.authority().filter(|_| matches!(uri.scheme_str(), Some("http" | "https")));
    match authority {
        Some(authority) if authority.as_str().contains('@') => {
            Err("a URL with a user name or a password is not imported from".to_owned())
        }
        Some(_) => Ok(()),
        None => Err(wrong()),
    }
}

fn shorten(url: &str) -> String {
    url.chars().take(100).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_of_the_web_are_imported_from() {
        for good in ["http://hg.example.com/a", "https://hg.example.com:8443/a?b=c", "HTTPS://[::1]/x"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "/etc/passwd", "file:///etc", "ssh://a/b", "http:///x", "a", "http://a/ b", "http://a/\n"] {
            assert!(check(bad).unwrap_err().contains("is allowed"), "{bad}");
        }
        assert!(check(&format!("http://a/{}", "x".repeat(MAX_URL_BYTES))).is_err());
        assert!(check("https://me:secret@a/b").unwrap_err().contains("password"));
    }

    #[test]
    fn exactly_one_source_is_named() {
        let read = |text: &str| serde_json::from_str::<ImportSource>(text);
        assert!(matches!(read(r#"{"url": "http://a/b"}"#), Ok(ImportSource::Url(_))));
        assert!(matches!(read(r#"{"bundleUrl": "http://a/b"}"#), Ok(ImportSource::BundleUrl(_))));
        for wrong in ["{}", r#"{"url": "http://a", "bundleUrl": "http://b"}"#, r#"{"path": "x"}"#, "7"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
