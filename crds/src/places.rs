//! Where the fields of a document stand, for what is found wrong only after the document was read.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// The fields of a document, each with its line.
#[derive(Default)]
pub(crate) struct Places {
    children: BTreeMap<String, Spanned<Places>>,
}

impl Places {
    pub(crate) fn of(document: &str) -> Places {
        serde_saphyr::from_str(document).unwrap_or_default()
    }

    /// The line of a field such as `spec.masterRef.name`, or of the nearest one around it that is there.
    pub(crate) fn line(&self, field: &str) -> u64 {
        let mut line = 1;
        let mut at = self;
        for part in field.split('.') {
            let Some(child) = at.children.get(part) else { break };
            line = child.referenced.line();
            at = &child.value;
        }
        line
    }
}

impl<'de> Deserialize<'de> for Places {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Collect)
    }
}

struct Collect;

/// Scalars have no children.
macro_rules! leaf {
    ($($visit:ident: $type:ty),*) => {$(
        fn $visit<E>(self, _: $type) -> Result<Places, E> {
            Ok(Places::default())
        }
    )*};
}

impl<'de> Visitor<'de> for Collect {
    type Value = Places;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("anything")
    }

    leaf!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Places, E> {
        Ok(Places::default())
    }

    fn visit_none<E>(self) -> Result<Places, E> {
        Ok(Places::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Places, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Places::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Places, A::Error> {
        let mut children = BTreeMap::new();
        while let Some((name, place)) = fields.next_entry::<String, Spanned<Places>>()? {
            children.insert(name, place);
        }
        Ok(Places { children })
    }
}
