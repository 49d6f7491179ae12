//! What a promotion leaves in the Lease for people: whoever tells of it need not be who has made it.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;

const REASON: &str = "hg-operator.dev/promotion-reason";
const BEGUN: &str = "hg-operator.dev/promotion-begun";
const PROOF: &str = "hg-operator.dev/promotion-proof";
const NAMED: &str = "hg-operator.dev/promotion-named";

/// Which write of a promotion it is.
#[derive(Clone, Debug)]
pub enum Telling {
    /// The register is frozen, for this reason.
    Begun(String),
    /// Another master is named: this proves that the one before writes nothing more.
    Named(String),
}

impl Telling {
    pub(super) fn annotations(self, now: Timestamp) -> Vec<(String, String)> {
        let now = now.to_string();
        let told = match self {
            Telling::Begun(reason) => vec![(REASON, reason), (BEGUN, now), (PROOF, String::new())],
            Telling::Named(proof) => vec![(PROOF, proof), (NAMED, now)],
        };
        told.into_iter().map(|(name, text)| (name.to_owned(), text)).collect()
    }
}

/// Of the last promotion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub reason: Option<String>,
    /// None while nobody has been named.
    pub proof: Option<String>,
    /// From the freezing to the naming, begun seconds included; by the clocks of whoever wrote.
    pub seconds: Option<i64>,
}

/// What a Lease tells.
pub fn told(lease: &Lease) -> Told {
    let all = lease.metadata.annotations.as_ref();
    let text = |name: &str| all?.get(name).filter(|text| !text.is_empty()).cloned();
    let time = |name: &str| text(name)?.parse::<Timestamp>().ok();
    let proof = text(PROOF);
    let seconds = proof.as_ref().and_then(|_| {
        let taken = time(NAMED)?.as_second().saturating_sub(time(BEGUN)?.as_second());
        Some(taken.max(0).saturating_add(1))
    });
    Told { reason: text(REASON), proof, seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promotion_is_told_by_both_of_its_writes() {
        let mut lease = Lease::default();
        assert_eq!(told(&lease), Told::default());
        let mut write = |telling: Telling, second: i64| {
            let annotations = telling.annotations(Timestamp::from_second(second).unwrap());
            lease.metadata.annotations.get_or_insert_default().extend(annotations);
            told(&lease)
        };
        let reason = Some("the master is silent".to_owned());
        let begun = write(Telling::Begun("the master is silent".into()), 100);
        assert_eq!(begun, Told { reason: reason.clone(), proof: None, seconds: None });
        let named = write(Telling::Named("ssh-1 is sealed".into()), 102);
        let proof = Some("ssh-1 is sealed".to_owned());
        assert_eq!(named, Told { reason: reason.clone(), proof, seconds: Some(3) });
        // The next one shows nothing of the last one.
        let begun = write(Telling::Begun("the master is silent".into()), 200);
        assert_eq!(begun, Told { reason, proof: None, seconds: None });
    }
}
