//! `kubectl hg status`.

use std::collections::BTreeMap;

use crds::{HgRepository, SshMaster, SshMasterStatus};
use k8s_openapi::jiff::Timestamp;
use kube::api::ListParams;
use kube::{Api, Client};
use register::{LeaseRegister, Register, State, Versioned};
use serde_json::json;

use crate::arguments::{CommandError, Format, Status, Which};

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

/// Also while there is no master, or no register: it is then that somebody looks.
pub async fn status(client: Client, options: &Status) -> Result<String, CommandError> {
    let (namespace, master) = master(&client, &options.which).await?;
    let register: Register = LeaseRegister::with(client.clone(), &namespace, &options.which.name).into();
    let register = match register.read().await {
        Ok(Some(read)) => Ok(read.value),
        Ok(None) => Err(format!("Lease {namespace}/{} is missing", options.which.name)),
        Err(error) => Err(error.to_string()),
    };
    let aside = quarantined(client, &namespace, &options.which.name).await?;
    let read_only = master.spec.read_only.map(|read_only| read_only.reason);
    print(register, master.status.unwrap_or_default(), read_only, &aside, Timestamp::now(), options.output)
}

/// The SshMaster's repositories that somebody has set aside, each with who.
async fn quarantined(client: Client, namespace: &str, master: &str) -> Result<Vec<(String, String)>, CommandError> {
    let repositories: Api<HgRepository> = Api::namespaced(client, namespace);
    let all = repositories.list(&ListParams::default()).await?;
    let ours = all.items.into_iter().filter(|repository| repository.spec.master_ref.name == master);
    let aside = ours.filter_map(|repository| {
        let conditions = repository.status?.conditions;
        let found = conditions.into_iter().find(|one| one.type_ == "Quarantined" && one.status == "True")?;
        Some((repository.spec.path.to_string(), found.message))
    });
    Ok(aside.collect())
}

/// Says what is waited for; None: a master takes pushes, as far as the operator can tell.
fn waits_for(register: &Result<State, String>, status: &SshMasterStatus, now: Timestamp) -> Option<String> {
    let said = |about: &str| {
        let condition = status.conditions.iter().find(|one| one.type_ == about && one.status != "True");
        condition.map(|one| if one.message.is_empty() { one.reason.clone() } else { one.message.clone() })
    };
    let blocked = || said("PromotionReady").map(|why| format!("; {why}")).unwrap_or_default();
    match register {
        Err(why) => Some(format!("the register cannot be read: {why}{}", blocked())),
        Ok(State { master: None, promotion, .. }) => {
            let begun = promotion.as_ref().map(|promotion| {
                let seconds = now.as_millisecond().saturating_sub_unsigned(promotion.begun).max(0) / 1000;
                format!(" for {seconds} s, because {}", promotion.reason)
            });
            Some(format!("a promotion is under way{}{}", begun.unwrap_or_default(), blocked()))
        }
        Ok(State { master: Some(_), .. }) => said("Available").map(|why| format!("{why}{}", blocked())),
    }
}

fn print(
    register: Result<State, String>,
    status: SshMasterStatus,
    read_only: Option<String>,
    quarantined: &[(String, String)],
    now: Timestamp,
    output: Format,
) -> Result<String, CommandError> {
    let waits_for = waits_for(&register, &status, now);
    let state = register.unwrap_or_default();
    if output == Format::Json {
        return Ok(serde_json::to_string(&json!({
            "master": state.master,
            "waitsFor": waits_for,
            "generation": state.generation,
            "inSync": state.in_sync,
            "lastPromotion": status.last_promotion,
            "mirrors": status.mirrors,
            "conditions": status.conditions,
            "readOnly": read_only,
            "quarantined": quarantined.iter().cloned().collect::<BTreeMap<_, _>>(),
        }))?);
    }
    let names = |names: Vec<&str>| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let master = state.master.as_ref().map_or("none".to_owned(), ToString::to_string);
    let master = waits_for.map_or(master.clone(), |why| format!("{master}: {why}"));
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
    if let Some(reason) = read_only {
        text += &format!("\nRead only:       {reason}");
    }
    for condition in &status.conditions {
        let message = if condition.message.is_empty() { &condition.reason } else { &condition.message };
        text += &format!("\n{:<20}{:<9}{message}", format!("{}:", condition.type_), condition.status);
    }
    for (path, message) in quarantined {
        text += &format!("\nIn quarantine:   {path}: {message}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use register::Promotion;
    use serde_json::Value;

    use super::*;

    fn status(conditions: Value) -> SshMasterStatus {
        serde_json::from_value(json!({"mirrors": "2/2", "conditions": conditions})).unwrap()
    }

    fn condition(about: &str, is: &str, message: &str) -> Value {
        json!({"type": about, "status": is, "reason": "Reason", "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn what_is_waited_for_is_told_beside_the_master() {
        let (now, moving) = (Timestamp::from_millisecond(10_500).unwrap(), || Some("moving".to_owned()));
        let aside = [("a/b".to_owned(), "set aside on web-mirror-0".to_owned())];
        let begun = Promotion { from: None, reason: "the master is silent".into(), begun: 6_000, made: None };
        let frozen = State { promotion: Some(Box::new(begun)), ..State::default() };
        let named = State { master: Some("hg-ssh-0".parse().unwrap()), ..State::default() };
        let blocked = condition("PromotionReady", "False", "nobody is in sync");
        let away = condition("Available", "False", "hg-ssh-0 is master and not ready");
        let well = [condition("Available", "True", ""), condition("PromotionReady", "True", "")];
        for (register, conditions, expected) in [
            (Ok(named.clone()), json!(well), "Master:          hg-ssh-0\n"),
            (
                Ok(named),
                json!([away, blocked]),
                "Master:          hg-ssh-0: hg-ssh-0 is master and not ready; nobody is",
            ),
            (Ok(frozen), json!([]), "Master:          none: a promotion is under way for 4 s, because the master is"),
            (
                Err("Lease code/hg is missing".to_owned()),
                json!([blocked]),
                "Master:          none: the register cannot be read: Lease code/hg is missing; nobody is in sync\n",
            ),
        ] {
            let text =
                print(register.clone(), status(conditions.clone()), moving(), &aside, now, Format::Table).unwrap();
            assert!(text.starts_with(expected), "{text}");
            assert!(text.contains("\nRead only:       moving\n"), "{text}");
            assert!(text.ends_with("\nIn quarantine:   a/b: set aside on web-mirror-0"), "{text}");
            let has_master = register.as_ref().is_ok_and(|state| state.master.is_some());
            let json: Value = serde_json::from_str(
                &print(register, status(conditions), moving(), &aside, now, Format::Json).unwrap(),
            )
            .unwrap();
            assert_eq!(json["master"].is_null(), !has_master, "{json}");
        }
    }
}
