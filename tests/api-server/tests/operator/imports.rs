//! Repositories that are filled from elsewhere, once.

use axum::Router;
use axum::routing::get;
use scenarios::Client;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::cluster::Cluster;
use crate::running::{status, writable};

/// From a mirror's own address and from a bundle; the repository `a` is there, and its clone is the client's.
pub async fn a_source_is_imported_once(cluster: &Cluster, client: &Client) {
    let (tip, count) = (client.tip("a"), changesets(cluster, "a").await);
    let bundle = client.folder.join("a.hg");
    block_in_place(|| client.hg("a", &["bundle", "--all", bundle.to_str().unwrap()]).ok());
    let files = serve(std::fs::read(&bundle).unwrap()).await;
    let sources = [
        ("from-server", json!({"url": format!("{}/a", client.http)})),
        ("from-bundle", json!({"bundleUrl": format!("{files}/a.hg")})),
    ];
    for (name, source) in sources {
        apply(cluster, name, source).await;
        cluster.wait_for_reason("HgRepository", name, "Imported", "ImportDone").await;
        let what = format!("the changesets of {name} are told");
        cluster
            .until(&what, async || {
                let found = status(cluster, "HgRepository", name).await;
                (found["tip"] == tip && changesets(cluster, name).await == count).then_some(())
            })
            .await;
        let found = block_in_place(|| client.remote_tip(&client.push_url(name)));
        assert_eq!(found.as_ref(), Ok(&tip), "{name}");
    }
}

pub async fn a_source_that_is_not_there_is_told(cluster: &Cluster) {
    apply(cluster, "from-nowhere", json!({"url": "http://127.0.0.1:9/a"})).await;
    let message = cluster.wait_for_reason("HgRepository", "from-nowhere", "Imported", "ImportFailed").await;
    assert!(message.contains("refused") && message.lines().count() == 1, "{message}");
    // What is empty serves all the same.
    cluster.wait_for_reason("HgRepository", "from-nowhere", "Ready", "AllReady").await;
}

async fn apply(cluster: &Cluster, name: &str, source: Value) {
    let mut spec = writable(name);
    spec["source"] = source;
    cluster.apply("HgRepository", name, spec).await;
}

async fn changesets(cluster: &Cluster, name: &str) -> Option<u64> {
    status(cluster, "HgRepository", name).await["changesets"].as_u64()
}

/// Until the runtime of the test ends.
async fn serve(bundle: Vec<u8>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/a.hg", get(async move || bundle.clone()));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}
