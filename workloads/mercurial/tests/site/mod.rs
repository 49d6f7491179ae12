//! A real Mercurial for tests: every Python that can import one, a client, and a source repository to take bundles
//! from.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use bytes::Bytes;
use mercurial::{Bytestring, LanePool, LaneState, Mercurial, Operation, Options, PushRequest, Request, Role};
use protocol::{ChangesetId, Offset, PushId, RepositorySettings};

const CLIENT: &str = "
import sys
try:
    from mercurial import initialization
    initialization.init()
except ImportError:
    pass
from mercurial import dispatch
dispatch.run()
";

/// `HG_PYTHONS`, else whatever this machine has.
pub fn pythons() -> Vec<PathBuf> {
    let named = std::env::var("HG_PYTHONS").unwrap_or_default();
    let venv = std::env::var("HGOP_VENV").map(|venv| format!("{venv}/bin/python")).unwrap_or_default();
    let candidates: Vec<String> = match named.as_str() {
        "" => vec!["/usr/bin/python3".to_owned(), venv],
        named => named.split(':').map(str::to_owned).collect(),
    };
    let can = |python: &String| {
        let import = Command::new(python).args(["-c", "import mercurial"]).output();
        import.is_ok_and(|output| output.status.success())
    };
    let found: Vec<PathBuf> = candidates.iter().filter(|python| can(python)).map(PathBuf::from).collect();
    assert!(!found.is_empty(), "no Python here can import mercurial: set HG_PYTHONS");
    found
}

pub fn hg(python: &Path, directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(python);
    command.args(["-c", CLIENT]).args(arguments).current_dir(directory);
    command.env("HGRCPATH", "").env("HGPLAIN", "1").env("HGUSER", "Test <test@example.com>").env("LC_ALL", "C.UTF-8");
    command.output().unwrap()
}

pub fn hg_ok(python: &Path, directory: &Path, arguments: &[&str]) -> String {
    let output = hg(python, directory, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "hg {arguments:?}: {} {error}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An instance's Mercurial with one repository, and a source repository from which its pushes come.
pub struct Site {
    pub folder: tempfile::TempDir,
    pub python: PathBuf,
    pub mercurial: Mercurial,
    pub lanes: LanePool,
    pub offset: Offset,
    shown: Option<ChangesetId>,
}

pub fn options(python: &Path, folder: &Path, role: Role) -> Options {
    Options {
        python: python.to_owned(),
        run_directory: folder.join("run"),
        gate: None,
        spool: folder.join("spool"),
        role,
        public_url: None,
        web_cached: None,
        site_hgrc: None,
        background: false,
    }
}

impl Site {
    pub async fn start(python: &Path, role: Role) -> Site {
        let folder = tempfile::Builder::new().prefix("hg-site-").tempdir().unwrap();
        let mercurial = Mercurial::start(options(python, folder.path(), role)).await.unwrap();
        let lanes = LanePool::new(mercurial.clone(), 2);
        hg_ok(python, folder.path(), &["init", "source"]);
        let site = Site { folder, python: python.to_owned(), mercurial, lanes, offset: Offset(1), shown: None };
        let settings = RepositorySettings { publishing: true, description: "a test".into(), ..Default::default() };
        let path = "a/b".parse().unwrap();
        let state = site.lane(Operation::Init { offset: Offset(1), settings, path, hidden: false }).await;
        assert_eq!(state.applied, Offset(1));
        site
    }

    pub fn source(&self) -> PathBuf {
        self.folder.path().join("source")
    }

    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("repositories").join("0000000000000001")
    }

    pub async fn lane(&self, operation: Operation) -> LaneState {
        std::fs::create_dir_all(self.folder.path().join("repositories")).unwrap();
        self.lanes.call(Request { directory: self.repository(), operation }).await.unwrap()
    }

    /// Commits one file to the source and makes the push of it that an instance would apply.
    pub fn commit(&mut self, name: &str, content: &[u8]) -> (Offset, PushRequest) {
        let source = self.source();
        std::fs::write(source.join(name), content).unwrap();
        hg_ok(&self.python, &source, &["commit", "-A", "-m", &format!("add {name}")]);
        let tip: ChangesetId = hg_ok(&self.python, &source, &["log", "-r", ".", "-T", "{node}"]).parse().unwrap();
        let bundle = self.folder.path().join(format!("{tip}.hg"));
        let base = self.shown.map_or("null".to_owned(), |shown| shown.to_string());
        let file = bundle.to_str().unwrap();
        hg_ok(&self.python, &source, &["bundle", "--base", &base, "-r", ".", "--type", "none-v2", file]);
        self.shown = Some(tip);
        self.offset = self.offset.next();
        let bytes = std::fs::read(&bundle).unwrap();
        let bundle =
            if bytes.len() < 64 * 1024 { Bytestring::Inline(Bytes::from(bytes)) } else { Bytestring::File(bundle) };
        let push = PushRequest {
            push_id: Some(PushId(self.offset.0 - 1)),
            user: "someone@example.com".into(),
            time: 1_700_000_000,
            bundle: Some(bundle),
            changesets: 1,
            nodes: None,
            tip: Some(tip),
            bookmarks: vec![],
            published: vec![tip],
            markers: None,
        };
        (self.offset, push)
    }

    /// Commits and applies at once.
    pub async fn push(&mut self, name: &str, content: &[u8]) -> ChangesetId {
        let (offset, push) = self.commit(name, content);
        let tip = push.tip.unwrap();
        let state = self.lane(Operation::Apply { offset, push, hidden: false }).await;
        assert_eq!((state.applied, state.visible.and_then(|visible| visible.tip)), (offset, Some(tip)));
        tip
    }
}
