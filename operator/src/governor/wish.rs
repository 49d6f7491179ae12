//! Who is to be master, by a person's word or because the master is about to go.

use protocol::InstanceName;
use register::State;

/// A person's word on an SshMaster: `INSTANCE@GENERATION`. It is about the master of that generation; once another
/// generation has begun, it says nothing any more.
pub const PROMOTE: &str = "hg-operator.dev/promote";

/// A person's word on an SshMaster with one volume for all: the master of this generation is off.
pub const FENCED: &str = "hg-operator.dev/fenced";

/// `leaves`: the master's pod is being deleted, or is to be replaced; `next` would take its place.
pub fn decide(state: &State, asked: Option<&str>, leaves: bool, next: Option<&InstanceName>) -> Option<InstanceName> {
    let said = asked.and_then(|asked| {
        let (instance, generation) = asked.split_once('@')?;
        let current = generation.parse() == Ok(state.generation.0);
        instance.parse::<InstanceName>().ok().filter(|_| current)
    });
    said.or_else(|| next.filter(|_| leaves).cloned())
}

#[cfg(test)]
mod tests {
    use protocol::Generation;

    use super::*;

    #[test]
    fn a_word_is_about_one_generation_and_a_leaving_master_gives_way_to_a_standby() {
        let name = |text: &str| text.parse::<InstanceName>().unwrap();
        let next = name("hg-ssh-1");
        let state = State { generation: Generation(7), master: Some(name("hg-ssh-0")), ..State::default() };
        assert_eq!(decide(&state, Some("hg-ssh-2@7"), false, Some(&next)), Some(name("hg-ssh-2")));
        for nothing in [None, Some("hg-ssh-2@6"), Some("hg-ssh-2"), Some("Not a name@7"), Some("")] {
            assert_eq!(decide(&state, nothing, false, Some(&next)), None, "{nothing:?}");
        }
        assert_eq!(decide(&state, None, true, Some(&next)), Some(name("hg-ssh-1")));
        assert_eq!(decide(&state, None, true, None), None);
    }
}
