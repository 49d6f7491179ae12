//! Pushes that must not happen leave nothing behind: no record, no difference between the instances.

use scenarios::{Client, Installation, Mercurial, Options, mercurials};

/// A hook each that refuses while a file of its name is there.
fn with_hooks(server: &Mercurial, switches: &std::path::Path) -> Options {
    let mut options = Options::new(server, &["hello"]);
    options.hgrc = "[hooks]\n".into();
    for hook in ["pretxnchangegroup", "pretxnclose"] {
        let switch = switches.join(hook);
        options.hgrc += &format!("{hook}.site = if test -e {}; then echo not today; exit 1; fi\n", switch.display());
    }
    options.hgrc += "pretxnclose.from = echo from $HG_URL $SSH_CLIENT $SSH_CONNECTION\n";
    options
}

/// Sees that a hook is told what sshd tells it; the balancer is between.
fn is_told_from_where(installation: &Installation, said: &str) {
    let told = said.lines().find_map(|line| line.strip_prefix("remote: from ")).unwrap_or_else(|| panic!("{said}"));
    let (from, to) = ("127.0.0.5", installation.ready().ssh.port);
    let port = told.split(' ').nth(2).unwrap();
    assert_eq!(told, format!("remote:ssh:{from} {from} {port} {to} {from} {port} 127.0.0.1 {to}"));
}

fn repository(name: &str, fields: &str) -> String {
    format!(
        "---\napiVersion: hg-operator.dev/v1alpha1\nkind: HgRepository\nmetadata: {{name: {name}}}\n\
         spec: {{path: {name}, masterRef: {{name: hg}}, {fields}}}\n"
    )
}

#[test]
fn a_hook_of_the_site_refuses() {
    for server in mercurials() {
        let switches = tempfile::tempdir().unwrap();
        let installation = Installation::start(with_hooks(&server, switches.path()));
        for mercurial in mercurials() {
            let client = Client::new(&installation, &mercurial, &mercurial.version);
            let url = client.push_url("hello");
            client.hg("", &["clone", "-q", &url, "local"]).ok();
            client.commit("local", &mercurial.version, "a change");
            let before = installation.records();
            for hook in ["pretxnchangegroup", "pretxnclose"] {
                std::fs::write(switches.path().join(hook), "").unwrap();
                let said = client.hg("local", &["push", &url]).fails();
                assert!(said.contains("remote: not today\n"), "{said}");
                assert!(said.contains(&format!("{hook}.site hook exited with status 1")), "{said}");
                assert_eq!(installation.records(), before, "after {hook}");
                installation.settled();
                std::fs::remove_file(switches.path().join(hook)).unwrap();
            }
            let ssh = format!("ui.ssh={} -b 127.0.0.5", client.ssh_command());
            let said = client.hg("local", &["--config", &ssh, "push", &url]).ok();
            is_told_from_where(&installation, &said);
            assert_eq!(installation.records(), before + 1);
            client.is_on_every_mirror(&installation, "hello", "local");
        }
    }
}

#[test]
fn who_may_not_push_is_told_why() {
    for server in mercurials() {
        let mut options = Options::new(&server, &["hello"]);
        options.resources = repository("others", "writeGroups: [strangers]")
            + &repository("frozen", "writeGroups: [developers], readOnly: {reason: moved to elsewhere}")
            + &repository("secret", "writeGroups: [strangers], readGroups: [strangers]");
        let installation = Installation::start(options);
        let before = installation.records();
        for mercurial in mercurials() {
            let client = Client::new(&installation, &mercurial, &mercurial.version);
            client.init("local");
            let push = |path: &str, more: &[&str]| {
                let url = client.push_url(path);
                client.hg("local", &[&["push", &url], more].concat()).fails()
            };
            for more in [&[][..], &["--config", "devel.legacy.exchange=bundle1"]] {
                let said = push("others", more);
                assert!(said.contains("tester has no write access to others"), "{said}");
                let said = push("frozen", more);
                assert!(said.contains("remote: repository is read only\nremote: moved to elsewhere\n"), "{said}");
                assert!(said.contains("refusing to add changesets"), "{said}");
            }
            let said = push("secret", &[]);
            assert!(said.contains("remote: requested repo secret does not exist\n"), "{said}");
            let said = client.hg("local", &["push", &format!("{}/hello", client.http)]);
            assert_eq!(said.code, Some(255), "{said:?}");
            assert_eq!(said.stderr, "abort: authorization failed\n");
            // Reading is another matter.
            assert_eq!(client.hg("", &["identify", "--id", &client.push_url("others")]).ok().trim(), "000000000000");
        }
        assert_eq!(installation.records(), before);
        installation.settled();
    }
}
