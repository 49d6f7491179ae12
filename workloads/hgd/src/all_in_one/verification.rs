//! Whether all copies of every repository are equal, by content hash.

use futures::StreamExt;
use protocol::status::Status;
use protocol::{CreationId, RepositoryPath};
use serde::{Deserialize, Serialize};
use transport::{Client, Target};

#[derive(Debug, Serialize, Deserialize)]
pub struct Verification {
    pub equal: bool,
    pub repositories: Vec<RepositoryVerification>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RepositoryVerification {
    pub path: RepositoryPath,
    pub equal: bool,
    pub copies: Vec<Copy>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Copy {
    pub instance: String,
    pub hashes: Option<serde_json::Value>,
    pub error: Option<String>,
}

/// Repositories that are compared at once.
const AT_ONCE: usize = 8;

/// Asks every holder of each repository. While pushes go on, copies may differ by what is on its way.
pub async fn verify(client: &Client, holders: &[Target], ids: &[(RepositoryPath, CreationId)]) -> Verification {
    let compared = ids.iter().cloned().map(|(path, id)| compare(client, holders, path, id));
    let repositories: Vec<_> = futures::stream::iter(compared).buffered(AT_ONCE).collect().await;
    Verification { equal: repositories.iter().all(|repository| repository.equal), repositories }
}

async fn compare(client: &Client, holders: &[Target], path: RepositoryPath, id: CreationId) -> RepositoryVerification {
    let url = format!("/v1/repositories/{id}/hash");
    let copies = holders.iter().map(async |holder| {
        let instance = holder.name.to_string();
        match client.get_json::<serde_json::Value>(holder, &url).await {
            Ok(hashes) => Copy { instance, hashes: Some(hashes), error: None },
            Err(error) => Copy { instance, hashes: None, error: Some(error.to_string()) },
        }
    });
    let copies = futures::future::join_all(copies).await;
    let equal = copies.iter().all(|copy| copy.hashes.is_some() && copy.hashes == copies[0].hashes);
    RepositoryVerification { path, equal, copies }
}

/// The public repositories of a status, which all instances and mirrors have.
pub fn ids(status: &Status, snapshot: &protocol::Registry) -> Vec<(RepositoryPath, CreationId)> {
    let known = status.repositories.iter().filter_map(|r| snapshot.by_path(&r.path));
    known.filter(|r| r.is_public()).map(|r| (r.path.clone(), r.id)).collect()
}
