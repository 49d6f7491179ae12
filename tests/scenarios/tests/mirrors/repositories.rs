//! Many repositories, and a mirror that begins with none of them.

use std::time::Duration;

use scenarios::{Client, Developers, Installation, Options, RegistryClient, WirePusher, settings, wait_longer_for};

use crate::{bundle, is_active, lose_disk, newest};

const REPOSITORIES: usize = 1_000;
const CHANGESETS: usize = 3;
const PUSHERS: usize = 2;

/// Two cores make a thousand repositories on four instances.
const LARGE: Duration = Duration::from_secs(900);

#[test]
fn an_empty_mirror_takes_a_thousand_repositories_while_pushes_go_on() {
    let installation = Installation::start(Options::new(&newest(), &["one", "draft/two"]));
    let registry = RegistryClient::new(&installation);
    let client = Client::new(&installation, &newest(), "developer");
    let bundle = bundle(&client, CHANGESETS, 200);
    let paths: Vec<String> = (0..REPOSITORIES).map(|number| format!("many/{}/{number}", number % 10)).collect();
    registry.put_all(&paths, &settings(true));
    std::thread::scope(|scope| {
        for (number, some) in paths.chunks(REPOSITORIES / PUSHERS).enumerate() {
            let (client, bundle) = (&client, &bundle);
            scope.spawn(move || {
                let pusher = WirePusher::new(client, &format!("pusher-{number}"));
                some.iter().for_each(|path| pusher.push(path, bundle).unwrap());
            });
        }
    });
    installation.settled_within(LARGE);

    let developers = Developers::start(&installation, &newest(), &["one", "draft/two"]);
    developers.go_on(2);
    lose_disk(&installation, "mirror-1");
    developers.go_on(4);
    wait_longer_for(LARGE, "it is active", || is_active(&installation, "mirror-1"));
    developers.go_on(2);
    let pushed = developers.stop();
    let status = installation.settled_within(LARGE);
    assert_eq!(status.repositories.len(), REPOSITORIES + 2);
    let complete = status.repositories.iter().filter(|one| one.changesets == CHANGESETS as u64).count();
    assert!(complete >= REPOSITORIES, "{complete} have what was pushed");
    installation.holds(&newest(), &pushed);
}
