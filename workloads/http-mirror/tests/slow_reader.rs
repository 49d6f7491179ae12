//! Alone in its program, because it measures the memory of the whole process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "mirror/mod.rs"]
mod mirror;
#[path = "../../mercurial/tests/site/mod.rs"]
mod site;

use mercurial::Class;
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
    wait_until("both heavy workers are busy", || mirror.web.load(Class::Heavy).busy == 2).await;
    for _ in 0..20 {
        assert_eq!(get(&mirror, "/a/b?cmd=heads", &[]).await.status, 200);
    }
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 24 * 1024 * 1024, "{grown} bytes more for two bundles of {} bytes", large.len());
    drop(slow);
    wait_until("the workers of readers that left are free", || mirror.web.load(Class::Heavy).busy == 0).await;
    let whole = get(&mirror, "/a/b?cmd=getbundle", &[]).await;
    assert_eq!(whole.status, 200);
}

fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
