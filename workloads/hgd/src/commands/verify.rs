//! `hgd verify`.

use std::process::ExitCode;

use super::FOUND;
use super::ask::ask;
use crate::all_in_one::Verification;
use crate::arguments::{self, Format};

pub fn verify(options: &arguments::Verify) -> ExitCode {
    let answer = ask(&options.running.data_dir, "/verify.json");
    let text = match answer {
        Ok(text) => text,
        Err(error) => {
            eprintln!("hgd verify: {error}");
            return ExitCode::FAILURE;
        }
    };
    let verification: Verification = match serde_json::from_str(&text) {
        Ok(verification) => verification,
        Err(error) => {
            eprintln!("hgd verify: the answer is not one of this version: {error}");
            return ExitCode::FAILURE;
        }
    };
    if options.output == Format::Json {
        println!("{text}");
    } else {
        for repository in &verification.repositories {
            let verdict = if repository.equal { "equal on all" } else { "DIFFERENT" };
            println!("{}: {verdict} ({} copies)", repository.path, repository.copies.len());
            for copy in repository.copies.iter().filter(|_| !repository.equal) {
                let said = copy.error.as_deref().unwrap_or_default();
                println!("  {}: {} {said}", copy.instance, copy.hashes.clone().unwrap_or_default());
            }
        }
    }
    if verification.equal { ExitCode::SUCCESS } else { ExitCode::from(FOUND) }
}
