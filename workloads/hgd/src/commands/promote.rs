//! `hgd promote`: asks the supervisor for a switchover, with its own certificate, which lies in the data directory.

use std::process::ExitCode;

use protocol::InstanceName;
use transport::{Client, Identity, Target};

use crate::all_in_one::{Ports, Promote, SUPERVISOR, Switchover};
use crate::cli::{self, Format};
use crate::process;

#[derive(Debug, thiserror::Error)]
enum PromoteError {
    #[error("{0}")]
    Name(#[from] protocol::NameError),
    #[error("{directory} is not the data directory of an hgd all-in-one: {why}")]
    Directory { directory: String, why: String },
    #[error("no switchover: {0}")]
    Refused(#[from] transport::ClientError),
    #[error("the answer cannot be printed: {0}")]
    Print(#[from] serde_json::Error),
}

pub fn promote(options: &cli::Promote) -> ExitCode {
    process::run(async {
        let done = request(options).await?;
        match options.output {
            Format::Json => println!("{}", serde_json::to_string(&done)?),
            Format::Table => println!(
                "{} is master of generation {}, after {}: pushes were refused for at most {:.1} s",
                done.to, done.generation, done.from, done.seconds
            ),
        }
        Ok::<(), PromoteError>(())
    })
}

async fn request(options: &cli::Promote) -> Result<Switchover, PromoteError> {
    let data = &options.running.data_dir;
    let directory = |why: String| PromoteError::Directory { directory: data.display().to_string(), why };
    let identity = Identity::open(&data.join("pki").join(SUPERVISOR)).map_err(|error| directory(error.to_string()))?;
    let address = Ports::known(&data.join("config"), "admin");
    let address = address.ok_or_else(|| directory("it has no config/ports.json with the supervisor's port".into()))?;
    let supervisor = Target::new(SUPERVISOR.parse()?, address.to_string());
    let to: Option<InstanceName> = options.instance.as_deref().map(str::parse).transpose()?;
    Ok(Client::new(identity).post_json(&supervisor, "/v1/promote", &Promote { to }).await?)
}
