//! Reasons of conditions and events: a closed list, and each of it is said somewhere.

use std::path::Path;

use crds::conditions::Reason;
use crds::events::EventReason;

#[test]
fn every_reason_is_said_somewhere() {
    let mut code = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut code);
    let conditions = Reason::ALL.iter().map(|reason| format!("Reason::{reason}"));
    let events = EventReason::ALL.iter().map(|reason| format!("EventReason::{}", reason.as_str()));
    let idle: Vec<String> = conditions.chain(events).filter(|name| !is_named(&code, name)).collect();
    assert!(idle.is_empty(), "nothing says {idle:#?}");
}

/// Not as the beginning of a longer name, nor as the end of one.
fn is_named(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    })
}

/// Without tests.
fn read(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            read(&path, code);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            let text = std::fs::read_to_string(&path).unwrap();
            code.push_str(text.split("#[cfg(test)]\nmod tests {").next().unwrap());
        }
    }
}
