//! SshMaster by value: what is refused, what is built, what is reported.

use std::sync::Arc;

use crds::MirrorPool;
use crds::conditions::Reason;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use protocol::Offset;
use protocol::status::{LogStatus, Refusal};
use serde_json::{Value, json};

use super::build::{Made, build};
use super::observe::{Observed, Pool};
use super::validate::validate;
use super::{Done, holding, report};
use crate::apply::Premise;
use crate::certificates::Leaves;
use crate::link::view::View;
use crate::notes::Note;
use crate::objects::Maker;
use crate::problem::{Class, Problem};
use crate::tests::snapshots::{Snapshot, master, pool};
use crate::world::cache::Name;

fn secret(name: &str, keys: &[(&str, &str)]) -> Secret {
    let data: serde_json::Map<String, Value> = keys
        .iter()
        .map(|(key, text)| ((*key).to_owned(), json!(k8s_openapi::ByteString(text.as_bytes().into()))))
        .collect();
    serde_json::from_value(json!({"metadata": {"name": name, "namespace": "code"}, "data": data})).unwrap()
}

fn observed(change: Value) -> Observed {
    let master = Arc::new(master(change));
    Observed {
        wanted_instances: master.spec.instances,
        master,
        name: Name::new("code", "hg"),
        pools: Vec::new(),
        all_pools: Premise::all::<MirrorPool>([]),
        users: Some(Arc::new(secret("developers", &[("authorized_keys", "")]))),
        named_host_keys: None,
        stateful_set: None,
        register: None,
        pods: Vec::new(),
        claims: Vec::new(),
        view: None,
    }
}

fn register() -> Value {
    json!({
        "metadata": {"name": "hg", "namespace": "code", "annotations": {
            "hg-operator.dev/generation": "4", "hg-operator.dev/in-sync": "hg-ssh-1",
        }},
        "spec": {"holderIdentity": "hg-ssh-0"},
    })
}

fn pod(name: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "code"},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
    })
}

fn claim(size: &str) -> Value {
    json!({
        "metadata": {"name": "data-hg-ssh-0", "namespace": "code"},
        "spec": {"resources": {"requests": {"storage": size}}},
    })
}

fn of<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

fn objects(observed: &Observed, name: &str) -> Snapshot {
    let data = [("ca.pem".to_owned(), k8s_openapi::ByteString(b"x".to_vec()))].into();
    let leaves = Leaves { data, of: None };
    let made = Made { certificates: leaves.clone(), operator_certificate: leaves };
    let super::build::Objects {
        account,
        role,
        binding,
        config,
        certificates,
        operator_certificate,
        headless,
        front,
        budget,
        network,
        stateful_set,
    } = build(observed, made, &Maker::new("example/hg-operator:1", "operators")).unwrap();
    let mut snapshot = Snapshot::default();
    snapshot.add(&account);
    snapshot.add(&role);
    snapshot.add(&binding);
    snapshot.add(&config);
    snapshot.add_secret(&certificates);
    snapshot.add_secret(&operator_certificate);
    snapshot.add(&headless);
    snapshot.add(&front);
    snapshot.add(&budget);
    snapshot.add(&network);
    snapshot.add(&stateful_set);
    snapshot.compare(name);
    snapshot
}

#[test]
fn the_smallest_ssh_master_is_built() {
    objects(&observed(json!({})), "ssh-master");
}

#[test]
fn every_knob_reaches_its_object() {
    let mut observed = observed(json!({
        "instances": 3,
        "storage": {"size": "100Gi", "storageClassName": "fast"},
        "log": {"retention": {"age": "24h", "size": "1Gi"}, "durability": "Strict"},
        "service": {"type": "LoadBalancer", "port": 2200, "nodePort": 32000, "annotations": {"a": "b"}},
        "hostKeysSecretRef": {"name": "keys"},
        "readOnly": {"reason": "moving"},
        "image": "example/other:2",
        "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "4Gi"}},
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "hg", "operator": "Exists"}],
        "podAnnotations": {"c": "d"},
        "imagePullSecrets": [{"name": "pull"}],
    }));
    let follows = pool(json!({"minActive": 2, "replicas": 3, "maxLag": {"records": 7, "seconds": 8}}));
    observed.pools = vec![Pool { pool: Arc::new(follows), stateful_set: None }];
    objects(&observed, "ssh-master-knobs");
}

/// One claim of its own instead of a template for each, and no standby whose acknowledgement is needed.
#[test]
fn instances_share_one_volume() {
    let observed = observed(json!({"storage": {"mode": "Shared", "storageClassName": "nfs"}}));
    objects(&observed, "ssh-master-shared");
    let claim = crate::storage::shared_claim(&observed.master.spec.storage, Default::default());
    let expected = json!({
        "accessModes": ["ReadWriteMany"], "storageClassName": "nfs", "resources": {"requests": {"storage": "50Gi"}},
    });
    assert_eq!(json!(claim.spec), expected);
}

#[test]
fn the_template_does_not_change_with_what_a_pod_need_not_be_replaced_for() {
    let template = |change: Value| {
        let made = Made { certificates: Leaves::default(), operator_certificate: Leaves::default() };
        let objects = build(&observed(change), made, &Maker::new("example/hg-operator:1", "operators")).unwrap();
        objects.stateful_set.value()["spec"]["template"].clone()
    };
    let before = template(json!({}));
    let changes = [
        json!({"service": {"port": 2200}}),
        json!({"suspend": true}),
        json!({"storage": {"size": "90Gi"}}),
        json!({"readOnly": {"reason": "moving"}}),
    ];
    for change in changes {
        assert_eq!(template(change.clone()), before, "{change}");
    }
    assert_ne!(template(json!({"publicUrl": "https://other.example.org"})), before);
}

#[test]
fn each_problem_has_its_sentence() {
    let table: Vec<(Observed, Class, Reason, &str)> = vec![
        (
            Observed { users: None, ..observed(json!({})) },
            Class::User,
            Reason::SecretMissing,
            "spec.directory.authorizedKeys.secretRef.name: there is no Secret 'developers' in this namespace",
        ),
        (
            Observed { users: Some(Arc::new(secret("developers", &[("keys", "x")]))), ..observed(json!({})) },
            Class::User,
            Reason::SecretInvalid,
            "spec.directory.authorizedKeys.secretRef.name: Secret 'developers' has no key 'authorized_keys', which is \
             to hold one public key a line",
        ),
        (
            observed(json!({"hostKeysSecretRef": {"name": "keys"}})),
            Class::User,
            Reason::SecretMissing,
            "spec.hostKeysSecretRef.name: there is no Secret 'keys' in this namespace",
        ),
        (
            Observed {
                named_host_keys: Some(Arc::new(secret("keys", &[("ssh_host_dsa_key", "x")]))),
                ..observed(json!({"hostKeysSecretRef": {"name": "keys"}}))
            },
            Class::User,
            Reason::SecretInvalid,
            "spec.hostKeysSecretRef.name: Secret 'keys' has none of 'ssh_host_ed25519_key', 'ssh_host_ecdsa_key', \
             'ssh_host_rsa_key', which are to hold keys",
        ),
        (
            Observed { register: Some(of(register())), claims: vec![of(claim("80Gi"))], ..observed(json!({})) },
            Class::User,
            Reason::StorageShrinks,
            "spec.storage.size: 50Gi is less than the 80Gi that volume claim 'data-hg-ssh-0' asks for",
        ),
    ];
    for (observed, class, reason, sentence) in table {
        let problem = validate(&observed).unwrap_err();
        assert_eq!((problem.class, problem.reason, problem.sentence.as_str()), (class, reason, sentence));
    }
    let good = Observed { register: Some(of(register())), claims: vec![of(claim("50Gi"))], ..observed(json!({})) };
    assert_eq!(validate(&good), Ok(()));
}

fn told(observed: &Observed, done: Result<&Done, &Problem>) -> Vec<String> {
    let status =
        report::report(observed, &crds::SshMasterStatus::default(), &Note::default(), done, Timestamp::UNIX_EPOCH);
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
    status.conditions.iter().map(|one| format!("{}={} {}", one.type_, one.status, one.reason)).collect()
}

#[test]
fn conditions_say_what_is_so() {
    let mut observed = observed(json!({}));
    let done = Done::default();
    assert_eq!(told(&observed, Ok(&done))[..2], ["Ready=False NoMaster", "Available=False NoMaster"]);
    observed.register = Some(of(register()));
    observed.pods = vec![of(pod("hg-ssh-0", true)), of(pod("hg-ssh-1", true))];
    observed.view = Some(Arc::new(View { answers: true, log: Some(LogStatus::default()), ..View::default() }));
    let all = told(&observed, Ok(&done));
    assert_eq!(
        all,
        [
            "Ready=True AllReady",
            "Available=True MasterAccepts",
            "Progressing=False Applied",
            "Degraded=False AllReady",
            "StandbyInSync=True InSync",
            "PromotionReady=True InSync",
            "DirectoryReachable=True SecretFound",
            "LogWritable=True LogOpen",
            "Suspended=False NotSuspended",
        ]
    );
    observed.pods[1] = of(pod("hg-ssh-1", false));
    let all = told(&observed, Ok(&done));
    assert_eq!((all[0].as_str(), all[4].as_str()), ("Ready=False StandbyBehind", "StandbyInSync=False StandbyBehind"));
    observed.users = None;
    let problem = validate(&observed).unwrap_err();
    let all = told(&observed, Err(&problem));
    assert_eq!((all[0].as_str(), all[1].as_str()), ("Ready=False SecretMissing", "Available=True MasterAccepts"));
    assert_eq!(all[6], "DirectoryReachable=False SecretMissing");
    let status =
        report::report(&observed, &Default::default(), &Note::default(), Err(&problem), Timestamp::UNIX_EPOCH);
    assert_eq!(status.conditions[6].message, problem.sentence, "one sentence, wherever it is said");
}

#[test]
fn with_one_volume_any_other_ready_instance_can_take_over() {
    let mut observed = observed(json!({"storage": {"mode": "Shared"}}));
    let mut register = register();
    register["metadata"]["annotations"]["hg-operator.dev/in-sync"] = json!("");
    observed.register = Some(of(register));
    observed.view = Some(Arc::new(View { answers: true, ..View::default() }));
    observed.pods = vec![of(pod("hg-ssh-0", true)), of(pod("hg-ssh-1", true))];
    assert_eq!(
        told(&observed, Ok(&Done::default()))[4..6],
        ["StandbyInSync=True InSync", "PromotionReady=True InSync"]
    );
    observed.pods.remove(1);
    assert_eq!(told(&observed, Ok(&Done::default()))[4], "StandbyInSync=False StandbyBehind");
}

#[test]
fn the_same_world_gives_the_same_status() {
    let mut observed = observed(json!({}));
    observed.register = Some(of(register()));
    let first =
        report::report(&observed, &Default::default(), &Note::default(), Ok(&Done::default()), Timestamp::UNIX_EPOCH);
    let later = Timestamp::from_second(1000).unwrap();
    assert_eq!(report::report(&observed, &first, &Note::default(), Ok(&Done::default()), later), first);
    assert_eq!((first.master.as_deref(), first.generation), (Some("hg-ssh-0"), Some(4)));
}

#[test]
fn a_promotion_is_told_as_the_register_tells_it() {
    let mut observed = observed(json!({}));
    let report = |observed: &Observed, before: &crds::SshMasterStatus| {
        report::report(observed, before, &Note::default(), Ok(&Done::default()), Timestamp::UNIX_EPOCH)
    };
    let lease = |holder: Option<&str>, promotion: Option<Value>| {
        let mut lease = register();
        lease["spec"]["holderIdentity"] = holder.into();
        let annotations = lease["metadata"]["annotations"].as_object_mut().unwrap();
        annotations.extend(promotion.map(|value| (register::PROMOTION.to_owned(), value.to_string().into())));
        Some(of(lease))
    };
    let (begun, at) = (1_767_225_600_000_u64, 1_767_225_602_300_u64);
    let begin = || json!({"from": "hg-ssh-0", "reason": "the master is silent", "begun": begun});
    let make = |to: &str, proof: &str| {
        let mut promotion = begin();
        promotion["made"] = json!({"to": to, "proof": proof, "at": at});
        Some(promotion)
    };
    observed.register = lease(Some("hg-ssh-0"), None);
    let first = report(&observed, &Default::default());
    assert_eq!(first.last_promotion, None);
    observed.register = lease(None, Some(begin()));
    let frozen = report(&observed, &first);
    assert_eq!((&frozen.master, &frozen.last_promotion), (&None, &None));
    // Whoever made it, and whatever this operator has seen of it.
    observed.register = lease(Some("hg-ssh-1"), make("hg-ssh-1", "hg-ssh-1 is sealed"));
    let promotion = crds::Promotion {
        at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(Timestamp::from_millisecond(at as i64).unwrap()),
        from: Some("hg-ssh-0".into()),
        to: "hg-ssh-1".into(),
        reason: Some("the master is silent".into()),
        fence_proof: Some("hg-ssh-1 is sealed".into()),
        seconds: Some(3),
    };
    for before in [&Default::default(), &first, &frozen] {
        assert_eq!(report(&observed, before).last_promotion, Some(promotion.clone()));
    }
    let told = report(&observed, &first);
    observed.register = lease(None, Some(begin()));
    assert_eq!(report(&observed, &told).last_promotion, Some(promotion.clone()), "the next one is under way");
    observed.register = lease(Some("hg-ssh-1"), None);
    assert_eq!(report(&observed, &told).last_promotion, Some(promotion), "and was withdrawn");
}

#[test]
fn the_log_is_told_as_the_master_tells_it_and_stays_when_nobody_does() {
    let mut observed = observed(json!({}));
    let log = LogStatus { start: Offset(5), committed: Offset(40), bytes: 4096, refuses: None };
    observed.view = Some(Arc::new(View { log: Some(log), answers: true, ..View::default() }));
    let report = |observed: &Observed, before: &crds::SshMasterStatus| {
        report::report(observed, before, &Note::default(), Ok(&Done::default()), Timestamp::UNIX_EPOCH)
    };
    let told = report(&observed, &Default::default());
    assert_eq!(told.log, Some(crds::LogStatus { head: 40, start: Some(5), bytes: Some(4096) }));
    observed.view = None;
    assert_eq!(report(&observed, &told).log, told.log);
}

#[test]
fn the_masters_pod_stays_when_fewer_instances_are_wanted() {
    let instances = |wanted: u32, holder: &str, before: &str| {
        let mut register = register();
        register["spec"]["holderIdentity"] = json!(holder);
        register["metadata"]["annotations"][register::PREVIOUS_HOLDER] = json!(before);
        let register: Arc<Lease> = of(register);
        holding(Arc::new(master(json!({"instances": wanted}))), Some(&register)).spec.instances
    };
    assert_eq!(instances(1, "hg-ssh-0", "hg-ssh-1"), 1);
    assert_eq!(instances(1, "hg-ssh-1", "hg-ssh-0"), 2);
    assert_eq!(instances(1, "hg-ssh-2", ""), 3);
    assert_eq!(instances(2, "hg-ssh-1", ""), 2);
    // While another takes its place.
    assert_eq!(instances(1, "", "hg-ssh-1"), 2);
    assert_eq!(instances(1, "hg-ssh-4000000000", ""), 1, "no name of ours");
    assert_eq!(holding(Arc::new(master(json!({"instances": 1}))), None).spec.instances, 1);
}

#[test]
fn a_log_that_refuses_pushes_is_told_with_its_reason_and_nobody_is_said_to_accept_them() {
    let mut observed = observed(json!({}));
    observed.register = Some(of(register()));
    observed.pods = vec![of(pod("hg-ssh-0", true)), of(pod("hg-ssh-1", true))];
    let mut conditions = |log: Option<LogStatus>, answers| {
        observed.view = Some(Arc::new(View { log, answers, ..View::default() }));
        let all = told(&observed, Ok(&Done::default()));
        [all[0].clone(), all[1].clone(), all[7].clone()]
    };
    let log = |refuses| Some(LogStatus { refuses, ..LogStatus::default() });
    let full = conditions(log(Some(Refusal::VolumeFull)), true);
    assert_eq!(full, ["Ready=False LogFull", "Available=False LogFull", "LogWritable=False LogFull"]);
    let strict = conditions(log(Some(Refusal::NoStandby)), true);
    assert_eq!(strict[2], "LogWritable=False NoStandbyLeft");
    let open = conditions(log(None), true);
    assert_eq!(open, ["Ready=True AllReady", "Available=True MasterAccepts", "LogWritable=True LogOpen"]);
    assert_eq!(conditions(None, true)[2], "LogWritable=Unknown Reconciling", "a master of an older version");
    assert_eq!(conditions(log(None), false)[2], "LogWritable=Unknown MasterUnreachable");
}

/// Tells what fails; that the pod is not ready, for the same reason, says less.
#[test]
fn a_master_on_which_pushes_fail_is_told_with_what_fails() {
    let mut observed = observed(json!({}));
    observed.register = Some(of(register()));
    observed.pods = vec![of(pod("hg-ssh-0", false)), of(pod("hg-ssh-1", true))];
    let unable = Some("no temporary file can be written".to_owned());
    observed.view = Some(Arc::new(View { unable, log: Some(LogStatus::default()), answers: true, ..View::default() }));
    let report = |observed: &Observed| {
        let told = report::report(
            observed,
            &Default::default(),
            &Note::default(),
            Ok(&Done::default()),
            Timestamp::UNIX_EPOCH,
        );
        let available = told.conditions.iter().find(|condition| condition.type_ == "Available").unwrap();
        (available.reason.clone(), available.message.clone())
    };
    let told = ("PushesFail".to_owned(), "pushes fail on hg-ssh-0: no temporary file can be written".to_owned());
    assert_eq!(report(&observed), told);
}
