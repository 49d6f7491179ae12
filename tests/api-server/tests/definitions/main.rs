//! A real API server takes our definitions, takes what is right, and refuses what is wrong with the sentence that says
//! what would be right.

mod mistakes;
mod reports;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use api_server::ApiServer;
use http::Request;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};
use mistakes::{CHANGES, Kind, MISTAKES};
use serde_json::{Value, json};

const NAMESPACE: &str = "default";
const MANAGER: &str = "test";
/// A definition is served, and a new version of it followed, within seconds.
const SERVED_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_api_server_takes_the_definitions_and_refuses_each_mistake() {
    let server = ApiServer::start();
    let client = server.client().await;
    let definitions = crds::definitions().unwrap();
    install(&client, &definitions).await;
    quickstart(&client).await;
    scale(&client).await;
    reports::every_field_of_a_status_is_kept(&client).await;
    let said = each_mistake(&client).await;
    let rules: BTreeSet<String> = definitions.iter().flat_map(messages).collect();
    let unsaid: Vec<_> = rules.iter().filter(|rule| !said.iter().any(|said| said.contains(*rule))).collect();
    assert!(unsaid.is_empty(), "no row makes the API server say:\n{unsaid:#?}");
    without_rules_the_same_is_taken(&client, &definitions).await;
}

/// Applies the definitions and waits until they are served.
async fn install(client: &Client, definitions: &[CustomResourceDefinition]) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions {
        let name = definition.name_any();
        api.patch(&name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(definition)).await.unwrap();
        let start = Instant::now();
        loop {
            let found = api.get_status(&name).await.unwrap();
            let conditions = found.status.and_then(|status| status.conditions).unwrap_or_default();
            let holds = |type_: &str| conditions.iter().any(|c| c.type_ == type_ && c.status == "True");
            assert!(!holds("NonStructuralSchema"), "{name}: {conditions:?}");
            if holds("Established") {
                break;
            }
            assert!(start.elapsed() < SERVED_LIMIT, "{name} is not established: {conditions:?}");
            api_server::until_next_look().await;
        }
    }
}

/// Takes what newcomers start with as it stands, and fills defaults in.
async fn quickstart(client: &Client) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/quickstart.yaml");
    let read = crds::parse("quickstart.yaml", &std::fs::read_to_string(file).unwrap()).unwrap();
    let objects = read.masters.iter().map(json_of).chain(read.pools.iter().map(json_of));
    for object in objects.chain(read.repositories.iter().map(json_of)) {
        let kind = Kind::of(object["kind"].as_str().unwrap());
        create(client, kind, object, true).await.unwrap();
    }
    let mut master = Kind::SshMaster.good("defaults");
    master["spec"].as_object_mut().unwrap().remove("storage");
    let stored = create(client, Kind::SshMaster, master, true).await.unwrap();
    assert_eq!(stored.data["spec"]["storage"], json!({ "mode": "PerInstance", "size": "50Gi" }));
    assert_eq!(stored.data["spec"]["service"], json!({ "type": "ClusterIP", "port": 22 }));
    let typed: crds::SshMaster = serde_json::from_value(serde_json::to_value(stored).unwrap()).unwrap();
    assert_eq!(typed.spec.instances, 2);
}

/// Scales as `kubectl scale` does, and sees where it ends.
async fn scale(client: &Client) {
    create(client, Kind::MirrorPool, Kind::MirrorPool.good("scaled"), false).await.unwrap();
    let pools = api(client, Kind::MirrorPool);
    let to = |replicas: u32| Patch::Merge(json!({ "spec": { "replicas": replicas } }));
    pools.patch_scale("scaled", &PatchParams::default(), &to(4)).await.unwrap();
    assert_eq!(pools.get("scaled").await.unwrap().data["spec"]["replicas"], 4);
    let error = pools.patch_scale("scaled", &PatchParams::default(), &to(0)).await.unwrap_err();
    assert!(message(&error).contains("minActive is more than replicas"), "{error}");
}

fn json_of(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

/// Everything that the API server said.
async fn each_mistake(client: &Client) -> Vec<String> {
    let (mut said, mut wrong) = (Vec::new(), Vec::new());
    let mut judge = |row: &str, result: Result<DynamicObject, kube::Error>, sentence: &str| match result {
        Ok(_) => wrong.push(format!("{row}\n  is taken, not refused with: {sentence}")),
        Err(error) => {
            let message = message(&error);
            if !message.contains(sentence) {
                wrong.push(format!("{row}\n  said: {message}\n  not:  {sentence}"));
            }
            said.push(message);
        }
    };
    for (kind, patch, sentence) in MISTAKES {
        let object = patched(kind.good("bad"), patch);
        judge(patch, create(client, *kind, object, true).await, sentence);
    }
    for (number, (kind, before, change, sentence)) in CHANGES.iter().enumerate() {
        let name = format!("change-{number}");
        create(client, *kind, patched(kind.good(&name), before), false).await.unwrap();
        judge(change, merge(client, *kind, &name, change).await, sentence);
        // What changes nothing is taken.
        merge(client, *kind, &name, "{}").await.unwrap();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    said
}

/// A row is about its rule, and about nothing else: with every rule replaced by `true`, all of them are taken.
async fn without_rules_the_same_is_taken(client: &Client, definitions: &[CustomResourceDefinition]) {
    let rules: BTreeSet<String> = definitions.iter().flat_map(messages).collect();
    let lax: Vec<CustomResourceDefinition> = definitions
        .iter()
        .map(|definition| {
            let mut definition = serde_json::to_value(definition).unwrap();
            // One is told from another by its text.
            let mut number = 0;
            each_rule(&mut definition, &mut |rule| {
                number += 1;
                rule["rule"] = json!(format!("{number} == {number}"));
            });
            serde_json::from_value(definition).unwrap()
        })
        .collect();
    install(client, &lax).await;
    let is_rule = |sentence: &str| rules.iter().any(|rule| rule.contains(sentence) || sentence.contains(rule));
    let mut wrong = Vec::new();
    let start = Instant::now();
    for (kind, patch, _) in MISTAKES.iter().filter(|(_, _, sentence)| is_rule(sentence)) {
        let object = patched(kind.good("lax"), patch);
        let mut result = create(client, *kind, object.clone(), true).await;
        // The new version takes a moment to be followed.
        while result.is_err() && start.elapsed() < SERVED_LIMIT {
            api_server::until_next_look().await;
            result = create(client, *kind, object.clone(), true).await;
        }
        wrong
            .extend(result.err().map(|error| format!("{patch}\n  is refused without rules too: {}", message(&error))));
    }
    for (number, (kind, _, change, _)) in CHANGES.iter().enumerate() {
        let result = merge(client, *kind, &format!("change-{number}"), change).await;
        wrong.extend(
            result.err().map(|error| format!("{change}\n  is refused without rules too: {}", message(&error))),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn messages(definition: &CustomResourceDefinition) -> Vec<String> {
    let mut messages = Vec::new();
    let mut definition = serde_json::to_value(definition).unwrap();
    each_rule(&mut definition, &mut |rule| messages.push(rule["message"].as_str().unwrap().to_owned()));
    messages
}

fn each_rule(value: &mut Value, visit: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                match (key.as_str(), inner) {
                    ("x-kubernetes-validations", Value::Array(rules)) => rules.iter_mut().for_each(&mut *visit),
                    (_, inner) => each_rule(inner, visit),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_rule(item, visit)),
        _ => {}
    }
}

fn message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

fn patched(mut object: Value, patch: &str) -> Value {
    fn merge(into: &mut Value, from: Value) {
        let (Some(into), Value::Object(from)) = (into.as_object_mut(), from) else { return };
        for (key, value) in from {
            match into.get_mut(&key) {
                _ if value.is_null() => drop(into.remove(&key)),
                Some(inner) if inner.is_object() && value.is_object() => merge(inner, value),
                _ => drop(into.insert(key, value)),
            }
        }
    }
    merge(&mut object, serde_json::from_str(patch).unwrap_or_else(|error| panic!("{patch}: {error}")));
    object
}

fn api(client: &Client, kind: Kind) -> Api<DynamicObject> {
    let (kind, plural) = kind.names();
    let kind = GroupVersionKind::gvk("hg-operator.dev", "v1alpha1", kind);
    Api::namespaced_with(client.clone(), NAMESPACE, &ApiResource::from_gvk_with_plural(&kind, plural))
}

/// With strict validation, which kube's own `create` does not ask for.
async fn create(client: &Client, kind: Kind, object: Value, dry: bool) -> Result<DynamicObject, kube::Error> {
    let dry_run = if dry { "&dryRun=All" } else { "" };
    let resource = format!("/apis/hg-operator.dev/v1alpha1/namespaces/{NAMESPACE}/{}", kind.names().1);
    let request = Request::post(format!("{resource}?fieldManager={MANAGER}&fieldValidation=Strict{dry_run}"));
    let body = serde_json::to_vec(&object).unwrap();
    client.request(request.header("content-type", "application/json").body(body).unwrap()).await
}

async fn merge(client: &Client, kind: Kind, name: &str, change: &str) -> Result<DynamicObject, kube::Error> {
    let params =
        PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() }.dry_run();
    let change: Value = serde_json::from_str(change).unwrap_or_else(|error| panic!("{change}: {error}"));
    api(client, kind).patch(name, &params, &Patch::Merge(change)).await
}
