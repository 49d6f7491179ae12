//! Looks whether endpoints live. The kernel of one that is frozen accepts connections, and nobody answers on them.

use std::time::Duration;

use futures::future::join_all;
use protocol::endpoints::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::Settings;
use crate::state::State;

/// Answered by the mirror's front itself, whatever its workers do (docs/protocols.md).
const QUESTION: &[u8] = b"GET /-/alive HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Answers,
    /// Refuses connections: it ends, or has ended.
    Refuses,
    /// Silent on a connection that was accepted.
    Silent,
}

/// Runs until it is dropped: takes silent endpoints out of use, and those that were out of use back in.
pub(crate) async fn watch(state: &State, settings: &Settings) {
    tokio::join!(leave_out(state, settings), take_back(state, settings));
}

async fn leave_out(state: &State, settings: &Settings) {
    let mut tick = interval(settings.look_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let looks = state.with(|rotation, _| rotation.in_use()).into_iter().map(|endpoint| async move {
            // One that says something elsewhere has no place for us: all are used.
            if life(&endpoint, settings.connect_deadline, settings.silence).await == Life::Silent
                && !state.has_heard(&endpoint.name, settings.silence)
            {
                tracing::warn!(endpoint = %endpoint.name, "answers nothing: its connections are closed");
                state.with(|rotation, now| rotation.refused(now, &endpoint.name, &endpoint.address));
                state.close(&endpoint.name);
            }
        });
        join_all(looks).await;
    }
}

async fn take_back(state: &State, settings: &Settings) {
    let mut tick = interval(settings.report_every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        for endpoint in state.with(|rotation, _| rotation.refusing()) {
            if life(&endpoint, settings.connect_deadline, settings.connect_deadline).await == Life::Answers {
                state.with(|rotation, now| rotation.accepted(now, &endpoint.name, &endpoint.address));
            }
        }
    }
}

async fn life(endpoint: &Endpoint, connect: Duration, silence: Duration) -> Life {
    let Ok(Ok(mut stream)) = timeout(connect, TcpStream::connect(&endpoint.address)).await else {
        return Life::Refuses;
    };
    let answered = async {
        stream.write_all(QUESTION).await?;
        stream.read_u8().await
    };
    match timeout(silence, answered).await {
        Ok(Ok(_)) => Life::Answers,
        Ok(Err(_)) => Life::Refuses,
        Err(_) => Life::Silent,
    }
}
