//! The way to one installation's master: what it says is kept as a view, what it is told goes through here, and the
//! mirrors' readiness gates are turned as it wants.

pub mod gate;
mod mirrors;
pub mod requests;
pub mod view;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crds::HgRepository;
use interface::{AskError, SUPERVISOR};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use protocol::status::{Cursor, Status};
use protocol::{InstanceName, RepositoryPath, RepositorySettings};
use tokio::sync::Notify;
use tokio::time::Instant;
use transport::{Identity, Target};

use crate::certificates::text;
use crate::events::Events;
use crate::queue::Queue;
use crate::world::cache::Name;
use crate::world::{Key, World};
use gate::decide::Gate;
use view::{News, View};

/// Between two looks at the master: what a push changes is in the status this much later.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same after the master was told of something.
const LOOK_SOON: Duration = Duration::from_millis(10);
/// A look that takes long, because there are many repositories, is made less often.
const PAUSE_PER_LOOK: u32 = 10;
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Reads again after this time what the master knows of settings, in case that somebody else has changed them.
const READ_REGISTRY_EVERY: Duration = Duration::from_secs(300);
/// A change in mirrors that stays for less is not worth telling in every repository's status.
pub const MIRRORS_SETTLE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the folder of the operator's certificates cannot be written: {0}")]
    Folder(#[from] std::io::Error),
    #[error("the operator's certificate cannot be used: {0}")]
    Identity(#[from] transport::IdentityError),
}

/// Ends when dropped.
pub struct Link {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
    /// Our certificate, as files; the identity reads them again when they change.
    folder: tempfile::TempDir,
}

struct Shared {
    master: Name,
    client: transport::Client,
    targets: Mutex<Vec<Target>>,
    told: Mutex<Told>,
    /// The master was told of something that it will soon say more of.
    expects: Notify,
}

#[derive(Default)]
struct Told {
    view: Option<Arc<View>>,
    /// Up to where its changes are in the view.
    cursor: Cursor,
    /// When a mirror last changed its state.
    mirrors_since: Option<Instant>,
    settings: Option<HashMap<RepositoryPath, RepositorySettings>>,
    /// The UID and the generation of the HgRepository that a path's settings were last put for.
    put_for: HashMap<RepositoryPath, (Option<String>, Option<i64>)>,
    used: HashSet<InstanceName>,
    /// Repositories whose newest record is not published yet, and since when that has been known.
    unpublished: HashMap<RepositoryPath, Instant>,
}

impl Told {
    fn has_put_before(&self, repository: &HgRepository) -> bool {
        self.put_for.get(&repository.spec.path).is_some_and(|(uid, generation)| {
            *uid == repository.metadata.uid && *generation < repository.metadata.generation
        })
    }

    /// Answers what is new, and, if somebody answers, whether it is of another generation than before.
    fn hear(&mut self, answer: Result<Status, AskError>) -> (News, Option<bool>) {
        let view = Arc::make_mut(self.view.get_or_insert_default());
        let before = view.answers.then_some(view.generation);
        let news = match answer {
            Ok(status) => {
                self.cursor = status.changes.as_ref().map(|changes| changes.cursor).unwrap_or_default();
                view.hear(status)
            }
            Err(error) => {
                tracing::debug!(%error, "no master answers");
                view.hear_nothing()
            }
        };
        if news.mirrors || self.mirrors_since.is_none() {
            self.mirrors_since = Some(Instant::now());
        }
        for path in &news.repositories {
            if view.repositories.get(path).is_some_and(|found| found.published < found.newest) {
                self.unpublished.entry(path.clone()).or_insert_with(Instant::now);
            } else {
                self.unpublished.remove(path);
            }
        }
        (news, view.answers.then(|| before != Some(view.generation)))
    }
}

/// Surroundings that a link works with.
#[derive(Clone)]
pub struct Surroundings {
    pub client: Client,
    pub world: World,
    pub queue: Queue<Key>,
    pub events: Events,
}

impl Link {
    pub fn start(
        master: Name,
        certificate: &Secret,
        targets: Vec<Target>,
        around: Surroundings,
    ) -> Result<Link, LinkError> {
        let folder = tempfile::tempdir()?;
        write_certificate(folder.path(), certificate)?;
        let client = transport::Client::new(Identity::open(folder.path())?);
        let (targets, told, expects) = (Mutex::new(targets), Mutex::default(), Notify::new());
        let shared = Arc::new(Shared { master, client, targets, told, expects });
        let task = tokio::spawn(run(shared.clone(), around));
        Ok(Link { shared, task, folder })
    }

    /// Takes up a renewed certificate, and instances that came or went.
    pub fn update(&self, certificate: &Secret, targets: Vec<Target>) -> Result<(), LinkError> {
        write_certificate(self.folder.path(), certificate)?;
        *self.shared.targets.lock().unwrap_or_else(PoisonError::into_inner) = targets;
        Ok(())
    }

    /// False: its task ended, which it never should.
    pub fn runs(&self) -> bool {
        !self.task.is_finished()
    }

    pub fn view(&self) -> Option<Arc<View>> {
        self.shared.told().view.clone()
    }

    /// Settings that the master has of this path. The outer None: not known yet.
    pub fn settings(&self, path: &RepositoryPath) -> Option<Option<RepositorySettings>> {
        self.shared.told().settings.as_ref().map(|all| all.get(path).cloned())
    }

    /// The master was told of an earlier generation of this same resource: this one came after it, however old the
    /// list was that this operator began with.
    pub fn has_put_before(&self, repository: &HgRepository) -> bool {
        self.shared.told().has_put_before(repository)
    }

    /// For how long the newest record of this path has waited for its publication; None: it does not.
    pub fn unpublished_for(&self, path: &RepositoryPath) -> Option<Duration> {
        self.shared.told().unpublished.get(path).map(Instant::elapsed)
    }

    /// How long mirrors have been as they are.
    pub fn mirrors_settled(&self) -> Duration {
        self.shared.told().mirrors_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Readers may be on this mirror.
    pub fn is_used(&self, mirror: &InstanceName) -> bool {
        self.shared.told().used.contains(mirror)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Nothing panics while it is held.
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The instances, the one first that the register names.
    fn targets(&self, world: &World) -> Vec<Target> {
        let register = world.registers.get(&self.master);
        let holder = register.and_then(|lease| lease.spec.as_ref()?.holder_identity.clone());
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        targets.sort_by_key(|target| Some(target.name.as_str()) != holder.as_deref());
        targets
    }
}

/// As the files that an identity is opened from.
pub fn write_certificate(folder: &std::path::Path, certificate: &Secret) -> Result<(), std::io::Error> {
    let names = [
        ("ca.pem".to_owned(), "ca.pem"),
        (format!("{SUPERVISOR}-key.pem"), "key.pem"),
        (format!("{SUPERVISOR}-cert.pem"), "cert.pem"),
    ];
    for (key, file) in names {
        let text = text(certificate, &key).ok_or_else(|| std::io::Error::other(format!("'{key}' is missing")))?;
        let path = folder.join(file);
        if std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
            std::fs::write(path, text)?;
        }
    }
    Ok(())
}

async fn run(shared: Arc<Shared>, around: Surroundings) {
    let start = Instant::now();
    let mut gate = Gate::default();
    let mut registry_read: Option<Instant> = None;
    loop {
        let begun = Instant::now();
        mirrors::turn(&shared, &around, &mut gate, start).await;
        let generation = look(&shared, &around).await;
        let stale = registry_read.is_none_or(|read| read.elapsed() > READ_REGISTRY_EVERY);
        if generation.is_some_and(|changed| changed || stale) && shared.read_registry(&around.world).await {
            registry_read = Some(Instant::now());
            wake_repositories(&shared, &around);
        }
        let rest = (begun.elapsed() * PAUSE_PER_LOOK).min(LONGEST_PAUSE);
        tokio::time::sleep(rest.max(LOOK_SOON)).await;
        let more = LOOK_EVERY.saturating_sub(rest.max(LOOK_SOON));
        // Whether it is notified or not, it is looked again.
        let _ = tokio::time::timeout(more, shared.expects.notified()).await;
    }
}

/// Asks the master how it is. Some(true): another generation than before answers.
async fn look(shared: &Shared, around: &Surroundings) -> Option<bool> {
    let since = shared.told().cursor;
    let path = format!("/status.json?generation={}&change={}", since.generation.0, since.change);
    let answer = shared.ask::<Status>(&around.world, &path).await;
    let (news, reign) = shared.told().hear(answer);
    tell(shared, around, &news);
    reign
}

fn tell(shared: &Shared, around: &Surroundings, news: &News) {
    let (world, queue, master) = (&around.world, &around.queue, &shared.master);
    if news.installation {
        queue.retry(Key::Master(master.clone()));
        let ours = |pool: &crds::MirrorPool| is_of(pool, &pool.spec.master_ref.name, master);
        world.pools.find(ours).iter().for_each(|pool| queue.retry(Key::Pool(Name::of(pool.as_ref()))));
    }
    if news.mirrors || news.settings {
        wake_repositories(shared, around);
    }
    for path in &news.repositories {
        if let Some(name) = world.paths.holder(master, path) {
            queue.retry(Key::Repository(name));
        }
    }
}

fn wake_repositories(shared: &Shared, around: &Surroundings) {
    let master = &shared.master;
    let ours = |repository: &HgRepository| is_of(repository, &repository.spec.master_ref.name, master);
    for repository in around.world.repositories.find(ours) {
        around.queue.retry(Key::Repository(Name::of(repository.as_ref())));
    }
}

fn is_of<K: kube::ResourceExt>(object: &K, named: &str, master: &Name) -> bool {
    object.namespace().as_deref() == Some(&master.namespace) && named == master.name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &str, uid: &str, generation: i64) -> HgRepository {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "hg-operator.dev/v1alpha1", "kind": "HgRepository",
            "metadata": {"name": "tools", "uid": uid, "generation": generation},
            "spec": {"path": path, "masterRef": {"name": "hg"}},
        }))
        .unwrap()
    }

    #[test]
    fn only_a_later_generation_of_what_was_put_is_known_to_be_news() {
        let mut told = Told::default();
        assert!(!told.has_put_before(&repository("tools", "one", 2)), "nothing was put");
        told.put_for.insert("tools".parse().unwrap(), (Some("one".to_owned()), Some(2)));
        let table = [
            (repository("tools", "one", 3), true),
            // The same, and what an old list says.
            (repository("tools", "one", 2), false),
            (repository("tools", "one", 1), false),
            // Made anew, with its name and its path; and moved to another path.
            (repository("tools", "two", 3), false),
            (repository("others", "one", 3), false),
        ];
        for (repository, expected) in table {
            assert_eq!(told.has_put_before(&repository), expected, "{:?}", repository.metadata);
        }
    }
}
