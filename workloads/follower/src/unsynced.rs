//! Unsynced repositories: those that have changed since the volume was last synced. hg never syncs, so that after a
//! power loss neither such a repository's files nor what it says of itself can be believed: it is made again, from a
//! peer or from the log.
//!
//! `unsynced` in the data directory holds the boot in which it was written and one repository a line; a repository is
//! in it, on disk, before it is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::CreationId;
use register::durable;

const FILE: &str = "unsynced";
/// Another one after each start of the machine's kernel, which is what forgets.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Names a file to read instead, for tests of power losses.
const BOOT_ID_VARIABLE: &str = "HGD_BOOT_ID_FILE";
/// By `hg_operator/state.py`. A repository without it counts as missing.
const STATE: &str = "hg-operator-state";
/// For a person, when nobody has another copy.
const DOUBTED: &str = "hg-operator-state.doubted";
/// hg writes them when it reads, too.
const CACHES: &str = ".hg/cache";
const DIGITS: usize = 16;

#[derive(Clone, Debug)]
pub struct Unsynced(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    boot: String,
    marks: Mutex<Marks>,
    /// Held by the one who writes the file.
    writing: Mutex<()>,
}

#[derive(Debug, Default)]
struct Marks {
    /// In the file, on disk.
    marked: BTreeSet<CreationId>,
    /// Being changed, and by how many.
    changing: BTreeMap<CreationId, usize>,
    /// Changed at any time since the last sync began.
    since: BTreeSet<CreationId>,
    /// The file can be appended to: it ends with a whole line.
    whole: bool,
}

/// Held while a repository is being changed.
#[derive(Debug)]
pub struct Changing(Unsynced, CreationId);

impl Unsynced {
    /// Reads what an earlier process left; after a power loss the repositories in doubt count as missing from here on.
    /// Blocks, and nobody may be at work on the repositories.
    pub fn open(data: &Path) -> io::Result<Unsynced> {
        let path = data.join(FILE);
        let boot_id = std::env::var_os(BOOT_ID_VARIABLE).map_or(PathBuf::from(BOOT_ID), PathBuf::from);
        let boot = fs::read_to_string(boot_id)?.trim().to_owned();
        let mut marked = BTreeSet::new();
        if let Some(text) = found(fs::read_to_string(&path))? {
            let (before, ids) = parse(&text);
            if before == boot {
                marked = ids;
            } else {
                doubt(&data.join("repositories"), &ids)?;
            }
        }
        let marks = Mutex::new(Marks { marked: marked.clone(), since: marked.clone(), ..Marks::default() });
        let shared = Shared { path, boot, marks, writing: Mutex::default() };
        shared.replace(&marked)?;
        Ok(Unsynced(Arc::new(shared)))
    }

    /// To be asked before anything of the repository is changed, and held until that is over.
    pub async fn changing(&self, id: CreationId) -> io::Result<Changing> {
        let changing = {
            let mut marks = self.0.marks();
            *marks.changing.entry(id).or_default() += 1;
            marks.since.insert(id);
            Changing(self.clone(), id)
        };
        if !self.is_marked(id) {
            let shared = self.0.clone();
            tokio::task::spawn_blocking(move || shared.mark()).await.map_err(io::Error::other)??;
        }
        Ok(changing)
    }

    /// False: nothing of the repository was changed after the last sync, nor left half done.
    pub fn is_marked(&self, id: CreationId) -> bool {
        self.0.marks().marked.contains(&id)
    }

    /// A sync would change nothing.
    pub fn is_settled(&self) -> bool {
        let marks = self.0.marks();
        marks.marked.iter().all(|id| marks.changing.contains_key(id))
    }

    /// To be asked before the volume is synced; answers what has to be.
    pub fn begin_sync(&self) -> BTreeSet<CreationId> {
        let mut marks = self.0.marks();
        marks.since = marks.changing.keys().copied().collect();
        marks.marked.clone()
    }

    /// The volume was synced, and whoever needs to know that it was has it on disk. Blocks.
    pub fn synced(&self) -> io::Result<()> {
        let _alone = lock(&self.0.writing);
        let left = {
            // From here on who changes one that was only marked before has to wait for this to be written.
            let mut marks = self.0.marks();
            marks.marked = marks.since.clone();
            marks.marked.clone()
        };
        self.0.replace(&left)
    }
}

impl Shared {
    fn marks(&self) -> MutexGuard<'_, Marks> {
        lock(&self.marks)
    }

    /// One sync for all who wait.
    fn mark(&self) -> io::Result<()> {
        let _alone = lock(&self.writing);
        let (new, all, whole) = {
            let marks = self.marks();
            let new: Vec<_> = marks.since.difference(&marks.marked).copied().collect();
            (new, &marks.since | &marks.marked, marks.whole)
        };
        if new.is_empty() {
            return Ok(());
        }
        if whole { self.append(&new) } else { self.replace(&all) }?;
        self.marks().marked = all;
        Ok(())
    }

    fn append(&self, ids: &[CreationId]) -> io::Result<()> {
        let appended = OpenOptions::new().append(true).open(&self.path).and_then(|mut file| {
            file.write_all(lines(ids).as_bytes())?;
            file.sync_data()
        });
        self.marks().whole = appended.is_ok();
        appended
    }

    /// Writes the file anew. The caller holds `writing`, or is alone.
    fn replace(&self, ids: &BTreeSet<CreationId>) -> io::Result<()> {
        let text = format!("{}\n{}", self.boot, lines(ids));
        let replaced = durable::replace(&self.path, text.as_bytes());
        self.marks().whole = replaced.is_ok();
        Ok(replaced?)
    }
}

impl Drop for Changing {
    fn drop(&mut self) {
        let mut marks = self.0.0.marks();
        if let Some(count) = marks.changing.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                marks.changing.remove(&self.1);
            }
        }
    }
}

fn lines<'a>(ids: impl IntoIterator<Item = &'a CreationId>) -> String {
    ids.into_iter().map(|id| id.directory() + "\n").collect()
}

/// The boot, and the repositories up to a line that was not written to its end: nobody went on after it.
fn parse(text: &str) -> (&str, BTreeSet<CreationId>) {
    let (boot, rest) = text.split_once('\n').unwrap_or((text, ""));
    let id = |line: &str| {
        let digits = line.strip_suffix('\n').filter(|digits| digits.len() == DIGITS)?;
        u64::from_str_radix(digits, 16).ok().map(CreationId)
    };
    (boot, rest.split_inclusive('\n').map_while(id).collect())
}

fn doubt(repositories: &Path, ids: &BTreeSet<CreationId>) -> io::Result<()> {
    for id in ids {
        let store = repositories.join(id.directory()).join(".hg").join("store");
        if found(fs::rename(store.join(STATE), store.join(DOUBTED)))?.is_some() {
            tracing::warn!(repository = %id, "after a power loss the repository is in doubt; it is made again");
            File::open(&store)?.sync_all()?;
        }
    }
    for repository in found(fs::read_dir(repositories))?.into_iter().flatten() {
        found(fs::remove_dir_all(repository?.path().join(CACHES)))?;
    }
    Ok(())
}

fn found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Nothing panics while one is held.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(of: &[u64]) -> BTreeSet<CreationId> {
        of.iter().map(|id| CreationId(*id)).collect()
    }

    fn on_disk(data: &Path) -> BTreeSet<CreationId> {
        parse(&fs::read_to_string(data.join(FILE)).unwrap()).1
    }

    #[tokio::test]
    async fn a_repository_is_marked_until_a_sync_that_began_after_its_change() {
        let data = tempfile::tempdir().unwrap();
        let unsynced = Unsynced::open(data.path()).unwrap();
        let first = unsynced.changing(CreationId(1)).await.unwrap();
        drop(unsynced.changing(CreationId(2)).await.unwrap());
        assert_eq!(on_disk(data.path()), ids(&[1, 2]));
        assert_eq!(unsynced.begin_sync(), ids(&[1, 2]));
        drop(unsynced.changing(CreationId(3)).await.unwrap());
        drop(first);
        unsynced.synced().unwrap();
        assert_eq!(on_disk(data.path()), ids(&[1, 3]), "one was changed meanwhile, and three later");
        assert!(!unsynced.is_settled());
        drop(unsynced.changing(CreationId(2)).await.unwrap());
        assert_eq!(on_disk(data.path()), ids(&[1, 2, 3]));
        unsynced.begin_sync();
        unsynced.synced().unwrap();
        assert_eq!(on_disk(data.path()), ids(&[]));
        assert!(unsynced.is_settled());
    }

    #[tokio::test]
    async fn marks_outlive_the_process_and_another_boot_makes_them_doubts() {
        let data = tempfile::tempdir().unwrap();
        let store = data.path().join("repositories").join(CreationId(1).directory()).join(".hg/store");
        fs::create_dir_all(&store).unwrap();
        fs::write(store.join(STATE), "{}").unwrap();
        let unsynced = Unsynced::open(data.path()).unwrap();
        drop(unsynced.changing(CreationId(1)).await.unwrap());
        drop(unsynced);
        let unsynced = Unsynced::open(data.path()).unwrap();
        assert!(unsynced.is_marked(CreationId(1)) && store.join(STATE).exists());
        drop(unsynced);
        let text = fs::read_to_string(data.path().join(FILE)).unwrap();
        let boot = text.lines().next().unwrap();
        fs::write(data.path().join(FILE), text.replace(boot, "another")).unwrap();
        let unsynced = Unsynced::open(data.path()).unwrap();
        assert!(!unsynced.is_marked(CreationId(1)) && !store.join(STATE).exists());
        assert_eq!(on_disk(data.path()), ids(&[]));
    }

    #[test]
    fn a_torn_end_is_not_read() {
        let text = "boot\n0000000000000001\n00000000000000";
        assert_eq!(parse(text), ("boot", ids(&[1])));
        assert_eq!(parse("boot\n0000000000000001\n\0\0\0\n0000000000000002\n").1, ids(&[1]));
        assert_eq!(parse(""), ("", ids(&[])));
    }
}
