//! `hgd log skip`: says what is lost with a record that nobody can apply, and, when told to lose it, gives it up.

use std::process::ExitCode;

use interface::paths;
use protocol::RepositoryPath;

use super::strip::{ChangeError, change};
use crate::arguments::Skip;
use crate::process;

pub fn skip(options: &Skip) -> ExitCode {
    process::run(async {
        let path = RepositoryPath::from_client(&options.repository)?;
        let offset = options.offset;
        let user = std::env::var("USER").unwrap_or_else(|_| "operator".into());
        let url = paths::skip(&path);
        let ask = |lose: bool| serde_json::json!({ "offset": offset, "user": user, "lose": lose });
        let said = change(&options.master, &url, &ask(false)).await?;
        println!("lost with record {offset} of {path}: {}", said["lost"].as_str().unwrap_or_default());
        if !options.lose {
            return Err(ChangeError::NotLost);
        }
        let done = change(&options.master, &url, &ask(true)).await?;
        println!("record {offset} is given up: {}", done["offset"]);
        Ok::<(), ChangeError>(())
    })
}
