//! SSH front: `hgd ssh` answers everybody who does not get what they asked for in the reference's texts, to the
//! letter.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};

use scenarios::{Client, Installation, Options, Outcome, RegistryClient, mercurials, settings, wait_for};

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
        Front::with(String::new())
    }

    fn with(hgrc: String) -> Front {
        let mercurial = mercurials().remove(0);
        let installation = Installation::start(Options { mirrors: 1, hgrc, ..Options::new(&mercurial, &["hello"]) });
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

/// Begins a session whose hg has answered once, and which ends with its input.
fn session(client: &Client) -> (Child, ChildStdin) {
    let mut waiting = client.ssh_with(&[]);
    waiting.arg("hg -R hello serve --stdio").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut waiting = waiting.spawn().unwrap();
    let mut input = waiting.stdin.take().unwrap();
    input.write_all(b"hello\n").unwrap();
    let mut output = BufReader::new(waiting.stdout.take().unwrap());
    assert_ne!(output.read_line(&mut String::new()).unwrap(), 0, "its hg has answered");
    (waiting, input)
}

/// Begins a push of `late` that waits in a hook for as long as `hold` is there; answers it and its hg on the server.
fn push_that_waits(client: &Client, hold: &Path, child: &Path) -> (Child, u32) {
    assert!(Command::new("mkfifo").arg(hold).status().unwrap().success());
    let push = client.start("late", &["push", &client.push_url("hello")]);
    let pid = wait_for("the hook", || {
        let text = fs::read_to_string(child).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|error| format!("{text:?}: {error}"))
    });
    fs::remove_file(child).unwrap();
    (push, pid)
}

/// Lets the hook go on; answers what the person reads.
fn pushed(push: Child, hold: &Path) -> Outcome {
    fs::write(hold, "").unwrap();
    fs::remove_file(hold).unwrap();
    let Output { status, stdout, stderr } = push.wait_with_output().unwrap();
    let [stdout, stderr] = [stdout, stderr].map(|text| String::from_utf8(text).unwrap());
    Outcome { code: status.code(), stdout, stderr }
}

/// Changes settings while a push is between its lock and its record: what takes no right away is no matter to it.
fn settings_change_while_a_push_waits(front: &Front, hold: &Path, child: &Path) {
    let Front { installation, client } = front;
    let registry = RegistryClient::new(installation);
    client.commit("late", "file", "one more");
    let (push, _pid) = push_that_waits(client, hold, child);
    let mut others = settings(true);
    others.write_groups = vec!["others".into()];
    registry.put("hello", &others);
    let said = pushed(push, hold).fails();
    assert!(said.contains("remote: tester has no write access to hello\n"), "{said}");
    registry.put("hello", &settings(true));
    let (push, _pid) = push_that_waits(client, hold, child);
    registry.put("hello", &protocol::RepositorySettings { description: "another".into(), ..settings(true) });
    pushed(push, hold).ok();
    client.is_on_every_mirror(installation, "hello", "late");
}

/// A push waits in a hook, a session waits for its client, and then their key is taken out.
fn whose_key_is_taken_out_is_ended(front: &Front, hold: &Path, child: &Path) {
    let Front { installation, client } = front;
    client.init("late");
    let before = installation.records();
    let (mut waiting, _input) = session(client);
    let (push, pid) = push_that_waits(client, hold, child);
    let keys = installation.data().join("secrets/users/authorized_keys");
    let all = fs::read_to_string(&keys).unwrap();
    fs::write(&keys, "").unwrap();
    let pushed = push.wait_with_output().unwrap();
    let said = String::from_utf8(pushed.stdout).unwrap() + &String::from_utf8(pushed.stderr).unwrap();
    let why = "tester may not read this repository any more: the session is ended\n";
    assert!(pushed.status.code() == Some(255) && said.contains(&format!("remote: {why}")), "{said}");
    assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the push's hg goes on");
    let mut said = String::new();
    waiting.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!((waiting.wait().unwrap().code(), said.as_str()), (Some(255), why));
    fs::remove_file(hold).unwrap();
    fs::write(&keys, all).unwrap();
    wait_for("the key to be taken up", || match client.ssh(&["hg -R hello serve --stdio"]) {
        said if said.code == Some(0) => Ok(()),
        said => Err(said.stderr),
    });
    front.serves();
    assert_eq!(installation.records(), before, "the push left something");
    client.hg("late", &["push", &client.push_url("hello")]).ok();
}

/// A session waits for its client, and then its repository is for others only.
fn whose_repository_becomes_private_is_ended(front: &Front) {
    let Front { installation, client } = front;
    let (waiting, _input) = session(client);
    let mut private = settings(true);
    (private.read_groups, private.write_groups) = (vec!["others".into()], vec!["others".into()]);
    RegistryClient::new(installation).put("hello", &private);
    let said = waiting.wait_with_output().unwrap();
    let why = "tester may not read this repository any more: the session is ended\n";
    assert_eq!((said.status.code(), String::from_utf8(said.stderr).unwrap().as_str()), (Some(255), why));
    let said = client.ssh(&["hg -R hello serve --stdio"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), "requested repo hello does not exist\n"));
}

#[test]
fn nobody_else_gets_in() {
    let switches = tempfile::tempdir().unwrap();
    let [hold, child] = ["hold", "child"].map(|name| switches.path().join(name));
    let (held, told) = (hold.display(), child.display());
    let hook = format!("if test -e {held}; then echo $PPID > {told}; cat {held}; fi");
    let front = Front::with(format!("[hooks]\npretxnchangegroup.hold = {hook}\n"));
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
    whose_key_is_taken_out_is_ended(&front, &hold, &child);
    settings_change_while_a_push_waits(&front, &hold, &child);
    whose_repository_becomes_private_is_ended(&front);
}

/// Tells clients what a person sees of it who uses Mercurial.
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
