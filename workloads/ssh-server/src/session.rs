//! Session: what russh asks about one connection. Everything is refused that is not a session channel with one
//! command.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use protocol::proxy_line::Ends;
use russh::keys::{Algorithm, HashAlg, PublicKey};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, Pty};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::channel::{self, Task};
use crate::crowd::{Guest, Stage};
use crate::serve::Shared;
use crate::texts;
use crate::{Account, Identity};

/// Phase of a connection, which decides how long it may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Handshake,
    /// With so many commands: more than one while a command whose client is gone still ends.
    LoggedIn(u32),
}

/// Login: who is at the other end. The key is kept, so that each command asks the directory again.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) account: Account,
    pub(crate) identity: Identity,
    pub(crate) fingerprint: String,
    pub(crate) ends: Ends,
}

pub(crate) struct Connection {
    shared: Arc<Shared>,
    ends: Ends,
    cut: CancellationToken,
    phase: Arc<watch::Sender<Phase>>,
    guest: Arc<Guest>,
    login: Arc<OnceLock<Arc<Login>>>,
    open: HashMap<ChannelId, OpenChannel>,
}

struct OpenChannel {
    /// Asked: it has its one command.
    asked: bool,
    gone: CancellationToken,
    /// The server has ended it. russh does not call `channel_close` then, whatever the client answers.
    done: CancellationToken,
}

impl Connection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        ends: Ends,
        login: Arc<OnceLock<Arc<Login>>>,
        cut: CancellationToken,
        phase: watch::Sender<Phase>,
        guest: Arc<Guest>,
    ) -> Connection {
        Connection { shared, ends, cut, phase: Arc::new(phase), guest, login, open: HashMap::new() }
    }

    /// True: the directory knows the key, and the signature is not SHA-1 (`ssh-rsa`, which OpenSSH refuses since 8.8).
    fn account(&self, user: &str, key: &PublicKey, algorithm: &Algorithm) -> Option<Account> {
        if matches!(algorithm, Algorithm::Rsa { hash: None }) {
            return None;
        }
        self.shared.directory.find(user, key)
    }

    /// Answers a request for a command: each channel has one.
    fn answer(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        match self.open.get_mut(&id).filter(|open| !open.asked) {
            Some(open) => {
                open.asked = true;
                session.channel_success(id)
            }
            None => session.channel_failure(id),
        }
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, user: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        if self.account(user, offer.public_key, offer.algorithm).is_some() {
            self.guest.shows(Stage::Known);
            return Ok(Auth::Accept);
        }
        let fingerprint = offer.public_key.fingerprint(HashAlg::Sha256);
        debug!(event = "key-refused", user, %fingerprint, client = %self.ends.client, "key refused");
        Ok(Auth::reject())
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let Some(account) = self.account(user, key.public_key, key.algorithm) else { return Ok(Auth::reject()) };
        let identity = Identity {
            directory: self.shared.directory.clone(),
            user: account.user.clone(),
            key: key.public_key.clone(),
        };
        let fingerprint = key.public_key.fingerprint(HashAlg::Sha256).to_string();
        // One login a connection: russh asks no more after it was accepted.
        let login = Arc::new(Login { account, identity, fingerprint, ends: self.ends });
        self.login.set(login).map_err(|_| russh::Error::Inconsistent)?;
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), russh::Error> {
        // The type does not say it, but only `auth_publickey` accepts anything.
        let login = self.login.get().ok_or(russh::Error::Inconsistent)?;
        let (user, fingerprint) = (&login.account.user, &login.fingerprint);
        info!(event = "login", %user, fingerprint, client = %self.ends.client, "login");
        self.shared.metrics.logins.with_label_values(&["accepted"]).inc();
        let stays = self.guest.logs_in(user);
        self.phase.send_replace(Phase::LoggedIn(0));
        match stays {
            true => Ok(()),
            false => session.disconnect(Disconnect::TooManyConnections, texts::TOO_MANY_CONNECTIONS, ""),
        }
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let login = self.login.get().cloned().ok_or(russh::Error::Inconsistent)?;
        self.open.retain(|_, open| !open.done.is_cancelled());
        if self.open.len() >= self.shared.limits.sessions_per_connection {
            // Clients that multiplex open another connection then.
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        }
        let gone = self.cut.child_token();
        let done = CancellationToken::new();
        let open = OpenChannel { asked: false, gone: gone.clone(), done: done.clone() };
        self.open.insert(channel.id(), open);
        let (read, write) = channel.split();
        let (shared, phase) = (Arc::clone(&self.shared), Arc::clone(&self.phase));
        let task = Task { shared, login, phase, write, gone, done };
        // From the first message on somebody takes what arrives: a full queue would block the loop.
        self.shared.tasks.spawn(channel::run(task, read));
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        if let Some(open) = self.open.remove(&id) {
            open.gone.cancel();
        }
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, _: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        self.answer(id, session)
    }

    /// No command: accepted only to say what can be done here.
    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        self.answer(id, session)
    }

    async fn env_request(&mut self, id: ChannelId, _: &str, _: &str, to: &mut Session) -> Result<(), russh::Error> {
        to.channel_failure(id)
    }

    async fn subsystem_request(&mut self, id: ChannelId, _: &str, to: &mut Session) -> Result<(), russh::Error> {
        to.channel_failure(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        to: &mut Session,
    ) -> Result<(), russh::Error> {
        to.channel_failure(id)
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _: bool,
        _: &str,
        _: &str,
        _: u32,
        to: &mut Session,
    ) -> Result<(), russh::Error> {
        to.channel_failure(id)
    }
}
