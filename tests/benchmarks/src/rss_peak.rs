//! The largest size that each process has, seen while something goes on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::process_table;

const SAMPLE_EVERY: Duration = Duration::from_millis(100);

pub struct Peak {
    going: Arc<AtomicBool>,
    sampler: JoinHandle<BTreeMap<u32, (String, f64)>>,
}

impl Peak {
    /// Watches the Rust processes below `root`.
    pub fn watch(root: u32) -> Peak {
        let going = Arc::new(AtomicBool::new(true));
        let told = going.clone();
        let sampler = std::thread::spawn(move || {
            let mut largest: BTreeMap<u32, (String, f64)> = BTreeMap::new();
            while told.load(Ordering::Acquire) {
                for process in process_table::tree(root).into_iter().filter(|process| !process.is_python) {
                    let Some((resident, _)) = process_table::size(process.pid) else { continue };
                    let entry = largest.entry(process.pid).or_insert((process.command, 0.0));
                    entry.1 = entry.1.max(resident);
                }
                std::thread::park_timeout(SAMPLE_EVERY);
            }
            largest
        });
        Peak { going, sampler }
    }

    /// (command line, MiB resident).
    pub fn end(self) -> Vec<(String, f64)> {
        self.going.store(false, Ordering::Release);
        self.sampler.join().unwrap().into_values().collect()
    }
}
