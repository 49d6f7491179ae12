//! `kubectl hg promote`: a person's word for the operator, as an annotation that is about one generation only.

use std::time::Duration;

use crds::SshMaster;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use protocol::InstanceName;
use serde_json::json;
use tokio::time::Instant;

use crate::cli::{CommandError, Format, Promote};
use crate::status::{Found, find};

/// What the operator looks for, with `INSTANCE@GENERATION`.
const PROMOTE: &str = "hg-operator.dev/promote";
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

pub async fn promote(client: Client, options: &Promote) -> Result<String, CommandError> {
    let found = find(&client, &options.which).await?;
    let state = &found.state.value;
    let asked = options.instance.as_deref().map(str::parse::<InstanceName>).transpose()?;
    let nobody = || CommandError::Refused("no standby is in sync: wait until one has caught up".to_owned());
    let to = asked.or_else(|| state.in_sync.first().cloned()).ok_or_else(nobody)?;
    if state.master.as_ref() == Some(&to) {
        return Ok(said(options.output, &to, state.generation.0));
    }
    if !state.in_sync.contains(&to) {
        let names: Vec<&str> = state.in_sync.iter().map(|name| name.as_str()).collect();
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
