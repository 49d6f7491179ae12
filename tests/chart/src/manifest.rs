//! The plain manifest and Kustomize base in `deploy/`, made of the chart.

use crate::render;

/// From the repository's root.
pub const FILE: &str = "deploy/hg-operator.yaml";

const HEAD: &str = "\
# Generated from charts/hg-operator with its default values; a test keeps it current (docs/install.md).
---
apiVersion: v1
kind: Namespace
metadata:
  name: hg-operator
  labels:
    app.kubernetes.io/part-of: hg-operator
    pod-security.kubernetes.io/enforce: restricted
";

/// Lines that are true only of what Helm has installed.
const OF_HELM: &[&str] = &["app.kubernetes.io/managed-by: Helm", "helm.sh/chart:", "# Source:"];

/// Makes what [`FILE`] has to contain.
pub fn plain() -> Result<String, String> {
    let rendered = render(&["--skip-tests", "--set", "crds.keep=false"])?;
    let mut plain = HEAD.to_owned();
    for document in rendered.split("---\n") {
        let lines = document.lines().filter(|line| !OF_HELM.iter().any(|of_helm| line.trim().starts_with(of_helm)));
        let document = lines.collect::<Vec<_>>().join("\n");
        if !document.trim().is_empty() {
            plain.push_str(&format!("---\n{}\n", document.trim()));
        }
    }
    Ok(plain)
}
