use super::*;

const SHARES: Shares =
    Shares { arriving: 6, arriving_per_source: 4, waiting: 8, logged_in: 6, logged_in_per_account: 3 };

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn address(last: u8) -> Source {
    Source::V4(Ipv4Addr::new(192, 0, 2, last))
}

fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

/// So many from this address at once; the lot never falls on anybody.
fn come(crowd: &mut Crowd, now: u64, last: u8, many: usize) -> (Vec<Place>, Vec<Order>) {
    let mut orders = Vec::new();
    let places = (0..many).map(|_| {
        let (place, more) = crowd.arrive(ms(now), address(last), 1.0);
        orders.extend(more);
        place
    });
    (places.collect(), orders)
}

fn logged_in(crowd: &mut Crowd, now: u64, name: &str, running: u32) -> (Place, Vec<Order>) {
    let (place, _) = crowd.arrive(ms(now), address(200), 1.0);
    let orders = crowd.log_in(ms(now), place, &user(name));
    crowd.runs(ms(now), place, running);
    (place, orders)
}

#[test]
fn a_client_is_an_address_or_a_site() {
    let source = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
    for (one, other, same) in [
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("::ffff:192.0.2.1", "192.0.2.1", true),
        ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", true),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
    ] {
        assert_eq!(source(one) == source(other), same, "{one} {other}");
    }
}

#[test]
fn an_address_takes_its_share_and_no_more() {
    let mut crowd = Crowd::new(SHARES);
    let (flood, orders) = come(&mut crowd, 0, 1, 8);
    assert_eq!(orders, flood[..4].iter().map(|place| Order::Serve(*place)).collect::<Vec<_>>());
    assert!(crowd.is_waited_in());
    let (honest, orders) = come(&mut crowd, 1, 2, 1);
    assert_eq!(orders, [Order::Serve(honest[0])]);
}

#[test]
fn the_silent_oldest_gives_way_to_who_waits() {
    let mut crowd = Crowd::new(SHARES);
    let (flood, _) = come(&mut crowd, 0, 1, 4);
    crowd.shown(flood[0], Stage::Speaking);
    crowd.shown(flood[1], Stage::Known);
    let (late, orders) = come(&mut crowd, 400, 1, 1);
    assert_eq!(orders, []);
    assert_eq!(crowd.settle(ms(499)), []);
    assert_eq!(crowd.settle(ms(500)), [Order::End(flood[2]), Order::Serve(late[0])]);
    assert_eq!(crowd.settle(ms(60_000)), [], "nobody waits");
    // Who was served last is silent, and not for long: the one that was there before is.
    let (next, orders) = come(&mut crowd, 800, 1, 1);
    assert_eq!(orders, [Order::End(flood[3]), Order::Serve(next[0])]);
    let (last, _) = come(&mut crowd, 801, 1, 1);
    crowd.shown(late[0], Stage::Speaking);
    crowd.shown(next[0], Stage::Speaking);
    assert_eq!(crowd.settle(ms(2999)), []);
    assert_eq!(crowd.settle(ms(3000)), [Order::End(flood[0]), Order::Serve(last[0])]);
    crowd.shown(flood[1], Stage::Silent);
    come(&mut crowd, 3001, 1, 3);
    let ends = crowd.settle(ms(10_000)).into_iter().filter(|order| matches!(order, Order::End(_))).collect::<Vec<_>>();
    assert_eq!(ends, [Order::End(last[0]), Order::End(late[0]), Order::End(next[0])], "the known one stays");
}

#[test]
fn when_all_places_are_taken_the_heaviest_address_gives_way() {
    let mut crowd = Crowd::new(SHARES);
    let (one, _) = come(&mut crowd, 0, 1, 2);
    let (heavy, _) = come(&mut crowd, 100, 2, 4);
    let (honest, orders) = come(&mut crowd, 200, 3, 1);
    assert_eq!(orders, []);
    assert_eq!(crowd.settle(ms(600)), [Order::End(heavy[0]), Order::Serve(honest[0])]);
    let (next, orders) = come(&mut crowd, 601, 4, 1);
    assert_eq!(orders, [Order::End(heavy[1]), Order::Serve(next[0])]);
    // A place that is given back goes to whose address has fewest, not to who came first.
    for place in [&one[..], &heavy[2..], &honest[..], &next[..]].concat() {
        crowd.shown(place, Stage::Known);
    }
    let (first, _) = come(&mut crowd, 602, 1, 1);
    let (second, orders) = come(&mut crowd, 603, 5, 1);
    assert_eq!(orders, []);
    assert_eq!(crowd.leave(ms(604), honest[0]), [Order::Serve(second[0])]);
    assert_eq!(crowd.leave(ms(605), one[0]), [Order::Serve(first[0])]);
}

#[test]
fn a_burst_of_clients_that_speak_waits_and_loses_nobody() {
    let mut crowd = Crowd::new(SHARES);
    let (burst, _) = come(&mut crowd, 0, 1, 8);
    for (at, place) in burst.iter().enumerate() {
        crowd.shown(*place, Stage::Speaking);
        let orders = crowd.log_in(ms(at as u64), *place, &user(&format!("u{at}")));
        assert!(!orders.iter().any(|order| matches!(order, Order::End(place) if burst[at..].contains(place))));
    }
    assert!(!crowd.is_waited_in());
}

#[test]
fn the_waiting_room_is_bounded_and_the_lot_falls_before_it_is_full() {
    let mut crowd = Crowd::new(SHARES);
    let (flood, _) = come(&mut crowd, 0, 1, 4 + 4);
    let (other, _) = come(&mut crowd, 0, 2, 3);
    // Five wait: one of the address that has most of them leaves with a chance of a quarter.
    let arrive = |crowd: &mut Crowd, lot| crowd.arrive(ms(1), address(9), lot).1;
    assert_eq!(arrive(&mut crowd, 0.3), []);
    assert_eq!(arrive(&mut crowd, 0.3), [Order::End(flood[4])]);
    for _ in 0..50 {
        crowd.arrive(ms(1), address(1), 0.999);
    }
    assert_eq!(crowd.crowded(), 1.0);
    assert!(crowd.guests.contains_key(&other[2]), "the flood's own address has lost");
}

#[test]
fn the_idlest_of_an_account_gives_way_to_its_next_login() {
    let mut crowd = Crowd::new(SHARES);
    let (busy, _) = logged_in(&mut crowd, 0, "bob", 1);
    let (idle, _) = logged_in(&mut crowd, 10, "bob", 0);
    let (newer, _) = logged_in(&mut crowd, 20, "bob", 0);
    let (next, orders) = logged_in(&mut crowd, 30, "bob", 0);
    assert!(orders.contains(&Order::End(idle)), "{orders:?}");
    crowd.runs(ms(40), newer, 2);
    crowd.runs(ms(50), next, 1);
    // Nobody is idle: the newest cannot stay.
    let (last, orders) = logged_in(&mut crowd, 60, "bob", 0);
    assert_eq!(orders, [Order::End(last)]);
    assert_eq!(logged_in(&mut crowd, 70, "ann", 0).1, []);
    crowd.runs(ms(80), busy, 0);
    assert_eq!(logged_in(&mut crowd, 90, "bob", 0).1, [Order::End(busy)]);
}

#[test]
fn with_all_places_taken_the_heaviest_account_gives_way_first() {
    let mut crowd = Crowd::new(SHARES);
    let (older, _) = logged_in(&mut crowd, 0, "ann", 0);
    let (heavy, _) = logged_in(&mut crowd, 1, "bob", 0);
    for (now, name, running) in [(2, "bob", 1), (3, "bob", 1), (4, "cid", 1), (5, "cid", 1)] {
        assert_eq!(logged_in(&mut crowd, now, name, running).1, []);
    }
    assert_eq!(logged_in(&mut crowd, 6, "dan", 1).1, [Order::End(heavy)]);
    assert_eq!(logged_in(&mut crowd, 7, "eve", 1).1, [Order::End(older)], "no heavy one is idle");
    let (last, orders) = logged_in(&mut crowd, 8, "fay", 0);
    assert_eq!(orders, [Order::End(last)]);
}

#[test]
fn who_was_ended_is_known_no_more() {
    let mut crowd = Crowd::new(SHARES);
    let (place, _) = crowd.arrive(ms(0), address(1), 1.0);
    crowd.leave(ms(1), place);
    crowd.shown(place, Stage::Known);
    assert_eq!(crowd.log_in(ms(2), place, &user("bob")), []);
    crowd.runs(ms(3), place, 1);
    assert!(crowd.guests.is_empty());
}
