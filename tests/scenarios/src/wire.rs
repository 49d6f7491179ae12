//! A pusher that speaks Mercurial's SSH protocol itself (`hg help internals.wireprotocol`): a push costs no start of
//! hg.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Client;

/// A push that has no answer after so many seconds is given up.
const ALONE_SECONDS: &str = "2";

pub struct WirePusher {
    client: Client,
    /// Control socket of the connection that all its sessions share.
    control: Option<PathBuf>,
}

impl WirePusher {
    /// All its sessions share one connection; `name` tells pushers of one client apart.
    pub fn new(client: &Client, name: &str) -> WirePusher {
        WirePusher { client: client.clone(), control: Some(client.folder.join(format!("{name}.ssh"))) }
    }

    /// Each push has a connection of its own, and gives up when there is no answer.
    pub fn alone(client: &Client) -> WirePusher {
        WirePusher { client: client.clone(), control: None }
    }

    /// Pushes what `hg bundle --type none-v1` wrote.
    pub fn push(&self, path: &str, bundle: &[u8]) -> Result<(), String> {
        let mut session = self.session(path);
        let mut input = session.stdin.take().unwrap();
        let mut output = BufReader::new(session.stdout.take().unwrap());
        let spoken = speak(&mut input, &mut output, bundle);
        drop(input);
        let mut said = String::new();
        session.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        session.wait().unwrap();
        match spoken {
            Ok(result) if result != b"0" => Ok(()),
            other => Err(format!("{path}: {other:?}: {said}")),
        }
    }

    fn session(&self, path: &str) -> Child {
        let mut command = match &self.control {
            Some(control) => {
                let persists = "ControlPersist=30".to_owned();
                self.client.ssh_with(&["ControlMaster=auto".to_owned(), path_of(control), persists])
            }
            None => {
                let ssh = self.client.ssh_with(&[]);
                let mut command = Command::new("timeout");
                command.arg(ALONE_SECONDS).arg(ssh.get_program()).args(ssh.get_args());
                command
            }
        };
        command.arg(format!("hg -R {path} serve --stdio"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

fn path_of(control: &Path) -> String {
    format!("ControlPath={}", control.display())
}

impl Drop for WirePusher {
    fn drop(&mut self) {
        let Some(control) = &self.control else { return };
        let mut command = self.client.ssh_with(&["ControlMaster=no".to_owned(), path_of(control)]);
        let _not_connected = command.args(["-O", "exit"]).stderr(Stdio::null()).status();
    }
}

/// Answers the integer that says what the push did to the heads; 0 is a failure.
fn speak(input: &mut impl Write, output: &mut impl BufRead, bundle: &[u8]) -> std::io::Result<Vec<u8>> {
    // "force" as the known heads: whatever was pushed meanwhile.
    let heads = "force".bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    write!(input, "hello\nunbundle\nheads {}\n{heads}", heads.len())?;
    input.flush()?;
    let _capabilities = answer(output)?;
    let ready = answer(output)?;
    if !ready.is_empty() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&ready).into_owned()));
    }
    writeln!(input, "{}", bundle.len())?;
    input.write_all(bundle)?;
    input.write_all(b"0\n")?;
    input.flush()?;
    let refused = answer(output)?;
    if !refused.is_empty() {
        return Err(std::io::Error::other(String::from_utf8_lossy(&refused).into_owned()));
    }
    answer(output)
}

fn answer(output: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut length = String::new();
    output.read_line(&mut length)?;
    let length: usize = length.trim().parse().map_err(|_| std::io::Error::other(format!("no answer: {length:?}")))?;
    let mut bytes = vec![0; length];
    output.read_exact(&mut bytes)?;
    Ok(bytes)
}
