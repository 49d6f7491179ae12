//! A kind that cannot be watched: it is told, nothing else waits for it, and it mends by itself.

use std::time::Duration;

use api_server::{ApiServer, Operator, Proxy};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use serde_json::json;

use crate::cluster::{Cluster, LIMIT};
use crate::{master, repository};

/// As long as the operator is patient, and some tries more.
const UNREADY_WITHIN: Duration = Duration::from_secs(120);
/// Between two tries.
const MENDED_WITHIN: Duration = Duration::from_secs(100);
const BROKEN: &str = "hg_operator_watch_errors_total{kind=\"HgRepository\"}";

#[tokio::test]
async fn a_kind_that_cannot_be_watched_is_told_and_stops_no_other() {
    let server = ApiServer::start();
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::new(server.client().await, "default");
    cluster.install().await;
    let proxy = Proxy::start(server.client().await, None).await;
    let kubeconfig = folder.path().join("kubeconfig.json");
    std::fs::write(&kubeconfig, proxy.kubeconfig()).unwrap();
    let operator = Operator::start_with(&kubeconfig, "one", folder.path(), &["--own-namespace", "default"]);
    operator.wait_until_acting(LIMIT).await;
    cluster.apply("HgRepository", "before", repository("before")).await;
    cluster.wait_for_reason("HgRepository", "before", "Ready", "MasterNotFound").await;
    assert_eq!(operator.metric(BROKEN).await, None);

    proxy.refuse(Some("hgrepositories"));
    cluster.until("it is counted", async || (operator.metric(BROKEN).await >= Some(1.0)).then_some(())).await;
    assert!(operator.is_ready().await, "a watch may break");
    let users = json!({"metadata": {"name": "developers"}, "stringData": {"authorized_keys": ""}});
    let users: Secret = serde_json::from_value(users).unwrap();
    cluster.api().create(&PostParams::default(), &users).await.unwrap();
    cluster.apply("SshMaster", "hg", master()).await;
    cluster.apply("MirrorPool", "web", json!({"masterRef": {"name": "hg"}})).await;
    cluster.wait_for::<StatefulSet>("web-mirror").await;
    cluster.apply("HgRepository", "meanwhile", repository("meanwhile")).await;
    cluster
        .until_within(UNREADY_WITHIN, "the operator is not ready", async || {
            (!operator.is_ready().await).then_some(()).ok_or_else(|| "it is".to_owned())
        })
        .await;
    let said = operator.readiness().await;
    assert_eq!(said, "not listed yet: ; cannot be watched: HgRepository\n");
    let more = json!({"masterRef": {"name": "hg"}, "replicas": 3});
    cluster.apply("MirrorPool", "web", more).await;
    cluster
        .until("other kinds are seen and acted for", async || {
            let set = cluster.api::<StatefulSet>().get("web-mirror").await.unwrap();
            (set.spec?.replicas == Some(3)).then_some(())
        })
        .await;
    assert!(cluster.condition("HgRepository", "meanwhile", "Ready").await.is_none());

    proxy.refuse(None);
    cluster
        .until_within(MENDED_WITHIN, "what came meanwhile is seen", async || {
            let seen = cluster.condition("HgRepository", "meanwhile", "Ready").await;
            seen.map(drop).ok_or_else(|| "it is not".to_owned())
        })
        .await;
    assert!(operator.is_ready().await, "{}", operator.readiness().await);
}
