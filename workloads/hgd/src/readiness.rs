//! Whether this instance should be sent requests, in one sentence.

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    Ready,
    /// The sentence says why and what would change it.
    NotReady(String),
}

impl Readiness {
    pub fn is_ready(&self) -> bool {
        matches!(self, Readiness::Ready)
    }

    pub fn sentence(&self) -> &str {
        match self {
            Readiness::Ready => "ready",
            Readiness::NotReady(why) => why,
        }
    }
}
