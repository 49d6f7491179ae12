//! `kubectl hg status`.

use crds::SshMaster;
use kube::{Api, Client};
use register::{LeaseRegister, Register, State, Versioned};
use serde_json::json;

use crate::cli::{CommandError, Format, Status, Which};

/// An SshMaster and its register.
pub struct Found {
    pub namespace: String,
    pub master: SshMaster,
    pub register: Register,
    pub state: Versioned<State>,
}

pub async fn find(client: &Client, which: &Which) -> Result<Found, CommandError> {
    let (namespace, master) = master(client, which).await?;
    let register: Register = LeaseRegister::with(client.clone(), &namespace, &which.name).into();
    let no_register = || CommandError::NoRegister(format!("Lease {namespace}/{}", which.name));
    let state = register.read().await?.ok_or_else(no_register)?;
    Ok(Found { namespace, master, register, state })
}

/// With its namespace.
pub async fn master(client: &Client, which: &Which) -> Result<(String, SshMaster), CommandError> {
    let namespace = which.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let masters: Api<SshMaster> = Api::namespaced(client.clone(), &namespace);
    let missing = || CommandError::NoMaster { name: which.name.clone(), namespace: namespace.clone() };
    let master = masters.get_opt(&which.name).await?.ok_or_else(missing)?;
    Ok((namespace, master))
}

pub async fn status(client: Client, options: &Status) -> Result<String, CommandError> {
    let found = find(&client, &options.which).await?;
    let state = &found.state.value;
    let status = found.master.status.clone().unwrap_or_default();
    if options.output == Format::Json {
        return Ok(serde_json::to_string(&json!({
            "master": state.master,
            "generation": state.generation,
            "inSync": state.in_sync,
            "lastPromotion": status.last_promotion,
            "mirrors": status.mirrors,
            "conditions": status.conditions,
        }))?);
    }
    let names = |names: Vec<&str>| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let master = state.master.as_ref().map_or("none: a promotion is under way".to_owned(), ToString::to_string);
    let in_sync = names(state.in_sync.iter().map(|name| name.as_str()).collect());
    let last = status.last_promotion.map_or("-".to_owned(), |last| {
        let why = last.reason.map(|why| format!(": {why}")).unwrap_or_default();
        format!("{} to {}{why}", last.at.0, last.to)
    });
    let mut text = format!(
        "Master:          {master}\nGeneration:      {}\nIn sync:         {in_sync}\nMirrors:         {}\n\
         Last promotion:  {last}",
        state.generation,
        status.mirrors.as_deref().unwrap_or("-"),
    );
    for condition in &status.conditions {
        let message = if condition.message.is_empty() { &condition.reason } else { &condition.message };
        text += &format!("\n{:<20}{:<9}{message}", format!("{}:", condition.type_), condition.status);
    }
    Ok(text)
}
