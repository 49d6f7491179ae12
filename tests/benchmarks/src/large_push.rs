//! One push of a whole history, beside plain Mercurial, and how soon every mirror has it.

use std::time::{Duration, Instant};

use scenarios::{Client, Installation, KeepAlive, Options, mercurials, wait_longer_for};

use crate::plain_ssh::PlainSsh;
use crate::report::{Report, ratio, seconds};
use crate::rss_peak::Peak;
use crate::small_push::timed;
use crate::{Scale, history, machine, memory};

const PUSH_GOAL: f64 = 1.3;
const MIRRORS_GOAL: f64 = 1.0;
const MEMORY_GOAL_MIB: f64 = 64.0;
const PATIENCE: Duration = Duration::from_secs(600);

pub fn run(scale: &Scale, report: &mut Report) {
    let mercurial = mercurials().pop().unwrap();
    let rounds = scale.of(3, 1);
    let paths: Vec<String> = (0..rounds).map(|number| format!("large-{number}")).collect();
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    let installation = Installation::start(Options::new(&mercurial, &names));
    let plain = PlainSsh::start(&installation, &mercurial);
    let client = Client::new(&installation, &mercurial, "developer");
    let what = history::make(&client, &mercurial, "work", scale.quick);
    let tip = client.hg("work", &["log", "-r", "tip", "-T", "{node}"]).ok();
    let (mut ours, mut theirs, mut mirrors, mut sizes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for path in &paths {
        let (_, url) = plain.repository(path);
        // A push makes the client's changesets public, which makes the next one cheaper: each starts from drafts.
        theirs.push(timed(&mut plain.push(&client, drafts(&client), &url)));
        let peak = Peak::watch(installation.supervisor());
        ours.push(timed(&mut client.command(drafts(&client), &["push", &client.push_url(path)])));
        let begun = Instant::now();
        for mirror in &installation.ready().mirrors {
            wait_for_tip(mirror, path, &tip);
        }
        mirrors.push(begun.elapsed().as_secs_f64());
        sizes.extend(peak.end());
    }
    let (ours, theirs, mirrors) = (machine::median(&ours), machine::median(&theirs), machine::median(&mirrors));
    report.part(
        &format!("Push of {what}"),
        &["hgd, replicated", "plain hg over OpenSSH", "ratio", "last mirror has it after", "of the plain time"],
    );
    report.row(&[
        seconds(ours),
        seconds(theirs),
        ratio(ours / theirs, "at most 1.3", ours / theirs <= PUSH_GOAL),
        seconds(mirrors),
        ratio(mirrors / theirs, "at most 1.0", mirrors / theirs <= MIRRORS_GOAL),
    ]);
    let (name, largest) = sizes.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    report.say(&format!(
        "Largest Rust process meanwhile: {}, {largest:.0} MiB resident (goal at most 64: {}).",
        memory::role(&name),
        if largest <= MEMORY_GOAL_MIB { "met" } else { "**missed**" },
    ));
    installation.settled();
}

fn drafts(client: &Client) -> &'static str {
    client.hg("work", &["phase", "--draft", "--force", "-r", "all()", "-q"]);
    "work"
}

fn wait_for_tip(mirror: &str, path: &str, tip: &str) {
    let mut connection = KeepAlive::new(mirror);
    wait_longer_for(PATIENCE, "the history on a mirror", || {
        let answer = connection.get(&format!("/{path}?cmd=heads"), &[]).map_err(|error| error.to_string())?;
        if answer.text().contains(tip) { Ok(()) } else { Err(answer.text()) }
    });
}
