//! `hgd all-in-one`: a whole installation on one machine. The supervisor makes certificates and configurations, keeps
//! the children running, applies the repositories of the resources, and answers `hgd status`.

mod absence;
mod announce;
mod apply;
mod children;
mod governor;
mod log_files;
mod outlook;
mod plan;
mod ports;
mod settings;
mod status_server;
mod users;
mod verification;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use failover::driver::Driver;
use interface::SUPERVISOR;
use protocol::InstanceName;
use register::{Register, State, Version};
use tokio::sync::{mpsc, watch};
use transport::{Authority, CancellationToken, Client, Identity, Target};

use self::announce::READY_FILE;
use self::children::{Children, Pids};
use self::governor::Governor;
use self::plan::Plan;
use self::status_server::Asks;
use crate::arguments::AllInOne;
use crate::process;

pub use self::governor::{Fenced, Switchover};
pub use self::ports::Ports;
pub use self::status_server::{Fence, Promote, socket};
pub use self::verification::Verification;

/// Folders below the data directory that everybody expects.
const FOLDERS: [&str; 3] = ["config", "logs", "secrets"];
/// Asked again until everything is ready.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum AllInOneError {
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
    #[error(transparent)]
    Parse(#[from] crds::ParseError),
    #[error(transparent)]
    Open(#[from] register::instance::OpenError),
    #[error(transparent)]
    Plan(#[from] plan::PlanError),
    #[error(transparent)]
    Users(#[from] users::UsersError),
    #[error(transparent)]
    Authority(#[from] transport::AuthorityError),
    #[error(transparent)]
    Identity(#[from] transport::IdentityError),
    #[error("the register cannot be read: {0}")]
    Register(#[from] register::ReadError),
    #[error("the register cannot be written: {0}")]
    RegisterWrite(#[from] register::WriteError),
    #[error("'{0}' is not an instance name")]
    Name(String),
    #[error(transparent)]
    Apply(#[from] apply::ApplyError),
    #[error("{0}")]
    Misconfigured(String),
}

impl process::Fault for AllInOneError {
    fn is_of_configuration(&self) -> bool {
        matches!(self, AllInOneError::Misconfigured(_))
    }
}

pub async fn run(options: AllInOne) -> Result<(), AllInOneError> {
    let mut shutdown = process::shutdown_on_signal().map_err(|source| io_error(Path::new("signals"), source))?;
    let resources = read(&options.files)?;
    let data = absolute(&options.data_dir)?;
    let _held = register::instance::open(&data, &instance("all-in-one")?)?;
    for folder in FOLDERS {
        std::fs::create_dir_all(data.join(folder)).map_err(|source| io_error(&data, source))?;
    }
    let secret = resources.masters.first().map(|m| m.spec.directory.authorized_keys.secret_ref.name.clone());
    let users = users::prepare(&data, &secret.unwrap_or_default())?;
    let plan = plan::plan(&options, &data, &resources, &users)?;
    let identity = certificates(&data, &plan)?;
    let client = Client::new(identity.clone());
    first_register(&data, &plan).await?;
    keep(&data, &plan).map_err(|source| io_error(&data, source))?;

    let pids = Pids::default();
    let children = Children::start(&plan.children, &pids);
    let targets: Vec<Target> = plan.ssh.iter().map(|(n, address)| Target::new(n.clone(), address.as_str())).collect();
    let cancel = CancellationToken::new();
    let (ask, asked) = mpsc::channel(1);
    let governor = Governor {
        driver: Driver { register: Register::file(&data.join("register.json"))?, client: client.clone() },
        instances: targets.clone(),
        pids: pids.clone(),
        policy: plan.failover,
        outlook: watch::Sender::default(),
    };
    let outlook = governor.outlook.subscribe();
    let governor = tokio::spawn(governor.run(asked));
    let admin = status_server::start_admin(plan.admin, identity, ask, cancel.clone());
    let admin = tokio::spawn(admin.await.map_err(|source| io_error(Path::new("the admin address"), source))?);
    let server = status_server::start(
        &data,
        &plan,
        Asks { client: client.clone(), masters: targets.clone(), pids, outlook },
        cancel.clone(),
    );
    let server = tokio::spawn(server.await.map_err(|source| io_error(&status_server::socket(&data), source))?);

    let outcome = tokio::select! {
        () = process::asked(&mut shutdown) => Ok(()),
        ready = make_ready(&options, &data, &plan, &resources, &users, &client, &targets) => ready,
        // Once all runs, those that run go on.
        sentence = children.misconfigured() => Err(AllInOneError::Misconfigured(sentence)),
    };
    if outcome.is_ok() {
        tokio::select! {
            () = process::asked(&mut shutdown) => {}
            never = settings::follow(&client, &targets, &options.files, &resources) => match never {},
        }
    }
    eprintln!("hgd: stopping");
    // Who is stopped now has not died.
    governor.abort();
    children.stop(master(&data).await).await;
    cancel.cancel();
    let _their_ends_are_enough = tokio::join!(server, admin);
    let _not_written = std::fs::remove_file(data.join(READY_FILE));
    outcome
}

async fn make_ready(
    options: &AllInOne,
    data: &Path,
    plan: &Plan,
    resources: &crds::Resources,
    users: &users::Users,
    client: &Client,
    targets: &[Target],
) -> Result<(), AllInOneError> {
    if let [master] = resources.masters.as_slice() {
        apply::settings(client, targets, &master.spec.settings()).await;
    }
    apply::repositories(client, targets, resources).await?;
    apply::wait_until_served(client, targets, plan, resources).await;
    let ready = announce::Ready::of(data, plan, users);
    for file in options.ready_file.iter().cloned().chain([data.join(READY_FILE)]) {
        ready.write(&file).map_err(|source| io_error(&file, source))?;
    }
    print!("{}", announce::text(&ready, resources, data));
    Ok(())
}

fn read(files: &[PathBuf]) -> Result<crds::Resources, AllInOneError> {
    let mut whole = String::new();
    // One file is parsed under its own name, so that errors name the line as the person's editor does.
    if let [file] = files {
        let text = std::fs::read_to_string(file).map_err(|source| io_error(file, source))?;
        return Ok(crds::parse(&file.display().to_string(), &text)?);
    }
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|source| io_error(file, source))?;
        whole += &format!("---\n{text}\n");
    }
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Ok(crds::parse(&names.join(" + "), &whole)?)
}

fn absolute(data: &Path) -> Result<PathBuf, AllInOneError> {
    std::fs::create_dir_all(data).map_err(|source| io_error(data, source))?;
    data.canonicalize().map_err(|source| io_error(data, source))
}

/// A certificate for every process, and the supervisor's own.
fn certificates(data: &Path, plan: &Plan) -> Result<Identity, AllInOneError> {
    let pki = data.join("pki");
    let authority = Authority::open_or_create(&pki.join("authority"))?;
    let supervisor = instance(SUPERVISOR)?;
    let loopback = ["127.0.0.1".to_owned()];
    for child in &plan.children {
        let name = instance(&child.name)?;
        authority.issue(&name, &loopback, &pki.join(name.as_str()))?;
    }
    authority.issue(&supervisor, &loopback, &pki.join(supervisor.as_str()))?;
    Ok(Identity::open(&pki.join(supervisor.as_str()))?)
}

/// Makes what is the supervisor's own survive a power loss before anybody relies on it: keys, certificates, ports.
fn keep(data: &Path, plan: &Plan) -> io::Result<()> {
    for entry in std::fs::read_dir(data)? {
        let path = entry?.path();
        let is_volume = plan.volume.as_ref() == Some(&path);
        // Sockets are of one start only.
        if !is_volume
            && !path.ends_with(status_server::FOLDER)
            && !plan.children.iter().any(|child| path.ends_with(&child.name))
        {
            register::durable::sync_tree(&path)?;
        }
    }
    std::fs::File::open(data)?.sync_all()
}

/// Answers who is master now, as far as the register says.
async fn master(data: &Path) -> Option<InstanceName> {
    let register = Register::file(&data.join("register.json")).ok()?;
    register.read().await.ok()??.value.master
}

/// The first start names the first instance as master and the others as its in-sync standbys. Later, a register that
/// is missing is not made from nothing.
async fn first_register(data: &Path, plan: &Plan) -> Result<(), AllInOneError> {
    let register = Register::file(&data.join("register.json"))?;
    let volumes = || plan.volume.iter().cloned().chain(plan.ssh.keys().map(|name| data.join(name.as_str())));
    if register.read().await?.is_none() && !volumes().any(|volume| volume.join("instance.json").exists()) {
        let master = plan.ssh.keys().next().cloned();
        let state = State { master, in_sync: plan.in_sync.clone(), ..State::default() };
        register.write(&Version::None, state).await?;
    }
    Ok(())
}

fn instance(text: &str) -> Result<InstanceName, AllInOneError> {
    text.parse().map_err(|_| AllInOneError::Name(text.to_owned()))
}

fn io_error(path: &Path, source: io::Error) -> AllInOneError {
    AllInOneError::Io { path: path.display().to_string(), source }
}
