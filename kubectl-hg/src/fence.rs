//! `kubectl hg fence`: a person's word that the master of one generation is off, as an annotation for the operator.

use crds::{SshMaster, StorageMode};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use protocol::{Generation, InstanceName};
use register::State;
use serde_json::json;

use crate::arguments::{CommandError, Fence, Format};
use crate::status::{find, master};

/// Annotation that the operator looks for, with the generation.
const FENCED: &str = "hg-operator.dev/fenced";
const NOT_CONFIRMED: &str = "nothing was done: the register is missing; with --confirm, instances that do not answer \
                             or are empty would be taken for lost, and whichever of the others holds most would be \
                             master";

pub async fn fence(client: Client, options: &Fence) -> Result<String, CommandError> {
    let name = &options.which.name;
    let (namespace, master, generation) = match find(&client, &options.which).await {
        Ok(found) => {
            let decided = decide(name, found.master.spec.storage.mode, &found.state.value, options.confirm);
            let (master, generation) = decided.map_err(CommandError::Refused)?;
            (found.namespace, Some(master), generation)
        }
        Err(CommandError::NoRegister(_)) => {
            if !options.confirm {
                return Err(CommandError::Refused(NOT_CONFIRMED.to_owned()));
            }
            let (namespace, found) = master(&client, &options.which).await?;
            let told = found.status.and_then(|status| status.generation).unwrap_or_default();
            (namespace, None, Generation(told.try_into().unwrap_or_default()))
        }
        Err(other) => return Err(other),
    };
    let masters: Api<SshMaster> = Api::namespaced(client, &namespace);
    let patch = json!({"metadata": {"annotations": {FENCED: generation.to_string()}}});
    let parameters = PatchParams { field_manager: Some("kubectl-hg".to_owned()), ..PatchParams::default() };
    masters.patch(name, &parameters, &Patch::Merge(&patch)).await?;
    Ok(match options.output {
        Format::Json => json!({"master": master, "generation": generation, "confirmed": true}).to_string(),
        Format::Table => match master {
            Some(master) => format!(
                "{master}, master of generation {generation}, is taken for off as soon as its lease has run out"
            ),
            None => "the register is made again by what those hold that answer".to_owned(),
        },
    })
}

/// Decides who is fenced, as master of which generation; or why nobody is.
fn decide(name: &str, mode: StorageMode, state: &State, confirm: bool) -> Result<(InstanceName, Generation), String> {
    if mode == StorageMode::PerInstance {
        return Err(format!(
            "each instance of {name} has its own volume (storage.mode: PerInstance): a lost master is replaced \
             without anybody's word, because a standby of the in-sync set is sealed first"
        ));
    }
    let Some((master, generation)) = state.to_fence() else {
        return Err("there has been no master yet".to_owned());
    };
    if !confirm {
        return Err(format!(
            "nothing was done: with --confirm {master}, master of generation {generation}, would be taken for off, \
             and another instance would open the volume; make sure first that its pod or its node is off"
        ));
    }
    Ok((master, generation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_fenced_by_mistake() {
        let master: InstanceName = "hg-ssh-0".parse().unwrap();
        let state = State { generation: Generation(7), master: Some(master.clone()), ..State::default() };
        assert_eq!(decide("hg", StorageMode::Shared, &state, true), Ok((master.clone(), Generation(7))));
        let refused = |mode, state: &State, confirm| decide("hg", mode, state, confirm).unwrap_err();
        assert!(refused(StorageMode::Shared, &state, false).starts_with("nothing was done: with --confirm hg-ssh-0"));
        assert!(refused(StorageMode::PerInstance, &state, true).contains("has its own volume"));
        // A master that hung after the register was frozen: the word is about the generation that it was master of.
        assert_eq!(decide("hg", StorageMode::Shared, &state.frozen(), true), Ok((master, Generation(7))));
        assert!(refused(StorageMode::Shared, &State::default(), true).contains("there has been no master yet"));
    }
}
