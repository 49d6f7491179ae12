//! `hgd status`.

use std::process::ExitCode;

use protocol::Offset;
use protocol::status::Status;

use super::ask::ask;
use crate::cli::{self, Format};

pub fn status(options: &cli::Status) -> ExitCode {
    let text = match ask(&options.running.data_dir, "/status.json") {
        Ok(text) => text,
        Err(error) => {
            eprintln!("hgd status: {error}");
            return ExitCode::FAILURE;
        }
    };
    if options.output == Format::Json {
        println!("{text}");
        return ExitCode::SUCCESS;
    }
    match serde_json::from_str::<Status>(&text) {
        Ok(status) => {
            print!("{}", table(&status));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hgd status: the answer is not a status of this version: {error}");
            ExitCode::FAILURE
        }
    }
}

fn table(status: &Status) -> String {
    let newest = status.instances.iter().map(|i| i.applied).max().unwrap_or_default();
    let pid = |pid: Option<u32>| pid.map_or("-".to_owned(), |pid| pid.to_string());
    let lag = |offset: Offset| newest.0.saturating_sub(offset.0).to_string();
    let mut rows =
        vec![["INSTANCE", "ROLE", "IN-SYNC", "PID", "GENERATION", "APPLIED", "LAG"].map(str::to_owned).to_vec()];
    for i in &status.instances {
        let role = format!("{:?}", i.role).to_lowercase();
        rows.push(vec![
            i.name.to_string(),
            role,
            if i.in_sync { "yes" } else { "no" }.to_owned(),
            pid(i.pid),
            i.generation.to_string(),
            i.applied.to_string(),
            lag(i.applied),
        ]);
    }
    let mut text = columns(&rows);
    rows = vec![["MIRROR", "STATE", "PID", "APPLIED", "PUBLISHED", "LAG", "URL"].map(str::to_owned).to_vec()];
    for m in &status.mirrors {
        let state = format!("{:?}", m.state);
        let cells = [pid(m.pid), m.applied.to_string(), m.published.to_string(), lag(m.published), m.url.clone()];
        rows.push([m.name.to_string(), state].into_iter().chain(cells).collect());
    }
    text += &format!("\n{}", columns(&rows));
    rows = vec![["REPOSITORY", "TIP", "HEADS", "CHANGESETS", "PUBLISHED"].map(str::to_owned).to_vec()];
    for r in &status.repositories {
        let tip = r.tip.map_or("-".to_owned(), |tip| tip.to_string()[..12].to_owned());
        rows.push(vec![
            r.path.to_string(),
            tip,
            r.heads.to_string(),
            r.changesets.to_string(),
            r.published.to_string(),
        ]);
    }
    text + &format!("\n{}", columns(&rows))
}

/// Left-aligned columns, two spaces apart.
fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> =
        (0..count).map(|c| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text += cells.join("  ").trim_end();
        text.push('\n');
    }
    text
}
