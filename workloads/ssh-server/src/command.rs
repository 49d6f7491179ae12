//! Command that somebody asks for.

use protocol::{NameError, RepositoryPath};

use crate::words;

/// A longer command line is refused; a repository path has at most 512 bytes.
const MAX_COMMAND_BYTES: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Serve(RepositoryPath),
    /// `hg -R ... serve --stdio` with a name that no repository can have.
    BadName(NameError),
    /// `hg` with other arguments.
    OtherHg,
    /// Not `hg`, or nothing but `hg`.
    NotAllowed,
}

/// The argument list must be exactly the one that Mercurial's clients send.
pub fn parse(line: &[u8]) -> Command {
    let Some(line) = std::str::from_utf8(line).ok().filter(|line| line.len() <= MAX_COMMAND_BYTES) else {
        return Command::NotAllowed;
    };
    let Ok(words) = words::split(line) else {
        return if line.starts_with("hg ") { Command::OtherHg } else { Command::NotAllowed };
    };
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["hg", "-R", path, "serve", "--stdio"] => match RepositoryPath::from_client(path) {
            Ok(path) => Command::Serve(path),
            Err(error) => Command::BadName(error),
        },
        ["hg", _, ..] => Command::OtherHg,
        _ => Command::NotAllowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_command_is_served() {
        for (line, path) in [
            ("hg -R hello serve --stdio", "hello"),
            ("hg -R /projects/tools/ serve --stdio", "projects/tools"),
            ("hg -R 'a/b-c_d.e' serve --stdio", "a/b-c_d.e"),
        ] {
            assert_eq!(parse(line.as_bytes()), Command::Serve(path.parse().unwrap()), "{line}");
        }
        for line in [
            "hg serve --stdio",
            "hg -R hello serve --stdio --config a.b=c",
            "hg --config hooks.x=id -R hello serve --stdio",
            "hg -R hello serve --stdio; id",
            "hg -R hello serve --stdio | id",
            "hg -Rhello serve --stdio",
            "hg -R a b serve --stdio",
            "hg init hello",
            "hg -R hello serve --stdio\nid",
            "hg -R 'hello serve --stdio",
            "hg --version",
        ] {
            assert_eq!(parse(line.as_bytes()), Command::OtherHg, "{line}");
        }
        for name in
            ["$(id)", "`id`", "hello;id", "../x", "'path with'", "--debugger", "-R", "''", "a//b", ".hg", "x.hg"]
        {
            let line = format!("hg -R {name} serve --stdio");
            assert_eq!(parse(line.as_bytes()), Command::BadName(NameError::RepositoryPath), "{line}");
        }
        for line in
            ["", "hg", "id", "sh -c 'hg -R hello serve --stdio'", "hgx -R hello serve --stdio", "HG -R h serve"]
        {
            assert_eq!(parse(line.as_bytes()), Command::NotAllowed, "{line}");
        }
        assert_eq!(parse(b"hg -R \xff serve --stdio"), Command::NotAllowed);
        assert_eq!(parse(format!("hg -R {} serve --stdio", "a".repeat(5000)).as_bytes()), Command::NotAllowed);
    }
}
