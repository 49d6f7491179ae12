//! Losses that no other try makes good. nextest tries a scenario again, because two busy cores are too slow for one
//! now and then; what is lost once in many runs must not pass as that.

use std::fmt::Display;
use std::path::PathBuf;

/// Fails with the sentence unless it holds: now, and in every later try of this test in this run.
#[track_caller]
pub fn for_good(holds: bool, sentence: impl Display) {
    if holds {
        return;
    }
    if let Some(file) = file() {
        std::fs::write(file, sentence.to_string()).unwrap();
    }
    panic!("{sentence}");
}

/// The first thing that a scenario does.
#[track_caller]
pub(crate) fn nothing_was_lost() {
    if let Some(found) = file().and_then(|file| std::fs::read_to_string(file).ok()) {
        panic!("an earlier try has found for good: {found}");
    }
}

/// Names the file of this test in this run. None: not under nextest, which alone tries again.
fn file() -> Option<PathBuf> {
    let names = ["NEXTEST_RUN_ID", "NEXTEST_BINARY_ID", "NEXTEST_TEST_NAME"];
    let [run, program, test] = names.map(|name| std::env::var(name).ok());
    let name = format!("hgd-loss-{}-{}-{}", run?, program?, test?).replace([':', '/'], "-");
    Some(std::env::temp_dir().join(name))
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn said(action: fn()) -> Option<String> {
        catch_unwind(action).err().map(|said| *said.downcast::<String>().unwrap())
    }

    #[test]
    fn a_loss_fails_every_later_try() {
        let file = file().expect("nextest says which test and run this is");
        let _of_an_earlier_try = std::fs::remove_file(&file);
        assert_eq!(said(|| for_good(true, "all is there")), None);
        assert_eq!(said(nothing_was_lost), None);
        assert_eq!(said(|| for_good(false, "one is lost")), Some("one is lost".to_owned()));
        let again = said(nothing_was_lost);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(again, Some("an earlier try has found for good: one is lost".to_owned()));
        assert_eq!(said(nothing_was_lost), None);
    }
}
