//! Wishes about who is to be master, by a person's word or because the master is about to go.

use protocol::InstanceName;
use register::State;

/// A person's word on an SshMaster: `INSTANCE@GENERATION`. It is about the master of that generation, and about the
/// frozen register that follows; once another master is named, it says nothing any more.
pub const PROMOTE: &str = "hg-operator.dev/promote";

/// A person's word on an SshMaster: the master of this generation is off (with one volume for all); and while the
/// register is missing, so is whoever does not answer.
pub const FENCED: &str = "hg-operator.dev/fenced";

/// `leaves`: the master's pod is being deleted, or is to be replaced; the first that is `ready` would take its place.
pub fn decide(state: &State, asked: Option<&str>, leaves: bool, ready: &[InstanceName]) -> Option<InstanceName> {
    let since = u64::from(state.master.is_none());
    let said = asked.and_then(|asked| {
        let (instance, generation) = asked.split_once('@')?;
        let generation: u64 = generation.parse().ok()?;
        let current = [generation, generation.saturating_add(since)].contains(&state.generation.0);
        instance.parse::<InstanceName>().ok().filter(|_| current)
    });
    // A word that nobody can follow keeps no master from leaving in order.
    let next = ready.first().filter(|_| leaves);
    said.filter(|said| next.is_none() || ready.contains(said)).or_else(|| next.cloned())
}

#[cfg(test)]
mod tests {
    use protocol::Generation;

    use super::*;

    #[test]
    fn a_word_is_about_one_generation_and_a_leaving_master_gives_way_to_a_standby() {
        let name = |text: &str| text.parse::<InstanceName>().unwrap();
        let next = [name("hg-ssh-1")];
        let state = State { generation: Generation(7), master: Some(name("hg-ssh-0")), ..State::default() };
        assert_eq!(decide(&state, Some("hg-ssh-2@7"), false, &next), Some(name("hg-ssh-2")));
        for nothing in [None, Some("hg-ssh-2@6"), Some("hg-ssh-2"), Some("Not a name@7"), Some("")] {
            assert_eq!(decide(&state, nothing, false, &next), None, "{nothing:?}");
        }
        assert_eq!(decide(&state, None, true, &next), Some(name("hg-ssh-1")));
        assert_eq!(decide(&state, None, true, &[]), None);
    }

    #[test]
    fn a_word_holds_until_another_master_is_named() {
        let name = |text: &str| text.parse::<InstanceName>().unwrap();
        let ready = [name("hg-ssh-1"), name("hg-ssh-2")];
        let state = State { generation: Generation(7), master: Some(name("hg-ssh-0")), ..State::default() };
        let frozen = state.frozen();
        let word = Some("hg-ssh-2@7");
        assert_eq!(decide(&frozen, word, false, &ready), Some(name("hg-ssh-2")));
        assert_eq!(decide(&frozen.frozen(), word, false, &ready), None, "another promotion's");
        assert_eq!(decide(&frozen.naming(&name("hg-ssh-1")), word, false, &ready), None);
    }

    #[test]
    fn a_word_that_nobody_can_follow_does_not_keep_a_master_from_leaving() {
        let name = |text: &str| text.parse::<InstanceName>().unwrap();
        let state = State { generation: Generation(7), master: Some(name("hg-ssh-0")), ..State::default() };
        let word = Some("hg-ssh-2@7");
        let there = [name("hg-ssh-1")];
        assert_eq!(decide(&state, word, true, &there), Some(name("hg-ssh-1")));
        let both = [name("hg-ssh-1"), name("hg-ssh-2")];
        assert_eq!(decide(&state, word, true, &both), Some(name("hg-ssh-2")));
        assert_eq!(decide(&state, word, true, &[]), Some(name("hg-ssh-2")), "nobody else is there either");
    }
}
