//! Access to an admin port, in one table. What is not in it nobody may ask for, whatever its certificate.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use interface::{SUPERVISOR, paths};
use protocol::{CreationId, InstanceName, Registry};
use tokio::sync::watch;
use transport::Peer;

/// The name in the certificate of all-in-one's load balancer.
const BALANCER: &str = "balancer";

/// Caller, which is what a certificate is for, by its name: the authority gives each name to one process only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Supervisor,
    SshInstance,
    /// The SSH instance that is asked: a command beside it, run by whoever can read its key and its disk.
    Itself,
    Mirror,
    Balancer,
}

use Caller::{Balancer, Itself, Mirror, SshInstance, Supervisor};

struct Endpoint {
    method: Method,
    /// `{}` is one part, `{*}` the rest.
    path: &'static str,
    callers: &'static [Caller],
    /// Public only: those of the callers who may ask about public repositories only. The part behind `repositories` is
    /// a creation id.
    public_only: &'static [Caller],
}

const fn endpoint(method: Method, path: &'static str, callers: &'static [Caller]) -> Endpoint {
    Endpoint { method, path, callers, public_only: &[] }
}

/// Repository's path: of private ones, mirrors have nothing.
const fn repository(path: &'static str, callers: &'static [Caller]) -> Endpoint {
    Endpoint { method: Method::GET, path, callers, public_only: &[Mirror] }
}

static ENDPOINTS: [Endpoint; 25] = [
    endpoint(Method::POST, paths::FOLLOW, &[SshInstance, Mirror]),
    endpoint(Method::GET, "/v1/blobs/{}", &[SshInstance, Mirror]),
    endpoint(Method::GET, paths::SNAPSHOT, &[Mirror]),
    endpoint(Method::GET, paths::SETTLED, &[SshInstance]),
    endpoint(Method::GET, paths::PEERS, &[Mirror]),
    endpoint(Method::GET, paths::INSTANCE, &[Supervisor, SshInstance, Mirror]),
    endpoint(Method::GET, paths::HELD, &[Supervisor]),
    endpoint(Method::POST, paths::SEAL, &[Supervisor]),
    endpoint(Method::POST, paths::LOOK, &[Supervisor]),
    endpoint(Method::POST, paths::DRAIN, &[Supervisor]),
    endpoint(Method::PUT, paths::SETTINGS, &[Supervisor]),
    repository("/v1/repositories/{}/archive", &[SshInstance, Mirror]),
    repository("/v1/repositories/{}/hash", &[Supervisor, SshInstance, Mirror]),
    endpoint(Method::GET, paths::REGISTRY, &[Supervisor]),
    endpoint(Method::GET, "/v1/registry/{*}", &[Supervisor]),
    endpoint(Method::PUT, "/v1/registry/{*}", &[Supervisor]),
    endpoint(Method::POST, "/v1/registry/{*}", &[Supervisor, Itself]),
    endpoint(Method::DELETE, "/v1/registry/{*}", &[Supervisor]),
    endpoint(Method::POST, paths::ENDPOINTS, &[Supervisor, Balancer]),
    endpoint(Method::POST, paths::PROMOTE, &[Supervisor]),
    endpoint(Method::POST, paths::FENCE, &[Supervisor]),
    endpoint(Method::GET, "/status.json", &[Supervisor]),
    endpoint(Method::GET, "/healthz", &[Supervisor]),
    endpoint(Method::GET, "/readyz", &[Supervisor]),
    endpoint(Method::GET, "/metrics", &[Supervisor]),
];

/// Access: what an admin port knows of those who ask, and of what they ask for.
#[derive(Clone)]
pub struct Access {
    /// The name of who is asked, where that may ask itself.
    own: Option<InstanceName>,
    ssh_instances: Arc<BTreeSet<InstanceName>>,
    /// None: whoever listens there has no repositories.
    registry: Option<watch::Receiver<Arc<Registry>>>,
}

impl Access {
    pub fn new(
        ssh_instances: impl IntoIterator<Item = InstanceName>,
        registry: Option<watch::Receiver<Arc<Registry>>>,
    ) -> Access {
        Access { own: None, ssh_instances: Arc::new(ssh_instances.into_iter().collect()), registry }
    }

    /// `own`, one of the SSH instances, is asked.
    pub fn of(self, own: InstanceName) -> Access {
        Access { own: Some(own), ..self }
    }

    /// `router` behind the table.
    pub fn guard(self, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, check))
    }

    fn caller(&self, name: &InstanceName) -> Caller {
        match name.as_str() {
            SUPERVISOR => Supervisor,
            _ if self.own.as_ref() == Some(name) => Itself,
            _ if self.ssh_instances.contains(name) => SshInstance,
            BALANCER => Balancer,
            _ => Mirror,
        }
    }

    fn is_public(&self, id: CreationId) -> bool {
        let registry = self.registry.as_ref().map(|registry| registry.borrow().clone());
        registry.is_some_and(|registry| registry.get(id).is_some_and(protocol::Repository::is_public))
    }
}

async fn check(State(access): State<Access>, peer: Option<Extension<Peer>>, request: Request, next: Next) -> Response {
    let refuse = |sentence: String| (StatusCode::FORBIDDEN, sentence).into_response();
    let Some(Extension(Peer(name))) = peer else { return refuse("who asks has shown no certificate".to_owned()) };
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if allows(&method, &path, access.caller(&name), |id| access.is_public(id)) {
        return next.run(request).await;
    }
    tracing::warn!(%name, %method, path, "an admin request is refused");
    refuse(format!("the certificate of {name} is not for {method} {path}"))
}

/// The path is compared as it came, which is what routes are found by, too.
fn allows(method: &Method, path: &str, caller: Caller, is_public: impl Fn(CreationId) -> bool) -> bool {
    let asked = ENDPOINTS.iter().find(|endpoint| endpoint.method == *method && matches(endpoint.path, path));
    asked.is_some_and(|endpoint| {
        let is_named = endpoint.callers.contains(&caller);
        (is_named || caller == Itself && endpoint.callers.contains(&SshInstance))
            && (!endpoint.public_only.contains(&caller) || creation_id(path).is_some_and(is_public))
    })
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = path.split('/');
    for wanted in pattern.split('/') {
        match (wanted, parts.next()) {
            ("{*}", Some(first)) => return !first.is_empty(),
            ("{}", Some(part)) if !part.is_empty() => {}
            (wanted, Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

fn creation_id(path: &str) -> Option<CreationId> {
    path.strip_prefix("/v1/repositories/")?.split('/').next()?.parse().ok().map(CreationId)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use protocol::record::RepositoryCreated;
    use protocol::{Offset, Record, RepositoryFormat, RepositorySettings};
    use tower::ServiceExt;

    use super::*;

    const CALLERS: [Caller; 4] = [Supervisor, SshInstance, Mirror, Balancer];
    const DOCUMENTED: &str = include_str!("../../../docs/protocols.md");

    /// As docs/protocols.md has it.
    fn table() -> String {
        let mut text =
            "| | supervisor | SSH instance | mirror | balancer |\n| --- | --- | --- | --- | --- |\n".to_owned();
        for endpoint in &ENDPOINTS {
            let path = endpoint.path.replace("{*}", "{path}").replace("blobs/{}", "blobs/{digest}");
            text += &format!("| `{} {}` |", endpoint.method, path.replace("{}", "{id}"));
            for caller in &CALLERS {
                text += match (endpoint.callers.contains(caller), endpoint.public_only.contains(caller)) {
                    (false, _) if *caller == SshInstance && endpoint.callers.contains(&Itself) => " of itself |",
                    (false, _) => " |",
                    (true, false) => " yes |",
                    (true, true) => " of public repositories |",
                };
            }
            text.push('\n');
        }
        text
    }

    #[test]
    fn the_table_is_documented() {
        assert!(DOCUMENTED.contains(&table()), "docs/protocols.md is to have:\n{}", table());
    }

    #[test]
    fn nobody_may_ask_for_what_is_not_in_the_table() {
        let other =
            ["/", "", "/v1", "/v1/registry/", "/v1/instance/", "//v1/instance", "/v1/%69nstance", "/V1/instance"];
        let deeper = ["/v1/blobs/", "/v1/blobs/a/b", "/v1/repositories/1/archive/x", "/v1/repositories//archive"];
        let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::PATCH, Method::HEAD];
        for path in other.iter().chain(&deeper) {
            for (method, caller) in methods.iter().flat_map(|method| CALLERS.map(|caller| (method, caller))) {
                assert!(!allows(method, path, caller, |_| true), "{method} {path} {caller:?}");
            }
        }
        for endpoint in &ENDPOINTS {
            let path = endpoint.path.replace("{*}", "a/b").replace("{}", "1");
            for method in &methods {
                let known = ENDPOINTS.iter().any(|other| other.path == endpoint.path && other.method == *method);
                let allowed = CALLERS.into_iter().any(|caller| allows(method, &path, caller, |_| true));
                assert_eq!(allowed, known, "{method} {path}");
            }
        }
    }

    /// Every role asks for everything, of a public and of a private repository.
    #[tokio::test]
    async fn each_certificate_is_answered_as_the_table_says() {
        let mut registry = Registry::default();
        for (offset, groups) in [(1, vec![]), (2, vec!["staff".to_owned()])] {
            let settings = RepositorySettings { read_groups: groups, ..RepositorySettings::default() };
            let created = Record::RepositoryCreated(RepositoryCreated {
                path: format!("r{offset}").parse().unwrap(),
                format: RepositoryFormat::V1,
                settings,
            });
            registry.apply(Offset(offset), &created).unwrap();
        }
        let registry = watch::Sender::new(Arc::new(registry)).subscribe();
        let names = ["supervisor", "ssh-0", "mirror-0", "balancer"];
        let access = Access::new(["ssh-0".parse().unwrap()], Some(registry));
        let router = access.guard(Router::new().fallback(async || "reached"));
        for (endpoint, id) in ENDPOINTS.iter().flat_map(|endpoint| ["1", "2", "3"].map(|id| (endpoint, id))) {
            let path = endpoint.path.replace("{*}", "a/b").replace("{}", id);
            for (name, caller) in names.iter().zip(CALLERS) {
                let mut request = Request::builder().method(&endpoint.method).uri(&path).body(Body::empty()).unwrap();
                request.extensions_mut().insert(Peer(name.parse().unwrap()));
                let status = router.clone().oneshot(request).await.unwrap().status();
                let public = id == "1" || !endpoint.public_only.contains(&caller);
                let expected = if endpoint.callers.contains(&caller) && public { 200 } else { 403 };
                assert_eq!(status, expected, "{} {path} {name}", endpoint.method);
            }
        }
        let nobody = Request::builder().uri("/v1/instance").body(Body::empty()).unwrap();
        assert_eq!(router.oneshot(nobody).await.unwrap().status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn mirrors_neither_govern_nor_read_what_is_private() {
        let may = |caller, method: Method, path: &str, public: bool| allows(&method, path, caller, |_| public);
        for (method, path) in [
            (Method::POST, "/v1/endpoints"),
            (Method::POST, "/v1/seal"),
            (Method::GET, "/v1/registry"),
            (Method::PUT, "/v1/registry/a/b"),
            (Method::GET, "/status.json"),
            (Method::GET, "/v1/settled"),
        ] {
            assert!(!may(Mirror, method.clone(), path, true), "{method} {path}");
        }
        for path in ["/v1/repositories/7/archive", "/v1/repositories/7/hash"] {
            assert!(may(Mirror, Method::GET, path, true) && !may(Mirror, Method::GET, path, false));
            assert!(may(SshInstance, Method::GET, path, false) && !may(Balancer, Method::GET, path, true));
        }
        assert!(may(Balancer, Method::POST, "/v1/endpoints", true));
        let access = Access::new(["ssh-0".parse().unwrap()], None);
        let of = |name: &str| access.caller(&name.parse().unwrap());
        let named = ["supervisor", "ssh-0", "ssh-1", "mirror-0", "balancer"].map(of);
        assert_eq!(named, [Supervisor, SshInstance, Mirror, Mirror, Balancer]);
    }

    #[test]
    fn an_instance_asks_itself_for_what_others_ask_it_and_for_changes_of_repositories() {
        let access =
            Access::new(["ssh-0", "ssh-1"].map(|name| name.parse().unwrap()), None).of("ssh-0".parse().unwrap());
        let callers = ["ssh-0", "ssh-1"].map(|name| access.caller(&name.parse().unwrap()));
        assert_eq!(callers, [Itself, SshInstance]);
        for endpoint in &ENDPOINTS {
            let path = endpoint.path.replace("{*}", "a/b/skip").replace("{}", "1");
            let [itself, other] = callers.map(|caller| allows(&endpoint.method, &path, caller, |_| false));
            let changes = endpoint.method == Method::POST && endpoint.path == "/v1/registry/{*}";
            assert_eq!(itself, other || changes, "{} {path}", endpoint.method);
        }
    }
}
