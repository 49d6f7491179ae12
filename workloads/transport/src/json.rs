//! Requests and answers that are one JSON value each.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::{Client, ClientError, Target};

/// Longer answers are refused. The registry of 10,000 repositories needs about 4 MiB.
pub const MAX_JSON_BYTES: usize = 64 * 1024 * 1024;
/// For the whole exchange.
const DEADLINE_SECONDS: u64 = 30;
/// Most of a refusal's text that becomes part of the error.
const MAX_MESSAGE_CHARACTERS: usize = 500;
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

impl Client {
    pub async fn get_json<T: DeserializeOwned>(&self, to: &Target, path: &str) -> Result<T, ClientError> {
        let answer = self.exchange(to, Method::GET, path, Body::empty()).await?;
        decode(to, &answer)
    }

    pub async fn post_json<T: DeserializeOwned>(
        &self,
        to: &Target,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, ClientError> {
        let answer = self.exchange(to, Method::POST, path, encode(to, value)?).await?;
        decode(to, &answer)
    }

    pub async fn put_json<T: DeserializeOwned>(
        &self,
        to: &Target,
        path: &str,
        value: &impl Serialize,
    ) -> Result<T, ClientError> {
        let answer = self.exchange(to, Method::PUT, path, encode(to, value)?).await?;
        decode(to, &answer)
    }

    pub async fn delete(&self, to: &Target, path: &str) -> Result<(), ClientError> {
        self.exchange(to, Method::DELETE, path, Body::empty()).await.map(drop)
    }

    async fn exchange(&self, to: &Target, method: Method, path: &str, body: Body) -> Result<Bytes, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|_| ClientError::Path { path: path.to_owned() })?;
        let whole = async {
            let response = successful(to, self.request(to, request).await?).await?;
            collect(to, response, MAX_JSON_BYTES).await
        };
        let late = |_| ClientError::Deadline { to: to.clone(), seconds: DEADLINE_SECONDS };
        timeout(Duration::from_secs(DEADLINE_SECONDS), whole).await.map_err(late)?
    }
}

/// The response, if its status is a success; else the error with what the peer says about it.
pub(crate) async fn successful(to: &Target, response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = collect(to, response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
    let message = String::from_utf8_lossy(&text).trim().chars().take(MAX_MESSAGE_CHARACTERS).collect();
    Err(ClientError::Status { to: to.clone(), status, message })
}

async fn collect(to: &Target, response: Response<Incoming>, limit: usize) -> Result<Bytes, ClientError> {
    match Limited::new(response.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ClientError::TooLong { to: to.clone(), limit }),
        Err(error) => match error.downcast::<hyper::Error>() {
            Ok(source) => Err(ClientError::Broken { to: to.clone(), source: *source }),
            Err(_) => Err(ClientError::Status {
                to: to.clone(),
                status: StatusCode::BAD_GATEWAY,
                message: "the answer could not be read".to_owned(),
            }),
        },
    }
}

fn encode(to: &Target, value: &impl Serialize) -> Result<Body, ClientError> {
    let bytes = serde_json::to_vec(value).map_err(|source| ClientError::Json { to: to.clone(), source })?;
    Ok(Body::from(bytes))
}

/// An empty answer reads as `null`, so that `()` can be asked for.
fn decode<T: DeserializeOwned>(to: &Target, bytes: &[u8]) -> Result<T, ClientError> {
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|source| ClientError::Json { to: to.clone(), source })
}
