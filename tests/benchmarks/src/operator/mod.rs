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
use changes::{Changes, StatusBy};
use stage::Stage;

const GOAL_START_SECONDS: f64 = 30.0;
const GOAL_MIB: f64 = 150.0;
const GOAL_RATE: f64 = 0.5;
const GOAL_STATUS_SECONDS: f64 = 0.25;
/// The second is near what two cores can do at all, whoever writes the statuses.
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

/// Bare client without an operator, on an API server of its own: what one has remembered of much that happened before
/// makes it slower.
struct Bare {
    /// Per second.
    created: f64,
    with_status: f64,
    /// Changes whose status is written by whoever makes them; in seconds, for each of `CHANGES_PER_SECOND`.
    changes: Vec<Percentiles>,
}

#[derive(Clone, Copy)]
struct Percentiles {
    p50: f64,
    p99: f64,
}

impl Bare {
    async fn measure(count: usize, changes: usize) -> Bare {
        let created = rate(count, Stage::start().await.create(count, false).await);
        let stage = Stage::start().await;
        let with_status = rate(count, stage.create(count, true).await);
        Bare { created, with_status, changes: changed(&stage, changes, StatusBy::Ourselves).await }
    }
}

async fn changed(stage: &Stage, changes: usize, by: StatusBy) -> Vec<Percentiles> {
    let mut measured = Vec::new();
    for rate in CHANGES_PER_SECOND {
        let mut latencies = Changes::begin(stage).await.make(changes, rate, by).await;
        latencies.sort_by(f64::total_cmp);
        measured.push(Percentiles { p50: percentile(&latencies, 50.0), p99: percentile(&latencies, 99.0) });
    }
    measured
}

async fn measure(count: usize, changes: usize, report: &mut Report) {
    report.part(&format!("The operator with {count} HgRepository"), &["what", "measured", "goal"]);
    let bare = Bare::measure(count, changes).await;
    let stage = Stage::start().await;
    let operator = stage.operator().await;
    let _master = stage.master().await;
    let begun = Instant::now();
    stage.create(count, false).await;
    let created = rate(count, begun.elapsed());
    let reconciled = loop {
        wait_until(|| async { settled(&operator, count).await }).await;
        let took = begun.elapsed();
        if stage.ready().await == count {
            break rate(count, took);
        }
    };
    let share = reconciled / bare.with_status;
    let plain = |what: &str, measured: String| [what.to_owned(), measured, String::new()];
    report.row(&plain("created by a bare client that nobody watches", format!("{:.0} per second", bare.created)));
    report.row(&plain("the same, and one status each", format!("{:.0} per second", bare.with_status)));
    report.row(&plain("created while the operator works", format!("{created:.0} per second")));
    report.row(&[
        "created, on the master and Ready".to_owned(),
        format!("{reconciled:.0} per second"),
        format!("of the bare client's with a status: {}", ratio(share, "at least 0.5", share >= GOAL_RATE)),
    ]);
    let written = operator.metric(STATUS_WRITES).await.unwrap_or(0.0);
    report.row(&plain("status writes for each", format!("{:.2}", written / number(count))));

    let ours = changed(&stage, changes, StatusBy::Operator).await;
    for ((rate, ours), bare) in CHANGES_PER_SECOND.iter().zip(ours).zip(bare.changes) {
        let what = format!("a change of a spec until its status, {rate} per second, p50");
        report.row(&plain(&what, format!("{} (bare client: {})", seconds(ours.p50), seconds(bare.p50))));
        let measured = format!("{} (bare client: {})", seconds(ours.p99), seconds(bare.p99));
        report.row(&["the same, p99".to_owned(), measured, goal(ours.p99, GOAL_STATUS_SECONDS, "250 ms")]);
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
