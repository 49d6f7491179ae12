//! How much of the log is kept for whom.

use scenarios::{Client, Installation, Options, RegistryClient, WirePusher, settings, wait_for};

use crate::{bundle, is_active, lose_disk, mirror, newest, told};
use protocol::status::MirrorState;

/// Each push puts about 48 KiB into the log, which keeps 1 MiB.
const PUSHES: usize = 50;
const PUSH_BYTES: usize = 48 * 1024;

struct Setting {
    installation: Installation,
    client: Client,
    registry: RegistryClient,
    bundle: Vec<u8>,
}

impl Setting {
    fn new() -> Setting {
        let mut options = Options::new(&newest(), &["one"]);
        options.master = "  log: {retention: {size: 1Mi}}\n".into();
        options.pool = "  maxLag: {seconds: 2}\n".into();
        let installation = Installation::start(options);
        let client = Client::new(&installation, &newest(), "developer");
        let bundle = bundle(&client, 1, PUSH_BYTES);
        let registry = RegistryClient::new(&installation);
        Setting { installation, client, registry, bundle }
    }

    /// More than the log keeps; answers the repositories that it made.
    fn fill(&self) -> Vec<String> {
        let round = self.installation.next_number();
        let paths: Vec<String> = (0..PUSHES).map(|number| format!("fill/{round}/{number}")).collect();
        self.registry.put_all(&paths, &settings(true));
        let pusher = WirePusher::new(&self.client, "filler");
        for path in &paths {
            pusher.push(path, &self.bundle).unwrap();
        }
        paths
    }

    fn starts_later_than(&self, offset: u64) {
        wait_for("the log starts later", || match self.kept() {
            (start, _) if start > offset + 1 => Ok(()),
            kept => Err(format!("{kept:?}, needed from {offset}")),
        });
    }

    /// First and last record of the master's log.
    fn kept(&self) -> (u64, u64) {
        let directory = self.installation.data().join("ssh-0/log/replication");
        let dump = self.installation.hgd(&["log", "dump", directory.to_str().unwrap()]).ok();
        let offset = |line: Option<&str>| line.unwrap().split('\t').next().unwrap().parse().unwrap();
        (offset(dump.lines().next()), offset(dump.lines().last()))
    }

    /// Up to where the master has given records up; whoever holds retention keeps them all the same.
    fn given_up(&self) -> u64 {
        let text = std::fs::read(self.installation.data().join("ssh-0/settled.json")).unwrap_or_default();
        let settled: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        settled["through"].as_u64().unwrap_or_default()
    }
}

#[test]
fn a_mirror_below_the_logs_start_begins_anew() {
    let setting = Setting::new();
    let Setting { installation, .. } = &setting;
    installation.settled();
    let before = mirror(installation, "mirror-1").applied.0;
    installation.pause("mirror-1");
    wait_for("it leaves", || match mirror(installation, "mirror-1").state {
        MirrorState::Active => Err("it is active".into()),
        _ => Ok(()),
    });
    setting.fill();
    setting.starts_later_than(before);
    installation.resume("mirror-1");
    installation.settled();
    assert_eq!(told(installation, "mirror-1", "it begins anew from its peers"), 1);
}

/// Loses its disk, and has everything afterwards, which shows when it is master.
#[test]
fn a_standby_below_the_logs_start_begins_anew() {
    let setting = Setting::new();
    let Setting { installation, client, .. } = &setting;
    let paths = setting.fill();
    installation.settled();
    setting.starts_later_than(1);
    lose_disk(installation, "ssh-1");
    // Its container need not end.
    for said in ["this standby begins anew from the master", "this process begins again in its place"] {
        wait_for(said, || match told(installation, "ssh-1", said) {
            0 => Err("it has not said so".into()),
            _ => Ok(()),
        });
    }
    let data = installation.data();
    // As soon as it is in sync again.
    wait_for("it is promoted", || {
        let said = installation.hgd(&["promote", "--data-dir", data.to_str().unwrap(), "ssh-1"]);
        if said.code == Some(0) { Ok(()) } else { Err(said.stderr) }
    });
    let tip = client.tip("bundled");
    for path in &paths {
        assert_eq!(client.remote_tip(&client.push_url(path)).unwrap(), tip, "{path}");
    }
    WirePusher::new(client, "developer").push("one", &setting.bundle).unwrap();
    installation.settled();
}

#[test]
fn the_log_is_kept_for_a_newcomer() {
    let setting = Setting::new();
    let Setting { installation, .. } = &setting;
    setting.fill();
    installation.settled();
    let snapshots = told(installation, "mirror-1", "starting from the master's snapshot");
    lose_disk(installation, "mirror-1");
    wait_for("it takes a snapshot", || match told(installation, "mirror-1", "starting from the master's snapshot") {
        now if now > snapshots => Ok(()),
        now => Err(format!("{now} snapshots")),
    });
    installation.pause("mirror-1");
    let (_, end) = setting.kept();
    setting.fill();
    setting.fill();
    let (_, filled) = setting.kept();
    wait_for("the master needs none of it any more", || match setting.given_up() {
        through if through + 10 > filled => Ok(()),
        through => Err(format!("{through} of {filled}")),
    });
    let (start, _) = setting.kept();
    assert!(start <= end + 1, "the log starts at {start}, the newcomer goes on after {end}");
    installation.resume("mirror-1");
    wait_for("it is active", || is_active(installation, "mirror-1"));
    installation.settled();
    assert_eq!(told(installation, "mirror-1", "starting from the master's snapshot"), snapshots + 1);
    assert_eq!(told(installation, "mirror-1", "it begins anew from its peers"), 0);
}
