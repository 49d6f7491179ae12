//! Whether what is there already has everything that is wanted.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The path of a wanted field that does not have its wanted value, such as `.spec.ports[0].port`. Fields that only the
/// observed object has are the API server's defaults, or somebody else's.
pub fn difference(observed: &Value, wanted: &Value) -> Option<String> {
    let below = |step: String, path: String| step + &path;
    match (observed, wanted) {
        (Value::Object(observed), Value::Object(wanted)) => wanted.iter().find_map(|(name, wanted)| {
            let differs = match observed.get(name) {
                Some(observed) => difference(observed, wanted),
                // Empty lists and objects are left out by some serializers, kept by others.
                None => (!is_empty(wanted)).then(String::new),
            };
            differs.map(|path| below(format!(".{name}"), path))
        }),
        (Value::Array(observed), Value::Array(wanted)) if observed.len() == wanted.len() => {
            let each = observed.iter().zip(wanted).enumerate();
            each.filter_map(|(place, (observed, wanted))| {
                difference(observed, wanted).map(|path| below(format!("[{place}]"), path))
            })
            .next()
        }
        (observed, wanted) => (observed != wanted).then(String::new),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(is_empty),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Hashes everything that is wanted; `serde_json` writes objects in the order of their keys.
pub fn hash(wanted: &Value) -> String {
    let digest = Sha256::digest(wanted.to_string().as_bytes());
    digest.iter().take(10).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_and_foreign_fields_do_not_count_but_wanted_ones_do() {
        let observed = json!({"a": 1, "b": {"c": "x", "d": 2}, "e": [{"f": 1, "g": 2}], "h": {}});
        for same in [json!({}), json!({"a": 1}), json!({"b": {"c": "x"}, "e": [{"f": 1}]}), json!({"i": {}, "j": []})]
        {
            assert_eq!(difference(&observed, &same), None, "{same}");
        }
        for other in [json!({"a": 2}), json!({"e": []}), json!({"e": [{"f": 1}, {}]}), json!({"i": {"k": 1}})] {
            assert!(difference(&observed, &other).is_some(), "{other}");
        }
    }

    #[test]
    fn a_difference_is_named_by_its_path() {
        let observed = json!({"spec": {"ports": [{"port": 22, "name": "ssh"}], "type": "ClusterIP"}});
        let table = [
            (json!({"spec": {"type": "NodePort"}}), ".spec.type"),
            (json!({"spec": {"ports": [{"port": 23}]}}), ".spec.ports[0].port"),
            (json!({"spec": {"ports": []}}), ".spec.ports"),
            (json!({"spec": {"sessionAffinity": "ClientIP"}}), ".spec.sessionAffinity"),
        ];
        for (wanted, path) in table {
            assert_eq!(difference(&observed, &wanted).as_deref(), Some(path));
        }
        assert_eq!(difference(&observed, &json!({"spec": {"ports": [{"name": "ssh"}]}})), None);
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_fields() {
        assert_eq!(hash(&json!({"a": 1, "b": 2})), hash(&json!({"b": 2, "a": 1})));
        assert_ne!(hash(&json!({"a": 1})), hash(&json!({"a": 2})));
    }
}
