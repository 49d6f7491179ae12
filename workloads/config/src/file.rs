//! Reading and writing the files.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A longer file is not read.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path}: the file has {bytes} bytes: {MAX_FILE_BYTES} are allowed")]
    Long { path: PathBuf, bytes: u64 },
    /// File, line (from 1), field, and what is allowed.
    #[error("{path}:{line}: {sentence}")]
    Wrong { path: PathBuf, line: usize, sentence: String },
}

/// Reads the file of one role, for instance `load::<SshRole>(path)`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, LoadError> {
    let failed = |source| LoadError::Io { path: path.to_owned(), source };
    let bytes = std::fs::metadata(path).map_err(failed)?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(LoadError::Long { path: path.to_owned(), bytes });
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    parse(&text).map_err(|(line, sentence)| LoadError::Wrong { path: path.to_owned(), line, sentence })
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, (usize, String)> {
    let mut from = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut from)
        .map_err(|error| (error.path().to_string(), error.into_inner()))
        .and_then(|read| from.end().map(|()| read).map_err(|error| (".".to_owned(), error)));
    read.map_err(|(field, error)| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let reason = error.to_string().replace(&place, "").replace('`', "'");
        let reason =
            reason.replace("invalid socket address syntax", "an address with port is allowed: 127.0.0.1:7000");
        let sentence = if field == "." { reason } else { format!("{field}: {reason}") };
        (error.line().max(1), sentence)
    })
}

/// The effective configuration, defaults included, as the file that would give it.
pub fn print<T: Serialize>(role: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(role).map(|text| text + "\n")
}

/// Writes the file of one role; a reader sees the old or the new one, never half.
pub fn save<T: Serialize>(path: &Path, role: &T) -> Result<(), io::Error> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, print(role)?)?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BalancerRole, MirrorRole, SshRole};

    const SSH: &str = r#"{
  "name": "ssh-0",
  "dataDirectory": "/data/ssh-0",
  "sshListen": "127.0.0.1:2222",
  "hostKeysDirectory": "/data/host-keys",
  "adminListen": "127.0.0.1:7000",
  "publicUrl": "http://localhost:8080",
  "peers": {"ssh-1": "127.0.0.1:7001"},
  "inSync": ["ssh-1"],
  "register": "/data/register.json",
  "python": "/usr/bin/python3",
  "directory": {"authorizedKeysFile": "/data/users", "groups": {"developers": ["*"]}},
  "tls": {"directory": "/data/tls/ssh-0"}
}"#;
    const MIRROR: &str = r#"{
  "name": "mirror-0",
  "dataDirectory": "/data/mirror-0",
  "httpListen": "127.0.0.1:8081",
  "advertisedUrl": "http://127.0.0.1:8081",
  "adminListen": "127.0.0.1:7010",
  "masters": {"ssh-0": "127.0.0.1:7000", "ssh-1": "127.0.0.1:7001"},
  "python": "/usr/bin/python3",
  "web": {"light": 8},
  "tls": {"directory": "/data/tls/mirror-0"}
}"#;

    #[test]
    fn defaults_are_filled_in_and_printed() {
        let ssh: SshRole = parse(SSH).unwrap();
        assert_eq!((ssh.lanes, ssh.mirrors.max_lag.records, ssh.log.retention.age_seconds), (4, 1000, 259_200));
        assert_eq!(parse::<SshRole>(&print(&ssh).unwrap()).unwrap(), ssh);
        assert!(print(&ssh).unwrap().contains("\"segmentBytes\": 67108864"));
        let mirror: MirrorRole = parse(MIRROR).unwrap();
        assert_eq!((mirror.web.light, mirror.web.heavy), (8, 2));
        assert_eq!(mirror.peer(), Some("127.0.0.1:7010".parse().unwrap()));
        let mut anywhere = MirrorRole { admin_listen: "0.0.0.0:7000".parse().unwrap(), ..mirror.clone() };
        assert_eq!(anywhere.peer(), None);
        anywhere.advertised_peer = Some("web-mirror-0.web.hg.svc:7000".parse().unwrap());
        assert_eq!(anywhere.peer(), anywhere.advertised_peer);
        assert_eq!(parse::<MirrorRole>(&print(&mirror).unwrap()).unwrap(), mirror);
    }

    #[test]
    fn an_instance_in_a_pod_is_configured() {
        let changes = [
            (r#""/data/register.json""#, r#"{"lease": {"namespace": "hg", "name": "main"}}"#),
            (r#"{"directory": "/data/tls/ssh-0"}"#, r#"{"directory": "/etc/hg-operator/tls", "name": "ssh-0"}"#),
            (
                r#""adminListen": "127.0.0.1:7000","#,
                r#""adminListen": "0.0.0.0:7000", "probeListen": "0.0.0.0:7001","#,
            ),
        ];
        let text = changes.iter().fold(SSH.to_owned(), |text, (before, after)| text.replace(before, after));
        let ssh: SshRole = parse(&text).unwrap();
        let lease = crate::LeaseName { namespace: "hg".into(), name: "main".into() };
        assert_eq!(ssh.register, crate::Register::Lease { lease });
        assert_eq!(ssh.tls.name, Some("ssh-0".parse().unwrap()));
        assert_eq!(ssh.probe_listen, Some("0.0.0.0:7001".parse().unwrap()));
        assert_eq!(parse::<SshRole>(&print(&ssh).unwrap()).unwrap(), ssh);
        assert_eq!(parse::<SshRole>(SSH).unwrap().register, crate::Register::File("/data/register.json".into()));
    }

    #[test]
    fn a_saved_file_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("balancer.json");
        let masters = [("ssh-0".parse().unwrap(), "127.0.0.1:7000".parse().unwrap())].into();
        let listen = "127.0.0.1:8080".parse().unwrap();
        let role = BalancerRole {
            listen,
            ssh: None,
            masters,
            tls: crate::Tls { directory: "/data/tls/balancer".into(), name: None },
        };
        save(&path, &role).unwrap();
        assert_eq!(load::<BalancerRole>(&path).unwrap(), role);
        assert!(load::<BalancerRole>(&directory.path().join("none")).is_err());
    }

    #[test]
    fn each_mistake_has_its_sentence() {
        let table = [
            (
                r#""sshListen""#,
                r#""sshLissen""#,
                "4: sshLissen: unknown field 'sshLissen', expected one of 'name', 'dataDirectory', 'shared', \
                 'sshListen', 'behindBalancer', 'hostKeysDirectory', 'adminListen', 'probeListen', 'publicUrl', \
                 'peers', 'inSync', 'register', 'python', 'siteHgrc', 'directory', 'mirrors', 'log', 'lanes', 'tls', \
                 'readOnlyReason'",
            ),
            (r#""127.0.0.1:2222""#, r#""localhost""#, "4: sshListen: an address with port is allowed: 127.0.0.1:7000"),
            (
                r#"["ssh-1"]"#,
                r#"["SSH 1"]"#,
                "9: inSync[0]: an instance name has 1 to 63 characters of a-z, 0-9 and '-', first and last not '-'",
            ),
            (
                r#"{"ssh-1": "127.0.0.1:7001"}"#,
                r#"{"ssh-1": "nowhere"}"#,
                "8: peers.ssh-1: 'nowhere' is not an address: host:port is allowed",
            ),
            (
                r#""tls": {"directory": "/data/tls/ssh-0"}"#,
                r#""lanes": 0, "tls": {"directory": "x"}"#,
                "13: lanes: 0 is out of range: 1 to 64 is allowed",
            ),
            (r#""tls": {"directory": "/data/tls/ssh-0"}"#, r#""lanes": 4"#, "14: missing field 'tls'"),
            (
                r#""tls": {"directory": "/data/tls/ssh-0"}"#,
                r#""tls": {"directory": 3}"#,
                "13: tls.directory: invalid type: integer '3', expected path string",
            ),
            (
                r#"{"developers": ["*"]}"#,
                r#"{"developers": "*"}"#,
                "12: directory.groups.developers: invalid type: string \"*\", expected a sequence",
            ),
            ("\n}", "\n}}", "14: trailing characters"),
            (
                r#""/data/register.json""#,
                r#"{"lease": {"namespace": "hg"}}"#,
                "10: register.lease: missing field 'name'",
            ),
            (
                r#""/data/register.json""#,
                r#"{"leese": {}}"#,
                "10: register.leese: unknown field 'leese', expected 'lease'",
            ),
            (
                r#""/data/register.json""#,
                "7",
                "10: register: invalid type: integer '7', expected a path, or {\"lease\": {\"namespace\", \"name\"}}",
            ),
        ];
        for (line, other, sentence) in table {
            assert_eq!(SSH.matches(line).count(), 1, "{line} is there once");
            let (at, said) = parse::<SshRole>(&SSH.replace(line, other)).unwrap_err();
            assert_eq!(format!("{at}: {said}"), sentence, "{other}");
        }
    }
}
