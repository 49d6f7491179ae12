//! Whether what is there already has everything that is wanted.

use serde_json::Value;
use sha2::{Digest, Sha256};

/// True: each wanted field has its wanted value in `observed`. Fields that only the observed object has are the API
/// server's defaults, or somebody else's.
pub fn contains(observed: &Value, wanted: &Value) -> bool {
    match (observed, wanted) {
        (Value::Object(observed), Value::Object(wanted)) => wanted.iter().all(|(name, wanted)| {
            // Empty lists and objects are left out by some serializers, kept by others.
            observed.get(name).map_or_else(|| is_empty(wanted), |observed| contains(observed, wanted))
        }),
        (Value::Array(observed), Value::Array(wanted)) => {
            observed.len() == wanted.len()
                && observed.iter().zip(wanted).all(|(observed, wanted)| contains(observed, wanted))
        }
        (observed, wanted) => observed == wanted,
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

/// Of everything that is wanted; `serde_json` writes objects in the order of their keys.
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
            assert!(contains(&observed, &same), "{same}");
        }
        for other in [json!({"a": 2}), json!({"e": []}), json!({"e": [{"f": 1}, {}]}), json!({"i": {"k": 1}})] {
            assert!(!contains(&observed, &other), "{other}");
        }
    }

    #[test]
    fn the_hash_does_not_depend_on_the_order_of_fields() {
        assert_eq!(hash(&json!({"a": 1, "b": 2})), hash(&json!({"b": 2, "a": 1})));
        assert_ne!(hash(&json!({"a": 1})), hash(&json!({"a": 2})));
    }
}
