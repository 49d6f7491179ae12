//! `kubectl hg promote`: a person's word for the operator, as an annotation that is about one generation only.

use std::collections::BTreeSet;
use std::time::Duration;

use crds::{SshMaster, SshMasterSpec, StorageMode};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use protocol::InstanceName;
use register::State;
use serde_json::json;
use tokio::time::Instant;

use crate::arguments::{CommandError, Format, Promote};
use crate::status::{Found, find};

/// Annotation that the operator looks for, with `INSTANCE@GENERATION`.
const PROMOTE: &str = "hg-operator.dev/promote";
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

pub async fn promote(client: Client, options: &Promote) -> Result<String, CommandError> {
    let found = find(&client, &options.which).await?;
    let state = &found.state.value;
    let asked = options.instance.as_deref().map(str::parse::<InstanceName>).transpose()?;
    let nobody = || CommandError::Refused("no standby is in sync: wait until one has caught up".to_owned());
    let standbys = standbys(&options.which.name, &found.master.spec, state);
    let to = asked.or_else(|| standbys.first().cloned()).ok_or_else(nobody)?;
    if state.master.as_ref() == Some(&to) {
        return Ok(said(options.output, &to, state.generation.0));
    }
    if !standbys.contains(&to) {
        let names: Vec<&str> = standbys.iter().map(|name| name.as_str()).collect();
        let sentence = format!("{to} is not in the in-sync set, which is: {}", names.join(", "));
        return Err(CommandError::Refused(sentence));
    }
    let masters: Api<SshMaster> = Api::namespaced(client, &found.namespace);
    let word = format!("{to}@{}", state.generation);
    let patch = json!({"metadata": {"annotations": {PROMOTE: word}}});
    let parameters = PatchParams { field_manager: Some("kubectl-hg".to_owned()), ..PatchParams::default() };
    masters.patch(&options.which.name, &parameters, &Patch::Merge(&patch)).await?;
    wait(&found, &to, options.output).await
}

/// Lists who can be made master. With one volume for all that is every other instance, whose pods are named as the
/// operator names them.
fn standbys(name: &str, spec: &SshMasterSpec, state: &State) -> BTreeSet<InstanceName> {
    match spec.storage.mode {
        StorageMode::PerInstance => state.in_sync.clone(),
        StorageMode::Shared => {
            let pods = (0..spec.instances).filter_map(|ordinal| format!("{name}-ssh-{ordinal}").parse().ok());
            pods.filter(|pod| Some(pod) != state.master.as_ref()).collect()
        }
    }
}

/// Until the one that was named has begun its own generation.
async fn wait(found: &Found, to: &InstanceName, output: Format) -> Result<String, CommandError> {
    let asked_in = found.state.value.generation.0;
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        tokio::time::sleep(LOOK).await;
        if let Some(now) = found.register.read().await?
            && now.value.master.as_ref() == Some(to)
            // Frozen and named in the next one, opened in the one after it.
            && now.value.generation.0 >= asked_in + 2
        {
            return Ok(said(output, to, now.value.generation.0));
        }
    }
    let seconds = PATIENCE.as_secs();
    Err(CommandError::Refused(format!("{to} is not master after {seconds} s: see the events of the SshMaster")))
}

fn said(output: Format, to: &InstanceName, generation: u64) -> String {
    match output {
        Format::Json => json!({"master": to, "generation": generation}).to_string(),
        Format::Table => format!("{to} is master of generation {generation}"),
    }
}
