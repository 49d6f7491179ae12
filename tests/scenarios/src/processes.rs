//! The processes of an installation: found, killed, stopped for a while.

use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::installation::hgd;
use crate::{Installation, Outcome, for_good, wait_for};

impl Installation {
    /// The supervisor itself.
    pub fn supervisor(&self) -> u32 {
        self.process.as_ref().expect("the installation is running").id()
    }

    /// The supervisor's children, by name.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let Some(supervisor) = self.process.as_ref().map(std::process::Child::id) else { return Vec::new() };
        let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"));
        let mut pids: Vec<u32> =
            children.unwrap_or_default().split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        // A child belongs to the thread that started it.
        for task in std::fs::read_dir(format!("/proc/{supervisor}/task")).into_iter().flatten().flatten() {
            let of_task = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(of_task.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        pids.sort_unstable();
        pids.dedup();
        pids.into_iter().filter_map(|pid| Some((name_of(pid)?, pid))).collect()
    }

    fn process(&self, name: &str) -> Option<u32> {
        self.processes().into_iter().find(|(known, _)| known == name).map(|(_, pid)| pid)
    }

    /// The process of an instance, a mirror or the balancer.
    #[track_caller]
    pub fn pid(&self, name: &str) -> u32 {
        wait_for(name, || self.process(name).ok_or_else(|| format!("only {:?} run", self.processes())))
    }

    /// SIGKILL for one process; waits until the supervisor has started another.
    #[track_caller]
    pub fn kill(&self, name: &str) {
        let old = self.pid(name);
        signal(old, Signal::KILL);
        wait_for("another process", || match self.process(name) {
            Some(pid) if pid != old => Ok(()),
            other => Err(format!("{name} is {other:?}, was {old}")),
        });
    }

    /// SIGSTOP: the process is there and does nothing. Children of its own go on.
    #[track_caller]
    pub fn pause(&self, name: &str) {
        signal(self.pid(name), Signal::STOP);
    }

    #[track_caller]
    pub fn resume(&self, name: &str) {
        signal(self.pid(name), Signal::CONT);
    }

    /// SIGKILL for the supervisor; the kernel kills its children.
    pub fn kill_all(&mut self) {
        let children = self.processes();
        let mut process = self.process.take().unwrap();
        signal(process.id(), Signal::KILL);
        process.wait().unwrap();
        for (name, pid) in children {
            wait_for("the end of a child", || match Path::new(&format!("/proc/{pid}")).exists() {
                true => Err(format!("{name} runs")),
                false => Ok(()),
            });
        }
    }

    /// `hgd` with these arguments.
    pub fn hgd(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(hgd());
        command.args(arguments).env("USER", "tester").stdin(Stdio::null());
        crate::client::outcome(command)
    }

    /// Both logs of both SSH instances are whole, and the standby's is the master's.
    pub fn logs_agree(&self) {
        for log in ["replication", "publication"] {
            let dumps = ["ssh-0", "ssh-1"].map(|name| {
                let directory = self.data().join(name).join("log").join(log);
                let directory = directory.to_str().unwrap();
                let verified = self.hgd(&["log", "verify", directory]);
                for_good(verified.code == Some(0), format_args!("the {log} log of {name}: {verified:?}"));
                self.hgd(&["log", "dump", directory]).ok()
            });
            let sentence = format!("the {log} logs differ, ssh-0:\n{}\nssh-1:\n{}", dumps[0], dumps[1]);
            for_good(dumps[0] == dumps[1], sentence);
        }
    }
}

/// Children run as `hgd ROLE --config DIR/config/NAME.json`.
fn name_of(pid: u32) -> Option<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<&str> = line.split(|byte| *byte == 0).filter_map(|word| std::str::from_utf8(word).ok()).collect();
    let config = words.iter().skip_while(|word| **word != "--config").nth(1)?;
    Some(Path::new(config).file_stem()?.to_str()?.to_owned())
}

pub fn signal(pid: u32, signal: Signal) {
    let _already_gone = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal);
}

/// The process and all below it, parents first.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let children = tasks.flat_map(|task| {
            let text = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()
        });
        let children: Vec<u32> = children.collect();
        found.extend(children);
        next += 1;
    }
    found
}
