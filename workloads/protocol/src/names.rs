//! Names that come from outside, checked once at the edge.

use minicbor::{Decode, Decoder, Encode, Encoder};
use serde::{Deserialize, Serialize};

pub const MAX_PATH_BYTES: usize = 512;
pub const MAX_USER_BYTES: usize = 256;
pub const MAX_INSTANCE_BYTES: usize = 63;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The two lines are the reference's text (facts/hgmo.md, A14).
    #[error(
        "Only alpha-numeric characters, \".\", \"_\", and \"-\" are allowed in repository\nnames.  Additionally the \
         first character of repository names must be alpha-numeric."
    )]
    RepositoryPath,
    #[error("a user name has 1 to 256 printable characters, without space, quote, backslash or slash at its start")]
    UserName,
    #[error("an instance name has 1 to 63 characters of a-z, 0-9 and '-', first and last not '-'")]
    InstanceName,
    #[error("the id of a disk has 1 to 63 characters of a-z, 0-9 and '-', first and last not '-'")]
    DiskId,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path, $error:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                if $check(&text) { Ok($name(text)) } else { Err($error) }
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                text.to_owned().try_into()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<C> Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                to: &mut Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                to.str(&self.0)?.ok()
            }
        }

        impl<'b, C> Decode<'b, C> for $name {
            fn decode(from: &mut Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
                from.str()?.to_owned().try_into().map_err(minicbor::decode::Error::custom)
            }
        }
    };
}

name! {
    /// Where a repository is found below the host: one or more parts parted by `/` (rule: facts/hgmo.md, A14), without
    /// `/` at either end.
    RepositoryPath, is_repository_path, NameError::RepositoryPath
}

name! {
    /// The account a person or machine logs in with.
    UserName, is_user_name, NameError::UserName
}

name! {
    /// The name of one running instance, as a DNS label: `ssh-0`, `mirror-1`.
    InstanceName, is_instance_name, NameError::InstanceName
}

name! {
    /// Disk of an instance: the id of its data directory. Made with it (a UUID), so that an emptied one is told from
    /// the old one.
    DiskId, is_instance_name, NameError::DiskId
}

impl RepositoryPath {
    /// Accepts what clients send: one leading `/` and trailing ones are ignored, as the reference does.
    pub fn from_client(text: &str) -> Result<RepositoryPath, NameError> {
        let text = text.strip_prefix('/').unwrap_or(text);
        text.trim_end_matches('/').parse()
    }
}

fn is_repository_path(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_PATH_BYTES && text.split('/').all(is_path_part)
}

fn is_path_part(part: &str) -> bool {
    let mut bytes = part.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
        && !part.ends_with(".hg")
        && !part.ends_with(".git")
}

fn is_user_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_USER_BYTES
        && !text.starts_with(['/', '-'])
        && text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !matches!(c, '\\' | '"' | '\''))
}

fn is_instance_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_INSTANCE_BYTES
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_paths_follow_the_reference_rule() {
        for good in ["a", "mozilla-central", "integration/autoland", "users/a_b.c/x-1", "0/9"] {
            assert_eq!(good.parse::<RepositoryPath>().unwrap().as_str(), good);
        }
        for bad in ["", "/a", "a/", "a//b", "-a", ".a", "a/../b", "a/.hg", "x.hg", "x.git/y", "a b", "ä", "a\n", "a;b"]
        {
            assert_eq!(bad.parse::<RepositoryPath>(), Err(NameError::RepositoryPath), "{bad:?}");
        }
        assert!("a/".repeat(300).trim_end_matches('/').parse::<RepositoryPath>().is_err());
        assert_eq!(RepositoryPath::from_client("/a/b//").unwrap().as_str(), "a/b");
        assert!(RepositoryPath::from_client("//a").is_err());
    }

    #[test]
    fn user_and_instance_names_are_checked() {
        for good in ["me", "someone@example.com", "o'b".trim_matches('\''), "ä@x"] {
            let _ = good.parse::<UserName>();
        }
        assert!("someone@example.com".parse::<UserName>().is_ok());
        for bad in ["", "a b", "a\n", "-x", "/x", "a\\b", "a\"b", "a'b"] {
            assert!(bad.parse::<UserName>().is_err(), "{bad:?}");
        }
        assert!("mirror-0".parse::<InstanceName>().is_ok());
        for bad in ["", "-a", "a-", "A", "a.b", &"a".repeat(64)] {
            assert!(bad.parse::<InstanceName>().is_err(), "{bad:?}");
        }
    }
}
