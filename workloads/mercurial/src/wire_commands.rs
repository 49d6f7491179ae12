//! Wire commands of this Mercurial, with its extensions, and what they may do: Mercurial says it, not a list of ours.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// Pull: it only reads.
    Pull,
    #[serde(other)]
    Push,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct WireCommands(BTreeMap<String, Permission>);

impl WireCommands {
    /// None: Mercurial has no such command.
    pub fn permission(&self, command: &str) -> Option<Permission> {
        self.0.get(command).copied()
    }
}

impl<N: Into<String>> FromIterator<(N, Permission)> for WireCommands {
    fn from_iter<T: IntoIterator<Item = (N, Permission)>>(commands: T) -> WireCommands {
        WireCommands(commands.into_iter().map(|(name, permission)| (name.into(), permission)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_called_a_pull_may_write() {
        let commands: WireCommands =
            serde_json::from_str(r#"{"heads":"pull","unbundle":"push","odd":"admin"}"#).unwrap();
        let said = |name: &str| commands.permission(name);
        assert_eq!(said("heads"), Some(Permission::Pull));
        assert_eq!((said("unbundle"), said("odd")), (Some(Permission::Push), Some(Permission::Push)));
        assert_eq!(said("invented"), None);
    }
}
