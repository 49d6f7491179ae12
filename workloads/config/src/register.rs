//! Where the register is.

use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// A path, or `{"lease": {"namespace": "hg", "name": "main"}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Register {
    /// A file that all SSH instances of this machine share (all-in-one).
    File(PathBuf),
    /// A `coordination.k8s.io` Lease, in the cluster that this process runs in.
    Lease { lease: LeaseName },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LeaseName {
    pub namespace: String,
    pub name: String,
}

impl<'de> Deserialize<'de> for Register {
    /// Written out, because an untagged enum would not say which field is wrong.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Register, D::Error> {
        from.deserialize_any(Either)
    }
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Register;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path, or {\"lease\": {\"namespace\", \"name\"}}")
    }

    fn visit_str<E: Error>(self, path: &str) -> Result<Register, E> {
        Ok(Register::File(path.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Register, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Object {
            lease: LeaseName,
        }
        let Object { lease } = Object::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Register::Lease { lease })
    }
}
