//! An instance whose volume all instances have. It opens nothing of it, and answers so, until the register names it as
//! master; and ends at once, without another word, when another has been named: what it did then, it did to the
//! other's files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use config::SshRole;
use failover::{InstanceReport, LogEnd, Renewals};
use interface::paths;
use protocol::status::Role;
use protocol::{Generation, InstanceName};
use register::{Register, Seal, Versioned, instance};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tower::ServiceExt;
use transport::{CancellationToken, Client};

use super::own::REGISTER_LOOK;
use super::tenure::{Tenure, boot_time};
use super::{SshError, access, claim, family, listen, metrics, open, reign, router};
use crate::probes::Probes;
use crate::process::{self, Shutdown};

struct Waiting {
    name: InstanceName,
    /// Nothing of the volume is open here, nor in a pod of this name that nobody has seen end.
    released: AtomicBool,
    /// Somebody says that the register has changed.
    look: Notify,
}

pub async fn run(
    role: SshRole,
    settings: config::SharedVolume,
    probes: Probes,
    mut shutdown: Shutdown,
) -> Result<(), SshError> {
    let asked = shutdown.clone();
    let (family, register) = tokio::select! {
        begun = begin(&role, &settings, &probes) => begun?,
        () = process::asked(&mut shutdown) => return Ok(()),
    };
    let identity = process::identity(&role.tls)?;
    let admin = listen(role.admin_listen).await?;
    let waiting = Arc::new(Waiting { name: role.name.clone(), released: AtomicBool::new(false), look: Notify::new() });
    let (serves, served) = watch::channel(access(&role, None).guard(waiting.clone().router().merge(probes.router())));
    let cancel = CancellationToken::new();
    let server = tokio::spawn(transport::serve(admin, identity.clone(), current(served), cancel.clone()));
    probes.ready();
    tokio::select! {
        () = waiting.named(&register, Duration::from_secs(settings.lease_seconds)) => {}
        () = process::asked(&mut shutdown) => return Ok(()),
    }
    waiting.released.store(false, Ordering::SeqCst);
    probes.not_ready("this instance is opening the volume");

    let tenure = Tenure::new(&settings);
    let disk = instance::open_shared(&role.data_directory)?.id;
    let sent = boot_time();
    let opened = tokio::select! {
        taken = claim::take(&register, &role.name, &disk, &probes) => taken?,
        () = process::asked(&mut shutdown) => return Ok(()),
    };
    tenure.renewed(sent);
    // Before the logs are opened: what an older master has on disk by now is found there, and what it has not, it will
    // not acknowledge.
    let seal = Seal::open(&role.data_directory)?;
    seal.raise(opened.value.generation).await?;
    let base = open(role, Client::new(identity), disk, seal, false, Some(tenure), probes).await?;
    metrics::Instance::register(&base, base.reign.subscribe())?;
    drop(serves.send_replace(router(&base)));
    let ended = reign::reign(&base, register, opened, shutdown).await;
    if let Err(error @ (SshError::Sealed { .. } | SshError::Deposed { by: Some(_), .. })) = &ended {
        // Its children hold it still, and the next life waits for them.
        drop(family);
        process::begin_again(error, &asked);
        eprintln!("hgd: {error}");
        std::process::exit(1);
    }
    base.probes.stopping();
    cancel.cancel();
    let _its_end_is_enough = server.await;
    base.local.stop().await;
    ended
}

/// Nobody of an earlier life of this instance is left, and the register is known.
async fn begin(
    role: &SshRole,
    settings: &config::SharedVolume,
    probes: &Probes,
) -> Result<(family::Family, Register), SshError> {
    let family = family::begin(&settings.run_directory).await?;
    let (register, _) = claim::read(&role.register, probes).await?;
    // By the operator, so that it can be seen whether this pod is gone.
    Ok((family, register.stamping(std::env::var("POD_UID").ok())))
}

/// Whatever is served now.
fn current(router: watch::Receiver<Router>) -> Router {
    Router::new().fallback(move |request: Request| {
        let router = router.borrow().clone();
        async move { router.oneshot(request).await }
    })
}

impl Waiting {
    fn router(self: Arc<Waiting>) -> Router {
        let router = Router::new().route(paths::INSTANCE, get(report)).route(paths::LOOK, post(look)).with_state(self);
        router.fallback(async || (StatusCode::SERVICE_UNAVAILABLE, "this instance is not the master"))
    }

    fn report(&self) -> InstanceReport {
        InstanceReport {
            name: self.name.clone(),
            disk: None,
            role: Role::Standby,
            generation: Generation(0),
            sealed: Generation(0),
            replication: LogEnd::default(),
            publication: LogEnd::default(),
            heard: None,
            open: false,
            released: self.released.load(Ordering::SeqCst),
            unable: None,
        }
    }

    /// Until the register names this instance as master. That an earlier pod of this name is gone proves nothing: its
    /// node may only be cut off. So its lease must have run out, as seen from here.
    async fn named(&self, register: &Register, lease: Duration) {
        let (started, mut renewals, mut said) = (Instant::now(), Renewals::default(), false);
        loop {
            match register.read_as(&self.name).await {
                Ok(Some((Versioned { version, value }, elsewhere))) => {
                    let still = renewals.still_for(started.elapsed(), &version);
                    let free = !elsewhere || still >= lease;
                    self.released.store(free, Ordering::SeqCst);
                    if free && value.master.as_ref() == Some(&self.name) {
                        return;
                    }
                    if !free && !std::mem::replace(&mut said, true) {
                        tracing::warn!(
                            "an earlier pod of this name was master: it is waited until its lease has run out"
                        );
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the register cannot be read"),
            }
            let _either = tokio::time::timeout(REGISTER_LOOK, self.look.notified()).await;
        }
    }
}

async fn report(State(waiting): State<Arc<Waiting>>) -> Json<InstanceReport> {
    Json(waiting.report())
}

async fn look(State(waiting): State<Arc<Waiting>>) -> Json<InstanceReport> {
    waiting.look.notify_one();
    Json(waiting.report())
}
