//! Files that are made of others are current. `UPDATE_GENERATED=1 cargo test -p chart` writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use chart::{manifest, objects, of_kind, root, run, title};

const AGAIN: &str = "UPDATE_GENERATED=1 cargo test -p chart writes it anew";

fn folder(path: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let named = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    named
        .map(|file| (file.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&file).unwrap()))
        .collect()
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GENERATED").is_some()
}

/// One test, because the manifest is made of the copies.
#[test]
fn copies_are_current() {
    let (source, copy) = (root().join("crds/manifests"), root().join("charts/hg-operator/files/crds"));
    let crds = folder(&source);
    assert_eq!(crds.len(), 3);
    if updating() {
        for name in folder(&copy).keys() {
            fs::remove_file(copy.join(name)).unwrap();
        }
        for (name, text) in &crds {
            fs::write(copy.join(name), text).unwrap();
        }
    }
    assert!(folder(&copy) == crds, "{} differs: {AGAIN}", copy.display());

    let plain = manifest::plain().unwrap();
    let file = root().join(manifest::FILE);
    if updating() {
        fs::write(&file, &plain).unwrap();
    }
    assert!(fs::read_to_string(file).unwrap() == plain, "{} is old: {AGAIN}", manifest::FILE);
    assert!(!plain.contains("Helm") && !plain.contains("helm.sh"), "traces of Helm");
}

#[test]
fn kustomize_builds_the_plain_manifest() {
    let titles = |text: &str| {
        let mut titles: Vec<_> = objects(text).unwrap().iter().map(title).collect();
        titles.sort();
        titles
    };
    let plain = fs::read_to_string(root().join(manifest::FILE)).unwrap();
    let built = run("kubectl", &["kustomize", "deploy"]).unwrap();
    assert_eq!(titles(&built), titles(&plain));
}

/// The overlay that docs/install.md shows, built as it stands there.
#[test]
fn the_documented_overlay_sets_the_image() {
    let docs = fs::read_to_string(root().join("docs/install.md")).unwrap();
    let overlay = docs.split("```yaml\n# kustomization.yaml\n").nth(1).unwrap().split("```").next().unwrap();
    // Bases are named relative to their overlay.
    fs::create_dir_all(root().join("target")).unwrap();
    let folder = tempfile::tempdir_in(root().join("target")).unwrap();
    let overlay = overlay.replace("PATH", "../..").replace("REGISTRY", "example.org").replace("TAG", "1.2");
    fs::write(folder.path().join("kustomization.yaml"), overlay).unwrap();
    let built = run("kubectl", &["kustomize", folder.path().to_str().unwrap()]).unwrap();
    let built = objects(&built).unwrap();
    let operator = &of_kind(&built, "Deployment")[0]["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(operator["image"], "example.org/hg-operator:1.2");
    let images = operator["env"].as_array().unwrap().iter().filter(|variable| variable["name"] == "HG_OPERATOR_IMAGE");
    assert_eq!(images.map(|variable| &variable["value"]).collect::<Vec<_>>(), ["example.org/hg-operator:1.2"]);
    assert_eq!(operator["env"].as_array().unwrap().len(), 4, "the others are still there");
}
