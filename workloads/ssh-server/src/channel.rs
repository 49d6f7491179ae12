//! One channel: waits for its command, decides about it, runs it, says how it ended.

use std::sync::Arc;
use std::time::Instant;

use protocol::RepositoryPath;
use russh::server::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::carry::{self, STDERR};
use crate::command::{self, Command};
use crate::serve::Shared;
use crate::session::{Login, Phase};
use crate::{Ended, Hg, OpenRefused, OpenRequest, texts};

pub(crate) struct Task {
    pub(crate) shared: Arc<Shared>,
    pub(crate) login: Arc<Login>,
    pub(crate) phase: Arc<watch::Sender<Phase>>,
    pub(crate) write: ChannelWriteHalf<Msg>,
    /// The client has closed the channel, or the connection is over.
    pub(crate) gone: CancellationToken,
    /// To be said before the channel is closed from here: the client may open another one at once.
    pub(crate) done: CancellationToken,
}

/// How a command ended, for the log.
struct Outcome {
    result: &'static str,
    exit: Option<i64>,
    bytes_in: u64,
    bytes_out: u64,
}

struct Refused {
    text: String,
    exit: u32,
}

/// Logged of a longer command line.
const LOGGED_COMMAND_BYTES: usize = 1024;

pub(crate) async fn run(task: Task, mut read: ChannelReadHalf) {
    let Some(command) = wait(&mut read, &task.gone).await else { return };
    let begun = Instant::now();
    count(&task, |running| running + 1);
    task.shared.metrics.commands.inc();
    let asked = command.as_deref().map(command::parse);
    let outcome = match decide(&task, asked.as_ref()).await {
        Ok((hg, _seat)) => serve(&task, read, hg).await,
        Err(refused) => refuse(&task, refused).await,
    };
    task.shared.metrics.commands.dec();
    count(&task, |running| running.saturating_sub(1));
    report(&task, command.as_deref(), asked.as_ref(), &outcome, begun);
}

fn count(task: &Task, change: fn(u32) -> u32) {
    task.phase.send_modify(|phase| {
        if let Phase::LoggedIn(running) = phase {
            *running = change(*running);
        }
    });
}

/// The command line; `Some(None)` when a shell is asked for. None when the channel is over before.
async fn wait(read: &mut ChannelReadHalf, gone: &CancellationToken) -> Option<Option<Vec<u8>>> {
    loop {
        match gone.run_until_cancelled(read.wait()).await?? {
            ChannelMsg::Exec { command, .. } => return Some(Some(command)),
            ChannelMsg::RequestShell { .. } => return Some(None),
            ChannelMsg::Close => return None,
            // Refused by the session; nothing is stored.
            _ => {}
        }
    }
}

async fn decide(task: &Task, asked: Option<&Command>) -> Result<(Hg, crate::seats::Seat), Refused> {
    let refused = |text| Refused { text, exit: 1 };
    let Login { account, identity, ends, .. } = &*task.login;
    let user = &account.user;
    let account = identity.account().ok_or_else(|| refused(texts::no_longer(user)))?;
    let path = match asked {
        None => return Err(refused(texts::no_command(user, &account.groups))),
        Some(Command::NotAllowed) => return Err(refused(texts::not_allowed(user))),
        Some(Command::OtherHg) => return Err(refused(texts::other_hg())),
        Some(Command::BadName(error)) => return Err(refused(texts::bad_name(error))),
        Some(Command::Serve(path)) => path.clone(),
    };
    if task.shared.stopping.is_cancelled() {
        return Err(refused(texts::stopping()));
    }
    let seats = &task.shared.seats;
    let seat = seats.take(user).ok_or_else(|| refused(texts::too_many(user, seats.limit())))?;
    let request = OpenRequest {
        user: user.clone(),
        groups: account.groups,
        path,
        client: ends.client,
        server: ends.server,
        identity: identity.clone(),
    };
    // Not given up when the client is gone: what has been started must be ended by the one who started it.
    let hg = (task.shared.open)(request).await.map_err(|OpenRefused { lines, exit }| {
        let text = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        Refused { text, exit }
    })?;
    Ok((hg, seat))
}

async fn serve(task: &Task, read: ChannelReadHalf, hg: Hg) -> Outcome {
    let carried = carry::carry(read, &task.write, hg, &task.gone).await;
    let (result, exit) = match (carried.gone, carried.ended) {
        (true, Ended::Exit(code)) => ("gone", Some(i64::from(code))),
        (false, Ended::Exit(code)) => ("served", Some(i64::from(code))),
        (_, Ended::Abnormal) => ("abnormal", None),
        (_, Ended::Revoked) => ("revoked", None),
    };
    if exit.is_none() {
        let text = match carried.ended {
            Ended::Revoked => texts::revoked(&task.login.account.user),
            Ended::Exit(_) | Ended::Abnormal => texts::broken_off(),
        };
        let said = task.write.extended_data_bytes(STDERR, text.into_bytes());
        let _ = task.gone.run_until_cancelled(said).await;
    }
    // As sshd says it for a command that was killed.
    let status = exit.and_then(|code| u32::try_from(code).ok()).unwrap_or(255);
    goodbye(task, status).await;
    Outcome { result, exit, bytes_in: carried.bytes_in, bytes_out: carried.bytes_out }
}

async fn refuse(task: &Task, refused: Refused) -> Outcome {
    let bytes_out = refused.text.len() as u64;
    let said = task.write.extended_data_bytes(STDERR, refused.text.into_bytes());
    // An error means that the connection is over, and then there is nobody to tell.
    let _ = task.gone.run_until_cancelled(said).await;
    goodbye(task, refused.exit).await;
    Outcome { result: "refused", exit: Some(i64::from(refused.exit)), bytes_in: 0, bytes_out }
}

/// In the order that clients rely on.
async fn goodbye(task: &Task, status: u32) {
    let said = async {
        task.write.exit_status(status).await?;
        task.write.eof().await?;
        task.done.cancel();
        task.write.close().await
    };
    let _ = task.gone.run_until_cancelled(said).await;
}

fn report(task: &Task, line: Option<&[u8]>, asked: Option<&Command>, outcome: &Outcome, begun: Instant) {
    let metrics = &task.shared.metrics;
    metrics.ended.with_label_values(&[outcome.result]).inc();
    metrics.bytes.with_label_values(&["in"]).inc_by(outcome.bytes_in);
    metrics.bytes.with_label_values(&["out"]).inc_by(outcome.bytes_out);
    let line = line.unwrap_or_default();
    let command = String::from_utf8_lossy(&line[..line.len().min(LOGGED_COMMAND_BYTES)]).escape_debug().to_string();
    let repository = match asked {
        Some(Command::Serve(path)) => Some(RepositoryPath::as_str(path)),
        _ => None,
    };
    info!(
        event = "command",
        user = %task.login.account.user,
        fingerprint = task.login.fingerprint,
        client = %task.login.ends.client,
        command,
        repository,
        result = outcome.result,
        exit = outcome.exit,
        bytes_in = outcome.bytes_in,
        bytes_out = outcome.bytes_out,
        milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        "command"
    );
}
