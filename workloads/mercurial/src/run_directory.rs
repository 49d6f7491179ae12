//! Run directory: what is written for the zygote before each start. The extension's files, the hgrc and its
//! CONFIG.json.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{fs, process};

use serde::Serialize;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/extension.rs"));
}

/// Role, by which the extension switches on behaviours of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes pushes; everything committed is visible.
    Ssh,
    /// Answers readers over HTTP; shows what is released.
    Mirror,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Ssh => "ssh",
            Role::Mirror => "mirror",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Options {
    /// The Python that can import the Mercurial to be used.
    pub python: PathBuf,
    /// Made with mode 0700 and written anew at each start; its path must leave room for a socket's name (107 bytes).
    pub run_directory: PathBuf,
    /// The push gate's socket; None where nothing is pushed.
    pub gate: Option<PathBuf>,
    /// Where the extension puts bundles too large for a record.
    pub spool: PathBuf,
    pub role: Role,
    /// Where readers reach the repositories: what a push prints links to.
    pub public_url: Option<String>,
    /// Repositories that each web worker keeps open; None: Mercurial's side has its own default.
    pub web_cached: Option<u32>,
    /// The installation's own settings, read after ours.
    pub site_hgrc: Option<PathBuf>,
    /// Leaves the processor to everybody else first: nobody waits for what is done here.
    pub background: bool,
}

/// CONFIG.json (`docs/protocols.md`, "Zygote").
#[derive(Serialize)]
struct Config<'a> {
    socket: &'a Path,
    hgrc: &'a Path,
    extension: &'a Path,
    gate: Option<&'a Path>,
    spool: &'a Path,
    background: bool,
    parent: u32,
}

/// Paths inside the run directory.
#[derive(Clone, Debug)]
pub(crate) struct RunDirectory {
    pub root: PathBuf,
    pub socket: PathBuf,
    pub hgrc: PathBuf,
    pub extension: PathBuf,
    pub program: PathBuf,
    pub config: PathBuf,
    /// hg's temporary files, a folder for each child; what a killed push leaves there the next child removes.
    pub temporary: PathBuf,
}

impl RunDirectory {
    pub(crate) fn new(root: &Path) -> RunDirectory {
        let extension = root.join("extension").join("hg_operator");
        RunDirectory {
            root: root.to_owned(),
            socket: root.join("zygote.sock"),
            hgrc: root.join("hgrc"),
            program: extension.join("zygote.py"),
            extension,
            config: root.join("zygote.json"),
            temporary: root.join("tmp"),
        }
    }

    pub(crate) fn write(&self, options: &Options) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.root)?;
        fs::set_permissions(&self.root, fs::Permissions::from_mode(0o700))?;
        self.write_extension()?;
        remove(&self.temporary)?;
        fs::create_dir(&self.temporary)?;
        write_private(&self.hgrc, crate::hgrc::text(options, self).as_bytes())?;
        let config = Config {
            socket: &self.socket,
            hgrc: &self.hgrc,
            extension: &self.extension,
            gate: options.gate.as_deref(),
            spool: &options.spool,
            background: options.background,
            parent: process::id(),
        };
        write_private(&self.config, &serde_json::to_vec(&config)?)
    }

    /// Writes the extension. What an older program left there goes first: a stale module could otherwise be imported.
    fn write_extension(&self) -> io::Result<()> {
        let top = self.root.join("extension");
        remove(&top)?;
        for (name, bytes) in embedded::FILES {
            let file = top.join(name);
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            write_private(&file, bytes)?;
        }
        Ok(())
    }

    pub(crate) fn remove_socket(&self) -> io::Result<()> {
        match fs::remove_file(&self.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut to = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    to.write_all(bytes)
}
