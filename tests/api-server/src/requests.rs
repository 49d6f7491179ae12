//! Requests in the words of the API server's roles.

use axum::http::{Method, Uri};

/// (verb, group, resource or resource/subresource)
pub type Right = (String, String, String);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub verb: &'static str,
    /// None: in all of them at once.
    pub namespace: Option<String>,
    pub group: String,
    pub resource: String,
}

impl Asked {
    /// None: not about a resource.
    pub fn of(method: &Method, uri: &Uri) -> Option<Asked> {
        let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _, rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return None,
        };
        let (namespace, resource, rest) = match rest {
            ["namespaces", namespace, resource, rest @ ..] => (Some((*namespace).to_owned()), *resource, rest),
            [resource, rest @ ..] => (None, *resource, rest),
            [] => return None,
        };
        let resource = match rest {
            [_, subresource, ..] => format!("{resource}/{subresource}"),
            _ => resource.to_owned(),
        };
        let watches = uri.query().unwrap_or_default().split('&').any(|part| part == "watch=true");
        let verb = match (method.as_str(), rest.is_empty()) {
            ("GET", true) if watches => "watch",
            ("GET", true) => "list",
            ("GET", false) => "get",
            ("POST", _) => "create",
            ("PUT", _) => "update",
            ("PATCH", _) => "patch",
            ("DELETE", true) => "deletecollection",
            ("DELETE", false) => "delete",
            _ => return None,
        };
        Some(Asked { verb, namespace, group: group.to_owned(), resource })
    }

    pub fn right(&self) -> Right {
        (self.verb.to_owned(), self.group.clone(), self.resource.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_in_the_words_of_roles() {
        let table = [
            ("GET", "/api/v1/pods?&limit=500", "list pods"),
            ("GET", "/api/v1/namespaces/code/secrets?labelSelector=a&watch=true", "watch secrets"),
            ("GET", "/api/v1/namespaces/code/secrets/a", "get secrets"),
            ("PATCH", "/api/v1/namespaces/code/pods/a/status?", "patch pods/status"),
            ("DELETE", "/apis/apps/v1/namespaces/code/statefulsets/a", "delete apps statefulsets"),
            ("POST", "/apis/events.k8s.io/v1/namespaces/code/events", "create events.k8s.io events"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/code/leases/a", "update coordination.k8s.io leases"),
        ];
        for (method, uri, expected) in table {
            let asked = Asked::of(&method.parse().unwrap(), &uri.parse().unwrap()).unwrap();
            let (verb, group, resource) = asked.right();
            let words: Vec<&str> = [&*verb, &*group, &*resource].into_iter().filter(|word| !word.is_empty()).collect();
            assert_eq!(words.join(" "), expected);
        }
        assert_eq!(Asked::of(&Method::GET, &"/version".parse().unwrap()), None);
    }
}
