//! An empty repository is filled from another server, or from a bundle.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::{Child, Command, Stdio};

use scenarios::{Client, Installation, Mercurial, Options, RegistryClient, mercurials, settings, wait_for};
use serde_json::{Value, json};

/// Something that serves over HTTP, killed in the end.
struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        self.0.wait().unwrap();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn listening(mut command: Command, port: u16) -> Server {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let server = Server(child, format!("http://127.0.0.1:{port}"));
    wait_for("the source", || std::net::TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string()));
    server
}

fn hg_serve(client: &Client, repository: &str) -> Server {
    let port = free_port();
    let number = port.to_string();
    listening(client.command(repository, &["serve", "--address", "127.0.0.1", "--port", &number]), port)
}

fn files(client: &Client) -> Server {
    let port = free_port();
    let mut command = Command::new("python3");
    command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(&client.folder);
    listening(command, port)
}

fn newest() -> Mercurial {
    mercurials().pop().unwrap()
}

/// Waits for the end of an import: its state and message.
fn ended(registry: &RegistryClient, path: &str) -> (String, String) {
    wait_for("the end of the import", || {
        let import: Value = registry.ask(&format!("/v1/registry/{path}/import")).map_err(|error| error.to_string())?;
        match import["state"].as_str().unwrap() {
            "Running" => Err(import.to_string()),
            state => Ok((state.to_owned(), import["message"].as_str().unwrap().to_owned())),
        }
    })
}

#[test]
fn an_empty_repository_is_filled_once() {
    for server in mercurials() {
        let installation = Installation::start(Options::new(&server, &["stays"]));
        let registry = RegistryClient::new(&installation);
        let client = Client::new(&installation, &newest(), "developer");
        client.init("old");
        for number in 0..20 {
            client.commit("old", "file", &format!("change {number}"));
        }
        client.hg("old", &["bookmark", "-r", "3", "stable"]).ok();
        let tip = client.tip("old");
        client.hg("old", &["bundle", "--all", "../old.hg"]).ok();
        let (source, folder) = (hg_serve(&client, "old"), files(&client));
        for (path, body) in [
            ("from/server", json!({"url": source.1})),
            ("from/bundle", json!({"bundleUrl": format!("{}/old.hg", folder.1)})),
        ] {
            registry.put(path, &settings(true));
            let import = format!("/v1/registry/{path}/import");
            assert_eq!(registry.ask::<Value>(&import).unwrap_err().status().unwrap(), 404);
            let records = installation.records();
            registry.tell(&import, &body).unwrap();
            assert_eq!(ended(&registry, path), ("Done".to_owned(), "21 changesets".to_owned()));
            assert_eq!(installation.records(), records + 1, "one push");
            let again = registry.tell(&import, &body).unwrap_err();
            assert_eq!(again.status().unwrap(), 409, "{again}");
            installation.settled();
            for base in installation.ready().mirrors.iter().chain([&client.ssh_url]) {
                assert_eq!(client.remote_tip(&format!("{base}/{path}")).unwrap(), tip, "{base}");
            }
        }
        let bookmarks = client.hg("old", &["in", "-B", &format!("{}/from/server", client.http)]);
        assert!(bookmarks.stdout.contains("no changed bookmarks"), "{bookmarks:?}");

        // What is pushed afterwards follows.
        client.commit("old", "file", "after");
        client.hg("old", &["push", &client.push_url("from/server")]).ok();
        installation.settled();
    }
}

#[test]
fn an_import_that_cannot_be_says_why_and_may_be_asked_again() {
    let installation = Installation::start(Options::new(&newest(), &["one"]));
    let registry = RegistryClient::new(&installation);
    let client = Client::new(&installation, &newest(), "developer");
    client.init("old");
    for (body, status) in [
        (json!({"url": "file:///etc"}), 400),
        (json!({"url": "http://a:b@c/"}), 400),
        (json!({}), 400),
        (json!({"url": "http://a", "bundleUrl": "http://b"}), 400),
    ] {
        let refused = registry.tell("/v1/registry/one/import", &body).unwrap_err();
        assert_eq!(refused.status().unwrap(), status, "{body}: {refused}");
    }
    let none = registry.tell("/v1/registry/none/import", &json!({"url": "http://127.0.0.1:9/"})).unwrap_err();
    assert_eq!(none.status().unwrap(), 404);
    registry.tell("/v1/registry/one/import", &json!({"url": "http://127.0.0.1:9/"})).unwrap();
    let (state, message) = ended(&registry, "one");
    assert!(state == "Failed" && message.contains("refused"), "{state}: {message}");
    let source = hg_serve(&client, "old");
    registry.tell("/v1/registry/one/import", &json!({"url": source.1})).unwrap();
    assert_eq!(ended(&registry, "one").0, "Done");
    installation.settled();
}

#[test]
fn a_master_that_dies_during_an_import_may_be_asked_again() {
    // A server that accepts and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let installation = Installation::start(Options::new(&newest(), &["one"]));
    let client = Client::new(&installation, &newest(), "developer");
    client.init("old");
    let source = hg_serve(&client, "old");
    let registry = RegistryClient::new(&installation);
    let url = format!("http://{}", silent.local_addr().unwrap());
    registry.tell("/v1/registry/one/import", &json!({"url": url})).unwrap();
    let running: Value = registry.ask("/v1/registry/one/import").unwrap();
    assert_eq!(running["state"], "Running");
    registry.tell("/v1/registry/one/import", &json!({"url": url})).unwrap();
    installation.kill("ssh-0");
    wait_for("the import is forgotten", || match registry.ask::<Value>("/v1/registry/one/import") {
        // Of whoever is master now.
        Err(error) if error.status().is_some_and(|status| status == 404) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    registry.tell("/v1/registry/one/import", &json!({"url": source.1})).unwrap();
    assert_eq!(ended(&registry, "one").0, "Done");
    installation.settled();
}
