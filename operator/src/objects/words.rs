//! The names of annotations and labels that people give: rules for the keys of a map would cost the API server more
//! than it allows, and it would refuse the objects that are made of them without naming the field.

use std::collections::BTreeMap;

use crds::Pods;
use crds::conditions::Reason;

use crate::problem::Problem;

const MAX_PREFIX_BYTES: usize = 253;
const MAX_WORD_BYTES: usize = 63;
const KEY: &str = "letters, digits, '-', '_' and '.' are allowed, 1 to 63 characters with a letter or digit first \
                   and last, after a domain and '/' if need be";
const VALUE: &str = "letters, digits, '-', '_' and '.' are allowed, at most 63 characters with a letter or digit \
                     first and last";

/// The first that is wrong.
pub fn validate(pods: &Pods<'_>, service_annotations: &BTreeMap<String, String>) -> Result<(), Problem> {
    keys("spec.podAnnotations", pods.pod_annotations)?;
    keys("spec.service.annotations", service_annotations)?;
    keys("spec.nodeSelector", pods.node_selector)?;
    match pods.node_selector.iter().find(|(_, value)| !value.is_empty() && !is_word(value)) {
        None => Ok(()),
        Some((key, value)) => Err(wrong(&format!("spec.nodeSelector.{key}"), value, VALUE)),
    }
}

fn keys(field: &str, map: &BTreeMap<String, String>) -> Result<(), Problem> {
    match map.keys().find(|key| !is_key(key)) {
        None => Ok(()),
        Some(key) => Err(wrong(field, key, KEY)),
    }
}

fn wrong(field: &str, text: &str, allowed: &str) -> Problem {
    let shown: String = text.chars().take(MAX_WORD_BYTES).filter(|c| !c.is_control()).collect();
    Problem::user(Reason::SpecInvalid, format!("{field}: '{shown}' is not allowed: {allowed}"))
}

/// A qualified name, as Kubernetes calls it.
fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_word(key),
        Some((prefix, word)) => is_domain(prefix) && is_word(word),
    }
}

fn is_domain(text: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| is_edged(label.as_bytes(), edge, b"-");
    text.len() <= MAX_PREFIX_BYTES && text.split('.').all(is_label)
}

fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD_BYTES && is_edged(text.as_bytes(), u8::is_ascii_alphanumeric, b"-_.")
}

fn is_edged(bytes: &[u8], edge: impl Fn(&u8) -> bool, inner: &[u8]) -> bool {
    let ends = bytes.first().zip(bytes.last());
    ends.is_some_and(|(first, last)| edge(first) && edge(last))
        && bytes.iter().all(|byte| edge(byte) || inner.contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kubernetes_takes() {
        let long = "a".repeat(64);
        for good in ["a", "A.b_c-1", "example.org/a", "x-1.example.org/B_2", &long[1..]] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "a b", "-a", "a-", "é", "a/", "/a", "A.org/a", "a..b/c", "a/b/c", &long, "a\n"] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
