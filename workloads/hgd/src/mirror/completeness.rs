//! Answers the front's question whether this mirror has all of a repository: what the master's log had when it was
//! asked has to be applied here. Then a hash that is not stored here is stored nowhere, and no other need be asked.

use std::time::Duration;

use failover::InstanceReport;
use http_mirror::{MAX_QUESTIONS, Question};
use interface::paths;
use protocol::status::Role;
use protocol::stream::Progress;
use protocol::{CreationId, Offset};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use transport::{Client, Target};

/// The front waits no longer for an answer.
const ASK_SECONDS: u64 = 1;

/// Ends when nobody can ask any more.
pub async fn answer(
    client: Client,
    master: watch::Receiver<Option<Target>>,
    progress: watch::Receiver<Option<Progress>>,
    mut questions: mpsc::Receiver<Question>,
) {
    let mut asked = Vec::new();
    // However many ask, the master is asked once at a time: after all questions that are then answered.
    while questions.recv_many(&mut asked, MAX_QUESTIONS).await > 0 {
        let target = master.borrow().clone();
        let end = match target {
            Some(target) => end_of_log(&client, &target).await,
            None => None,
        };
        for question in asked.drain(..) {
            if let Some(end) = end {
                tokio::spawn(answer_when_complete(progress.clone(), end, question));
            }
        }
    }
}

/// None: this is not known now.
async fn end_of_log(client: &Client, master: &Target) -> Option<Offset> {
    let report = client.get_json::<InstanceReport>(master, paths::INSTANCE);
    match timeout(Duration::from_secs(ASK_SECONDS), report).await {
        Ok(Ok(report)) => (report.role == Role::Master).then_some(report.replication.offset),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the master does not say how far its log goes");
            None
        }
        Err(_) => None,
    }
}

async fn answer_when_complete(mut progress: watch::Receiver<Option<Progress>>, end: Offset, question: Question) {
    let Question { repository, mut answer } = question;
    let complete = progress.wait_for(|now| now.as_ref().is_some_and(|now| has_all(now, repository, end)));
    tokio::select! {
        complete = complete => if complete.is_err() { return },
        () = answer.closed() => return,
    }
    // Whoever asked may have gone meanwhile.
    let _nobody_waits = answer.send(());
}

/// Whether every record of the repository up to `end` is applied here.
fn has_all(progress: &Progress, repository: CreationId, end: Offset) -> bool {
    let lane = progress.lanes.iter().find(|lane| lane.repository == repository);
    let applied = lane.map_or(Offset::ZERO, |lane| lane.applied).max(progress.applied_through);
    applied >= end && !lane.is_some_and(|lane| lane.quarantined)
}

#[cfg(test)]
mod tests {
    use protocol::stream::LaneProgress;

    use super::*;

    #[test]
    fn all_is_here_when_the_lane_or_all_lanes_have_come_as_far_and_it_is_not_set_aside() {
        let lane = |repository, applied, quarantined| LaneProgress {
            repository: CreationId(repository),
            applied: Offset(applied),
            shown: Offset(0),
            quarantined,
        };
        for (through, lanes, expected) in [
            (10, vec![], true),
            (9, vec![], false),
            (11, vec![], true),
            (5, vec![lane(7, 10, false)], true),
            (5, vec![lane(7, 9, false)], false),
            (5, vec![lane(8, 10, false)], false),
            (10, vec![lane(7, 9, false)], true),
            (10, vec![lane(7, 10, true)], false),
            (10, vec![lane(8, 3, true)], true),
        ] {
            let progress = Progress { applied_through: Offset(through), lanes, ..Progress::default() };
            assert_eq!(has_all(&progress, CreationId(7), Offset(10)), expected, "{progress:?}");
        }
    }
}
