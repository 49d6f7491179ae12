//! Report of what was measured, as a page.

use std::path::PathBuf;

use time::OffsetDateTime;

use crate::machine;

pub struct Report {
    /// Name of the part of the page.
    name: &'static str,
    machine: String,
    parts: Vec<String>,
}

impl Report {
    pub fn new(name: &'static str) -> Report {
        Report { name, machine: machine::describe(), parts: Vec::new() }
    }

    pub fn part(&mut self, title: &str, columns: &[&str]) {
        let rule = columns.iter().map(|_| "---").collect::<Vec<_>>().join(" | ");
        self.parts.push(format!("\n### {title}\n\n| {} |\n| {rule} |\n", columns.join(" | ")));
    }

    pub fn row(&mut self, cells: &[String]) {
        eprintln!("   {}", cells.join("  |  "));
        self.parts.push(format!("| {} |\n", cells.join(" | ")));
    }

    /// A sentence or more below the last table.
    pub fn say(&mut self, text: &str) {
        eprintln!("   {text}");
        self.parts.push(format!("\n{text}\n"));
    }

    pub fn text(&self) -> String {
        if self.parts.is_empty() {
            return String::new();
        }
        let today = OffsetDateTime::now_utc().date();
        format!("{today}: {}\n{}", self.machine, self.parts.concat())
    }

    /// Between the markers of docs/benchmarks.md.
    pub fn keep(&self) {
        let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/benchmarks.md");
        let text = std::fs::read_to_string(&page).unwrap();
        let begin = format!("<!-- {}: written by `make bench` -->", self.name);
        let end = format!("<!-- end of {} -->", self.name);
        let (before, rest) = text.split_once(&begin).expect("the page has its first marker");
        let (_, after) = rest.split_once(&end).expect("the page has its second marker");
        std::fs::write(&page, format!("{before}{begin}\n\n{}\n{end}{after}", self.text())).unwrap();
    }
}

pub fn seconds(value: f64) -> String {
    if value < 1.0 { format!("{:.0} ms", value * 1000.0) } else { format!("{value:.1} s") }
}

pub fn ratio(value: f64, goal: &str, met: bool) -> String {
    format!("{value:.2} (goal {goal}: {})", if met { "met" } else { "**missed**" })
}
