//! Processes below one of ours: what they are, how much CPU they used, how large they are.

use std::collections::BTreeMap;
use std::path::Path;

#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    /// Command line.
    pub command: String,
    pub is_python: bool,
}

/// `root` and everything below it.
pub fn tree(root: u32) -> Vec<Process> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(fields) = stat(pid) {
            children.entry(fields[1].parse().unwrap_or(0)).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut waiting = vec![root];
    while let Some(pid) = waiting.pop() {
        waiting.extend(children.get(&pid).into_iter().flatten());
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        let exe = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let is_python = exe.to_string_lossy().contains("python");
        if !command.is_empty() {
            found.push(Process { pid, command, is_python });
        }
    }
    found.sort_by_key(|process| process.pid);
    found
}

/// User and system seconds of `roots` and everything below them, ended children included.
pub fn cpu_seconds(roots: &[u32]) -> f64 {
    let ticks_per_second = 100.0;
    let mut ticks = 0.0;
    for process in roots.iter().flat_map(|root| tree(*root)) {
        if let Some(fields) = stat(process.pid) {
            ticks += fields[11..15].iter().filter_map(|field| field.parse::<f64>().ok()).sum::<f64>();
        }
    }
    ticks / ticks_per_second
}

/// Resident and proportional size in MiB.
pub fn size(pid: u32) -> Option<(f64, f64)> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("smaps_rollup")).ok()?;
    let kib = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    Some((kib("Rss:")? / 1024.0, kib("Pss:")? / 1024.0))
}

/// The largest resident size so far in MiB.
pub fn peak(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// Fields of `/proc/PID/stat` behind the name: state, parent, ...
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}
