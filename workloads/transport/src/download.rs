//! Large answers, streamed.

use std::time::Duration;

use axum::body::Body;
use http::header::{CONTENT_RANGE, RANGE};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::json::successful;
use crate::{Client, ClientError, Target};

/// Between two pieces of the answer.
const STALL_SECONDS: u64 = 30;

impl Client {
    /// Writes what `path` answers, from byte `from` on, to `into`, and says how many bytes that were. Nothing is held
    /// but what HTTP/2's windows allow. Whoever wants to go on after an error asks again with a larger `from`. A
    /// `from` at the end of the file is answered by 416, which is success with no bytes.
    pub async fn download(
        &self,
        to: &Target,
        path: &str,
        from: u64,
        into: &mut (impl AsyncWrite + Unpin),
    ) -> Result<u64, ClientError> {
        let mut request = Request::builder().uri(path);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let wrong = |_| ClientError::Path { path: path.to_owned() };
        let request = request.body(Body::empty()).map_err(wrong)?;
        let response = stalled(to, self.request(to, request)).await??;
        if from > 0 && response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(0);
        }
        let response = successful(to, response).await?;
        if from > 0 && !starts_at(&response, from) {
            return Err(ClientError::WrongRange { to: to.clone(), from });
        }
        copy(to, response, into).await
    }
}

async fn copy(
    to: &Target,
    response: Response<Incoming>,
    into: &mut (impl AsyncWrite + Unpin),
) -> Result<u64, ClientError> {
    let store = |source| ClientError::Store { to: to.clone(), source };
    let mut body = response.into_body();
    let mut written = 0;
    while let Some(frame) = stalled(to, body.frame()).await? {
        let frame = frame.map_err(|source| ClientError::Broken { to: to.clone(), source })?;
        if let Ok(mut data) = frame.into_data() {
            written += data.len() as u64;
            into.write_all_buf(&mut data).await.map_err(store)?;
        }
    }
    // hyper takes a connection given up without an error for the body's end.
    if !body.is_end_stream() {
        return Err(ClientError::Truncated { to: to.clone(), written });
    }
    into.flush().await.map_err(store)?;
    Ok(written)
}

fn starts_at(response: &Response<Incoming>, from: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    response.status() == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {from}-")))
}

async fn stalled<T>(to: &Target, answer: impl Future<Output = T>) -> Result<T, ClientError> {
    let late = |_| ClientError::Deadline { to: to.clone(), seconds: STALL_SECONDS };
    timeout(Duration::from_secs(STALL_SECONDS), answer).await.map_err(late)
}
