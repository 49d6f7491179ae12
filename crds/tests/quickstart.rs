//! The file that newcomers start with.

#![allow(clippy::unwrap_used)]

#[test]
fn the_quickstart_says_what_its_page_says() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart.yaml");
    let read = crds::parse("quickstart.yaml", &std::fs::read_to_string(file).unwrap()).unwrap();
    let [master] = &read.masters[..] else { panic!("one SshMaster") };
    assert_eq!((master.metadata.name.as_str(), master.spec.instances), ("hg", 2));
    let directory = &master.spec.directory;
    assert_eq!(directory.authorized_keys.secret_ref.name, "developers");
    assert_eq!(
        (directory.groups[0].name.as_str(), &directory.groups[0].members[..]),
        ("developers", &["*".into()][..])
    );
    assert_eq!(master.spec.log.retention.age.seconds, 72 * 3600);
    let [pool] = &read.pools[..] else { panic!("one MirrorPool") };
    assert_eq!((pool.metadata.name.as_str(), pool.spec.replicas, pool.spec.min_active), ("web", 2, 1));
    let paths: Vec<_> = read.repositories.iter().map(|found| found.spec.path.as_str()).collect();
    assert_eq!(paths, ["hello", "projects/tools"]);
    let settings = read.repositories[0].spec.settings();
    assert_eq!((settings.publishing, settings.obsolescence, settings.read_only_reason), (true, false, None));
    assert_eq!(settings.write_groups, ["developers"]);
}
