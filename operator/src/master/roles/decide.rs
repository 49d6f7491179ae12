//! The role labels, by which the Service finds the master.

/// One SSH pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    pub name: String,
    /// The label it has.
    pub role: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub pod: String,
    pub role: &'static str,
}

/// The labels to write, in this order: the old master loses its label before the new one gets it. While the register
/// names nobody, nobody is master.
pub fn decide(pods: &[Pod], holder: Option<&str>) -> Vec<Label> {
    let wanted = |pod: &Pod| if holder == Some(pod.name.as_str()) { "master" } else { "standby" };
    let mut labels: Vec<Label> = pods
        .iter()
        .filter(|pod| pod.role.as_deref() != Some(wanted(pod)))
        .map(|pod| Label { pod: pod.name.clone(), role: wanted(pod) })
        .collect();
    labels.sort_by_key(|label| label.role == "master");
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, role: &str) -> Pod {
        Pod { name: name.into(), role: Some(role.to_owned()).filter(|role| !role.is_empty()) }
    }

    #[test]
    fn the_old_master_loses_its_label_first() {
        let pods = [pod("a", "standby"), pod("b", "master"), pod("c", "")];
        let label = |pod: &str, role| Label { pod: pod.into(), role };
        assert_eq!(decide(&pods, Some("a")), [label("b", "standby"), label("c", "standby"), label("a", "master")]);
        assert_eq!(decide(&pods, Some("b")), [label("c", "standby")]);
        assert_eq!(decide(&pods, None), [label("b", "standby"), label("c", "standby")]);
        assert_eq!(decide(&[pod("a", "master")], Some("a")), []);
    }
}
