//! The Helm chart, rendered by the real helm, as values that tests look at.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod manifest;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_owned()
}

/// The folder of `helm` and `kubectl`: `HGOP_KUBERNETES`, or what tests/kubernetes/build.sh has built, or builds now.
/// A test without them fails: skipping would say that the chart is fine.
fn programs() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("HGOP_KUBERNETES") {
        return Ok(folder.into());
    }
    let mut build = Command::new(root().join("tests/kubernetes/build.sh"));
    let folder = printed("build.sh", build.args(["helm", "testbed"]))?;
    Ok(folder.trim().into())
}

fn printed(name: &str, command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Runs a program, and answers what it prints, or its complaint.
pub fn run(name: &str, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(programs()?.join(name));
    printed(name, command.args(arguments).current_dir(root()))
}

/// The chart as `helm template` renders it, as a release of its own name in the namespace `hg-operator`.
pub fn render(arguments: &[&str]) -> Result<String, String> {
    let release = ["template", "hg-operator", "charts/hg-operator", "--namespace", "hg-operator"];
    run("helm", &[&release, arguments].concat())
}

/// Every object of a file of several YAML documents.
pub fn objects(text: &str) -> Result<Vec<Value>, String> {
    let mut objects = Vec::new();
    for document in text.split_inclusive('\n').collect::<Vec<_>>().split(|line| line.trim_end() == "---") {
        let document = document.concat();
        let object: Value = serde_saphyr::from_str(&document).map_err(|error| format!("{error} in:\n{document}"))?;
        if !object.is_null() {
            objects.push(object);
        }
    }
    Ok(objects)
}

/// The objects of one kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// `Kind namespace/name` of an object, `Kind name` of one without a namespace.
pub fn title(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = text(&object["metadata"]["name"]);
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{} {namespace}/{name}", text(&object["kind"])),
        None => format!("{} {name}", text(&object["kind"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_apart() {
        let found = objects("# nothing\n---\nkind: A\n---\nkind: B\nx: |\n  ---\n").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(of_kind(&found, "B")[0]["x"], "---\n");
        assert!(objects("a: 1\na: 2\n").is_err(), "a key that stands twice");
    }
}
