//! Bad input of a person, or of a disk: one sentence each, which says what to do.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use scenarios::{Client, Installation, Options, hgd, mercurials, wait_for};

/// Ends by itself with exit code 1; its one line on stderr.
#[track_caller]
fn refused(command: &mut Command) -> String {
    let said = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(said.stderr).unwrap();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn all_in_one(data: &Path, resources: &Path) -> Command {
    let mut command = Command::new(hgd());
    command.arg("all-in-one").arg("--data-dir").arg(data).arg("-f").arg(resources);
    command.args(["--ssh", "127.0.0.1:0", "--http", "127.0.0.1:0"]).env("HOME", data);
    command
}

/// The example that everybody begins with.
fn quickstart() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/quickstart.yaml");
    std::fs::read_to_string(file).unwrap()
}

#[test]
fn malformed_resources_name_file_line_field_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("mine.yaml"));
    let good = quickstart();
    let line = |text: &str| 1 + good.lines().position(|line| line.contains(text)).unwrap();
    for (from, to, place, sentence) in [
        ("replicas: 2", "replicas: two", "replicas", "spec.replicas: a whole number is allowed here"),
        ("replicas: 2", "replica: 2", "replicas", "no such field"),
        ("kind: MirrorPool", "kind: MirrorPond", "kind: MirrorPool", "SshMaster, MirrorPool or HgRepository is"),
        ("path: ", "path: ../", "path: ", "spec.path: "),
    ] {
        std::fs::write(&file, good.replacen(from, to, 1)).unwrap();
        let said = refused(&mut all_in_one(&data, &file));
        assert!(said.starts_with(&format!("hgd: {}:{}: ", file.display(), line(place))), "{said}");
        assert!(said.contains(sentence), "{said}");
    }
    let absent = folder.path().join("absent.yaml");
    let said = refused(&mut all_in_one(&data, &absent));
    assert_eq!(said, format!("hgd: {}: No such file or directory (os error 2)\n", absent.display()));
}

#[test]
fn unknown_commands_and_options_are_explained() {
    for (arguments, words) in [
        (&["serve"][..], "unrecognized subcommand 'serve'"),
        (&["all-in-one", "--datadir", "x"], "unexpected argument '--datadir'"),
        (&["all-in-one"], "--data-dir <DIR>"),
        (&["log", "dump"], "<DIRECTORY>"),
    ] {
        let said = Command::new(hgd()).args(arguments).output().unwrap();
        let text = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(2), "{text}");
        assert!(text.contains(words) && text.contains("Usage: hgd"), "{text}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.yaml");
    std::fs::write(&file, quickstart()).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["ssh", "http"] {
        let mut command = Command::new(hgd());
        command.arg("all-in-one").arg("--data-dir").arg(folder.path().join("data")).arg("-f").arg(&file);
        let other = if option == "ssh" { "--http" } else { "--ssh" };
        command.args([&format!("--{option}"), &address, other, "127.0.0.1:0"]).env("HOME", folder.path());
        let said = refused(&mut command);
        let expected = format!("hgd: {address} is in use by another program");
        assert!(said.starts_with(&expected), "{said}");
        assert!(said.ends_with(&format!("stop it, or choose another with --{option}\n")), "{said}");
    }
}

#[test]
fn a_data_directory_of_a_newer_version_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("mine.yaml"));
    std::fs::write(&file, quickstart()).unwrap();
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("instance.json"), r#"{"version":7,"shape":"new"}"#).unwrap();
    let said = refused(&mut all_in_one(&data, &file));
    let data = data.canonicalize().unwrap();
    let expected = format!(
        "hgd: the data directory {} was written by a newer hgd (format 7, this one knows 1): start it with that hgd\n",
        data.display()
    );
    assert_eq!(said, expected);
    assert_eq!(std::fs::read_to_string(data.join("instance.json")).unwrap(), r#"{"version":7,"shape":"new"}"#);
}

/// No start goes better until somebody has changed it.
#[test]
fn a_file_of_a_person_that_cannot_be_ends_the_start() {
    let file_of = |path: &str, text: &str| {
        let (path, text) = (path.to_owned(), text.to_owned());
        Box::new(move |data: &Path| {
            let file = data.join(&path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, &text).unwrap();
        }) as Box<dyn Fn(&Path)>
    };
    let folder_at = |path: &str| {
        let path = path.to_owned();
        Box::new(move |data: &Path| std::fs::create_dir_all(data.join(&path)).unwrap()) as Box<dyn Fn(&Path)>
    };
    let passphrase = |data: &Path| {
        let key = data.join("host-keys/ssh_host_ed25519_key");
        std::fs::create_dir_all(key.parent().unwrap()).unwrap();
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-t", "ed25519", "-N", "secret", "-f"]).arg(key);
        assert!(command.status().unwrap().success());
    };
    let ed25519 = "host-keys/ssh_host_ed25519_key";
    let (lines, key) = ("# nobody\nssh-ed25519 AAAAnonsense tester\n", "-----BEGIN NONSENSE-----\n");
    for (mistake, words) in [
        (file_of("hgrc", "[extensions]\nlargefiles =\n"), &["largefiles"][..]),
        (file_of("secrets/developers/authorized_keys", lines), &["authorized_keys:2: "]),
        (file_of(ed25519, key), &["ssh_host_ed25519_key is not an OpenSSH private key"]),
        (folder_at(ed25519), &["ssh_host_ed25519_key cannot be used: Is a directory"]),
        (Box::new(passphrase), &["ssh_host_ed25519_key is not ", "it has a passphrase"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().join("data"), folder.path().join("mine.yaml"));
        std::fs::write(&file, quickstart()).unwrap();
        std::fs::create_dir(&data).unwrap();
        mistake(&data);
        let said = all_in_one(&data, &file).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(78), "{text}");
        let sentence = text.lines().last().unwrap();
        assert!(sentence.starts_with("hgd: ") && words.iter().all(|words| sentence.contains(words)), "{text}");
    }
}

#[test]
fn damage_on_disk_is_told_where_the_person_looks_and_mended_as_told() {
    let server = mercurials().remove(0);
    let mut installation = Installation::start(Options { mirrors: 1, ..Options::new(&server, &["hello"]) });
    let client = Client::new(&installation, &server, "developer");
    client.init("local");
    client.hg("local", &["push", &client.push_url("hello")]).ok();
    installation.settled();

    // Running: nobody else may use the directory.
    let said = refused(&mut installation.all_in_one());
    let data = installation.data().canonicalize().unwrap();
    assert!(said.contains(&format!("the data directory {} is in use by process ", data.display())), "{said}");
    assert!(said.contains(": stop it, or use another directory"), "{said}");

    // The second start begins a second segment, which closes the first one.
    installation.stop();
    installation.start_again();
    installation.stop();
    let log = data.join("ssh-0/log/replication");
    let segments = segments(&log);
    assert!(segments.len() >= 2, "{segments:?}");
    flip(&segments[0]);
    let said = sentence_of(&installation, "ssh-0");
    let expected = format!("hgd: ssh-0 cannot run and is tried again: {} is damaged ", segments[0].display());
    assert!(said.starts_with(&expected), "{said}");
    let advice = "stop all instances and replace the log's directory by a copy of the one of another SSH instance";
    assert!(said.contains(advice), "{said}");
    let verify = Command::new(hgd()).args(["log", "verify"]).arg(&log).output().unwrap();
    assert_eq!(verify.status.code(), Some(3));

    std::fs::remove_dir_all(&log).unwrap();
    let copied = Command::new("cp").arg("-r").arg(data.join("ssh-1/log/replication")).arg(&log).status().unwrap();
    assert!(copied.success());
    installation.start_again();
    client.commit("local", "file", "after the damage");
    client.hg("local", &["push", &client.push_url("hello")]).ok();
    client.is_on_every_mirror(&installation, "hello", "local");

    // A newer version's disk of one instance.
    installation.stop();
    let identity = data.join("mirror-0/instance.json");
    let before = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, r#"{"version":2}"#).unwrap();
    let said = sentence_of(&installation, "mirror-0");
    assert!(
        said.contains("was written by a newer hgd (format 2, this one knows 1): start it with that hgd"),
        "{said}"
    );
    std::fs::write(&identity, before).unwrap();
    installation.start_again();
    installation.settled();
}

fn segments(log: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = files.filter(|path| path.file_name().is_some_and(|name| name != "version")).collect();
    segments.sort();
    segments
}

/// One bit of a record in the middle of the file.
fn flip(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

/// Starts the supervisor, waits for what it says about this child, and stops it.
#[track_caller]
fn sentence_of(installation: &Installation, child: &str) -> String {
    let mut supervisor = installation.all_in_one().stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let stderr = BufReader::new(supervisor.stderr.take().unwrap());
    std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let wanted = format!("hgd: {child} ");
    let sentence = wait_for("the supervisor's sentence", || {
        told.try_iter().find(|line| line.starts_with(&wanted)).ok_or_else(|| "not yet".to_owned())
    });
    let pid = rustix::process::Pid::from_child(&supervisor);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    supervisor.wait().unwrap();
    sentence
}
