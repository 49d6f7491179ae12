//! The registry as of the oldest record that the publisher still has to know, so that the log before it can go: what a
//! later reign starts from.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use protocol::{Offset, Push, Record, Registry};

const FILE: &str = "settled.json";

pub struct Settled {
    file: PathBuf,
    registry: Registry,
    /// Records after it, without what the registry does not need.
    later: VecDeque<(Offset, Record)>,
}

impl Settled {
    /// Empty where nothing was stored yet: then the log is whole.
    pub fn load(data: &Path) -> io::Result<Settled> {
        let file = data.join(FILE);
        let registry = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Registry::default(),
            Err(error) => return Err(error),
        };
        Ok(Settled { file, registry, later: VecDeque::new() })
    }

    /// Begins with another log, which starts behind this registry.
    pub fn replace(data: &Path, registry: Registry) -> io::Result<()> {
        Settled { file: data.join(FILE), registry, later: VecDeque::new() }.store()
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub fn note(&mut self, offset: Offset, record: &Record) {
        self.later.push_back((offset, slim(record)));
    }

    /// Folds everything up to `through` and stores it durably; what is at or before the answer may be trimmed.
    pub fn advance(&mut self, through: Offset) -> io::Result<Offset> {
        let before = self.registry.through();
        while let Some((offset, record)) = self.later.pop_front_if(|(offset, _)| *offset <= through) {
            // An error was told when the record was committed.
            let _ = self.registry.apply(offset, &record);
        }
        if self.registry.through() > before {
            self.store()?;
        }
        Ok(self.registry.through())
    }

    fn store(&self) -> io::Result<()> {
        let temporary = self.file.with_extension("json.new");
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(&self.registry)?)?;
        file.sync_all()?;
        fs::rename(temporary, &self.file)?;
        self.file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    }
}

fn slim(record: &Record) -> Record {
    let Record::Push(push) = record else { return record.clone() };
    Record::Push(Push {
        bundle: None,
        heads_added: Vec::new(),
        heads_removed: Vec::new(),
        bookmarks: Vec::new(),
        published: Vec::new(),
        markers: None,
        nodes: None,
        ..push.clone()
    })
}
