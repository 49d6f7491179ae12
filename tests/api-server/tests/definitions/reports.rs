//! A status with every field set comes back as it was written: the schema knows all that the types know.

use crds::conditions::{self, ConditionType, Finding, Reason};
use crds::{
    HgRepository, HgRepositoryStatus, LastPush, LogStatus, MirrorPool, MirrorPoolStatus, PoolMirror, Promotion,
};
use crds::{SshMaster, SshMasterStatus, Urls};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, CustomResourceExt};
use serde_json::json;

use crate::mistakes::Kind;
use crate::{MANAGER, NAMESPACE, create};

const NAME: &str = "reported";

pub async fn every_field_of_a_status_is_kept(client: &Client) {
    for kind in [Kind::SshMaster, Kind::MirrorPool, Kind::HgRepository] {
        create(client, kind, kind.good(NAME), false).await.unwrap();
    }
    assert_eq!(reported::<SshMaster, _>(client, &master()).await.status, Some(master()));
    assert_eq!(reported::<MirrorPool, _>(client, &pool()).await.status, Some(pool()));
    assert_eq!(reported::<HgRepository, _>(client, &repository()).await.status, Some(repository()));
}

async fn reported<K, S>(client: &Client, status: &S) -> K
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope> + CustomResourceExt,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    S: serde::Serialize,
{
    let api: Api<K> = Api::namespaced(client.clone(), NAMESPACE);
    let api_version = K::api_resource().api_version;
    let whole = json!({ "apiVersion": api_version, "kind": K::kind(&()), "status": status });
    api.patch_status(NAME, &PatchParams::apply(MANAGER), &Patch::Apply(whole)).await.unwrap();
    api.get(NAME).await.unwrap()
}

fn time() -> Time {
    Time(Timestamp::from_second(1_700_000_000).unwrap())
}

fn ready() -> Vec<Condition> {
    let ready = Finding::new(ConditionType::Ready, true, Reason::AllReady, "All is well.");
    let suspended = Finding::new(ConditionType::Suspended, false, Reason::NotSuspended, "");
    conditions::conditions(&[], &[ready, suspended], Some(1), time().0)
}

fn master() -> SshMasterStatus {
    SshMasterStatus {
        observed_generation: Some(1),
        master: Some("hg-ssh-0".into()),
        standbys: vec!["hg-ssh-1".into()],
        generation: Some(3),
        log: Some(LogStatus { head: 40, start: Some(1), bytes: Some(1 << 40) }),
        last_promotion: Some(Promotion {
            at: time(),
            from: Some("hg-ssh-1".into()),
            to: "hg-ssh-0".into(),
            reason: Some("the master is gone".into()),
            fence_proof: Some("hg-ssh-1 is sealed".into()),
            seconds: Some(2),
        }),
        host_key_fingerprints: vec!["SHA256:x".into()],
        repositories: Some(2),
        mirrors: Some("2/2".into()),
        conditions: ready(),
    }
}

fn pool() -> MirrorPoolStatus {
    MirrorPoolStatus {
        observed_generation: Some(1),
        replicas: 2,
        ready_replicas: 1,
        active_replicas: 1,
        selector: Some("a=b".into()),
        published_offset: Some(40),
        max_lag_records: Some(2),
        max_lag_seconds: Some(1),
        mirrors: vec![PoolMirror {
            name: "web-mirror-0".into(),
            state: protocol::status::MirrorState::CatchingUp,
            offset: 38,
            lag: 2,
            quarantined: 1,
        }],
        conditions: ready(),
    }
}

fn repository() -> HgRepositoryStatus {
    HgRepositoryStatus {
        observed_generation: Some(1),
        tip: Some("0123456789abcdef0123456789abcdef01234567".into()),
        heads: Some(1),
        changesets: Some(5),
        last_push: Some(LastPush { id: 4, user: Some("me@example.org".into()), at: Some(time()) }),
        published_offset: Some(40),
        mirrors_in_sync: Some("2/2".into()),
        urls: Some(Urls { ssh: Some("ssh://h/a".into()), http: Some("https://h/a".into()) }),
        conditions: ready(),
    }
}
