//! First stage: whether a request can be read in one way only, and is one that mirrors take. Pure.

use http::request::Parts;
use http::{HeaderMap, Method};
use mercurial::{Permission, WireCommands};
use percent_encoding::percent_decode_str;

use crate::wire::{self, Malformed};

/// Head of a request, as far as its way depends on it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The wire command, if it asks for one, known or not.
    pub command: Option<String>,
    /// Decoded.
    pub path: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Method,
    Push,
}

impl Head {
    pub(crate) fn read(parts: &Parts) -> Result<Head, Malformed> {
        Head::of(parts.uri.path(), parts.uri.query().unwrap_or_default(), &parts.headers)
    }

    fn of(path: &str, query: &str, headers: &HeaderMap) -> Result<Head, Malformed> {
        wire::check_headers(headers)?;
        let command = wire::command(query)?.map(std::borrow::Cow::into_owned);
        Ok(Head { command, path: percent_decode_str(path).collect() })
    }

    /// Answers what the command may do; None: it is a page, or a command that nobody knows.
    pub(crate) fn admit(&self, method: &Method, commands: &WireCommands) -> Result<Option<Permission>, Refused> {
        if !matches!(*method, Method::GET | Method::HEAD | Method::POST) {
            return Err(Refused::Method);
        }
        match self.command.as_deref().and_then(|command| commands.permission(command)) {
            Some(Permission::Push) => Err(Refused::Push),
            permission => Ok(permission),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_in_one_way_and_may_only_read() {
        let commands: WireCommands =
            [("heads", Permission::Pull), ("unbundle", Permission::Push)].into_iter().collect();
        let head = |path: &str, query: &str| Head::of(path, query, &HeaderMap::new());
        for (method, query, admitted) in [
            (Method::GET, "", Ok(None)),
            (Method::HEAD, "cmd=heads", Ok(Some(Permission::Pull))),
            (Method::POST, "cmd=heads", Ok(Some(Permission::Pull))),
            (Method::GET, "cmd=rev&node=tip", Ok(None)),
            (Method::POST, "cmd=unbundle", Err(Refused::Push)),
            (Method::GET, "%63md=unbundle", Err(Refused::Push)),
            (Method::PUT, "cmd=unbundle", Err(Refused::Method)),
            (Method::DELETE, "", Err(Refused::Method)),
        ] {
            assert_eq!(head("/a", query).unwrap().admit(&method, &commands), admitted, "{method} {query}");
        }
        assert_eq!(head("/%61/b", "").unwrap().path, b"/a/b");
        assert_eq!(head("/a", "cmd=heads&cmd=unbundle"), Err(Malformed::Commands));
    }
}
