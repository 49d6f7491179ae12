//! Whether all copies of every repository are equal, by content hash.

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

/// Asks every holder of each repository. While pushes go on, copies may differ by what is on its way.
pub async fn verify(client: &Client, holders: &[Target], ids: &[(RepositoryPath, CreationId)]) -> Verification {
    let mut repositories = Vec::new();
    for (path, id) in ids {
        let mut copies = Vec::new();
        for holder in holders {
            let answer = client.get_json::<serde_json::Value>(holder, &format!("/v1/repositories/{id}/hash")).await;
            let (hashes, error) = match answer {
                Ok(hashes) => (Some(hashes), None),
                Err(error) => (None, Some(error.to_string())),
            };
            copies.push(Copy { instance: holder.name.to_string(), hashes, error });
        }
        let equal = copies.iter().all(|copy| copy.hashes.is_some() && copy.hashes == copies[0].hashes);
        repositories.push(RepositoryVerification { path: path.clone(), equal, copies });
    }
    Verification { equal: repositories.iter().all(|repository| repository.equal), repositories }
}

/// The public repositories of a status, which all instances and mirrors have.
pub fn ids(status: &Status, snapshot: &protocol::Registry) -> Vec<(RepositoryPath, CreationId)> {
    let known = status.repositories.iter().filter_map(|r| snapshot.by_path(&r.path));
    known.filter(|r| r.is_public()).map(|r| (r.path.clone(), r.id)).collect()
}
