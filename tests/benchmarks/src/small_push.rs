//! One changeset per push, beside plain Mercurial.

use std::process::{Command, Stdio};
use std::time::Instant;

use scenarios::{Client, Installation, Options, mercurials};

use crate::plain_ssh::PlainSsh;
use crate::report::{Report, ratio, seconds};
use crate::{Scale, machine};

const GOAL: f64 = 0.8;

pub fn run(scale: &Scale, report: &mut Report) {
    let mercurial = mercurials().pop().unwrap();
    let installation = Installation::start(Options::new(&mercurial, &["small"]));
    let plain = PlainSsh::start(&installation, &mercurial);
    let client = Client::new(&installation, &mercurial, "developer");
    let (_, plain_url) = plain.repository("small");
    let ours_url = client.push_url("small");
    client.init("work");
    client.hg("work", &["push", &ours_url]).ok();
    timed(&mut plain.push(&client, "work", &plain_url));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for number in 0..scale.of(30, 5) {
        client.commit("work", "file", &format!("text {number}"));
        // In turn, so that whatever else the machine does meets both.
        let mut push_ours = || ours.push(timed(&mut client.command("work", &["push", &ours_url])));
        let mut push_theirs = || theirs.push(timed(&mut plain.push(&client, "work", &plain_url)));
        if number % 2 == 0 {
            push_ours();
            push_theirs();
        } else {
            push_theirs();
            push_ours();
        }
    }
    installation.settled();
    let (ours, theirs) = (machine::median(&ours), machine::median(&theirs));
    let part = ours / theirs;
    report.part("Push of one changeset", &["hgd, replicated", "plain hg over OpenSSH", "ratio"]);
    report.row(&[seconds(ours), seconds(theirs), ratio(part, "at most 0.8", part <= GOAL)]);
}

/// Seconds until the command has ended well.
pub fn timed(command: &mut Command) -> f64 {
    let begun = Instant::now();
    let output = command.stdin(Stdio::null()).output().unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    seconds
}
