//! Asks whoever is master, without knowing who that is.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;
use transport::{Client, ClientError, Target};

use crate::NOT_THE_MASTER;

#[derive(Clone, Copy, Debug)]
pub enum Ask<'a> {
    Get(&'a str),
    Post(&'a str, &'a Value),
    Put(&'a str, &'a Value),
    Delete(&'a str),
}

#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody answered as master; a later try may find one. `said`: the most telling of the reasons.
    #[error("no SSH instance answers as master{}", said.as_ref().map(|said| format!(" ({said})")).unwrap_or_default())]
    NoMaster { said: Option<String> },
    /// The master's word: another try fares no better, but for 504, with which the outcome is unknown.
    #[error("the master refuses: {message}")]
    Refused { status: u16, message: String },
}

impl AskError {
    /// Answers whether it is the request that is wrong, as it is or at this time.
    pub fn is_of_the_request(&self) -> bool {
        matches!(self, AskError::Refused { status, .. } if (400..500).contains(status) && *status != 404)
    }

    /// Answers whether the master does not know what is asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, AskError::Refused { status: 404, .. })
    }
}

/// Asks one after the other, each for at most `patience`, and answers what the master says. An instance that is not
/// the master says so (503), fails (another 5xx), or has no such route (404 without a sentence). Whatever else is
/// answered is the master's, as 504 is: the outcome is unknown.
pub async fn ask<T: DeserializeOwned>(
    client: &Client,
    instances: &[Target],
    asked: Ask<'_>,
    patience: Duration,
) -> Result<T, AskError> {
    let mut said: Option<String> = None;
    for instance in instances {
        let error = match timeout(patience, one(client, instance, asked)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => {
                tracing::debug!(%instance, "no answer in time");
                said.get_or_insert_with(|| format!("{instance} does not answer"));
                continue;
            }
        };
        tracing::debug!(%instance, %error, "not the master's answer");
        match error {
            ClientError::Status { status, message, .. } if status.is_server_error() && status != 504 => {
                // A master that cannot now says more than those that are none.
                if message != NOT_THE_MASTER {
                    said = Some(message);
                }
            }
            ClientError::Status { status, message, .. } if status != 404 || !message.is_empty() => {
                return Err(AskError::Refused { status: status.as_u16(), message });
            }
            other => {
                said.get_or_insert_with(|| other.to_string());
            }
        }
    }
    Err(AskError::NoMaster { said })
}

async fn one<T: DeserializeOwned>(client: &Client, to: &Target, asked: Ask<'_>) -> Result<T, ClientError> {
    match asked {
        Ask::Get(path) => client.get_json(to, path).await,
        Ask::Post(path, body) => client.post_json(to, path, body).await,
        Ask::Put(path, body) => client.put_json(to, path, body).await,
        Ask::Delete(path) => {
            client.delete(to, path).await?;
            serde_json::from_value(Value::Null).map_err(|source| ClientError::Json { to: to.clone(), source })
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::get;
    use tokio::net::TcpListener;
    use transport::{Authority, CancellationToken, Identity};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Instances that answer so, in this order; None: nobody listens there.
    async fn asked(answers: &[Option<(u16, &'static str)>]) -> Result<u32, AskError> {
        transport::install_crypto_provider();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(folder.path()).unwrap();
        let identity = |name: &str| {
            let own = folder.path().join(name);
            authority.issue(&name.parse().unwrap(), &[], &own).unwrap();
            Identity::open(&own).unwrap()
        };
        let stop = CancellationToken::new();
        let mut targets = Vec::new();
        for (number, answer) in answers.iter().copied().enumerate() {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let name = format!("ssh-{number}");
            targets.push(Target::new(name.parse().unwrap(), listener.local_addr().unwrap().to_string()));
            let Some((status, text)) = answer else { continue };
            let answer = move || async move { (StatusCode::from_u16(status).unwrap(), text) };
            let router = Router::new().route("/v1/number", get(answer));
            tokio::spawn(transport::serve(listener, identity(&name), router, stop.clone()));
        }
        let client = Client::new(identity("asker"));
        let answer = ask(&client, &targets, Ask::Get("/v1/number"), PATIENCE).await;
        stop.cancel();
        answer
    }

    #[tokio::test]
    async fn the_masters_word_counts_whoever_else_is_asked() {
        let standby = Some((503, NOT_THE_MASTER));
        let older = Some((404, ""));
        assert_eq!(asked(&[standby, older, None, Some((200, "7"))]).await.unwrap(), 7);
        for (answers, sentence, of_the_request) in [
            (vec![Some((409, "it exists")), standby], "the master refuses: it exists", true),
            (vec![standby, Some((409, "it exists"))], "the master refuses: it exists", true),
            (vec![Some((404, "there is none")), standby], "the master refuses: there is none", false),
            (vec![Some((504, "not final yet")), standby], "the master refuses: not final yet", false),
            (vec![Some((503, "it drains")), standby], "no SSH instance answers as master (it drains)", false),
            (vec![standby, Some((503, "it drains"))], "no SSH instance answers as master (it drains)", false),
            (vec![Some((500, "broken")), standby], "no SSH instance answers as master (broken)", false),
            (vec![standby, standby], "no SSH instance answers as master", false),
        ] {
            let error = asked(&answers).await.unwrap_err();
            assert_eq!((error.to_string().as_str(), error.is_of_the_request()), (sentence, of_the_request));
        }
        let nobody = asked(&[standby, None]).await.unwrap_err().to_string();
        assert!(nobody.starts_with("no SSH instance answers as master (cannot connect to ssh-1 at"), "{nobody}");
    }
}
