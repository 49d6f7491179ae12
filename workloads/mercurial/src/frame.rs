//! Frames of gate, worker and zygote connections: a length, a JSON object, and raw bytes when the object says so.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::codec::{Decoder, Encoder};

pub(crate) const MAX_OBJECT_BYTES: usize = 16 * 1024 * 1024;
/// Most that a peer may send us behind one object; web body chunks are at most 256 KiB.
pub(crate) const MAX_RECEIVED_BODY_BYTES: usize = 1024 * 1024;
/// Most that we may send behind one object: the arguments of a web request (`docs/protocols.md`, "Web requests").
pub(crate) const MAX_SENT_BODY_BYTES: usize = 16 * 1024 * 1024;
const LENGTH_BYTES: usize = 4;

#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// A JSON object.
    pub object: Bytes,
    pub body: Bytes,
}

impl Frame {
    /// The object must say `"body": n` itself when there is one.
    pub(crate) fn new(object: &impl Serialize, body: Bytes) -> io::Result<Frame> {
        Ok(Frame { object: serde_json::to_vec(object)?.into(), body })
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self) -> io::Result<T> {
        serde_json::from_slice(&self.object).map_err(|error| invalid(format!("a frame has another form: {error}")))
    }
}

/// Only the field that says how the frame goes on.
#[derive(serde::Deserialize)]
struct BodyLength {
    #[serde(default)]
    body: usize,
}

#[derive(Debug, Default)]
pub(crate) struct FrameCodec {
    /// Set while the object is here and its body is not yet.
    object: Option<(Bytes, usize)>,
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, from: &mut BytesMut) -> io::Result<Option<Frame>> {
        let (object, body) = match self.object.take() {
            Some(begun) => begun,
            None => {
                let Some(object) = take_object(from)? else { return Ok(None) };
                let length = body_length(&object)?;
                (object, length)
            }
        };
        if from.len() < body {
            from.reserve(body - from.len());
            self.object = Some((object, body));
            return Ok(None);
        }
        Ok(Some(Frame { object, body: from.split_to(body).freeze() }))
    }
}

fn take_object(from: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let Some(length) = from.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_OBJECT_BYTES {
        return Err(invalid(format!("a frame of {length} bytes is over the limit of {MAX_OBJECT_BYTES}")));
    }
    if from.len() < LENGTH_BYTES + length {
        from.reserve(LENGTH_BYTES + length - from.len());
        return Ok(None);
    }
    from.advance(LENGTH_BYTES);
    Ok(Some(from.split_to(length).freeze()))
}

fn body_length(object: &[u8]) -> io::Result<usize> {
    let parsed: BodyLength =
        serde_json::from_slice(object).map_err(|error| invalid(format!("a frame is not a JSON object: {error}")))?;
    if parsed.body > MAX_RECEIVED_BODY_BYTES {
        let limit = MAX_RECEIVED_BODY_BYTES;
        return Err(invalid(format!("a frame's body of {} bytes is over the limit of {limit}", parsed.body)));
    }
    Ok(parsed.body)
}

impl Encoder<Frame> for FrameCodec {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, to: &mut BytesMut) -> io::Result<()> {
        if frame.object.len() > MAX_OBJECT_BYTES || frame.body.len() > MAX_SENT_BODY_BYTES {
            return Err(invalid(format!(
                "a frame of {} and {} bytes is over the limits of {MAX_OBJECT_BYTES} and {MAX_SENT_BODY_BYTES}",
                frame.object.len(),
                frame.body.len()
            )));
        }
        to.reserve(LENGTH_BYTES + frame.object.len() + frame.body.len());
        // The cast cannot cut: the length was compared with 16 MiB above.
        to.put_u32(frame.object.len() as u32);
        to.put(frame.object);
        to.put(frame.body);
        Ok(())
    }
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let mut bytes = BytesMut::new();
        let first = Frame { object: Bytes::from_static(br#"{"body": 5,"x":1}"#), body: Bytes::from_static(b"hello") };
        let second = Frame { object: Bytes::from_static(b"{}"), body: Bytes::new() };
        FrameCodec::default().encode(first.clone(), &mut bytes).unwrap();
        FrameCodec::default().encode(second.clone(), &mut bytes).unwrap();
        for cut in 0..bytes.len() {
            let (mut codec, mut buffer, mut seen) = (FrameCodec::default(), BytesMut::new(), Vec::new());
            for part in [&bytes[..cut], &bytes[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen.len(), 2, "cut at {cut}");
            assert_eq!((&seen[0].object, &seen[0].body), (&first.object, &first.body));
            assert_eq!((&seen[1].object, &seen[1].body), (&second.object, &second.body));
        }
    }

    #[test]
    fn frames_over_the_limits_are_refused() {
        let mut long = BytesMut::from(&(MAX_OBJECT_BYTES as u32 + 1).to_be_bytes()[..]);
        assert!(FrameCodec::default().decode(&mut long).is_err());
        let object = format!("{{\"body\":{}}}", MAX_RECEIVED_BODY_BYTES + 1);
        let mut bytes = BytesMut::new();
        bytes.put_u32(object.len() as u32);
        bytes.put(object.as_bytes());
        assert!(FrameCodec::default().decode(&mut bytes).is_err());
    }
}
