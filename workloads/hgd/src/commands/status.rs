//! `hgd status`.

use std::process::ExitCode;
use std::time::Duration;

use protocol::Offset;
use protocol::status::{Absence, MirrorState, Role, Status};

use super::ask::ask;
use crate::arguments::{self, Format};

pub fn status(options: &arguments::Status) -> ExitCode {
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
    // What nobody says is no number.
    let said = |said: bool, text: String| if said { text } else { "-".to_owned() };
    let mut rows =
        vec![["INSTANCE", "ROLE", "IN-SYNC", "PID", "GENERATION", "APPLIED", "LAG"].map(str::to_owned).to_vec()];
    for i in &status.instances {
        let (role, heard) = (format!("{:?}", i.role).to_lowercase(), i.role != Role::Unknown);
        rows.push(vec![
            i.name.to_string(),
            role,
            if i.in_sync { "yes" } else { "no" }.to_owned(),
            pid(i.pid),
            said(heard, i.generation.to_string()),
            said(heard, i.applied.to_string()),
            said(heard, lag(i.applied)),
        ]);
    }
    let mut text = notices(status) + &columns(&rows);
    rows = vec![["MIRROR", "STATE", "PID", "APPLIED", "PUBLISHED", "LAG", "URL"].map(str::to_owned).to_vec()];
    for m in &status.mirrors {
        let state = format!("{:?}", m.state);
        let heard = m.state != MirrorState::Unreachable || m.applied > Offset::ZERO;
        let numbers = [m.applied.to_string(), m.published.to_string(), lag(m.published)];
        let cells =
            std::iter::once(pid(m.pid)).chain(numbers.map(|number| said(heard, number))).chain([m.url.clone()]);
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
            said(r.published > Offset::ZERO, r.published.to_string()),
        ]);
    }
    text + &format!("\n{}", columns(&rows)) + &quarantined(status)
}

/// Nothing, while nobody has set a repository aside.
fn quarantined(status: &Status) -> String {
    let instances = status.instances.iter().map(|one| (&one.name, &one.quarantined));
    let all = instances.chain(status.mirrors.iter().map(|one| (&one.name, &one.quarantined)));
    let mut rows = vec![["IN QUARANTINE", "ON"].map(str::to_owned).to_vec()];
    rows.extend(all.flat_map(|(name, paths)| paths.iter().map(move |path| vec![path.to_string(), name.to_string()])));
    if rows.len() == 1 { String::new() } else { format!("\n{}", columns(&rows)) }
}

/// Above everything else: it is why somebody looks.
fn notices(status: &Status) -> String {
    let unable = || status.unable.as_ref().map(|why| format!("pushes fail on the master: {why}\n\n"));
    let read_only = status.settings.as_ref().and_then(|settings| settings.read_only_reason.as_ref());
    let read_only = read_only.map(|reason| format!("all repositories are read only: {reason}\n\n"));
    status.absence.as_ref().map(absent).or_else(unable).unwrap_or_default() + &read_only.unwrap_or_default()
}

fn absent(absence: &Absence) -> String {
    let seconds = |milliseconds: u64| format!("{:.1} s", Duration::from_millis(milliseconds).as_secs_f64());
    let end = absence.ends_within.map(|end| format!(" (in {} at the latest)", seconds(end))).unwrap_or_default();
    format!("NO MASTER for {}: {}{end}\n\n", seconds(absence.milliseconds), absence.sentence)
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

#[cfg(test)]
mod tests {
    use protocol::MasterSettings;
    use serde_json::json;

    use super::*;

    fn status() -> Status {
        let instance = |name: &str, role: &str, pid: u32| {
            json!({"name": name, "role": role, "pid": pid,
                "generation": 1, "applied": 4, "inSync": true})
        };
        let mirror = |name: &str, pid: u32, port: u16| {
            json!({"name": name, "pid": pid, "state": "Active", "url": format!("http://127.0.0.1:{port}"),
                "applied": 4, "published": 4})
        };
        let repository = |path: &str, tip: Option<&str>, count: u32, published: u32| {
            json!({"path": path, "tip": tip,
                "heads": count, "changesets": count, "published": published})
        };
        serde_json::from_value(json!({
            "master": "ssh-0",
            "generation": 1,
            "instances": [instance("ssh-0", "master", 11437), instance("ssh-1", "standby", 11446)],
            "mirrors": [mirror("mirror-0", 11439, 20962), mirror("mirror-1", 11445, 28518)],
            "repositories": [
                repository("hello", Some("6df249f973510000000000000000000000000000"), 1, 4),
                repository("projects/tools", None, 0, 3),
            ],
        }))
        .unwrap()
    }

    #[test]
    fn the_readme_shows_what_is_printed() {
        let (readme, table) = (include_str!("../../../../README.md"), table(&status()));
        assert!(readme.contains(&table), "README.md is to show:\n{table}");
    }

    #[test]
    fn what_is_set_aside_is_named_with_where() {
        let mut status = status();
        status.instances[1].quarantined = vec!["hello".parse().unwrap()];
        status.mirrors[0].quarantined = vec!["projects/tools".parse().unwrap()];
        let expected = "\nIN QUARANTINE   ON\nhello           ssh-1\nprojects/tools  mirror-0\n";
        assert!(table(&status).ends_with(expected), "{}", table(&status));
    }

    #[test]
    fn that_all_is_read_only_is_said() {
        let settings = MasterSettings { read_only_reason: Some("moving".into()), ..Default::default() };
        let text = table(&Status { settings: Some(settings), ..status() });
        assert!(text.starts_with("all repositories are read only: moving\n\nINSTANCE "), "{text}");
    }

    #[test]
    fn what_nobody_says_is_no_number() {
        let mut status = status();
        status.instances[0].role = Role::Unknown;
        (status.mirrors[0].state, status.mirrors[0].applied) = (MirrorState::Unreachable, Offset::ZERO);
        status.repositories[0].published = Offset::ZERO;
        let text = table(&status);
        for (row, cells) in [
            ("ssh-0 ", vec!["ssh-0", "unknown", "yes", "11437", "-", "-", "-"]),
            ("mirror-0 ", vec!["mirror-0", "Unreachable", "11439", "-", "-", "-", "http://127.0.0.1:20962"]),
            ("hello ", vec!["hello", "6df249f97351", "1", "1", "-"]),
        ] {
            let line = text.lines().find(|line| line.starts_with(row)).unwrap();
            assert_eq!(line.split_whitespace().collect::<Vec<_>>(), cells, "{text}");
        }
    }

    #[test]
    fn that_there_is_no_master_is_said_first() {
        let sentence = "ssh-0 does not answer".to_owned();
        let absence = Absence { milliseconds: 2100, sentence, ends_within: Some(900) };
        let text = table(&Status { absence: Some(absence), ..status() });
        let first = "NO MASTER for 2.1 s: ssh-0 does not answer (in 0.9 s at the latest)\n\nINSTANCE ";
        assert!(text.starts_with(first), "{text}");
    }
}
