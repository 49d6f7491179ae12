//! `hgd log skip`: a person gives up a record that nobody can apply, so that its repository goes on without it.

use axum::http::StatusCode;
use follower::LaneTable;
use protocol::{ChangesetId, Offset, Record, Repository, RepositoryPath, Timestamp};
use push_gate::Ledger;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::imports::Refusal;

/// Tells what is lost with the record; an error says why it is not to be given up.
pub async fn lost(
    ledger: &Ledger,
    table: &LaneTable,
    path: &RepositoryPath,
    offset: Offset,
) -> Result<(Repository, String), Refusal> {
    let refuse = |status, why: String| Err((status, why));
    let Some(repository) = ledger.by_path(path).await else {
        return refuse(StatusCode::NOT_FOUND, format!("requested repo {path} does not exist"));
    };
    let Some(record) = ledger.record(offset).await else {
        return refuse(
            StatusCode::NOT_FOUND,
            format!("the log has no committed record {offset} any more, or not yet"),
        );
    };
    if record.repository(offset) != Some(repository.id) {
        return refuse(StatusCode::BAD_REQUEST, format!("record {offset} is not about {path}"));
    }
    if matches!(record, Record::RepositoryCreated(_) | Record::RepositoryDeleted(_)) {
        return refuse(StatusCode::BAD_REQUEST, format!("record {offset} is the beginning or the end of {path}"));
    }
    if table.get(repository.id).is_some_and(|lane| lane.applied >= offset) {
        let why = format!("the master has applied record {offset}: whoever has not fetches {path} from there");
        return refuse(StatusCode::CONFLICT, why);
    }
    let told = sentence(&record, offset, repository.last);
    Ok((repository, told))
}

fn sentence(record: &Record, offset: Offset, last: Offset) -> String {
    let what = match record {
        Record::Push(push) => format!(
            "a push of {} at {}: {} changesets{}, {} bookmarks moved, {} heads made public{}",
            push.user,
            written(push.time),
            push.changesets,
            push.tip.map_or_else(String::new, |tip: ChangesetId| format!(" up to {tip}")),
            push.bookmarks.len(),
            push.published.len(),
            if push.markers.is_some() { ", and obsolescence markers" } else { "" },
        ),
        other => format!("a {}", other.kind()),
    };
    let later = match last > offset {
        true => format!("; records after it, up to {last}, that build on it cannot be applied either"),
        false => String::new(),
    };
    format!("{what}{later}")
}

/// As RFC 3339 has it, in whole seconds.
fn written(time: Timestamp) -> String {
    let whole =
        i64::try_from(time.seconds()).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    whole.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{} s since 1970", time.seconds()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_with_what_builds_on_it() {
        let strip = Record::Strip(protocol::record::Strip {
            repository: protocol::CreationId(1),
            changesets: Vec::new(),
            user: "u".parse().unwrap(),
        });
        assert_eq!(sentence(&strip, Offset(5), Offset(5)), "a Strip");
        let later = "a Strip; records after it, up to 7, that build on it cannot be applied either";
        assert_eq!(sentence(&strip, Offset(5), Offset(7)), later);
        assert_eq!(written(Timestamp(1_469_000_000_123_456)), "2016-07-20T07:33:20Z");
    }
}
