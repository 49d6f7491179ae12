//! The Rust side against the real extension and every Mercurial that is here.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod site;

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use mercurial::{
    Class, Ended, LaneErrorKind, LaneState, Mercurial, Operation, Options, Permission, Request, Role, ServeRequest,
    Visible, WebAnswer, WebOptions, WebPool, WebRequest,
};
use protocol::{CreationId, Offset};
use site::{Site, hg_ok, options, pythons};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const DEADLINE: Duration = Duration::from_secs(60);

async fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}

fn changesets(state: &LaneState) -> Option<u64> {
    state.visible.as_ref().map(|visible| visible.changesets)
}

fn web_request(site: &Site, query: &str, path_info: &str) -> WebRequest {
    WebRequest {
        directory: site.repository(),
        repository: CreationId(1),
        path: "a/b".parse().unwrap(),
        method: "GET".into(),
        query: query.into(),
        path_info: path_info.into(),
        scheme: "http",
        host: "example.com".into(),
        remote: "127.0.0.1".into(),
        headers: vec![],
        body: Bytes::new(),
        definite: false,
    }
}

async fn body_of(answer: WebAnswer) -> (u16, Vec<u8>) {
    let WebAnswer::Response(mut response) = answer else { panic!("unknown") };
    let mut body = Vec::new();
    while let Some(part) = response.body.next().await {
        body.extend_from_slice(&part.unwrap());
    }
    (response.status, body)
}

fn signal(name: &str, pid: impl std::fmt::Display) {
    assert!(std::process::Command::new("kill").args([name, &pid.to_string()]).status().unwrap().success());
}

fn serve_request(site: &Site) -> ServeRequest {
    ServeRequest {
        directory: site.repository(),
        repository: CreationId(1),
        path: "a/b".parse().unwrap(),
        user: "u".parse().unwrap(),
        may_write: false,
        environment: Default::default(),
    }
}

/// Parent of a child: the zygote.
fn parent_of(pid: u32) -> String {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned()
}

fn process_is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_make_the_pinned_format_and_apply_pushes() {
    for python in pythons() {
        let mut site = Site::start(&python, Role::Mirror).await;
        assert!(!site.mercurial.version().is_empty());
        let requires = |name: &str| std::fs::read_to_string(site.repository().join(".hg").join(name));
        let mut requires: Vec<String> = [requires("requires"), requires("store/requires")]
            .into_iter()
            .flat_map(|text| text.unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        requires.sort();
        requires.dedup();
        let format = "dotencode fncache generaldelta revlog-compression-zstd revlogv1 sparserevlog store";
        assert_eq!(requires.join(" "), format);

        let (offset, push) = site.commit("one", b"1");
        let apply = Operation::Apply { offset, push: push.clone(), hidden: true };
        let hidden = site.lane(apply.clone()).await;
        assert_eq!((hidden.applied, hidden.shown, changesets(&hidden)), (offset, Offset(1), Some(0)));
        assert_eq!(site.lane(apply).await, hidden, "applying twice changes nothing");
        let shown = site.lane(Operation::Show { offset, push: push.clone() }).await;
        let visible = Visible { tip: push.tip, heads: 1, changesets: 1 };
        assert_eq!((shown.shown, shown.visible.as_ref()), (offset, Some(&visible)));
        assert_eq!(site.lane(Operation::State).await, shown);
        assert_eq!(site.lane(Operation::Recover { break_locks: true }).await.applied, offset);
        let skipped = site.lane(Operation::Skip { offset: offset.next(), hidden: false }).await;
        assert_eq!(skipped.applied, offset.next());

        let hashes = site.lanes.hash(&site.repository(), Some(offset.next())).await.unwrap();
        assert_eq!(hashes.at, offset.next());
        let locked = site.lanes.hash(&site.repository(), Some(Offset(99))).await.unwrap_err();
        assert_eq!(locked.kind, LaneErrorKind::Locked, "{locked}");
        let file = site.folder.path().join("snapshot.tar");
        site.lane(Operation::Snapshot { file: file.clone() }).await;
        assert!(std::fs::metadata(file).unwrap().len() > 1000);
        let missing = Request { directory: site.folder.path().join("nothing"), operation: Operation::State };
        assert_eq!(site.lanes.call(missing).await.unwrap_err().kind, LaneErrorKind::Missing);
        let stripped = site.lane(Operation::Strip { offset: Offset(9), changesets: vec![push.tip.unwrap()] }).await;
        assert_eq!((stripped.applied, changesets(&stripped)), (Offset(9), Some(0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_speak_the_wire_protocol_and_say_how_they_ended() {
    for python in pythons() {
        let mut site = Site::start(&python, Role::Ssh).await;
        let tip = site.push("one", b"1").await;
        let request = ServeRequest {
            directory: site.repository(),
            repository: CreationId(1),
            path: "a/b".parse().unwrap(),
            user: "someone@example.com".parse().unwrap(),
            may_write: false,
            environment: Default::default(),
        };
        let mut session = site.mercurial.serve(&request).await.unwrap();
        session.stdin.write_all(b"heads\n").await.unwrap();
        let mut answer = vec![0; 44];
        timeout(DEADLINE, session.stdout.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(String::from_utf8(answer).unwrap(), format!("41\n{tip}\n"));
        drop(session.stdin);
        assert_eq!(timeout(DEADLINE, session.child.ended()).await.unwrap(), Ended::Exit(0));

        let mut killed = site.mercurial.serve(&request).await.unwrap();
        killed.child.kill();
        assert_eq!(timeout(DEADLINE, killed.child.ended()).await.unwrap(), Ended::Abnormal);
        let dropped = site.mercurial.serve(&request).await.unwrap();
        let pid = dropped.child.pid();
        assert!(process_is_there(pid));
        // Stopped, it does not notice that its streams have ended: only a kill ends it.
        signal("-STOP", pid);
        drop(dropped);
        wait_until("the end of a dropped session", || !process_is_there(pid)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_workers_answer_and_are_replaced_when_they_die() {
    for python in pythons() {
        let mut site = Site::start(&python, Role::Mirror).await;
        let tip = site.push("one", b"1").await;
        let large: Vec<u8> = (0..4_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        site.push("large", &large).await;
        let web = WebPool::new(site.mercurial.clone(), WebOptions { light: 1, heavy: 1, ..Default::default() });
        let ask = |query: &str, path_info: &str| {
            let (web, request) = (web.clone(), web_request(&site, query, path_info));
            async move { web.request(&request, Class::Light).await.unwrap() }
        };
        let (status, body) = body_of(ask("cmd=heads", "").await).await;
        assert_eq!((status, body.len()), (200, 41));
        let (status, body) = body_of(ask("", "/raw-file/tip/one").await).await;
        assert_eq!((status, &body[..]), (200, &b"1"[..]));
        let (status, body) = body_of(ask("", "/raw-file/tip/large").await).await;
        assert_eq!((status, body.len()), (200, large.len()));
        assert!(body == large);
        let WebAnswer::Unknown(unknown) = ask("", &format!("/rev/{}", "12".repeat(20))).await else {
            panic!("a hash that is nowhere is known")
        };
        assert_eq!(unknown[0].to_string(), "12".repeat(20));

        // Dropped in the middle: the one worker must not give the rest to the next.
        let WebAnswer::Response(mut cut) = ask("", "/raw-file/tip/large").await else { panic!() };
        assert!(cut.body.next().await.unwrap().is_ok());
        drop(cut);
        let (_, body) = body_of(ask("", &format!("/raw-file/{tip}/one")).await).await;
        assert_eq!(body, b"1");
        assert_eq!(web.load(Class::Light).busy, 0);
        assert_eq!(hg_ok(&site.python, &site.repository(), &["id", "-i", "-r", "0"]).len(), 12);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_zygote_takes_its_children_along_and_comes_back() {
    for python in pythons() {
        let mut site = Site::start(&python, Role::Ssh).await;
        site.push("one", b"1").await;
        let mut session = site.mercurial.serve(&serve_request(&site)).await.unwrap();
        signal("-KILL", parent_of(session.child.pid()));
        assert_eq!(timeout(DEADLINE, session.child.ended()).await.unwrap(), Ended::Abnormal);
        // The lane's idle worker died too; nobody notices.
        wait_until("the end of the ready state", || !site.mercurial.is_ready()).await;
        assert_eq!(changesets(&site.lane(Operation::State).await), Some(1));
        site.push("two", b"2").await;
        let Site { mercurial, lanes, .. } = site;
        drop((mercurial, lanes, session));
    }
}

/// Without anybody's word: whoever works on the repository next would wait.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_stopped_is_killed_and_made_again() {
    for python in pythons() {
        let mut site = Site::start(&python, Role::Ssh).await;
        site.push("one", b"1").await;
        let mut stopped = site.mercurial.serve(&serve_request(&site)).await.unwrap();
        signal("-STOP", stopped.child.pid());
        assert_eq!(timeout(DEADLINE, stopped.child.ended()).await.unwrap(), Ended::Abnormal);

        let mut session = site.mercurial.serve(&serve_request(&site)).await.unwrap();
        signal("-STOP", parent_of(session.child.pid()));
        assert_eq!(timeout(DEADLINE, session.child.ended()).await.unwrap(), Ended::Abnormal);
        site.push("two", b"2").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_make_pushes_fail_is_said_before_there_is_one() {
    for python in pythons() {
        let site = Site::start(&python, Role::Ssh).await;
        let bundle = site.mercurial.prove(false).await.unwrap_err();
        assert!(bundle.starts_with("no bundle of a push can be written"), "{bundle}");
        std::fs::create_dir(site.folder.path().join("spool")).unwrap();
        assert_eq!(site.mercurial.prove(false).await, Ok(()));
        let gate = site.mercurial.prove(true).await.unwrap_err();
        assert!(gate.starts_with("the push gate does not answer"), "{gate}");
        let run = site.mercurial.hgrc().parent().unwrap().to_owned();
        std::fs::remove_dir_all(run.join("tmp")).unwrap();
        assert_eq!(site.mercurial.prove(false).await, Ok(()), "it is made again");
        std::fs::remove_dir_all(run.join("tmp")).unwrap();
        std::fs::write(run.join("tmp"), "").unwrap();
        let temporary = site.mercurial.prove(false).await.unwrap_err();
        assert!(temporary.starts_with("no temporary file can be written"), "{temporary}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_without_mercurial_is_said_to_be_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let options = mercurial::Options {
        python: "/bin/false".into(),
        run_directory: folder.path().join("run"),
        gate: None,
        spool: folder.path().join("spool"),
        role: Role::Ssh,
        public_url: None,
        web_cached: None,
        site_hgrc: None,
        background: false,
    };
    let error = timeout(DEADLINE, mercurial::Mercurial::start(options)).await.unwrap().err().unwrap();
    assert!(error.to_string().contains("ended before it was ready"), "{error}");
}

/// Whoever wrote it reads the file and the line, and nothing of ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_the_hgrc_is_told_with_its_line() {
    for python in pythons() {
        let folder = tempfile::tempdir().unwrap();
        let hgrc = folder.path().join("hgrc");
        std::fs::write(&hgrc, "[hooks]\nincoming = true\n\n[ui\n").unwrap();
        let options = mercurial::Options {
            python,
            run_directory: folder.path().join("run"),
            gate: None,
            spool: folder.path().join("spool"),
            role: Role::Ssh,
            public_url: None,
            web_cached: None,
            site_hgrc: Some(hgrc.clone()),
            background: false,
        };
        let error = timeout(DEADLINE, mercurial::Mercurial::start(options)).await.unwrap().err().unwrap();
        assert!(matches!(error, mercurial::StartError::Refused { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("config error at {}:4: [ui", hgrc.display()));
    }
}

const OWN_COMMANDS: &str = "
from mercurial import wireprotov1server
def extsetup(ui):
    for name, permission in ((b'own_read', b'pull'), (b'own_write', b'push')):
        wireprotov1server.wireprotocommand(name, b'', permission=permission)(lambda repo, proto: b'')
";

#[tokio::test]
async fn commands_are_told_with_what_they_may_do_also_those_of_extensions() {
    for python in pythons() {
        let folder = tempfile::Builder::new().prefix("hg-zygote-").tempdir().unwrap();
        let (extension, hgrc) = (folder.path().join("own.py"), folder.path().join("site.rc"));
        std::fs::write(&extension, OWN_COMMANDS).unwrap();
        std::fs::write(&hgrc, format!("[extensions]\nown = {}\n", extension.display())).unwrap();
        let options = Options { site_hgrc: Some(hgrc), ..options(&python, folder.path(), Role::Mirror) };
        let mercurial = Mercurial::start(options).await.unwrap();
        let commands = mercurial.commands();
        for name in ["heads", "getbundle", "batch", "stream_out", "own_read"] {
            assert_eq!(commands.permission(name), Some(Permission::Pull), "{name}");
        }
        for name in ["unbundle", "pushkey", "own_write"] {
            assert_eq!(commands.permission(name), Some(Permission::Push), "{name}");
        }
        assert_eq!(commands.permission("log"), None);
    }
}
