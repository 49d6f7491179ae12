//! Clones, pulls and small requests, beside hgwebdir under gunicorn.

use std::time::Instant;

use scenarios::{Client, Installation, KeepAlive, Options, mercurials};

use crate::plain_web::PlainWeb;
use crate::report::{Report, ratio, seconds};
use crate::small_push::timed;
use crate::{Scale, history, machine, process_table};

const CPU_GOAL: f64 = 10.0;
const READERS: usize = 4;

pub fn run(scale: &Scale, report: &mut Report) {
    let mercurial = mercurials().pop().unwrap();
    let installation = Installation::start(Options::new(&mercurial, &["history"]));
    let client = Client::new(&installation, &mercurial, "reader");
    let what = history::make(&client, &mercurial, "work", scale.quick);
    client.hg("work", &["push", &client.push_url("history")]).ok();
    installation.settled();
    let repositories = installation.path().join("plain/repositories");
    std::fs::create_dir_all(&repositories).unwrap();
    let copy = repositories.join("history");
    client.hg("", &["clone", "--noupdate", "--pull", "work", copy.to_str().unwrap()]).ok();
    let plain = PlainWeb::start(repositories.parent().unwrap(), &mercurial);
    let tip = client.hg("work", &["log", "-r", "tip", "-T", "{node}"]).ok();
    let mirror = installation.ready().mirrors[0].clone();
    let servers = [(mirror, installation.pid("mirror-0")), (plain.url.clone(), plain.pid())];
    report.part(&format!("Reads of {what} over HTTP"), &["", "a mirror", "hgwebdir under gunicorn", "ratio"]);
    clients(scale, report, &client, &servers);
    for (name, paths) in requests(&tip) {
        let count = scale.of(if paths.len() > 1 { 4_000 } else { 1_500 }, 200);
        // The other one is so much slower that a tenth of the requests takes longer.
        let (ours, theirs) =
            (per_cpu_second(&servers[0], &paths, count), per_cpu_second(&servers[1], &paths, count / 10));
        let part = ours / theirs;
        let goal = ratio(part, "at least 10", part >= CPU_GOAL);
        let cells = [format!("{name}, per CPU second"), format!("{ours:.0}"), format!("{theirs:.0}"), goal];
        report.row(&cells);
    }
}

/// Measures what users wait for.
fn clients(scale: &Scale, report: &mut Report, client: &Client, servers: &[(String, u32); 2]) {
    client.hg("", &["clone", "--noupdate", "--pull", "work", "pulled"]).ok();
    let kinds: [(&str, &str, &[&str], usize); 4] = [
        ("identify", "", &["identify"], scale.of(9, 2)),
        ("no-op pull", "pulled", &["pull", "--quiet"], scale.of(9, 2)),
        ("full clone (`--pull`)", "", &["clone", "--noupdate", "--pull"], scale.of(3, 1)),
        ("full clone (`--stream`)", "", &["clone", "--noupdate", "--stream"], scale.of(5, 1)),
    ];
    let mut number = 0;
    for (name, folder, arguments, times) in kinds {
        let mut taken = [Vec::new(), Vec::new()];
        for _ in 0..times {
            for (place, (base, _)) in servers.iter().enumerate() {
                number += 1;
                let url = format!("{base}/history");
                let target = format!("copy-{number}");
                let mut words = arguments.to_vec();
                words.push(&url);
                if arguments[0] == "clone" {
                    words.push(&target);
                }
                taken[place].push(timed(&mut client.command(folder, &words)));
                let _no_clone = std::fs::remove_dir_all(client.folder.join(&target));
            }
        }
        let [ours, theirs] = taken.map(|times| machine::median(&times));
        let part = ours / theirs;
        report.row(&[name.to_owned(), seconds(ours), seconds(theirs), ratio(part, "at most 1.0", part <= 1.0)]);
    }
}

/// Small requests: what no-op pulls and identify ask, and some by themselves.
fn requests(tip: &str) -> Vec<(&'static str, Vec<String>)> {
    let capabilities = "?cmd=capabilities".to_owned();
    let batch = format!("?cmd=batch&cmds=heads+%3Bknown+nodes%3D{tip}");
    let getbundle = format!(
        "?cmd=getbundle&bundlecaps=HG20%2Cbundle2%3DHG20%250Achangegroup%253D01%252C02%250Alistkeys%250A\
         phases%253Dheads&cg=0&common={tip}&heads={tip}&listkeys=bookmarks&phases=1"
    );
    let lookup = "?cmd=lookup&key=tip".to_owned();
    let marks = "?cmd=listkeys&namespace=bookmarks".to_owned();
    let pull = vec![capabilities.clone(), batch.clone(), getbundle.clone(), marks.clone(), lookup];
    vec![
        ("small requests", pull),
        ("capabilities", vec![capabilities]),
        ("batch of heads and known", vec![batch]),
        ("getbundle of nothing", vec![getbundle]),
        ("raw-file", vec!["/raw-file/tip/README.md".to_owned()]),
        ("json-rev", vec![format!("/json-rev/{tip}")]),
    ]
}

fn per_cpu_second((base, pid): &(String, u32), paths: &[String], count: usize) -> f64 {
    let ask = |times: usize| {
        std::thread::scope(|scope| {
            for _ in 0..READERS {
                scope.spawn(|| {
                    let mut connection = KeepAlive::new(base);
                    for number in 0..times / READERS {
                        let path = format!("/history{}", paths[number % paths.len()]);
                        let answer = connection.get(&path, &[]).unwrap();
                        // A file that this history does not have is an answer, too.
                        assert!([200, 404].contains(&answer.status), "{path}: {}", answer.text());
                    }
                });
            }
        });
    };
    ask(READERS * paths.len() * 4);
    let (before, begun) = (process_table::cpu_seconds(&[*pid]), Instant::now());
    ask(count);
    let cpu = process_table::cpu_seconds(&[*pid]) - before;
    eprintln!("   {base}: {:.0} requests per second", count as f64 / begun.elapsed().as_secs_f64());
    count as f64 / cpu.max(0.01)
}
