//! Commands that can be asked for, and what is said to everything else.

use crate::bench::{Bench, output, text};

const GREETING: &str = "\
A SSH connection has been successfully established.

Your account (ann@example.com) has privileges to access Mercurial over
SSH.

";

#[tokio::test(flavor = "multi_thread")]
async fn no_command_is_answered_with_who_you_are() {
    let bench = Bench::start().await;
    let said = output(bench.ssh("ann@example.com").arg("-T")).await;
    let expected = format!(
        "{GREETING}\
You are a member of the following groups that govern source control access:

   developers

You did not specify a command to run on the server. This server only
supports running specific commands. Since there is nothing to do, you
are being disconnected.
"
    );
    assert_eq!((said.status.code(), text(&said.stderr), text(&said.stdout)), (Some(1), expected, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_other_command_is_refused_with_its_text() {
    let bench = Bench::start().await;
    let not_allowed = format!("{GREETING}The command you specified is not allowed on this server.\n\nGoodbye.\n");
    let other_hg = "invalid `hg` command executed; can only run serve --stdio\n".to_owned();
    let bad_name = "Only alpha-numeric characters, \".\", \"_\", and \"-\" are allowed in repository\n\
                    names.  Additionally the first character of repository names must be alpha-numeric.\n"
        .to_owned();
    let missing = "requested repo nowhere/else does not exist\n".to_owned();
    for (command, expected) in [
        ("hg", &not_allowed),
        ("id", &not_allowed),
        ("sh -c 'hg -R echo serve --stdio'", &not_allowed),
        ("/usr/bin/hg -R echo serve --stdio", &not_allowed),
        ("scp -f x", &not_allowed),
        ("hg init x", &other_hg),
        ("hg -R echo serve --stdio; id", &other_hg),
        ("hg -R echo serve --stdio && id", &other_hg),
        ("hg -R echo serve --stdio\nid", &other_hg),
        ("hg -R echo serve --stdio --config ui.x=y", &other_hg),
        ("hg --config hooks.x=id -R echo serve --stdio", &other_hg),
        ("hg -R 'echo serve --stdio", &other_hg),
        ("hg -R $(id) serve --stdio", &bad_name),
        ("hg -R `id` serve --stdio", &bad_name),
        ("hg -R ../echo serve --stdio", &bad_name),
        ("hg -R 'path with' serve --stdio", &bad_name),
        ("hg -R --debugger serve --stdio", &bad_name),
        ("hg -R nowhere/else serve --stdio", &missing),
        ("hg -R /nowhere/else/ serve --stdio", &missing),
    ] {
        let said = bench.ask(command).await;
        assert_eq!((said.status.code(), &text(&said.stderr)), (Some(1), expected), "{command}");
        assert!(said.stdout.is_empty());
    }
    assert_eq!(bench.served.requests.lock().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_of_ssh_is_offered() {
    let bench = Bench::start().await;
    for (arguments, code) in [
        (vec!["-s", "sftp"], 255),
        (vec!["-W", "127.0.0.1:22"], 255),
        (vec!["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:22", "hg -R echo serve --stdio"], 255),
    ] {
        // Options stand before the host.
        let mut ssh = bench.ssh("bob");
        let said = output(ssh.args(&arguments)).await;
        assert_eq!(said.status.code(), Some(code), "{arguments:?}: {}", text(&said.stderr));
    }
    assert!(bench.served.requests.lock().unwrap().is_empty());
    // OpenSSH gives up here by itself, before or after its command was looked at.
    let said = output(bench.ssh("bob").args(["-tt", "-o", "SetEnv=HG=x", "hg -R echo serve --stdio"])).await;
    assert!(text(&said.stderr).contains("PTY allocation request failed"), "{}", text(&said.stderr));
}
