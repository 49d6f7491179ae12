//! Texts that people read when they do not get what they asked for: the reference's (facts/hgmo.md, A10 to A14),
//! without its mention of LDAP where the directory is none.

use std::collections::BTreeSet;

use protocol::{NameError, RepositoryPath, UserName};

fn greeting(user: &UserName) -> String {
    format!(
        "A SSH connection has been successfully established.\n\n\
         Your account ({user}) has privileges to access Mercurial over\nSSH.\n\n"
    )
}

pub(crate) fn no_command(user: &UserName, groups: &BTreeSet<String>) -> String {
    let groups = match groups.is_empty() {
        true => "You are NOT a member of any groups that govern source control access.".to_owned(),
        false => {
            let names: Vec<&str> = groups.iter().map(String::as_str).collect();
            format!(
                "You are a member of the following groups that govern source control access:\n\n   {}",
                names.join(", ")
            )
        }
    };
    format!(
        "{}{groups}\n\n\
         You did not specify a command to run on the server. This server only\n\
         supports running specific commands. Since there is nothing to do, you\n\
         are being disconnected.\n",
        greeting(user)
    )
}

pub(crate) fn not_allowed(user: &UserName) -> String {
    format!("{}The command you specified is not allowed on this server.\n\nGoodbye.\n", greeting(user))
}

pub(crate) fn other_hg() -> String {
    "invalid `hg` command executed; can only run serve --stdio\n".to_owned()
}

pub(crate) fn bad_name(error: &NameError) -> String {
    format!("{error}\n")
}

pub(crate) fn does_not_exist(path: &RepositoryPath) -> String {
    format!("requested repo {path} does not exist")
}

pub(crate) fn too_many(user: &UserName, limit: usize) -> String {
    format!("{user} runs {limit} commands already, which is all that one account may; try again when one has ended\n")
}

/// Said in SSH_MSG_DISCONNECT.
pub(crate) const TOO_MANY_CONNECTIONS: &str = "too many connections run commands; try again when some have ended";

pub(crate) fn no_longer(user: &UserName) -> String {
    format!("the account {user} may no longer log in with this key\n")
}

pub(crate) fn revoked(user: &UserName) -> String {
    format!("{user} may not read this repository any more: the session is ended\n")
}

pub(crate) fn stopping() -> String {
    "this server is being stopped or moved; try again in a moment\n".to_owned()
}

pub(crate) fn broken_off() -> String {
    "hg ended unexpectedly on the server; if this was a push, it may have been recorded: push again,\n\
     and `no changes found` says that it was\n"
        .to_owned()
}
