//! A child that does what every push needs, so that it is known before there is one whether pushes can be taken.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::zygote::Mercurial;

/// Proof takes some milliseconds; longer than a zygote that hangs is waited for.
const PROOF_SECONDS: u64 = 10;

#[derive(Serialize)]
struct First {
    mode: &'static str,
    gate: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Proved(()),
    Failed(String),
}

impl Mercurial {
    /// Forks a child that makes files where pushes do and, with `gate`, asks the push gate. An error is one clause
    /// that says what fails.
    pub async fn prove(&self, gate: bool) -> Result<(), String> {
        let proof = async {
            let first = First { mode: "prove", gate };
            let mut connection = self.connect(&first, None).await.map_err(|error| error.to_string())?;
            let answer = connection.receive().await.and_then(|frame| frame.parse::<Answer>());
            match answer.map_err(|error| format!("Mercurial gives no answer: {error}"))? {
                Answer::Proved(()) => Ok(()),
                Answer::Failed(why) => Err(why),
            }
        };
        let late = |_| Err(format!("Mercurial has not answered within {PROOF_SECONDS} seconds"));
        timeout(Duration::from_secs(PROOF_SECONDS), proof).await.unwrap_or_else(late)
    }
}
