//! The bodies of our answers, none of which is ever whole in memory unless we made it ourselves.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use mercurial::{WebBody, WebError};

#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error(transparent)]
    Worker(#[from] WebError),
    #[error("a peer's answer was cut: {0}")]
    Peer(#[from] hyper::Error),
}

pub(crate) enum FrontBody {
    Whole(Full<Bytes>),
    Worker(WebBody),
    Peer(Incoming),
}

impl FrontBody {
    pub(crate) fn whole(bytes: Bytes) -> FrontBody {
        FrontBody::Whole(Full::new(bytes))
    }
}

impl Body for FrontBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            FrontBody::Whole(body) => {
                Pin::new(body).poll_frame(context).map_err(|never: std::convert::Infallible| match never {})
            }
            FrontBody::Worker(body) => {
                Pin::new(body).poll_next(context).map(|part| Some(part?.map(Frame::data).map_err(Into::into)))
            }
            FrontBody::Peer(body) => Pin::new(body).poll_frame(context).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            FrontBody::Whole(body) => body.is_end_stream(),
            FrontBody::Worker(body) => body.is_ended(),
            FrontBody::Peer(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            FrontBody::Whole(body) => body.size_hint(),
            FrontBody::Worker(_) => SizeHint::default(),
            FrontBody::Peer(body) => body.size_hint(),
        }
    }
}
