//! Objects of Kubernetes, by value: what SSH instances and mirrors have alike.

use std::sync::Arc;

pub mod access;
pub mod pod;
pub mod policies;
pub mod services;
pub mod words;

/// Maker: what objects have of the operator that makes them.
#[derive(Clone, Debug)]
pub struct Maker {
    /// The image of pods whose resource names none.
    pub image: Arc<str>,
    /// Where the operator itself is.
    pub namespace: Arc<str>,
}

impl Maker {
    pub fn new(image: &str, namespace: &str) -> Maker {
        Maker { image: image.into(), namespace: namespace.into() }
    }
}
