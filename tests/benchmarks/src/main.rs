//! `make bench`: this installation beside plain Mercurial, in one run on one machine. What counts are the ratios.
//!
//! benchmarks [NAME...] [--quick] [--no-docs]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod history;
mod large_push;
mod machine;
mod memory;
mod operator;
mod plain_ssh;
mod plain_web;
mod process_table;
mod promotion;
mod publication;
mod reads;
mod report;
mod rss_peak;
mod small_push;

use report::Report;

/// Benchmark of those that there are, in the order of a run.
type Benchmark = fn(&Scale, &mut Report);

const BENCHMARKS: [(&str, Benchmark); 7] = [
    ("small-push", small_push::run),
    ("large-push", large_push::run),
    ("publication", publication::run),
    ("reads", reads::run),
    ("memory", memory::run),
    ("promotion", promotion::run),
    ("operator", operator::run),
];

/// These have figures of their own on the page, so that one can be run without the rest.
const ALONE: [(&str, &str); 2] = [("promotion", "promotion's figures"), ("operator", "operator's figures")];

/// How much of everything.
struct Scale {
    quick: bool,
}

impl Scale {
    fn of(&self, whole: usize, quick: usize) -> usize {
        if self.quick { quick } else { whole }
    }
}

fn main() {
    let (options, names): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let known = |name: &str| BENCHMARKS.iter().any(|(known, _)| *known == name);
    let unknown_option = options.iter().find(|option| !["--quick", "--no-docs"].contains(&option.as_str()));
    let unknown_name = names.iter().find(|name| !known(name));
    if let Some(word) = unknown_option.or(unknown_name) {
        let names = BENCHMARKS.map(|(name, _)| name).join(", ");
        eprintln!("benchmarks: {word} is not known: name some of {names}, --quick or --no-docs");
        std::process::exit(2);
    }
    let option = |name: &str| options.iter().any(|option| option == name);
    let scale = Scale { quick: option("--quick") };
    let keeps = !option("--no-docs") && !scale.quick;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let mut report = Report::new("figures");
    let mut alone = Vec::new();
    for (name, run) in BENCHMARKS.into_iter().filter(|(name, _)| wanted(name)) {
        eprintln!("== {name}");
        match ALONE.iter().find(|(known, _)| *known == name) {
            Some((_, figures)) => {
                let mut own = Report::new(figures);
                run(&scale, &mut own);
                alone.push(own);
            }
            None => run(&scale, &mut report),
        }
    }
    for report in alone.iter().chain([&report]) {
        print!("{}", report.text());
    }
    if keeps {
        alone.iter().for_each(Report::keep);
    }
    if keeps && names.is_empty() {
        report.keep();
    }
}
