//! Panics by intent, what is not finished, and what only waits.

use crate::{Finding, Source, masking, words};

const PANICS: &[&str] = &[".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("];
const UNFINISHED: &[&str] = &["todo!", "unimplemented!", "dbg!", "#[ignore"];
const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];
/// Calls that wait for a time to pass. A channel's `recv_timeout` waits for a level.
const PAUSES: &[&str] = &["sleep(", "sleep_ms(", "sleep_until(", "park_timeout(", "wait_timeout("];
/// How functions are called that look again and again for a level; only they may pause.
const WAITERS: &[&str] = &["wait", "until", "eventually"];

/// Such a file's sleeps take no time.
const VIRTUAL_TIME: &str = "#[tokio::test(start_paused = true)]";

pub(crate) fn unwraps(source: &Source<'_>) -> Vec<Finding> {
    if source.extension() != "rs" || source.is_test() {
        return Vec::new();
    }
    let masked = masking::without_tests(&masking::rust(source.text));
    found(source, &masked, PANICS, "outside tests: give the caller an error")
}

pub(crate) fn unfinished(source: &Source<'_>) -> Vec<Finding> {
    if !matches!(source.extension(), "rs" | "py" | "go") || source.path.starts_with("tests/tidy/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if source.extension() == "rs" {
        findings = found(source, &masking::rust(source.text), UNFINISHED, "is not finished");
    }
    for (number, line) in source.text.lines().enumerate() {
        let bare = |note: &&&str| line.trim_end().trim_end_matches([':', '.']).ends_with(**note);
        if let Some(note) = NOTES.iter().find(bare) {
            findings.push(source.finding(number + 1, format!("{note} without a word on what and why")));
        }
    }
    findings
}

pub(crate) fn sleeps(source: &Source<'_>) -> Vec<Finding> {
    // A benchmark sets the pace of its load by it, and waits for nothing.
    if source.text.contains(VIRTUAL_TIME) || source.path.starts_with("tests/benchmarks/") {
        return Vec::new();
    }
    let masked = match (source.extension(), source.is_test()) {
        ("rs", true) => masking::rust(source.text),
        ("rs", false) => masking::only_tests(&masking::rust(source.text)),
        ("py", true) => masking::python(source.text),
        _ => return Vec::new(),
    };
    let mut findings = found(source, &masked, PAUSES, "in a test: wait for the level itself, with a deadline");
    findings.retain(|finding| !waits(function_around(&masked, finding.line)));
    findings
}

fn waits(function: &str) -> bool {
    words::parts(function).iter().any(|part| WAITERS.contains(&part.as_str()))
}

/// The name of the last function that begins above this line.
fn function_around(masked: &str, line: usize) -> &str {
    let words: Vec<(usize, &str)> = words::identifiers(masked).take_while(|(at, _)| *at <= line).collect();
    let named = words.windows(2).rfind(|pair| matches!(pair[0].1, "fn" | "def"));
    named.map_or("", |pair| pair[1].1)
}

fn found(source: &Source<'_>, masked: &str, what: &[&str], reason: &str) -> Vec<Finding> {
    let each = |what: &&str| {
        let finding = |line| source.finding(line, format!("'{what}' {reason}"));
        words::lines_with(masked, what).map(finding).collect::<Vec<_>>()
    };
    what.iter().flat_map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn panics_outside_tests_are_found() {
        let code = "a.unwrap();\n// .unwrap()\n\".expect(\";\nb.expect(c);\nd.unwrap_or(e);\n#[cfg(test)]\nmod t {\n\
                    f.unwrap();\n}\ng.unwrap();\n";
        assert_eq!(samples::lines(unwraps, "a/src/b.rs", code), [1, 10, 4]);
        assert!(samples::lines(unwraps, "a/tests/b.rs", code).is_empty());
        assert!(samples::lines(unwraps, "tests/scenarios/src/b.rs", code).is_empty());
    }

    #[test]
    fn unfinished_work_is_found() {
        let code = "todo!()\n#[ignore]\n#[ignore = \"slow\"]\n// TODO\n// TODO:\n// TODO: name why\ndbg!(a)\n";
        assert_eq!(samples::lines(unfinished, "a.rs", code), [1, 7, 2, 3, 4, 5]);
        assert_eq!(samples::lines(unfinished, "a.py", "x = 1  # FIXME\n"), [1]);
    }

    #[test]
    fn sleeps_in_tests_are_found() {
        let code =
            "std::thread::sleep(d);\n#[cfg(test)]\nmod t {\ntokio::time::sleep(d).await;\nsleep(d);\nsleepy(d);\n}\n";
        assert_eq!(samples::lines(sleeps, "a/src/b.rs", code), [4, 5]);
        assert_eq!(samples::lines(sleeps, "a/tests/b.rs", code), [1, 4, 5]);
        assert_eq!(samples::lines(sleeps, "a/tests/b.py", "# sleep(1)\ntime.sleep(1)\n"), [2]);
        let others = "thread::park_timeout(d);\ntokio::time::sleep_until(t);\nqueue.recv_timeout(d);\n";
        assert_eq!(samples::lines(sleeps, "a/tests/b.rs", others), [2, 1]);
        let virtual_time = format!("{VIRTUAL_TIME}\nasync fn a() {{\nsleep(d)\n}}\n");
        assert_eq!(samples::lines(sleeps, "a/tests/b.rs", &virtual_time), []);
        let polling = "fn wait_for() { sleep(d) }\nfn a() {\nsleep(d)\n}\nasync fn until_ready() {\nsleep(d)\n}\n";
        assert_eq!(samples::lines(sleeps, "a/tests/b.rs", polling), [3]);
        assert_eq!(samples::lines(sleeps, "tests/b.py", "def wait_until(x):\n    time.sleep(1)\n"), []);
    }
}
