//! What `hgd ssh` says to everybody who does not get what they asked for: the reference's texts, to the letter.

use std::process::{Command, Stdio};

use scenarios::{Client, Installation, Options, mercurials};

const GREETING: &str = "\
A SSH connection has been successfully established.

Your account (tester) has privileges to access Mercurial over
SSH.

";

struct Front {
    installation: Installation,
    client: Client,
}

impl Front {
    fn start() -> Front {
        let mercurial = mercurials().remove(0);
        let installation = Installation::start(Options { mirrors: 1, ..Options::new(&mercurial, &["hello"]) });
        let client = Client::new(&installation, &mercurial, "developer");
        Front { installation, client }
    }

    fn serves(&self) {
        let url = self.client.push_url("hello");
        assert_eq!(self.client.hg("", &["identify", "--id", &url]).ok().trim(), "000000000000");
    }
}

#[test]
fn everything_but_hg_serve_is_refused_with_its_text() {
    let front = Front::start();
    let no_command = format!(
        "{GREETING}You are a member of the following groups that govern source control access:\n\n   developers\n\n\
         You did not specify a command to run on the server. This server only\nsupports running specific commands. \
         Since there is nothing to do, you\nare being disconnected.\n"
    );
    let said = front.client.ssh(&[]);
    assert_eq!((said.code, said.stdout + &said.stderr), (Some(1), no_command));
    let not_allowed = format!("{GREETING}The command you specified is not allowed on this server.\n\nGoodbye.\n");
    let other_hg = "invalid `hg` command executed; can only run serve --stdio\n".to_owned();
    let bad_name = "Only alpha-numeric characters, \".\", \"_\", and \"-\" are allowed in repository\n\
                    names.  Additionally the first character of repository names must be alpha-numeric.\n"
        .to_owned();
    let missing = "requested repo no/such does not exist\n".to_owned();
    let touched = front.installation.path().join("touched");
    let touch = format!("touch {}", touched.display());
    for (command, expected) in [
        ("id".to_owned(), &not_allowed),
        ("sh".to_owned(), &not_allowed),
        (touch.clone(), &not_allowed),
        (format!("sh -c '{touch}'"), &not_allowed),
        ("scp -t .".to_owned(), &not_allowed),
        ("/usr/bin/hg -R hello serve --stdio".to_owned(), &not_allowed),
        ("hg init mine".to_owned(), &other_hg),
        ("hg clone hello other".to_owned(), &other_hg),
        ("hg serve --stdio".to_owned(), &other_hg),
        (format!("hg -R hello serve --stdio; {touch}"), &other_hg),
        (format!("hg -R hello serve --stdio && {touch}"), &other_hg),
        (format!("hg -R hello serve --stdio | {touch}"), &other_hg),
        (format!("hg -R hello serve --stdio\n{touch}"), &other_hg),
        (format!("hg -R hello serve --stdio --config 'alias.serve=!{touch}'"), &other_hg),
        (format!("hg --config 'alias.serve=!{touch}' -R hello serve --stdio"), &other_hg),
        ("hg -R 'hello serve --stdio".to_owned(), &other_hg),
        ("hg -R --debugger serve --stdio".to_owned(), &bad_name),
        (format!("hg -R '--config=alias.serve=!{touch}' serve --stdio"), &bad_name),
        (format!("hg -R '$({touch})' serve --stdio"), &bad_name),
        (format!("hg -R '`{touch}`' serve --stdio"), &bad_name),
        ("hg -R ../../etc serve --stdio".to_owned(), &bad_name),
        ("hg -R hello/.hg serve --stdio".to_owned(), &bad_name),
        ("hg -R 'two words' serve --stdio".to_owned(), &bad_name),
        ("hg -R no/such serve --stdio".to_owned(), &missing),
        ("hg -R /no/such/ serve --stdio".to_owned(), &missing),
    ] {
        let said = front.client.ssh(&[&command]);
        assert_eq!((said.code, &said.stderr, said.stdout.as_str()), (Some(1), expected, ""), "{command}");
    }
    assert!(!touched.exists(), "a command was run");
    front.serves();
}

#[test]
fn nobody_else_gets_in() {
    let front = Front::start();
    let stranger = front.installation.path().join("stranger");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&stranger).status();
    assert!(made.unwrap().success());
    let ready = &front.installation.ready().ssh;
    let port = ready.port.to_string();
    let own = ready.identity_file.clone();
    for (user, key) in [(ready.user.as_str(), &stranger), ("root", &own), ("somebody", &stranger)] {
        let said = Command::new("ssh")
            .args(["-F", "none", "-p", &port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-i"])
            .arg(key)
            .args([&format!("{user}@127.0.0.1"), "hg -R hello serve --stdio"])
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(said.stderr).unwrap();
        assert_eq!(
            (said.status.code(), text),
            (Some(255), format!("{user}@127.0.0.1: Permission denied (publickey).\r\n"))
        );
    }
    front.serves();
}

/// What a person sees of it who uses Mercurial.
#[test]
fn clients_are_told_about_unknown_and_bad_names() {
    let front = Front::start();
    let said = front.client.hg("", &["identify", &front.client.push_url("no/such")]).fails();
    assert!(said.contains("remote: requested repo no/such does not exist\n"), "{said}");
    let said = front.client.hg("", &["identify", &front.client.push_url("-bad")]).fails();
    assert!(said.contains("remote: Only alpha-numeric characters, "), "{said}");
    front.client.init("local");
    let said = front.client.hg("local", &["push", &front.client.push_url("no/such")]).fails();
    assert!(said.contains("remote: requested repo no/such does not exist\n"), "{said}");
    front.serves();
}
