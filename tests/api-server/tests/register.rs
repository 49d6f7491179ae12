//! The register as a Lease on a real API server, with the rights that an SSH instance's pod has.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use api_server::ApiServer;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client};
use protocol::{DiskId, Generation, InstanceName};
use register::{LeaseRegister, Register, State, TakeError, Version, Versioned, WriteError};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const USER: &str = "system:serviceaccount:default:main-ssh";

fn name(text: &str) -> InstanceName {
    text.parse().unwrap()
}

async fn create<K>(client: &Client, object: Value)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize,
{
    let object: K = serde_json::from_value(object).unwrap();
    Api::<K>::namespaced(client.clone(), "default").create(&PostParams::default(), &object).await.unwrap();
}

/// Prepares what the operator makes for an SshMaster `main`.
async fn prepare(admin: &Client) {
    let rule = json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["main"],
                      "verbs": ["get", "update"]});
    create::<Role>(admin, json!({"metadata": {"name": "main-ssh"}, "rules": [rule]})).await;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "main-ssh"});
    let subject = json!({"kind": "ServiceAccount", "name": "main-ssh", "namespace": "default"});
    create::<RoleBinding>(admin, json!({"metadata": {"name": "main-ssh"}, "roleRef": role, "subjects": [subject]}))
        .await;
}

async fn make_lease(admin: &Client) {
    let metadata = json!({
        "name": "main",
        "labels": {"app.kubernetes.io/instance": "main"},
        "annotations": {"hg-operator.dev/generation": "0", "hg-operator.dev/in-sync": "main-ssh-1"},
    });
    create::<Lease>(admin, json!({"metadata": metadata, "spec": {"holderIdentity": "main-ssh-0"}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_read_and_written_with_an_instances_rights() {
    let server = ApiServer::start();
    let admin = server.client().await;
    prepare(&admin).await;
    let register: Register = LeaseRegister::with(server.client_as(USER).await, "default", "main").into();
    let (master, disk): (_, DiskId) = (name("main-ssh-0"), "one".parse().unwrap());
    assert_eq!(granted(&register).await, None);
    let missing = register.take_generation(&master, &disk).await.unwrap_err();
    assert!(matches!(missing, TakeError::Write(WriteError::Missing(_))), "{missing}");
    make_lease(&admin).await;

    for generation in 1..=2 {
        let taken = register.take_generation(&master, &disk).await.unwrap();
        assert_eq!(taken.value.generation, Generation(generation));
        assert_eq!(register.read().await.unwrap(), Some(taken));
    }
    let refused = register.take_generation(&name("main-ssh-1"), &disk).await;
    assert!(matches!(refused, Err(TakeError::HeldBy { .. })), "{refused:?}");

    // As a promotion does: frozen, then given to another.
    let found = register.read().await.unwrap().unwrap();
    let frozen = found.value.frozen();
    let version = register.write(&found.version, frozen.clone()).await.unwrap();
    let late = register.write(&found.version, frozen.clone()).await.unwrap_err();
    assert!(matches!(late, WriteError::Conflict { .. }), "{late}");
    let promoted = frozen.naming(&name("main-ssh-1"));
    register.write(&version, promoted.clone()).await.unwrap();
    assert_eq!(register.read().await.unwrap().unwrap().value, promoted);
    let lease: Lease = Api::namespaced(admin, "default").get("main").await.unwrap();
    let annotations = lease.metadata.annotations.unwrap();
    assert_eq!(annotations["hg-operator.dev/previous-holder"], "main-ssh-0");
    assert_eq!(lease.metadata.labels.unwrap()["app.kubernetes.io/instance"], "main");

    let other: Register = LeaseRegister::with(server.client_as(USER).await, "default", "other").into();
    assert!(other.read().await.unwrap_err().to_string().contains("forbidden"), "only the one Lease is granted");

    of_many_writers_one_wins_each_version(&server).await;
}

/// Reads as soon as the API server has heard of the role.
async fn granted(register: &Register) -> Option<Versioned<State>> {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..300 {
        ticks.tick().await;
        match register.read().await {
            Err(error) if error.to_string().contains("forbidden") => {}
            other => return other.unwrap(),
        }
    }
    panic!("the role does not take effect");
}

async fn of_many_writers_one_wins_each_version(server: &ApiServer) {
    let mut writers = Vec::new();
    for n in 0..4 {
        let register: Register = LeaseRegister::with(server.client_as(USER).await, "default", "main").into();
        writers.push(tokio::spawn(async move {
            let mut won = Vec::new();
            for i in 0..20 {
                let at = register.read().await.unwrap().unwrap();
                // Another one each time: a write that changes nothing keeps the version.
                let state = State { generation: Generation(100 * n + i + 100), ..at.value };
                match register.write(&at.version, state).await {
                    Ok(Version::Lease(version)) => won.push(version),
                    Err(WriteError::Conflict { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            won
        }));
    }
    let (mut versions, mut won) = (BTreeSet::new(), 0);
    for writer in writers {
        let of_one = writer.await.unwrap();
        won += of_one.len();
        versions.extend(of_one);
    }
    assert_eq!(versions.len(), won, "{versions:?}");
    assert!(won >= 20);
}
