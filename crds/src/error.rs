//! One sentence per mistake: file, line, field, and what is allowed.

use serde_saphyr::Error as Yaml;

/// Why a file of resources is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {sentence}")]
pub struct ParseError {
    pub file: String,
    /// From 1.
    pub line: u64,
    pub sentence: String,
}

/// Says in our words what the YAML reader says. `path` is the field that it was at, `.` at the top.
pub(crate) fn sentence(path: &str, error: &Yaml) -> String {
    let reason = reason(error.without_snippet(), path);
    // The reader names a field that it could not read `?`.
    match path.strip_suffix(".?").unwrap_or(path) {
        "." | "?" => reason,
        path => format!("{path}: {reason}"),
    }
}

fn reason(error: &Yaml, path: &str) -> String {
    match error {
        Yaml::SerdeUnknownField { field, expected, .. } if path.ends_with(field.as_str()) => {
            format!("no such field: {} is allowed here", either(expected))
        }
        Yaml::SerdeUnknownField { field, expected, .. } => {
            format!("no such field '{field}': {} is allowed here", either(expected))
        }
        Yaml::SerdeUnknownVariant { variant, expected, .. } => {
            format!("'{variant}' is not allowed: {} is", either(expected))
        }
        Yaml::SerdeMissingField { field, .. } => format!("the field '{field}' is missing"),
        Yaml::SerdeInvalidType { unexpected, expected, .. } | Yaml::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("{} is allowed here, not {unexpected}", plain(expected))
        }
        Yaml::InvalidScalar { ty, .. } => format!("{} is allowed here", plain(ty)),
        Yaml::Unexpected { expected, .. } => format!("{} is allowed here", plain(expected)),
        Yaml::InvalidBooleanStrict { .. } => "true or false is allowed here".to_owned(),
        Yaml::NullIntoString { .. } => "a text is allowed here, not nothing".to_owned(),
        Yaml::DuplicateMappingKey { key: Some(key), .. } => format!("the field '{key}' is there twice"),
        Yaml::Message { msg, .. } => msg.clone(),
        other => one_line(&other.to_string()),
    }
}

/// The reader's and serde's words for what they expect, in a user's.
fn plain(expected: &str) -> String {
    match expected {
        "u16" | "u32" | "u64" | "an unsigned integer" | "unsigned integer" => "a whole number".to_owned(),
        "bool" | "boolean" | "a boolean" => "true or false".to_owned(),
        "string" | "a string" | "string scalar" => "a text".to_owned(),
        "sequence" | "sequence start" | "a sequence" => "a list".to_owned(),
        "mapping" | "mapping start" | "a map" => "a group of fields".to_owned(),
        struct_name if struct_name.starts_with("struct ") => "a group of fields".to_owned(),
        other => other.to_owned(),
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn either(allowed: &[&str]) -> String {
    match allowed {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
