//! Logins: who gets in.

use protocol::proxy_line::{self, Ends};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::bench::{Bench, output, text};

const SERVE: &str = "hg -R echo serve --stdio";

#[tokio::test(flavor = "multi_thread")]
async fn the_right_key_lets_in_and_says_who_it_is() {
    let bench = Bench::start().await;
    let said = bench.ask(SERVE).await;
    assert_eq!((said.status.code(), text(&said.stderr).as_str()), (Some(0), ""));
    let said = output(bench.ssh("bob").arg(SERVE)).await;
    assert_eq!(said.status.code(), Some(0));
    let requests = bench.served.requests.lock().unwrap();
    let seen: Vec<_> =
        requests.iter().map(|r| (r.user.as_str(), r.groups.iter().map(String::as_str).collect())).collect();
    assert_eq!(seen, [("ann@example.com", vec!["developers"]), ("bob", vec!["admins", "developers"])]);
    assert!(requests.iter().all(|request| request.client.ip().is_loopback()));
}

/// Balances one connection, and answers its port.
async fn balance(to: u16, ends: Ends) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
        server.write_all(proxy_line::line(ends).as_bytes()).await.unwrap();
        let _ends = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_is_believed_where_the_configuration_says_that_there_is_one() {
    let ends = Ends { client: "192.0.2.1:5".parse().unwrap(), server: "192.0.2.9:22".parse().unwrap() };
    for (mut bench, believed) in [(Bench::behind_balancer().await, true), (Bench::start().await, false)] {
        let port = bench.port;
        bench.port = balance(port, ends).await;
        let alias = format!("HostKeyAlias=[127.0.0.1]:{port}");
        let said = output(bench.ssh("bob").args(["-o", &alias, SERVE])).await;
        bench.port = port;
        assert_eq!(said.status.success(), believed, "{}", text(&said.stderr));
        assert!(bench.ask(SERVE).await.status.success(), "whoever comes directly says no such line");
        let requests = bench.served.requests.lock().unwrap();
        let told: Vec<_> = requests.iter().map(|r| Ends { client: r.client, server: r.server }).collect();
        let direct = told.last().unwrap();
        assert!(direct.client.ip().is_loopback() && direct.server.port() == bench.port, "{told:?}");
        assert_eq!(told[..told.len() - 1], [ends][..usize::from(believed)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_key_and_name_is_refused() {
    let bench = Bench::start().await;
    for (user, key) in [
        ("ann@example.com", "stranger"),
        ("ann@example.com", "bob"),
        ("bob", "ann@example.com"),
        ("nobody", "bob"),
        ("root", "bob"),
        ("bob", "none"),
        ("*", "bob"),
    ] {
        let said = output(bench.ssh_with(user, key).arg(SERVE)).await;
        assert_eq!(said.status.code(), Some(255), "{user} with the key of {key}");
        assert!(text(&said.stderr).contains("Permission denied (publickey)"), "{}", text(&said.stderr));
    }
    assert!(bench.served.requests.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_log_in_at_once() {
    let bench = Bench::start().await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut ssh = bench.ssh("bob");
        clients.spawn(async move { output(ssh.arg(SERVE)).await });
    }
    while let Some(said) = clients.join_next().await {
        let said = said.unwrap();
        assert!(said.status.success(), "{}", text(&said.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_of_keys_counts_from_then_on() {
    let bench = Bench::start().await;
    let file = bench.base.path().join("authorized_keys");
    let all = std::fs::read_to_string(&file).unwrap();
    let bob: String = all.lines().filter(|line| line.ends_with(" bob")).map(|line| format!("{line}\n")).collect();
    let open = bench.base.path().join("open");
    let mut before = bench.ssh("ann@example.com").args(["-N", "-M", "-S"]).arg(&open).spawn().unwrap();
    bench.until("the login", |_| open.exists()).await;
    std::fs::write(&file, bob).unwrap();
    let ended = tokio::time::timeout(crate::bench::DEADLINE, before.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(255), "a connection from before is ended");
    // Each try takes a login's time, so that this does not spin.
    let refused = async { while bench.ask(SERVE).await.status.success() {} };
    tokio::time::timeout(crate::bench::DEADLINE, refused).await.unwrap();
    assert!(output(bench.ssh("bob").arg(SERVE)).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn ciphers_and_host_keys_that_clients_may_insist_on() {
    let bench = Bench::start().await;
    for option in [
        "Ciphers=aes256-gcm@openssh.com",
        "Ciphers=aes128-gcm@openssh.com",
        "Ciphers=chacha20-poly1305@openssh.com",
        "Ciphers=aes256-ctr",
        "HostKeyAlgorithms=ssh-ed25519",
        "HostKeyAlgorithms=ecdsa-sha2-nistp256",
        "Compression=yes",
    ] {
        let said = output(bench.ssh("bob").args(["-o", option]).arg("hg -R both serve --stdio")).await;
        assert!(said.status.success(), "{option}: {}", text(&said.stderr));
        assert_eq!((said.stdout.len(), said.stderr.len()), (3_000_000, 2_000_000), "{option}");
    }
    let with_rsa = Bench::with_rsa_host_key().await;
    for (algorithm, of_made, of_own) in [("rsa-sha2-512", 255, 0), ("rsa-sha2-256", 255, 0), ("ssh-rsa", 255, 255)] {
        for (bench, code) in [(&bench, of_made), (&with_rsa, of_own)] {
            let option = format!("HostKeyAlgorithms={algorithm}");
            let said = output(bench.ssh("bob").args(["-o", &option, SERVE])).await;
            assert_eq!(said.status.code(), Some(code), "{option}: {}", text(&said.stderr));
        }
    }
}
