//! `hgd instance`: what is done to a data directory by hand.

use std::process::ExitCode;

use crate::arguments::InstanceCommand;

pub fn instance(command: &InstanceCommand) -> ExitCode {
    let InstanceCommand::NewId { directory } = command;
    match register::instance::renew(directory) {
        Ok(renewed) => {
            println!("{} is {} now: a newcomer, which follows the master", renewed.name, renewed.id);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("hgd instance: {error}");
            ExitCode::FAILURE
        }
    }
}
