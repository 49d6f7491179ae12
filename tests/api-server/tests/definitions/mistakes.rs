//! Each mistake that the API server can see, and what it must say.

use serde_json::{Value, json};

#[derive(Clone, Copy)]
pub enum Kind {
    SshMaster,
    MirrorPool,
    HgRepository,
}

impl Kind {
    pub fn of(name: &str) -> Kind {
        let all = [Kind::SshMaster, Kind::MirrorPool, Kind::HgRepository];
        *all.iter().find(|kind| kind.names().0 == name).unwrap()
    }

    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Kind::SshMaster => ("SshMaster", "sshmasters"),
            Kind::MirrorPool => ("MirrorPool", "mirrorpools"),
            Kind::HgRepository => ("HgRepository", "hgrepositories"),
        }
    }

    /// An object with nothing wrong and little said.
    pub fn good(self, name: &str) -> Value {
        let spec = match self {
            Kind::SshMaster => json!({
                "publicUrl": "https://hg.example.org",
                "sshHost": "hg.example.org",
                "directory": { "authorizedKeys": { "secretRef": { "name": "developers" } } },
            }),
            Kind::MirrorPool => json!({ "masterRef": { "name": "hg" } }),
            Kind::HgRepository => json!({ "masterRef": { "name": "hg" }, "path": "projects/tools" }),
        };
        json!({
            "apiVersion": "hg-operator.dev/v1alpha1", "kind": self.names().0,
            "metadata": { "name": name }, "spec": spec,
        })
    }
}

const NAME: &str = "a-z, 0-9, '-' and '.' are allowed, 1 to 253 characters";
const WORKLOAD: &str = "metadata.name: a letter first, then a-z, 0-9 and '-' are allowed, 1 to 40 characters";
const PUBLIC_URL: &str = "http:// or https:// with a host and without '/' at its end is allowed";
const SOURCE_URL: &str = "http:// or https:// with a host is allowed";
const HOST: &str = "a host name or address is allowed";
const IMAGE: &str = "an image reference is allowed, such as registry.example.org/hg-operator:1.0";
const PATH: &str = "letters, digits, '.', '_' and '-' are allowed in each part between '/', with a letter or digit \
                    first and not .hg or .git last";
const SPAN: &str = "h, m and s are allowed, such as 72h or 1h30m";
const AGE: &str = "h, m and s are allowed, 1m to 8784h, such as 72h or 1h30m";
const LEASE_SPAN: &str = "h, m and s are allowed, 1s to 24h, such as 15s";
const SIZE: &str = "a whole number such as 500Mi or 20Gi is allowed, 1Mi to 1024Ti";
const STRICT_ALONE: &str =
    "log.durability: Strict is for instances: 2 or 3, for one instance has no standby that could acknowledge";
const VOLUME: &str = "a whole number above 0 such as 500Mi or 20Gi is allowed";
const GROUP: &str = "one printable line of 1 to 128 characters is allowed";
const MEMBER: &str = "a user name or \"*\" is allowed";
const RETENTION: &str = "log.retention.size must be less than storage.size: the log is on that volume";
const STRICT: &str = "log.durability: Strict is for storage.mode: PerInstance, where standbys have disks of their own";
const POOLS: &str = "storage.mode: each mirror has its own volume: PerInstance is allowed";
const LEASE: &str =
    "lease: retryPeriod and a second more must be less than renewDeadline, and that less than duration";
const NODE_PORT: &str = "nodePort is for type: NodePort or LoadBalancer";
const MIN_ACTIVE: &str = "minActive is more than replicas: 0 to replicas is allowed";
const ONE_SOURCE: &str = "exactly one of url and bundleUrl is allowed";
const DESCRIPTION: &str = "one printable line of at most 1000 characters is allowed";
const REASON: &str = "one printable line of 1 to 1000 characters is allowed";

/// Kind, what is merged into the good object, and what is said.
pub const MISTAKES: &[(Kind, &str, &str)] = &[
    // SshMaster.
    (Kind::SshMaster, r#"{"metadata":{"name":"a.b"}}"#, WORKLOAD),
    (Kind::SshMaster, r#"{"metadata":{"name":"1a"}}"#, WORKLOAD),
    (Kind::SshMaster, r#"{"metadata":{"name":"a2345678901234567890123456789012345678901"}}"#, WORKLOAD),
    (Kind::SshMaster, r#"{"spec":{"shHost":"x"}}"#, "unknown field \"spec.shHost\""),
    (Kind::SshMaster, r#"{"spec":{"sshHost":null}}"#, "spec.sshHost: Required value"),
    (Kind::SshMaster, r#"{"spec":{"directory":null}}"#, "spec.directory: Required value"),
    (Kind::SshMaster, r#"{"spec":{"directory":{"ldap":{}}}}"#, "unknown field \"spec.directory.ldap\""),
    (Kind::SshMaster, r#"{"spec":{"instances":0}}"#, "should be greater than or equal to 1"),
    (Kind::SshMaster, r#"{"spec":{"instances":4}}"#, "should be less than or equal to 3"),
    (Kind::SshMaster, r#"{"spec":{"instances":"2"}}"#, "must be of type integer"),
    (Kind::SshMaster, r#"{"spec":{"publicUrl":"hg.example.org"}}"#, PUBLIC_URL),
    (Kind::SshMaster, r#"{"spec":{"publicUrl":"https://hg.example.org/"}}"#, PUBLIC_URL),
    (Kind::SshMaster, r#"{"spec":{"publicUrl":"https:///x"}}"#, PUBLIC_URL),
    (Kind::SshMaster, r#"{"spec":{"publicUrl":"https://hg example"}}"#, PUBLIC_URL),
    (Kind::SshMaster, r#"{"spec":{"sshHost":"a b"}}"#, HOST),
    (Kind::SshMaster, r#"{"spec":{"sshHost":""}}"#, HOST),
    (Kind::SshMaster, r#"{"spec":{"storage":{"mode":"Mine"}}}"#, "supported values: \"PerInstance\", \"Shared\""),
    (Kind::SshMaster, r#"{"spec":{"storage":{"mode":"Shared"},"log":{"durability":"Strict"}}}"#, STRICT),
    (Kind::SshMaster, r#"{"spec":{"failover":{"lease":{"duration":"10s"}}}}"#, LEASE),
    (Kind::SshMaster, r#"{"spec":{"failover":{"lease":{"retryPeriod":"9s"}}}}"#, LEASE),
    (Kind::SshMaster, r#"{"spec":{"failover":{"lease":{"renewDeadline":"soon"}}}}"#, LEASE_SPAN),
    (Kind::SshMaster, r#"{"spec":{"failover":{"lease":{"retryPeriod":"0s"}}}}"#, LEASE_SPAN),
    (Kind::SshMaster, r#"{"spec":{"failover":{"lease":{"duration":"24h1s"}}}}"#, LEASE_SPAN),
    (Kind::SshMaster, r#"{"spec":{"failover":{"minInterval":"a minute"}}}"#, SPAN),
    (Kind::SshMaster, r#"{"spec":{"storage":{"size":"20GB"}}}"#, VOLUME),
    (Kind::SshMaster, r#"{"spec":{"storage":{"size":"0"}}}"#, VOLUME),
    (Kind::SshMaster, r#"{"spec":{"storage":{"size":"99999999Ti"}}}"#, VOLUME),
    (Kind::SshMaster, r#"{"spec":{"storage":{"storageClassName":"Fast!"}}}"#, NAME),
    (Kind::SshMaster, r#"{"spec":{"storage":{"size":"20Gi"}}}"#, RETENTION),
    (Kind::SshMaster, r#"{"spec":{"log":{"retention":{"size":"50Gi"}}}}"#, RETENTION),
    (Kind::SshMaster, r#"{"spec":{"log":{"retention":{"size":"much"}}}}"#, SIZE),
    (Kind::SshMaster, r#"{"spec":{"log":{"retention":{"size":"1023Ki"}}}}"#, SIZE),
    (Kind::SshMaster, r#"{"spec":{"log":{"retention":{"size":"1025Ti"}},"storage":{"size":"9999Ti"}}}"#, SIZE),
    (Kind::SshMaster, r#"{"spec":{"log":{"retention":{"age":"59s"}}}}"#, AGE),
    (Kind::SshMaster, r#"{"spec":{"log":{"retention":{"age":"8785h"}}}}"#, AGE),
    (Kind::SshMaster, r#"{"spec":{"instances":1,"log":{"durability":"Strict"}}}"#, STRICT_ALONE),
    (Kind::SshMaster, r#"{"spec":{"log":{"retention":{"age":"3 days"}}}}"#, AGE),
    (Kind::SshMaster, r#"{"spec":{"log":{"retention":{"age":""}}}}"#, AGE),
    (Kind::SshMaster, r#"{"spec":{"log":{"engine":"JetStream"}}}"#, "supported values: \"Embedded\""),
    (Kind::SshMaster, r#"{"spec":{"log":{"durability":"Lax"}}}"#, "supported values: \"Strict\", \"Degraded\""),
    (Kind::SshMaster, r#"{"spec":{"service":{"type":"Ingress"}}}"#, "\"ClusterIP\", \"NodePort\", \"LoadBalancer\""),
    (Kind::SshMaster, r#"{"spec":{"service":{"port":0}}}"#, "should be greater than or equal to 1"),
    (Kind::SshMaster, r#"{"spec":{"service":{"port":65536}}}"#, "should be less than or equal to 65535"),
    (Kind::SshMaster, r#"{"spec":{"service":{"nodePort":30022}}}"#, NODE_PORT),
    (Kind::SshMaster, r#"{"spec":{"service":{"type":"NodePort","nodePort":70000}}}"#, "less than or equal to 65535"),
    (Kind::SshMaster, r#"{"spec":{"service":{"annotations":{"a":1}}}}"#, "must be of type string"),
    (Kind::SshMaster, r#"{"spec":{"hostKeysSecretRef":{"name":"Keys"}}}"#, NAME),
    (Kind::SshMaster, r#"{"spec":{"directory":{"authorizedKeys":{"secretRef":{"name":""}}}}}"#, NAME),
    (Kind::SshMaster, r#"{"spec":{"directory":{"groups":[{"name":"a"}]}}}"#, "members: Required value"),
    (Kind::SshMaster, r#"{"spec":{"directory":{"groups":[{"name":"","members":[]}]}}}"#, GROUP),
    (Kind::SshMaster, r#"{"spec":{"directory":{"groups":[{"name":"a","members":["x y"]}]}}}"#, MEMBER),
    (Kind::SshMaster, r#"{"spec":{"directory":{"groups":[{"name":"a","members":["x","x"]}]}}}"#, "Duplicate value"),
    (
        Kind::SshMaster,
        r#"{"spec":{"directory":{"groups":[{"name":"a","members":[]},{"name":"a","members":[]}]}}}"#,
        "Duplicate value",
    ),
    (Kind::SshMaster, r#"{"spec":{"readOnly":{"reason":""}}}"#, REASON),
    (Kind::SshMaster, r#"{"spec":{"readOnly":{"reason":"a\nb"}}}"#, REASON),
    (Kind::SshMaster, r#"{"spec":{"largestPush":"1Ki"}}"#, SIZE),
    (Kind::SshMaster, r#"{"spec":{"largestPush":"-1"}}"#, SIZE),
    (Kind::SshMaster, r#"{"spec":{"suspend":"yes"}}"#, "must be of type boolean"),
    (Kind::SshMaster, r#"{"spec":{"image":"not an image"}}"#, IMAGE),
    (Kind::SshMaster, r#"{"spec":{"resources":{"requests":{"cpu":"much"}}}}"#, "spec.resources.requests.cpu"),
    (Kind::SshMaster, r#"{"spec":{"resources":{"claims":[]}}}"#, "unknown field \"spec.resources.claims\""),
    (
        Kind::SshMaster,
        r#"{"spec":{"tolerations":[{"operator":"Equals"}]}}"#,
        "supported values: \"Equal\", \"Exists\"",
    ),
    (
        Kind::SshMaster,
        r#"{"spec":{"tolerations":[{"effect":"NoRun"}]}}"#,
        "supported values: \"NoSchedule\", \"PreferNoSchedule\", \"NoExecute\"",
    ),
    (
        Kind::SshMaster,
        r#"{"spec":{"topologySpreadConstraints":[{"maxSkew":1,"topologyKey":"zone","whenUnsatisfiable":"Hope"}]}}"#,
        "supported values: \"DoNotSchedule\", \"ScheduleAnyway\"",
    ),
    (Kind::SshMaster, r#"{"spec":{"affinity":{"podAffinty":{}}}}"#, "unknown field \"spec.affinity.podAffinty\""),
    // MirrorPool.
    (Kind::MirrorPool, r#"{"metadata":{"name":"web.pool"}}"#, WORKLOAD),
    (Kind::MirrorPool, r#"{"spec":{"masterRef":null}}"#, "spec.masterRef: Required value"),
    (Kind::MirrorPool, r#"{"spec":{"masterRef":{"name":"HG"}}}"#, NAME),
    (Kind::MirrorPool, r#"{"spec":{"replicas":-1}}"#, "should be greater than or equal to 0"),
    (Kind::MirrorPool, r#"{"spec":{"replicas":101}}"#, "should be less than or equal to 100"),
    (Kind::MirrorPool, r#"{"spec":{"minActive":3}}"#, MIN_ACTIVE),
    (Kind::MirrorPool, r#"{"spec":{"replicas":0}}"#, MIN_ACTIVE),
    (Kind::MirrorPool, r#"{"spec":{"maxLag":{"records":0}}}"#, "should be greater than or equal to 1"),
    (Kind::MirrorPool, r#"{"spec":{"maxLag":{"seconds":86401}}}"#, "should be less than or equal to 86400"),
    (Kind::MirrorPool, r#"{"spec":{"web":{"workers":65}}}"#, "should be less than or equal to 64"),
    (Kind::MirrorPool, r#"{"spec":{"service":{"nodePort":30080}}}"#, NODE_PORT),
    (Kind::MirrorPool, r#"{"spec":{"storage":{"size":"1.5Gi"}}}"#, VOLUME),
    (Kind::MirrorPool, r#"{"spec":{"storage":{"mode":"Shared"}}}"#, POOLS),
    (Kind::MirrorPool, r#"{"spec":{"image":""}}"#, IMAGE),
    (Kind::MirrorPool, r#"{"spec":{"imagePullSecrets":[{"name":"A"}]}}"#, NAME),
    (Kind::MirrorPool, r#"{"spec":{"clientPolicy":{}}}"#, "unknown field \"spec.clientPolicy\""),
    // HgRepository.
    (Kind::HgRepository, r#"{"spec":{"path":null}}"#, "spec.path: Required value"),
    (Kind::HgRepository, r#"{"spec":{"path":".hidden"}}"#, PATH),
    (Kind::HgRepository, r#"{"spec":{"path":"/a"}}"#, PATH),
    (Kind::HgRepository, r#"{"spec":{"path":"a//b"}}"#, PATH),
    (Kind::HgRepository, r#"{"spec":{"path":"a.hg/b"}}"#, PATH),
    (Kind::HgRepository, r#"{"spec":{"path":"a.git"}}"#, PATH),
    (Kind::HgRepository, r#"{"spec":{"path":"ä"}}"#, PATH),
    (Kind::HgRepository, r#"{"spec":{"masterRef":{"name":null}}}"#, "spec.masterRef.name: Required value"),
    (Kind::HgRepository, r#"{"spec":{"masterRef":{"name":"hg."}}}"#, NAME),
    (Kind::HgRepository, r#"{"spec":{"description":"a\nb"}}"#, DESCRIPTION),
    (Kind::HgRepository, r#"{"spec":{"writeGroups":"developers"}}"#, "must be of type array"),
    (Kind::HgRepository, r#"{"spec":{"writeGroups":["a","a"]}}"#, "Duplicate value"),
    (Kind::HgRepository, r#"{"spec":{"readGroups":["a\tb"]}}"#, GROUP),
    (Kind::HgRepository, r#"{"spec":{"publishing":"no"}}"#, "must be of type boolean"),
    (Kind::HgRepository, r#"{"spec":{"readOnly":true}}"#, "must be of type object"),
    (Kind::HgRepository, r#"{"spec":{"readOnly":{"reason":"\u0007"}}}"#, REASON),
    (Kind::HgRepository, r#"{"spec":{"deletionPolicy":"Purge"}}"#, "supported values: \"Retain\", \"Delete\""),
    (Kind::HgRepository, r#"{"spec":{"source":{}}}"#, ONE_SOURCE),
    (Kind::HgRepository, r#"{"spec":{"source":{"url":"https://h/a","bundleUrl":"https://h/a.hg"}}}"#, ONE_SOURCE),
    (Kind::HgRepository, r#"{"spec":{"source":{"url":"ssh://h/a"}}}"#, SOURCE_URL),
    (Kind::HgRepository, r#"{"spec":{"source":{"bundleUrl":"file:///etc/passwd"}}}"#, SOURCE_URL),
];

const CLASS_STAYS: &str = "the storage class of existing volumes never changes";
const MODE_STAYS: &str = "storage.mode never changes: make another SshMaster";
const SHRINKS: &str = "a volume never shrinks: the old size or more is allowed";
const MASTER_STAYS: &str = "the SshMaster never changes: make another resource";
const PATH_STAYS: &str = "the path of a repository never changes: make another HgRepository";

/// Kind, what is merged into the good object first, what is merged into it then, and what is said.
pub const CHANGES: &[(Kind, &str, &str, &str)] = &[
    (Kind::SshMaster, "{}", r#"{"spec":{"storage":{"size":"40Gi"}}}"#, SHRINKS),
    (
        Kind::SshMaster,
        r#"{"spec":{"storage":{"size":"1000Gi"}}}"#,
        r#"{"spec":{"storage":{"size":"1000G"}}}"#,
        SHRINKS,
    ),
    (
        Kind::SshMaster,
        r#"{"spec":{"storage":{"storageClassName":"slow"}}}"#,
        r#"{"spec":{"storage":{"storageClassName":"fast"}}}"#,
        CLASS_STAYS,
    ),
    (Kind::SshMaster, "{}", r#"{"spec":{"storage":{"storageClassName":"fast"}}}"#, CLASS_STAYS),
    (Kind::SshMaster, "{}", r#"{"spec":{"storage":{"mode":"Shared"}}}"#, MODE_STAYS),
    (
        Kind::SshMaster,
        r#"{"spec":{"storage":{"mode":"Shared"}}}"#,
        r#"{"spec":{"storage":{"mode":"PerInstance"}}}"#,
        MODE_STAYS,
    ),
    (
        Kind::SshMaster,
        r#"{"spec":{"storage":{"storageClassName":"slow"}}}"#,
        r#"{"spec":{"storage":{"storageClassName":null}}}"#,
        CLASS_STAYS,
    ),
    // Taking the group away brings its default back.
    (Kind::SshMaster, r#"{"spec":{"storage":{"size":"1000Gi"}}}"#, r#"{"spec":{"storage":null}}"#, SHRINKS),
    (Kind::MirrorPool, "{}", r#"{"spec":{"masterRef":{"name":"other"}}}"#, MASTER_STAYS),
    (Kind::MirrorPool, "{}", r#"{"spec":{"storage":{"size":"1Gi"}}}"#, SHRINKS),
    (Kind::HgRepository, "{}", r#"{"spec":{"masterRef":{"name":"other"}}}"#, MASTER_STAYS),
    (Kind::HgRepository, "{}", r#"{"spec":{"path":"other"}}"#, PATH_STAYS),
];
