//! Endpoints, and which of them a client meets.

use std::collections::BTreeSet;
use std::time::Duration;

use balancer::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::setting::{DEADLINE, Named, Setting};

#[tokio::test]
async fn each_client_stays_with_one_endpoint() {
    let setting = Setting::new(Settings::default()).await;
    let endpoints = [Named::start("a").await, Named::start("b").await, Named::start("c").await];
    setting.want(&[&endpoints[0], &endpoints[1], &endpoints[2]]);
    setting.until_told("c", Some((true, 0))).await;
    let mut met = BTreeSet::new();
    for client in 1..30 {
        let (first, _open) = setting.ask(client).await;
        assert_eq!(setting.ask(client).await.0, first);
        met.insert(first);
    }
    assert_eq!(met.len(), 3);
}

#[tokio::test]
async fn one_that_refuses_is_passed_over_said_so_and_taken_back() {
    let setting = Setting::new(Settings::default()).await;
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    setting.want(&[&a, &b]);
    setting.until_told("b", Some((true, 0))).await;
    let client = client_of(&setting, "a").await;
    a.stop().await;
    assert_eq!(setting.ask(client).await.0, "b");
    setting.until_told("a", Some((false, 0))).await;
    let _a = Named::at("a", a.address).await;
    setting.until_told("a", Some((true, 0))).await;
    until_met(&setting, client, "a").await;
}

/// Frozen: the kernel accepts connections all the same.
#[tokio::test]
async fn one_that_freezes_loses_its_connections_and_is_taken_back_when_it_answers() {
    let quick = Duration::from_millis(200);
    let settings =
        Settings { look_every: quick, silence: quick * 5, connect_deadline: quick * 5, ..Settings::default() };
    let setting = Setting::new(settings).await;
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    setting.want(&[&a, &b]);
    setting.until_told("b", Some((true, 0))).await;
    let client = client_of(&setting, "a").await;
    let (_, mut open) = setting.ask(client).await;
    let address = a.address;
    a.stop().await;
    // Listens, and nobody is there.
    let frozen = tokio::net::TcpListener::bind(address).await.unwrap();
    setting.until_told("a", Some((false, 0))).await;
    assert!(timeout(DEADLINE, open.read_u8()).await.unwrap().is_err());
    assert_eq!(setting.ask(client).await.0, "b");
    drop(frozen);
    let _a = Named::at("a", address).await;
    setting.until_told("a", Some((true, 0))).await;
    until_met(&setting, client, "a").await;
}

/// All its places are used, and whoever has one is served.
#[tokio::test]
async fn one_that_is_full_keeps_its_connections() {
    let quick = Duration::from_millis(200);
    let settings =
        Settings { look_every: quick, silence: quick * 3, connect_deadline: quick * 5, ..Settings::default() };
    let setting = Setting::new(settings).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let full = Named::listening("a", listener.local_addr().unwrap());
    setting.want(&[&full]);
    let mut client = tokio::net::TcpStream::connect(setting.balancer).await.unwrap();
    client.write_all(b"c").await.unwrap();
    let mut served = loop {
        let (mut served, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        // The balancer's own question, or the client.
        match timeout(DEADLINE, served.read_u8()).await.unwrap() {
            Ok(b'c') => break served,
            _ => served.write_all(b"a").await.unwrap(),
        }
    };
    let mut pace = tokio::time::interval(quick / 2);
    for _ in 0..30 {
        pace.tick().await;
        served.write_all(b".").await.unwrap();
        let said = timeout(DEADLINE, client.read_u8()).await.unwrap();
        assert_eq!(said.unwrap(), b'.');
    }
}

#[tokio::test]
async fn one_that_the_master_removes_keeps_its_connections_for_a_while() {
    let settings = Settings { max_age: Duration::from_secs(2), ..Settings::default() };
    let setting = Setting::new(settings).await;
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    setting.want(&[&a, &b]);
    setting.until_told("b", Some((true, 0))).await;
    let client = client_of(&setting, "a").await;
    let (_, mut open) = setting.ask(client).await;
    setting.want(&[&b]);
    setting.until_told("a", Some((false, 1))).await;
    assert_eq!(setting.ask(client).await.0, "b");
    let early = timeout(Duration::from_secs(1), open.read_u8()).await;
    assert!(early.is_err(), "closed before its time: {early:?}");
    assert!(timeout(DEADLINE, open.read_u8()).await.unwrap().is_err());
    setting.until_told("a", None).await;
}

#[tokio::test]
async fn without_a_master_the_last_endpoints_serve_on() {
    let setting = Setting::new(Settings::default()).await;
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    setting.want(&[&a, &b]);
    setting.until_told("b", Some((true, 0))).await;
    let client = client_of(&setting, "a").await;
    setting.stop_master().await;
    assert_eq!(setting.ask(client).await.0, "a");
    a.stop().await;
    assert_eq!(setting.ask(client).await.0, "b");
    let _a = Named::at("a", a.address).await;
    until_met(&setting, client, "a").await;
}

#[tokio::test]
async fn a_client_waits_for_the_first_endpoint() {
    let setting = Setting::new(Settings::default()).await;
    let a = Named::start("a").await;
    let (met, ()) = tokio::join!(setting.ask(1), async {
        setting.until_told("a", None).await;
        setting.want(&[&a]);
    });
    assert_eq!(met.0, "a");
}

#[tokio::test]
async fn every_connection_is_to_an_endpoint_that_was_reported_before() {
    let setting = Setting::new(Settings::default()).await;
    let (a, b) = (Named::start("a").await, Named::start("b").await);
    for round in 0..20 {
        setting.want(&[if round % 2 == 0 { &a } else { &b }]);
        let (wanted, other) = if round % 2 == 0 { ("a", "b") } else { ("b", "a") };
        until_met(&setting, 1, wanted).await;
        assert_eq!(setting.told(wanted).map(|told| told.0), Some(true));
        setting.until_told(other, None).await;
    }
}

/// The address of a client that this endpoint serves.
async fn client_of(setting: &Setting, name: &str) -> u8 {
    for client in 1..=254 {
        if setting.ask(client).await.0 == name {
            return client;
        }
    }
    panic!("no client comes to {name}");
}

async fn until_met(setting: &Setting, client: u8, name: &str) {
    crate::setting::until(&format!("{name} to serve"), async || setting.ask(client).await.0 == name).await;
}
