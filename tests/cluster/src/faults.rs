//! Faults: what is done to a cluster, and undone when the answer is dropped.

use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::testbed::said;
use crate::{Cluster, Pod, eventually};

/// The address that all of them come from.
const READERS: &str = "10.200.0.1";

impl Cluster {
    /// Pulls a node's cable, until the answer is dropped.
    pub fn unplug(&self, node: &str) -> Unplugged<'_> {
        self.testbed("cluster link", &[node, "down"]);
        Unplugged(self, node.to_owned())
    }

    /// Drops what passes between a pod and another address, until the answer is dropped.
    pub fn block<'a>(&'a self, pod: &Pod, other: &str) -> Blocked<'a> {
        let blocked = Blocked { cluster: self, words: [pod.node.clone(), pod.address.clone(), other.to_owned()] };
        blocked.tell("cluster block");
        blocked
    }

    /// Stops the process of the API server where it is, until the answer is dropped.
    pub fn freeze_api_server(&self) -> Frozen {
        let pid = std::fs::read_to_string(self.directory.join("pids/kube-apiserver")).unwrap();
        let pid = Pid::from_raw(pid.split_whitespace().next().unwrap().parse().unwrap()).unwrap();
        kill_process(pid, Signal::STOP).unwrap();
        Frozen(pid)
    }

    /// Kills the process of the API server; another one is started when the answer is dropped.
    pub fn kill_api_server(&self) -> NoApiServer<'_> {
        self.testbed("cluster api-server", &["down"]);
        NoApiServer(self)
    }

    /// The Service `web-http` leads a client to the mirror that it had before; from now on all of them have had
    /// this one. kube-proxy keeps a set of clients for each.
    pub fn readers_go_to(&self, mirror: &Pod) {
        let nft = |line: &str| {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", self.namespace())).arg("nft");
            said(command.args(line.split(' '))).unwrap()
        };
        // It is there a moment after the Service has the mirror.
        let own = eventually("the mirror is in the Service", || {
            let listed = nft("list sets ip");
            let sets = listed.lines().filter_map(|line| line.trim().strip_prefix("set ")?.strip_suffix(" {"));
            let sets: Vec<&str> = sets.filter(|set| set.contains("/web-http/")).collect();
            sets.iter().for_each(|set| drop(nft(&format!("flush set ip kube-proxy {set}"))));
            let own = sets.iter().find(|set| set.contains(&format!("__{}/", mirror.address)));
            own.map(|set| (*set).to_owned()).ok_or_else(|| sets.join(" "))
        });
        nft(&format!("add element ip kube-proxy {own} {{ {READERS} }}"));
    }

    /// Stops everything in a pod where it is, Mercurial's processes included, until the answer is dropped.
    pub fn freeze(&self, pod: &Pod) -> FrozenPod<'_> {
        self.testbed("cluster freeze", &[&pod.uid]);
        FrozenPod(self, pod.uid.clone())
    }

    /// Kills what runs in a pod's containers, and not the pod.
    pub fn kill_processes(&self, pod: &Pod) {
        self.testbed("cluster kill", &[&pod.uid]);
    }
}

pub struct Blocked<'a> {
    cluster: &'a Cluster,
    words: [String; 3],
}

impl Blocked<'_> {
    fn tell(&self, command: &str) {
        self.cluster.testbed(command, &self.words.each_ref().map(String::as_str));
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.tell("cluster unblock");
    }
}

pub struct Frozen(Pid);

impl Drop for Frozen {
    fn drop(&mut self) {
        kill_process(self.0, Signal::CONT).unwrap();
    }
}

pub struct Unplugged<'a>(&'a Cluster, String);

impl Drop for Unplugged<'_> {
    fn drop(&mut self) {
        self.0.testbed("cluster link", &[&self.1, "up"]);
    }
}

pub struct FrozenPod<'a>(&'a Cluster, String);

impl Drop for FrozenPod<'_> {
    fn drop(&mut self) {
        self.0.testbed("cluster thaw", &[&self.1]);
    }
}

pub struct NoApiServer<'a>(&'a Cluster);

impl Drop for NoApiServer<'_> {
    fn drop(&mut self) {
        self.0.testbed("cluster api-server", &["up"]);
    }
}
