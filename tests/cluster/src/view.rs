//! View of what the API server shows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{Cluster, eventually};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub status: String,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub uid: String,
    pub restarts: u64,
    pub node: String,
    pub address: String,
    pub ready: bool,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().into_iter().flatten()
}

/// Answers whether a pod or a node is ready.
fn is_ready(status: &Value) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|one| one["type"] == "Ready" && one["status"] == "True")
}

impl Cluster {
    pub fn get(&self, what: &str) -> Result<Value, String> {
        let said = self.try_kubectl(&format!("get {what} -o json"))?;
        serde_json::from_str(&said).map_err(|error| format!("{error}: {said}"))
    }

    /// `resource`: `kind/name`.
    pub fn condition(&self, resource: &str, kind: &str) -> Result<Condition, String> {
        let object = self.get(resource)?;
        let generation = &object["metadata"]["generation"];
        let conditions = object["status"]["conditions"].as_array().ok_or("no conditions")?;
        let one = conditions.iter().find(|one| one["type"] == kind).ok_or(format!("no condition {kind}"))?;
        if one["observedGeneration"] != *generation {
            return Err(format!("{kind} is of an older generation: {one}"));
        }
        Ok(Condition { status: text(&one["status"]), reason: text(&one["reason"]), message: text(&one["message"]) })
    }

    #[track_caller]
    pub fn is_ready(&self, resource: &str) {
        self.says(resource, "True", "AllReady");
    }

    /// Waits until `Ready` has this status and reason, and returns its sentence.
    #[track_caller]
    pub fn says(&self, resource: &str, status: &str, reason: &str) -> String {
        eventually(&format!("{resource} is Ready={status} for {reason}"), || {
            let ready = self.condition(resource, "Ready")?;
            if (&*ready.status, &*ready.reason) == (status, reason) {
                Ok(ready.message)
            } else {
                Err(format!("{ready:?}"))
            }
        })
    }

    /// Waits until an operator has said this sentence.
    #[track_caller]
    pub fn is_logged(&self, sentence: &str) {
        let logs = "logs -n hg-operator -l app.kubernetes.io/component=operator --tail=-1";
        eventually(&format!("the operator's log says: {sentence}"), || {
            if self.try_kubectl(logs)?.contains(sentence) { Ok(()) } else { Err("it does not".to_owned()) }
        });
    }

    /// By name; `owner` is the SshMaster or MirrorPool that they are of.
    pub fn pods(&self, owner: &str) -> Result<BTreeMap<String, Pod>, String> {
        self.pods_by(&format!("-l app.kubernetes.io/instance={owner}"))
    }

    /// Where the API server is behind its Service, with its port.
    pub fn api_server(&self) -> Result<String, String> {
        let slice = self.get("endpointslices -n default kubernetes")?;
        Ok(format!("{}:{}", text(&slice["endpoints"][0]["addresses"][0]), slice["ports"][0]["port"]))
    }

    /// Those of the chart's Deployment.
    pub fn operators(&self) -> Result<BTreeMap<String, Pod>, String> {
        self.pods_by("-n hg-operator -l app.kubernetes.io/component=operator")
    }

    fn pods_by(&self, which: &str) -> Result<BTreeMap<String, Pod>, String> {
        let list = self.get(&format!("pods {which}"))?;
        let pod = |item: &Value| {
            let status = &item["status"];
            let pod = Pod {
                uid: text(&item["metadata"]["uid"]),
                restarts: status["containerStatuses"][0]["restartCount"].as_u64().unwrap_or_default(),
                node: text(&item["spec"]["nodeName"]),
                address: text(&status["podIP"]),
                ready: is_ready(status),
            };
            (text(&item["metadata"]["name"]), pod)
        };
        Ok(items(&list).map(pod).collect())
    }

    /// How many nodes are heard.
    pub fn ready_nodes(&self) -> Result<usize, String> {
        let list = self.get("nodes")?;
        Ok(items(&list).filter(|node| is_ready(&node["status"])).count())
    }

    /// The pods that the Service sends clients to.
    pub fn endpoints(&self, service: &str) -> Result<BTreeSet<String>, String> {
        let list = self.get(&format!("endpointslices -l kubernetes.io/service-name={service}"))?;
        let all = items(&list).flat_map(|slice| slice["endpoints"].as_array().into_iter().flatten());
        let ready = all.filter(|endpoint| endpoint["conditions"]["ready"] == true);
        Ok(ready.map(|endpoint| text(&endpoint["targetRef"]["name"])).collect())
    }

    /// Waits until a pool has this many mirrors, all of them active and in the Service.
    #[track_caller]
    pub fn mirrors_are_active(&self, replicas: usize) {
        eventually(&format!("{replicas} active mirrors"), || {
            let status = self.get("mirrorpool/web")?["status"].clone();
            let counts = ["replicas", "readyReplicas", "activeReplicas"].map(|key| status[key].as_u64());
            let endpoints = self.endpoints("web-http")?;
            if counts != [Some(replicas as u64); 3] || endpoints.len() != replicas {
                return Err(format!("{counts:?}, {endpoints:?}"));
            }
            let ready = self.condition("mirrorpool/web", "Ready")?;
            if ready.status == "True" { Ok(()) } else { Err(format!("{ready:?}")) }
        });
    }

    /// Deletes a pod without waiting, and waits until another one of its name is ready.
    #[track_caller]
    pub fn replace(&self, owner: &str, name: &str, also: &str) {
        let before = self.pods(owner).unwrap()[name].uid.clone();
        self.kubectl(&format!("delete --wait=false pod/{name} {also}"));
        eventually(&format!("another {name} is ready"), || match self.pods(owner)?.remove(name) {
            Some(pod) if pod.uid != before && pod.ready => Ok(()),
            other => Err(format!("{other:?}")),
        });
    }

    /// Waits until a resource that was deleted has no pods any more.
    #[track_caller]
    pub fn has_no_pods(&self, owner: &str) {
        eventually(&format!("the pods of {owner} are gone"), || match self.pods(owner)?.len() {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        });
    }

    /// The pod of the quickstart's SshMaster that has this role now.
    pub fn role(&self, role: &str) -> Result<String, String> {
        let list = self.get(&format!("pods -l app.kubernetes.io/instance=hg,hg-operator.dev/role={role}"))?;
        items(&list).next().map(|item| text(&item["metadata"]["name"])).ok_or(format!("no {role}"))
    }
}
