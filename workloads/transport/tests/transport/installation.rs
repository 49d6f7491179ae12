//! An authority in a temporary folder and servers and clients that it knows.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use tempfile::TempDir;
use tokio::net::TcpListener;
use transport::{Authority, CancellationToken, Client, Identity, Target};

pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Installation {
    directory: TempDir,
    authority: Authority,
    pub shutdown: CancellationToken,
}

impl Drop for Installation {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Installation {
    pub fn new() -> Installation {
        transport::install_crypto_provider();
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open_or_create(&directory.path().join("ca")).unwrap();
        Installation { directory, authority, shutdown: CancellationToken::new() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn identity(&self, name: &str) -> Identity {
        let own = self.directory.path().join(name);
        self.authority.issue(&name.parse().unwrap(), &[], &own).unwrap();
        Identity::open(&own).unwrap()
    }

    pub fn client(&self, name: &str) -> Client {
        Client::new(self.identity(name))
    }

    pub async fn serve(&self, name: &str, router: Router) -> Target {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(transport::serve(listener, self.identity(name), router, self.shutdown.clone()));
        Target::new(name.parse().unwrap(), address)
    }
}
