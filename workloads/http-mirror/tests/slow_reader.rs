//! Alone in its program, because it measures the memory of the whole process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "mirror/mod.rs"]
mod mirror;
#[path = "../../mercurial/tests/site/mod.rs"]
mod site;

use http_mirror::Limits;
use mercurial::{Class, RoomBounds, WebOptions};
use mirror::{Mirror, get, wait_until};
use site::pythons;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_costs_no_memory_and_delays_nobody() {
    let mut mirror = Mirror::start(&pythons()[0]).await;
    let large: Vec<u8> = (0..16_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    mirror.site.push("large", &large).await;
    get(&mirror, "/a/b?cmd=heads", &[]).await;
    let before = resident_bytes();
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(mirror.address).await.unwrap();
        stream.write_all(&mirror::head("GET", "/a/b?cmd=getbundle", &[], 0)).await.unwrap();
        let mut begin = [0; 1000];
        stream.read_exact(&mut begin).await.unwrap();
        slow.push(stream);
    }
    wait_until("both have made their answers", || mirror.web.load(Class::Heavy).busy == 0).await;
    for _ in 0..20 {
        assert_eq!(get(&mirror, "/a/b?cmd=heads", &[]).await.status, 200);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 24 * 1024 * 1024, "{grown} bytes more for two bundles of {} bytes", large.len());
    let whole = get(&mirror, "/a/b?cmd=getbundle", &[]).await;
    assert_eq!(whole.status, 200);
    // What was kept for the slow ones is whole too.
    for mut stream in slow {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() > whole.body.len() && rest.ends_with(b"\r\n0\r\n\r\n"), "{} bytes", rest.len());
    }
}

/// Where there is no room, a slow reader holds its worker; not while others wait for one.
#[tokio::test(flavor = "multi_thread")]
async fn without_room_a_slow_reader_is_given_up_when_others_wait() {
    let room = RoomBounds { client_bytes: 1 << 20, all_bytes: 1 << 20 };
    let options = WebOptions { light: 1, heavy: 1, room, ..WebOptions::default() };
    let mut mirror = Mirror::start_with(&pythons()[0], Limits::default(), options).await;
    let large: Vec<u8> = (0..16_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    mirror.site.push("large", &large).await;
    let mut slow = TcpStream::connect(mirror.address).await.unwrap();
    slow.write_all(&mirror::head("GET", "/a/b?cmd=getbundle", &[], 0)).await.unwrap();
    slow.read_exact(&mut [0; 1000]).await.unwrap();
    assert_eq!(mirror.web.load(Class::Heavy).busy, 1);
    assert_eq!(get(&mirror, "/a/b/archive/tip.zip", &[]).await.status, 200);
    let mut rest = Vec::new();
    let cut = slow.read_to_end(&mut rest).await;
    assert!(cut.is_err() || !rest.ends_with(b"\r\n0\r\n\r\n"), "half an answer looks like a whole one");
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
