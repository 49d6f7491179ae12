//! The conversation with the master.

use std::time::Duration;

use interface::paths;
use protocol::endpoints::{Endpoints, ServingReport};
use tokio::time::timeout;
use transport::{Client, Target};

use crate::Settings;
use crate::state::State;

/// A master that hangs is passed over for the next one after this.
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);

/// Runs until it is dropped.
pub(crate) async fn converse(state: &State, client: &Client, mut masters: Vec<Target>, settings: &Settings) {
    let mut silent = false;
    loop {
        let (report, revoked) = state.with(|rotation, _| {
            let report = rotation.report();
            let revoked = rotation.sending(&report);
            (report, revoked)
        });
        match ask(client, &mut masters, &report).await {
            Asked::Answered(wanted) => {
                state.with(|rotation, now| rotation.answered(now, &report, &wanted.endpoints));
                silent = false;
            }
            Asked::Nobody { seen } => {
                if !seen {
                    state.with(|rotation, _| rotation.unsent(&revoked));
                }
                if !std::mem::replace(&mut silent, true) {
                    tracing::warn!("no master answers; the endpoints stay as they are");
                }
            }
        }
        for name in state.with(|rotation, now| rotation.overdue(now, settings.max_age)) {
            tracing::info!(%name, "closing the connections to an endpoint that left");
            state.close(&name);
        }
        let _either = timeout(settings.report_every, state.report.notified()).await;
    }
}

enum Asked {
    Answered(Endpoints),
    /// `seen`: one that may be the master may have taken the report in.
    Nobody {
        seen: bool,
    },
}

/// Asks each in turn; whoever answers is asked first next time.
async fn ask(client: &Client, masters: &mut [Target], report: &ServingReport) -> Asked {
    let mut seen = false;
    for place in 0..masters.len() {
        let Some(master) = masters.get(place) else { break };
        let asked = client.post_json(master, paths::ENDPOINTS, report);
        match timeout(ANSWER_DEADLINE, asked).await {
            Ok(Ok(endpoints)) => {
                masters.swap(0, place);
                return Asked::Answered(endpoints);
            }
            // One that is not master says so with a status, and forgets the report.
            Ok(Err(error)) => {
                tracing::debug!(%error, "not answered");
                seen |= !error.was_never_sent() && error.status().is_none();
            }
            Err(_) => seen = true,
        }
    }
    Asked::Nobody { seen }
}
