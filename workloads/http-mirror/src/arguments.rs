//! Arguments of a wire command, found where Mercurial finds them (`hg help internals.wireprotocolrpc`): in the query,
//! unless the body or the headers have an argument of that name. The first value counts.

use std::borrow::Cow;
use std::collections::HashMap;

use http::HeaderMap;

use crate::wire::Malformed;

/// hg numbers its argument headers from 1.
const MAX_ARGUMENT_HEADERS: usize = 1000;

pub(crate) struct Arguments(HashMap<String, String>);

impl Arguments {
    pub(crate) fn read(query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Arguments, Malformed> {
        let better = match posted(headers, body)? {
            Some(posted) => Cow::Borrowed(posted),
            None => Cow::Owned(in_headers(headers)),
        };
        let mut arguments = HashMap::new();
        for part in [&*better, query.as_bytes()] {
            for (name, value) in form_urlencoded::parse(part) {
                arguments.entry(name.into_owned()).or_insert_with(|| value.into_owned());
            }
        }
        Ok(Arguments(arguments))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }
}

fn posted<'b>(headers: &HeaderMap, body: &'b [u8]) -> Result<Option<&'b [u8]>, Malformed> {
    let Some(length) = headers.get("x-hgargs-post") else { return Ok(None) };
    let digits = length.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length: usize = digits.and_then(|text| text.parse().ok()).ok_or(Malformed::PostLength)?;
    if length == 0 {
        return Ok(None);
    }
    let posted = body.get(..length).ok_or(Malformed::PostLength)?;
    if posted.is_ascii() { Ok(Some(posted)) } else { Err(Malformed::PostBytes) }
}

fn in_headers(headers: &HeaderMap) -> Vec<u8> {
    let mut whole = Vec::new();
    for number in 1..=MAX_ARGUMENT_HEADERS {
        let Some(value) = headers.get(format!("x-hgarg-{number}")) else { break };
        whole.extend_from_slice(value.as_bytes());
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of_a(query: &str, headers: &[(&'static str, &str)], body: &[u8]) -> Result<String, Malformed> {
        let headers = headers.iter().map(|(n, v)| (http::HeaderName::from_static(n), v.parse().unwrap()));
        let headers: HeaderMap = headers.collect();
        Arguments::read(query, &headers, body).map(|arguments| arguments.get("a").to_owned())
    }

    #[test]
    fn the_body_goes_before_headers_and_these_before_the_query() {
        let is = |value: &str| Ok(value.to_owned());
        let header = ("x-hgarg-1", "a=header&a=later");
        assert_eq!(value_of_a("a=query&a=later", &[], b""), is("query"));
        assert_eq!(value_of_a("a=query", &[header], b"a=body"), is("header"));
        assert_eq!(value_of_a("a=query", &[header, ("x-hgargs-post", "6")], b"a=body&rest"), is("body"));
        // Headers do not count at all beside a body.
        assert_eq!(value_of_a("a=query", &[header, ("x-hgargs-post", "3")], b"b=1"), is("query"));
        assert_eq!(value_of_a("a=query", &[header, ("x-hgargs-post", "0")], b"a=body"), is("header"));
    }

    #[test]
    fn lengths_and_bytes_that_mercurial_cannot_read_are_refused() {
        for length in ["", "x", "-1", "7", "+3", "99999999999999999999999"] {
            let refused = value_of_a("", &[("x-hgargs-post", length)], b"a=body");
            assert_eq!(refused, Err(Malformed::PostLength), "{length}");
        }
        assert_eq!(value_of_a("", &[("x-hgargs-post", "3")], b"a=\xff"), Err(Malformed::PostBytes));
    }
}
