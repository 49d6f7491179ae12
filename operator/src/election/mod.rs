//! The election on its own thread with its own client: work that blocks or floods the rest must not cost the Lease.

pub mod decide;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use decide::{Candidate, Record, Standing, Step};

/// One request; several must fit into the time that renewing may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(4);

#[derive(Clone, Debug)]
pub struct Seat {
    pub namespace: String,
    pub lease: String,
    pub identity: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ElectionError {
    #[error("the Lease {0} is lost: another operator may act now")]
    Lost(String),
    #[error("the thread of the election cannot start: {0}")]
    Thread(std::io::Error),
    #[error("no client for the election: {0}")]
    Client(#[from] kube::Error),
}

/// Stands for election until `stop`, then gives the Lease back. `acting` turns true once; an error means that this
/// process must end.
pub async fn stand(seat: Seat, acting: watch::Sender<bool>, stop: watch::Receiver<bool>) -> Result<(), ElectionError> {
    let (ended, end) = tokio::sync::oneshot::channel();
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(campaign(seat, acting, stop)),
            Err(error) => Err(ElectionError::Thread(error)),
        };
        let _receiver_gone_means_the_process_ends = ended.send(result);
    };
    std::thread::Builder::new().name("election".to_owned()).spawn(run).map_err(ElectionError::Thread)?;
    end.await.unwrap_or_else(|_| Err(ElectionError::Lost("of an election that panicked".to_owned())))
}

async fn campaign(
    seat: Seat,
    acting: watch::Sender<bool>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), ElectionError> {
    let api: Api<Lease> = Api::namespaced(kube::Client::try_default().await?, &seat.namespace);
    let start = Instant::now();
    let mut candidate = Candidate::new(seat.identity.clone());
    loop {
        if let Err(error) = round(&api, &seat, &mut candidate, start).await {
            tracing::warn!(%error, lease = seat.lease, "no word from the Lease");
        }
        match candidate.standing(start.elapsed()) {
            Standing::Waiting => {}
            Standing::Acting => {
                acting.send_if_modified(|acting| !std::mem::replace(acting, true));
            }
            Standing::Lost => return Err(ElectionError::Lost(seat.lease)),
        }
        tokio::select! {
            () = tokio::time::sleep(decide::RETRY_PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    if let Some(record) = candidate.held(start.elapsed()) {
        let given_back = lease(&seat, &Record { holder: String::new(), ..record.clone() }, Duration::from_secs(1));
        let written = timeout(REQUEST_DEADLINE, api.replace(&seat.lease, &PostParams::default(), &given_back)).await;
        tracing::info!(lease = seat.lease, given_back = matches!(written, Ok(Ok(_))), "the Lease is given back");
    }
    Ok(())
}

async fn round(
    api: &Api<Lease>,
    seat: &Seat,
    candidate: &mut Candidate,
    start: Instant,
) -> Result<(), Arc<dyn std::error::Error + Send + Sync>> {
    let erased = |error: kube::Error| -> Arc<dyn std::error::Error + Send + Sync> { Arc::new(error) };
    let late = |_| -> Arc<dyn std::error::Error + Send + Sync> {
        Arc::new(std::io::Error::from(std::io::ErrorKind::TimedOut))
    };
    let found = timeout(REQUEST_DEADLINE, api.get_opt(&seat.lease)).await.map_err(late)?.map_err(erased)?;
    candidate.saw(start.elapsed(), found.as_ref().map(record));
    if candidate.standing(start.elapsed()) == Standing::Lost {
        return Ok(());
    }
    let sent = start.elapsed();
    let wanted = |version: String, transitions| Record {
        version,
        holder: seat.identity.clone(),
        duration: decide::DURATION,
        transitions,
    };
    let parameters = PostParams { field_manager: Some(crate::names::FIELD_MANAGER.to_owned()), ..Default::default() };
    let written = match candidate.decide(sent) {
        Step::Wait => return Ok(()),
        Step::Create => {
            let made = lease(seat, &wanted(String::new(), 0), decide::DURATION);
            timeout(REQUEST_DEADLINE, api.create(&parameters, &made)).await
        }
        Step::Write { version, transitions, renews: _ } => {
            let made = lease(seat, &wanted(version, transitions), decide::DURATION);
            timeout(REQUEST_DEADLINE, api.replace(&seat.lease, &parameters, &made)).await
        }
    };
    let written = written.map_err(late)?.map_err(erased)?;
    candidate.wrote(sent, record(&written));
    Ok(())
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.as_ref();
    let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    Record {
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
        holder: spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default(),
        duration: Duration::from_secs(u64::try_from(seconds).unwrap_or(0)),
        transitions: spec.and_then(|spec| spec.lease_transitions).unwrap_or(0),
    }
}

fn lease(seat: &Seat, record: &Record, duration: Duration) -> Lease {
    let now = MicroTime(k8s_openapi::jiff::Timestamp::now());
    Lease {
        metadata: ObjectMeta {
            name: Some(seat.lease.clone()),
            namespace: Some(seat.namespace.clone()),
            resource_version: Some(record.version.clone()).filter(|version| !version.is_empty()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(record.holder.clone()),
            lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
            lease_transitions: Some(record.transitions),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    }
}
