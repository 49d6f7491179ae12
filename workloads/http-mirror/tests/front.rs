//! The front with the real extension, every Mercurial that is here, and real hg clients.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "mirror/mod.rs"]
mod mirror;
#[path = "../../mercurial/tests/site/mod.rs"]
mod site;

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use http_mirror::Limits;
use mercurial::{Class, Operation, WebOptions};
use mirror::{DEADLINE, Mirror, get, request, wait_until};
use site::{hg, hg_ok, pythons};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

async fn client(python: &Path, directory: &Path, arguments: &[&str]) -> Output {
    let (python, directory) = (python.to_owned(), directory.to_owned());
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || hg(&python, &directory, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    spawn_blocking(run).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn hg_clones_pulls_and_identifies_and_cannot_push() {
    for python in pythons() {
        let mut mirror = Mirror::start(&python).await;
        let first = mirror.site.push("one", b"1").await;
        let url = mirror.url("/a/b");
        let folder = mirror.site.folder.path().to_owned();
        let cloned = client(&python, &folder, &["clone", &url, "clone"]).await;
        assert!(cloned.status.success(), "{}", said(&cloned));
        let clone: PathBuf = folder.join("clone");
        assert_eq!(hg_ok(&python, &clone, &["log", "-r", "tip", "-T", "{node} {phase}"]), format!("{first} public"));
        let streamed = client(&python, &folder, &["clone", "--stream", "-U", &url, "streamed"]).await;
        assert!(streamed.status.success(), "{}", said(&streamed));

        let second = mirror.site.push("two", b"2").await;
        let id = client(&python, &folder, &["id", "--debug", "-i", &url]).await;
        assert!(said(&id).contains(&second.to_string()), "{}", said(&id));
        let pulled = client(&python, &clone, &["pull", "-u"]).await;
        assert!(pulled.status.success() && clone.join("two").exists(), "{}", said(&pulled));
        let again = client(&python, &clone, &["pull"]).await;
        assert!(said(&again).contains("no changes found"), "{}", said(&again));

        std::fs::write(clone.join("mine"), "x").unwrap();
        hg_ok(&python, &clone, &["commit", "-A", "-m", "mine"]);
        let pushed = client(&python, &clone, &["push"]).await;
        assert_eq!(pushed.status.code(), Some(255), "{}", said(&pushed));
        assert!(said(&pushed).contains("abort: authorization failed"), "{}", said(&pushed));
        let bookmark = hg(&python, &clone, &["bookmark", "-r", "0", "mark"]);
        assert!(bookmark.status.success());
        let pushed = client(&python, &clone, &["push", "-B", "mark", "-r", "0"]).await;
        assert!(said(&pushed).contains("authorization failed"), "{}", said(&pushed));
        assert_eq!(mirror.site.lane(Operation::State).await.visible.unwrap().changesets, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_repository_is_said_in_one_sentence() {
    let mirror = Mirror::start(&pythons()[0]).await;
    let missing = get(&mirror, "/a/c?cmd=capabilities", &[]).await;
    assert_eq!((missing.status, missing.text().as_str()), (404, "there is no repository at /a/c\n"));
    let index = get(&mirror, "/", &[]).await;
    assert_eq!(index.status, 200);
    assert!(index.text().contains("<a href=\"/a/b/\">a/b</a>") && index.text().contains("a &lt;b&gt; test"));
    assert!(index.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(index.header("x-content-type-options"), "nosniff");
    assert_eq!(get(&mirror, "/index?style=raw", &[]).await.text(), "\n/a/b/\n\n");
    assert_eq!(get(&mirror, "/a/index", &[]).await.status, 200);
    assert_eq!(get(&mirror, "/b/index", &[]).await.status, 404);
    let json: serde_json::Value = serde_json::from_str(&get(&mirror, "/a/?style=json", &[]).await.text()).unwrap();
    assert_eq!(json["entries"][0]["name"], "b", "as hgwebdir names it below its folder");
    assert_eq!(get(&mirror, "/a/b/nothing-such", &[]).await.status, 400, "hgweb's own answer");
    assert_eq!(request(&mirror, "PUT", "/a/b", &[], b"").await.status, 405);
    let refused = request(&mirror, "POST", "/a/b?cmd=unbundle", &[], &[0; 100_000]).await;
    assert_eq!(refused.status, 401, "{}", refused.text());
    assert_eq!(request(&mirror, "POST", "/a/b", &[], b"x").await.status, 200, "a page, as hgweb has it");
    assert_eq!(get(&mirror, "/a/b?cmd=pushkey", &[]).await.status, 401);
    // A write inside a batch of reads.
    let arguments = "cmds=pushkey+namespace%3Dbookmarks%2Ckey%3Dx%2Cold%3D%2Cnew%3D";
    let batched = get(&mirror, "/a/b?cmd=batch", &[("X-HgArg-1", arguments)]).await;
    assert_eq!(batched.status, 401, "{}", batched.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn heavy_work_is_known_by_any_spelling_and_what_has_two_meanings_is_refused() {
    for python in pythons() {
        let mut mirror = Mirror::start(&python).await;
        let tip = mirror.site.push("one", b"1").await;
        for (path, class) in [
            ("/a/b/archive/tip.zip", "page-heavy"),
            ("//a/b//%61rchive/tip.zip", "page-heavy"),
            ("/a%2Fb/raw-archive/tip.zip", "page-heavy"),
            ("/a/b?cmd=archive&node=tip&type=zip", "page-heavy"),
            ("/a/b?c%6dd=stream_out", "wire-heavy"),
            ("/a/b?cmd=getbundle", "wire-heavy"),
            ("/a/b/raw-file/tip/one", "page-light"),
            ("/a/b?cmd=known&nodes=", "wire-light"),
        ] {
            let before = mirror.requests(class);
            assert_eq!(get(&mirror, path, &[]).await.status, 200, "{path}");
            wait_until(path, || mirror.requests(class) == before + 1).await;
        }
        let common = format!("common={tip}&heads={tip}");
        for (path, headers) in [
            ("/a/b?cmd=heads&cmd=stream_out", vec![]),
            ("/a/b?cmd=heads", vec![("Host", "two")]),
            ("/a/b?cmd=getbundle", vec![("X-HgArg-1", &*common), ("x-hgarg-1", "")]),
            ("/a/b?cmd=heads", vec![("X-HgArgs-Post", "seven")]),
        ] {
            let refused = get(&mirror, path, &headers).await;
            assert_eq!(refused.status, 400, "{path} {headers:?}");
            assert!(refused.text().contains("more than once") || refused.text().contains("X-HgArgs-Post"));
        }
        // In the light pool, with a header that WSGI would take for `X-HgArg-1`.
        let sly = [("X-HgArg-1", common.as_str()), ("X_HgArg-1", "heads=")];
        let before = mirror.requests("wire-light");
        let nothing = get(&mirror, "/a/b?cmd=getbundle", &sly).await;
        assert!(nothing.status == 200 && nothing.body.len() < 100, "{}: {}", nothing.status, nothing.body.len());
        wait_until("it is light", || mirror.requests("wire-light") == before + 1).await;
        for (path, status) in [("log?rev=\u{e4}", 200), ("?cmd=lookup&key=\u{e4}", 200), ("\u{e4}", 400)] {
            let answer = get(&mirror, &format!("/a/b/{path}"), &[]).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_headers_and_bodies_up_to_the_limit_are_taken() {
    let mut mirror = Mirror::start(&pythons()[0]).await;
    let tip = mirror.site.push("one", b"1").await.to_string();
    let nodes = vec!["0".repeat(40); 300].join("+");
    let arguments = format!("cmds=heads+%3Bknown+nodes%3D{nodes}");
    let parts: Vec<(String, String)> = arguments
        .as_bytes()
        .chunks(arguments.len() / 300 + 1)
        .enumerate()
        .map(|(n, part)| (format!("X-HgArg-{}", n + 1), String::from_utf8(part.to_vec()).unwrap()))
        .collect();
    assert!(parts.len() > 290);
    let headers: Vec<(&str, &str)> = parts.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let batch = get(&mirror, "/a/b?cmd=batch", &headers).await;
    assert_eq!(batch.status, 200, "{}", batch.text());
    assert!(batch.text().starts_with(&format!("{tip}\n;")), "{}", batch.text());

    let length = arguments.len().to_string();
    let post = [("X-HgArgs-Post", length.as_str())];
    let posted = request(&mirror, "POST", "/a/b?cmd=batch", &post, arguments.as_bytes()).await;
    assert_eq!((posted.status, posted.body), (200, batch.body));

    let oversized = request(&mirror, "POST", "/a/b?cmd=batch", &[], &vec![b'x'; 16 * 1024 * 1024 + 1]).await;
    assert_eq!(oversized.status, 413);
    assert!(oversized.text().contains("longer than 16777216 bytes"), "{}", oversized.text());
    let too_many: Vec<(String, &str)> = (0..1001).map(|n| (format!("X-{n}"), "x")).collect();
    let too_many: Vec<(&str, &str)> = too_many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(get(&mirror, "/a/b?cmd=heads", &too_many).await.status, 431);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_hash_is_waited_for_and_then_answered_503() {
    for python in pythons() {
        let mut mirror = Mirror::start(&python).await;
        mirror.site.push("one", b"1").await;
        let nowhere = "12".repeat(20);
        let begun = Instant::now();
        let unknown = get(&mirror, &format!("/a/b/rev/{nowhere}"), &[]).await;
        assert_eq!((unknown.status, unknown.header("retry-after")), (503, "1"));
        assert_eq!(unknown.text(), format!("changeset {nowhere} is not known here yet: try again\n"));
        assert!(begun.elapsed() >= Duration::from_secs(1));

        let (offset, push) = mirror.site.commit("two", b"2");
        let tip = push.tip.unwrap();
        let path = format!("/a/b/raw-file/{tip}/two");
        let waiting = tokio::spawn({
            let address = mirror.address;
            async move { mirror::send(address, &mirror::head("GET", &path, &[], 0), b"").await }
        });
        // It is asked for before it is there: the front's connection is open and its answer is not.
        wait_until("the request arrives", || mirror.connections() == 1).await;
        mirror.site.lane(Operation::Apply { offset, push, hidden: true }).await;
        mirror.applied.send_modify(|ticks| *ticks += 1);
        let answer = waiting.await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "2"), "hidden, but named by its full hash");
        // Discovery does not show it.
        assert!(!get(&mirror, "/a/b?cmd=heads", &[]).await.text().contains(&tip.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_that_nobody_has_is_said_to_be_unknown_as_soon_as_that_is_known() {
    for python in pythons() {
        let mut mirror = Mirror::start(&python).await;
        mirror.site.push("one", b"1").await;
        mirror.complete.send_replace(true);
        let nowhere = "12".repeat(20);
        let page = get(&mirror, &format!("/a/b/json-rev/{nowhere}"), &[]).await;
        assert_eq!((page.status, page.header("retry-after")), (404, ""), "{}", page.text());
        let (folder, url) = (mirror.site.folder.path().to_owned(), mirror.url("/a/b"));
        for arguments in [["id", "-r", &nowhere, &url], ["clone", "-r", &nowhere, &url]] {
            let said = said(&client(&python, &folder, &arguments).await);
            assert!(said.contains(&format!("unknown revision '{nowhere}'")), "{said}");
        }
        // A mirror that cannot tell takes it from a peer that can.
        let behind = Mirror::start(&python).await;
        behind.ask_at(&[mirror.address]);
        assert_eq!(get(&behind, &format!("/a/b/json-rev/{nowhere}"), &[]).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_answers_what_is_unknown_or_in_quarantine_here() {
    let python = &pythons()[0];
    let mut peer = Mirror::start(python).await;
    let tip = peer.site.push("one", b"1").await;
    let mirror = Mirror::start(python).await;
    let path = format!("/a/b/raw-file/{tip}/one");
    assert_eq!(get(&mirror, &path, &[]).await.status, 503);
    mirror.ask_at(&[mirror.address, peer.address]);
    let answer = get(&mirror, &path, &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "1"));
    let nowhere = get(&mirror, &format!("/a/b/rev/{}", "12".repeat(20)), &[]).await;
    assert_eq!(nowhere.status, 503, "no loop, though the mirror itself is among the peers");

    assert_eq!(get(&mirror, "/a/b?cmd=heads", &[]).await.text().trim(), "0".repeat(40));
    mirror.send_away(true);
    assert_eq!(get(&mirror, "/a/b?cmd=heads", &[]).await.text().trim(), tip.to_string());
    mirror.ask_at(&[]);
    assert_eq!(get(&mirror, "/a/b?cmd=heads", &[]).await.status, 503);
    // Nothing is known not to exist, and the list is not known to be whole, until this mirror has caught up.
    mirror.ready.send_replace(false);
    for path in ["/nowhere", "/nowhere?cmd=heads", "/"] {
        let unknown = get(&mirror, path, &[]).await;
        assert_eq!((unknown.status, unknown.header("retry-after")), (503, "1"), "{path}");
    }
    mirror.ask_at(&[peer.address]);
    assert!(get(&mirror, "/", &[]).await.text().contains("a/b"));
    assert_eq!(get(&mirror, "/nowhere", &[]).await.status, 503);
    mirror.ready.send_replace(true);
    assert_eq!(get(&mirror, "/nowhere", &[]).await.status, 404);
}

/// No repository can have its name, and nobody else is asked.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_ours_are_below_a_name_that_no_repository_can_have() {
    let mirror = Mirror::start(&pythons()[0]).await;
    mirror.ready.send_replace(false);
    assert_eq!(get(&mirror, "/-/alive", &[]).await.text(), "alive\n");
    assert_eq!(get(&mirror, "/-/ready", &[]).await.status, 503);
    mirror.ready.send_replace(true);
    assert_eq!(get(&mirror, "/-/ready", &[]).await.text(), "ready\n");
    for path in ["/-", "/-/", "/-/nothing", "//%2d/nothing?cmd=heads"] {
        let answer = get(&mirror, path, &[]).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().starts_with("this server has no page of its own at /-/"), "{path}: {}", answer.text());
        assert_eq!(answer.header("content-security-policy"), "default-src 'none'; frame-ancestors 'none'", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_in_the_middle_of_an_answer_harms_only_that_answer() {
    let mut mirror = Mirror::start(&pythons()[0]).await;
    let large: Vec<u8> = (0..4_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    mirror.site.push("large", &large).await;
    let mut stream = TcpStream::connect(mirror.address).await.unwrap();
    stream.write_all(&mirror::head("GET", "/a/b?cmd=getbundle", &[], 0)).await.unwrap();
    stream.read_exact(&mut [0; 1000]).await.unwrap();
    for worker in mirror.children() {
        std::process::Command::new("kill").args(["-9", &worker]).status().unwrap();
    }
    let mut rest = Vec::new();
    let cut = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    assert!(cut.is_err() || !rest.ends_with(b"0\r\n\r\n"), "half an answer looks like a whole one");
    for _ in 0..3 {
        assert_eq!(get(&mirror, "/a/b?cmd=heads", &[]).await.status, 200);
        assert_eq!(get(&mirror, "/a/b?cmd=getbundle", &[]).await.status, 200);
    }
    // All idle ones die after they were found alive: stopped, they are, until they have a request.
    let both = tokio::join!(get(&mirror, "/a/b/archive/tip.zip", &[]), get(&mirror, "/a/b/archive/tip.zip", &[]));
    assert_eq!((both.0.status, both.1.status), (200, 200));
    let workers = mirror.children();
    let signal = |name: &str| {
        for worker in &workers {
            std::process::Command::new("kill").args([name, worker]).status().unwrap();
        }
    };
    signal("-STOP");
    let (answer, ()) = tokio::join!(get(&mirror, "/a/b?cmd=getbundle", &[]), async {
        wait_until("a stopped worker has the request", || mirror.web.load(Class::Heavy).busy == 1).await;
        signal("-9");
    });
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_what_has_begun_and_an_unready_mirror_keeps_no_connection() {
    let mut mirror = Mirror::start(&pythons()[0]).await;
    mirror.site.push("one", b"1").await;
    let mut kept = TcpStream::connect(mirror.address).await.unwrap();
    let ask = b"GET /a/b?cmd=heads HTTP/1.1\r\nHost: x\r\n\r\n";
    let heads = async |stream: &mut TcpStream| {
        stream.write_all(ask).await.unwrap();
        let mut answer = [0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..length]).to_lowercase()
    };
    assert!(!heads(&mut kept).await.contains("connection: close"));
    mirror.ready.send_replace(false);
    let answer = heads(&mut kept).await;
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
    mirror.ready.send_replace(true);
    let metrics = mirror.metrics();
    for line in [
        "hg_operator_http_requests_total{class=\"wire-light\",status=\"200\"} 2",
        "hg_operator_web_workers_busy{class=\"light\"} 0",
        "hg_operator_web_workers{class=\"heavy\"} 2",
        "hg_operator_http_response_bytes_total{class=\"wire-light\"} 82",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let (shutdown, served) = (mirror.shutdown.clone(), mirror.served);
    let mut idle = TcpStream::connect(mirror.address).await.unwrap();
    heads(&mut idle).await;
    shutdown.cancel();
    tokio::time::timeout(DEADLINE, served).await.unwrap().unwrap();
    assert_eq!(idle.read(&mut [0; 10]).await.unwrap(), 0);
    assert!(TcpStream::connect(mirror.address).await.is_err());
}

/// Each takes a place for as long as it likes; whoever asks for something finds one all the same.
#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_give_way_and_those_that_are_answered_do_not() {
    let limits = Limits { connections: 4, connections_per_client: 4, ..Limits::default() };
    let mirror = Mirror::start_with(&pythons()[0], limits, WebOptions::default()).await;
    let mut busy = TcpStream::connect(mirror.address).await.unwrap();
    busy.write_all(b"POST /a/b?cmd=heads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n").await.unwrap();
    wait_until("it has a place", || mirror.connections() == 1).await;
    let mut silent = Vec::new();
    for _ in 0..6 {
        silent.push(TcpStream::connect(mirror.address).await.unwrap());
    }
    for _ in 0..3 {
        assert_eq!(get(&mirror, "/a/b?cmd=heads", &[]).await.status, 200);
    }
    let ended = tokio::time::timeout(DEADLINE, silent[0].read(&mut [0; 1])).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)), "the oldest has left: {ended:?}");
    busy.write_all(b"a=b").await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(DEADLINE, busy.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

/// On Kubernetes nobody else ends the connections to a mirror that has left its Service.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_at_its_age_and_never_within_a_request() {
    let connection_age = Duration::from_secs(1);
    let limits = Limits { connection_age, ..Limits::default() };
    let mirror = Mirror::start_with(&pythons()[0], limits, WebOptions::default()).await;
    let mut idle = TcpStream::connect(mirror.address).await.unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let begun = Instant::now();
    let mut busy = TcpStream::connect(mirror.address).await.unwrap();
    busy.write_all(b"POST /a/b?cmd=heads HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, idle.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && !answer.contains("connection: close"), "{answer}");
    wait_until("only the busy connection is left", || mirror.connections() == 1).await;
    wait_until("the busy one is old", || begun.elapsed() > 2 * connection_age).await;
    busy.write_all(b"a=b&").await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, busy.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(answer.starts_with("http/1.1 200") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_steady_use_is_told_its_last_answer_and_loses_no_request() {
    let limits = Limits { last_answer_age: Duration::from_millis(500), ..Limits::default() };
    let mirror = Mirror::start_with(&pythons()[0], limits, WebOptions::default()).await;
    let (begun, mut ended) = (Instant::now(), 0);
    while ended < 2 {
        let mut stream = TcpStream::connect(mirror.address).await.unwrap();
        let connected = Instant::now();
        loop {
            assert!(begun.elapsed() < DEADLINE, "connections do not end");
            stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
            let mut answer = [0; 4096];
            let length = stream.read(&mut answer).await.unwrap();
            let answer = String::from_utf8_lossy(&answer[..length]).to_lowercase();
            assert!(answer.starts_with("http/1.1 200"), "a request was lost: {answer}");
            if answer.contains("connection: close") {
                assert!(connected.elapsed() >= limits.last_answer_age);
                break;
            }
        }
        assert_eq!(stream.read(&mut [0; 10]).await.unwrap(), 0);
        ended += 1;
    }
}

/// The HTTP library takes fewer addresses than Mercurial's own server does.
#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_a_library_refuses_are_answered_and_its_refusals_have_a_sentence_and_are_counted() {
    let mut mirror = Mirror::start(&pythons()[0]).await;
    let tip = mirror.site.push("one", b"1").await.to_string();
    let log = get(&mirror, "/a/b/json-log?rev=branch(\"default\")", &[]).await;
    assert!(log.status == 200 && log.text().contains(&tip), "{} {}", log.status, log.text());
    for path in ["/a/b/file/tip/<x>`{|}", "/a/b/raw-file/tip/\u{e4}#", "/a/<"] {
        assert_eq!(get(&mirror, path, &[]).await.status, 404, "{path}");
    }
    let raw = mirror::send(mirror.address, b"GET /a/b/raw-file/tip/\xff HTTP/1.1\r\nConnection: close\r\n\r\n", b"");
    assert_eq!(raw.await.status, 404);
    for (sent, status, says) in [
        (&b"GET /a b HTTP/1.1\r\n\r\n"[..], 400, "not a request"),
        (b"GET /a/b HTTP/1.1\r\nno colon\r\n\r\n", 400, "not a request"),
        (b"hello\r\n\r\n", 400, "not a request"),
    ] {
        let answer = mirror::send(mirror.address, sent, b"").await;
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(sent));
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    let long = mirror::head("GET", "/a/b", &[("X-Long", &"x".repeat(300 * 1024))], 0);
    let answer = mirror::send(mirror.address, &long, b"").await;
    assert_eq!(answer.status, 431);
    assert!(answer.text().contains("262144 bytes"), "{}", answer.text());
    // The balancer's first line is not part of the request.
    let proxied = b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\nGET /a/b/raw-file/tip/one HTTP/1.0\r\n\r\n";
    assert_eq!(mirror::send(mirror.address, proxied, b"").await.text(), "1");
    let metrics = mirror.metrics();
    for line in ["{class=\"refused\",status=\"400\"} 3", "{class=\"refused\",status=\"431\"} 1"] {
        assert!(metrics.contains(&format!("hg_operator_http_requests_total{line}")), "{line} is not in {metrics}");
    }
    // Where there is no balancer, nobody says that he is somebody else.
    let alone = Mirror::without_balancer(&pythons()[0]).await;
    assert_eq!(mirror::send(alone.address, proxied, b"").await.status, 400);
}
