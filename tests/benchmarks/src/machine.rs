//! Machine that it ran on.

use std::process::Command;

use scenarios::mercurials;

pub fn describe() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = line_of("/proc/meminfo", "MemTotal").split_whitespace().next().and_then(|n| n.parse::<u64>().ok());
    let gib = memory.unwrap_or_default() / 1024 / 1024;
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let system = line_of("/etc/os-release", "PRETTY_NAME");
    let system = system.trim_matches(['=', '"', ' ']);
    let model = line_of("/proc/cpuinfo", "model name");
    let model = model.trim_start_matches([':', ' ', '\t']).trim();
    let openssh = Command::new("ssh").arg("-V").output().map(|output| output.stderr).unwrap_or_default();
    let openssh = String::from_utf8_lossy(&openssh);
    let openssh = openssh.split(',').next().unwrap_or_default().split(' ').next().unwrap_or_default().to_owned();
    let mercurial = mercurials().pop().unwrap().version;
    format!(
        "{cpus} CPUs ({model}), {gib} GiB, {system}, Mercurial {mercurial}, {openssh}; everything on loopback and one \
         disk; load before the run {load}"
    )
}

fn line_of(file: &str, name: &str) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line[name.len().min(line.len())..].trim_start_matches([':', ' ', '\t']).to_owned()
}

/// The middle one of several measurements.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50.0)
}

pub fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let place = ((sorted.len() as f64) * percent / 100.0) as usize;
    sorted[place.min(sorted.len() - 1)]
}
