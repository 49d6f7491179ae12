//! `hgd promote`: asks the supervisor for a switchover.

use std::process::ExitCode;

use interface::paths;
use protocol::InstanceName;

use super::supervisor::{SupervisorError, supervisor};
use crate::all_in_one::{Promote, Switchover};
use crate::arguments::{self, Format};
use crate::process;

#[derive(Debug, thiserror::Error)]
enum PromoteError {
    #[error("{0}")]
    Name(#[from] protocol::NameError),
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    #[error("no switchover: {0}")]
    Refused(transport::ClientError),
    #[error("the answer cannot be printed: {0}")]
    Print(#[from] serde_json::Error),
}

pub fn promote(options: &arguments::Promote) -> ExitCode {
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

async fn request(options: &arguments::Promote) -> Result<Switchover, PromoteError> {
    let (client, supervisor) = supervisor(&options.running)?;
    let to: Option<InstanceName> = options.instance.as_deref().map(str::parse).transpose()?;
    let done = client.post_json(&supervisor, paths::PROMOTE, &Promote { to }).await;
    done.map_err(PromoteError::Refused)
}
