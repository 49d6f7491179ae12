//! `hgd fence`: tells the supervisor that the master is off, which it cannot see by itself.

use interface::paths;
use std::process::ExitCode;

use super::supervisor::{SupervisorError, supervisor};
use crate::all_in_one::{Fence, Fenced};
use crate::arguments::{self, Format};
use crate::process;

#[derive(Debug, thiserror::Error)]
enum FenceError {
    #[error(transparent)]
    Supervisor(#[from] SupervisorError),
    #[error("not fenced: {0}")]
    Refused(transport::ClientError),
    #[error("the answer cannot be printed: {0}")]
    Print(#[from] serde_json::Error),
    #[error(
        "nothing was done: with --confirm {master}, master of generation {generation}, would be taken for off, and \
         another instance would open the volume; make sure first that its process, and every process that it has \
         started, has ended"
    )]
    NotConfirmed { master: String, generation: u64 },
    #[error(
        "nothing was done: the register is missing; with --confirm, instances that do not answer or are empty would \
         be taken for lost, and whichever of the others holds most would be master"
    )]
    LostNotConfirmed,
}

pub fn fence(options: &arguments::Fence) -> ExitCode {
    process::run(async {
        let (client, supervisor) = supervisor(&options.running)?;
        let asked = Fence { confirm: options.confirm };
        let answer = client.post_json::<Fenced>(&supervisor, paths::FENCE, &asked).await;
        let Fenced { master, generation, confirmed } = answer.map_err(FenceError::Refused)?;
        let json = serde_json::json!({"master": master, "generation": generation, "confirmed": confirmed});
        match options.output {
            Format::Json => println!("{}", serde_json::to_string(&json)?),
            Format::Table if confirmed => match &master {
                Some(master) => println!(
                    "{master}, master of generation {generation}, is taken for off as soon as its lease has run out"
                ),
                None => println!("the register is made again by what those hold that answer"),
            },
            Format::Table => {}
        }
        match master {
            _ if confirmed => Ok(()),
            Some(master) => Err(FenceError::NotConfirmed { master: master.to_string(), generation: generation.0 }),
            None => Err(FenceError::LostNotConfirmed),
        }
    })
}
