//! The operator with many repositories: a real etcd and kube-apiserver, a real master, no kubelet.

mod changes;
mod stage;

use std::time::{Duration, Instant};

use api_server::Operator;
use tokio::runtime::Runtime;

use crate::Scale;
use crate::machine::percentile;
use crate::process_table;
use crate::report::{Report, ratio, seconds};
use changes::Changes;
use stage::{BARE, OURS, Stage};

const GOAL_START_SECONDS: f64 = 30.0;
const GOAL_MIB: f64 = 150.0;
const GOAL_RATE: f64 = 0.5;
const GOAL_STATUS_SECONDS: f64 = 0.25;
/// The second is near what this machine can do at all: half a core for the API server, as much for whoever changes.
const CHANGES_PER_SECOND: [u32; 2] = [20, 100];
const STATUS_WRITES: &str = "hg_operator_api_writes_total{kind=\"HgRepository\",verb=\"status\"}";
/// For everything that is waited for.
const PATIENCE: Duration = Duration::from_secs(900);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub fn run(scale: &Scale, report: &mut Report) {
    let count = scale.of(10_000, 300);
    let changes = scale.of(1_000, 100);
    // Of this process, so that it does not take both cores from those that are measured.
    let runtime = Runtime::new().unwrap();
    runtime.block_on(measure(count, changes, report));
}

async fn measure(count: usize, changes: usize, report: &mut Report) {
    let stage = Stage::start().await;
    report.part(&format!("The operator with {count} HgRepository"), &["what", "measured", "goal"]);

    let created_only = rate(count, stage.create(BARE, count, false).await);
    stage.remove(BARE).await;
    let bare = rate(count, stage.create(BARE, count, true).await);
    stage.remove(BARE).await;
    let operator = stage.operator().await;
    let _master = stage.master().await;
    let begun = Instant::now();
    stage.create(OURS, count, false).await;
    let created = rate(count, begun.elapsed());
    let reconciled = loop {
        wait_until(|| async { settled(&operator, count).await }).await;
        let took = begun.elapsed();
        if stage.ready().await == count {
            break rate(count, took);
        }
    };
    let share = reconciled / bare;
    report.row(&[
        "created by a bare client that nobody watches".to_owned(),
        format!("{created_only:.0} per second"),
        String::new(),
    ]);
    report.row(&["the same, and one status each".to_owned(), format!("{bare:.0} per second"), String::new()]);
    report.row(&["created while the operator works".to_owned(), format!("{created:.0} per second"), String::new()]);
    report.row(&[
        "created, on the master and Ready".to_owned(),
        format!("{reconciled:.0} per second"),
        format!("of the bare client's with a status: {}", ratio(share, "at least 0.5", share >= GOAL_RATE)),
    ]);

    let written = operator.metric(STATUS_WRITES).await.unwrap_or(0.0);
    report.row(&["status writes for each".to_owned(), format!("{:.2}", written / number(count)), String::new()]);

    for rate in CHANGES_PER_SECOND {
        let mut latencies = Changes::begin(&stage).await.make(changes, rate).await;
        latencies.sort_by(f64::total_cmp);
        let (p50, p99) = (percentile(&latencies, 50.0), percentile(&latencies, 99.0));
        report.row(&[
            format!("a change of a spec until its status, {rate} per second, p50"),
            seconds(p50),
            String::new(),
        ]);
        report.row(&["the same, p99".to_owned(), seconds(p99), goal(p99, GOAL_STATUS_SECONDS, "250 ms")]);
    }
    memory(&operator, "resident after all this", report);
    wait_until(|| async { rests(&operator).await && stage.is_told().await }).await;
    drop(operator);
    cold_start(&stage, count, report).await;
}

/// A new one, until it has looked at everything and has nothing to do.
async fn cold_start(stage: &Stage, count: usize, report: &mut Report) {
    stage.release_lease().await;
    let begun = Instant::now();
    let operator = stage.operator().await;
    wait_until(|| async {
        let looked = operator.metric("hg_operator_reconciles_total{kind=\"HgRepository\",result=\"done\"}").await;
        looked >= Some(number(count)) && rests(&operator).await
    })
    .await;
    let took = begun.elapsed().as_secs_f64();
    let metrics = operator.metrics().await;
    let writes: Vec<&str> = metrics.lines().filter(|line| line.starts_with("hg_operator_api_writes_total")).collect();
    let judged = goal(took, GOAL_START_SECONDS, "30 s");
    report.row(&["cold start until all is looked at".to_owned(), seconds(took), judged]);
    let met = if writes.is_empty() { "met" } else { "**missed**" };
    let told = if writes.is_empty() { "0".to_owned() } else { writes.join(", ") };
    report.row(&["writes meanwhile".to_owned(), told, format!("0: {met}")]);
    memory(&operator, "resident after a cold start", report);
}

async fn settled(operator: &Operator, count: usize) -> bool {
    let written = operator.metric(STATUS_WRITES).await;
    written >= Some(number(count)) && rests(operator).await
}

async fn rests(operator: &Operator) -> bool {
    operator.metric("hg_operator_queue_depth").await == Some(0.0)
        && operator.metric("hg_operator_workers_busy").await == Some(0.0)
}

async fn wait_until<F: Future<Output = bool>>(is: impl Fn() -> F) {
    let begun = Instant::now();
    while !is().await {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn memory(operator: &Operator, what: &str, report: &mut Report) {
    let (now, _) = process_table::size(operator.pid()).unwrap();
    let peak = process_table::peak(operator.pid()).unwrap();
    report.row(&[
        what.to_owned(),
        format!("{now:.0} MiB (at most {peak:.0} meanwhile)"),
        goal(now, GOAL_MIB, "150 MiB"),
    ]);
}

fn goal(value: f64, most: f64, text: &str) -> String {
    format!("at most {text}: {}", if value <= most { "met" } else { "**missed**" })
}

fn rate(count: usize, took: Duration) -> f64 {
    number(count) / took.as_secs_f64()
}

#[allow(clippy::cast_precision_loss)]
fn number(count: usize) -> f64 {
    count as f64
}
