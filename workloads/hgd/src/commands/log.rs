//! `hgd log`: reads a log on disk, also while it is being written.

use std::path::Path;
use std::process::ExitCode;

use log::blobs::Blobs;
use log::inspect::{self, Item};
use protocol::{Entry, Record};

use super::FOUND;
use crate::arguments::{Format, LogCommand};

pub fn log(command: &LogCommand) -> ExitCode {
    let result = match command {
        LogCommand::Dump { directory, from, output } => dump(directory, *from, *output),
        LogCommand::Verify { directory } => verify(directory),
        LogCommand::Skip(options) => return super::skip::skip(options),
    };
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(FOUND),
        Err(error) => {
            eprintln!("hgd log: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dump(directory: &Path, from: u64, output: Format) -> std::io::Result<u64> {
    let mut findings = 0;
    for item in inspect::read(directory)? {
        match item {
            Item::Entry { entry, .. } if entry.offset.0 >= from => println!("{}", line(&entry, output)),
            Item::Entry { .. } | Item::Segment { .. } => {}
            Item::Finding(finding) => {
                findings += 1;
                eprintln!("{finding}");
            }
        }
    }
    Ok(findings)
}

fn line(entry: &Entry, output: Format) -> String {
    let (kind, text) = match entry.record() {
        Ok(record) => (record.kind(), describe(&record)),
        Err(error) => ("damaged", error.to_string()),
    };
    let Entry { offset, generation, bytes } = entry;
    match output {
        Format::Table => format!("{offset}\t{generation}\t{kind}\t{text}"),
        Format::Json => serde_json::json!({
            "offset": offset, "generation": generation, "kind": kind, "bytes": bytes.len(), "text": text,
        })
        .to_string(),
    }
}

fn describe(record: &Record) -> String {
    match record {
        Record::Push(push) => format!(
            "repository {} push {} by {}: {} changesets, {} bookmarks, tip {}",
            push.repository,
            push.push_id.map_or("-".to_owned(), |id| id.to_string()),
            push.user,
            push.changesets,
            push.bookmarks.len(),
            push.tip.map_or("-".to_owned(), |tip| tip.to_string()),
        ),
        Record::Released(offsets) | Record::Published(offsets) => {
            offsets.offsets.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        Record::RepositoryCreated(created) => created.path.to_string(),
        other => format!("{other:?}"),
    }
}

fn verify(directory: &Path) -> std::io::Result<u64> {
    // An SSH instance keeps its blobs beside the folder of its logs.
    let folder = directory.ancestors().nth(2).map(|data| data.join("blobs")).filter(|folder| folder.exists());
    let blobs = folder.map(Blobs::look);
    let summary = inspect::verify(directory, blobs.as_ref(), |finding| println!("{finding}"))?;
    let number = |offset: Option<protocol::Offset>| offset.map_or("-".to_owned(), |offset| offset.to_string());
    println!(
        "{} records in {} segments, {} to {}, {} bytes, {} blobs: {} findings",
        summary.records,
        summary.segments,
        number(summary.first),
        number(summary.last),
        summary.bytes,
        summary.blobs,
        summary.findings
    );
    Ok(summary.findings)
}
