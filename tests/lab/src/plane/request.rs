//! The meaning of a request to the API server, from its method and path.

use hyper::{Method, Uri};

/// A request in Kubernetes' terms.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: &'static str,
    /// The resource's plural; empty for a path that is not a resource.
    pub resource: String,
    /// The subresource; mostly empty.
    pub subresource: String,
    /// The namespace; empty across all of them and for cluster-scoped objects.
    pub namespace: String,
    /// The object's name; empty for a list, a watch of a list, and a create by POST.
    pub name: String,
    /// Whether the request is a dry run.
    pub dry_run: bool,
}

impl Request {
    /// Reads a request as the API server's own request-info resolver does.
    pub fn parse(method: &Method, uri: &Uri) -> Request {
        let mut parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
        // /api/VERSION or /apis/GROUP/VERSION precedes the resource.
        let prefix = match parts.first() {
            Some(&"api") => 2,
            Some(&"apis") => 3,
            _ => parts.len(),
        };
        parts.drain(..prefix.min(parts.len()));
        // A namespace's own subresources are not resources in it.
        let own = matches!(parts.get(2), None | Some(&"status" | &"finalize"));
        let mut namespace = "";
        if let (Some(&"namespaces"), Some(name)) = (parts.first(), parts.get(1)) {
            namespace = name;
            if !own {
                parts.drain(..2);
            }
        }
        let part = |index: usize| parts.get(index).copied().unwrap_or_default().to_owned();
        let named = parts.len() > 1;
        let query = |test: fn(&str) -> bool| uri.query().is_some_and(|query| query.split('&').any(test));
        let watches = query(|pair| matches!(pair, "watch" | "watch=true" | "watch=1"));
        let verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if named => "delete",
            Method::DELETE => "deletecollection",
            _ if watches => "watch",
            _ if named || parts.is_empty() => "get",
            _ => "list",
        };
        Request {
            verb,
            resource: part(0),
            subresource: part(2),
            namespace: namespace.to_owned(),
            name: part(1),
            dry_run: query(|pair| pair.starts_with("dryRun=")),
        }
    }

    /// Returns whether the request would change what the cluster holds. Leases and Events are excluded: they
    /// come by the clock. So are reviews, tokens and dry runs, which are questions by POST.
    pub fn is_write(&self) -> bool {
        !self.dry_run
            && matches!(self.verb, "create" | "update" | "patch" | "delete" | "deletecollection")
            && !matches!(self.resource.as_str(), "" | "leases" | "events")
            && !self.resource.ends_with("reviews")
            && self.subresource != "token"
    }
}

/// The requests to match; an empty field matches every request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    verb: Option<String>,
    resource: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    writes_only: bool,
}

impl Target {
    /// Matches every request.
    pub fn any() -> Target {
        Target::default()
    }

    /// Matches one verb on one resource; a subresource only if written with a slash.
    pub fn new(verb: &str, resource: &str) -> Target {
        Target { verb: Some(verb.to_owned()), ..Target::resource(resource) }
    }

    /// Matches every write, as [`Request::is_write`] defines it.
    pub fn writes() -> Target {
        Target { writes_only: true, ..Target::default() }
    }

    /// Matches every watch.
    pub fn watches() -> Target {
        Target { verb: Some("watch".to_owned()), ..Target::default() }
    }

    /// Matches every verb on one resource.
    pub fn resource(resource: &str) -> Target {
        Target { resource: Some(resource.to_owned()), ..Target::default() }
    }

    /// Limits the match to one namespace.
    pub fn in_namespace(mut self, namespace: &str) -> Target {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Limits the match to objects of one name.
    pub fn named(mut self, name: &str) -> Target {
        self.name = Some(name.to_owned());
        self
    }

    /// Limits the match to writes.
    pub fn written(mut self) -> Target {
        self.writes_only = true;
        self
    }

    /// Returns whether a request matches.
    pub fn matches(&self, request: &Request) -> bool {
        let target = if request.subresource.is_empty() {
            request.resource.clone()
        } else {
            format!("{}/{}", request.resource, request.subresource)
        };
        let is =
            |wanted: &Option<String>, value: &str| wanted.as_deref().is_none_or(|wanted| wanted == value);
        is(&self.verb, request.verb)
            && is(&self.resource, &target)
            && is(&self.namespace, &request.namespace)
            && is(&self.name, &request.name)
            && (!self.writes_only || request.is_write())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_the_api_server_reads_them() {
        for (method, path, expected) in [
            ("GET", "/api/v1/secrets?watch=true&fieldSelector=a", "watch secrets   "),
            ("GET", "/api/v1/namespaces", "list namespaces   "),
            ("GET", "/api/v1/namespaces/a", "get namespaces  a a"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update namespaces finalize a a"),
            ("GET", "/api/v1/namespaces/a/secrets", "list secrets  a "),
            ("PATCH", "/api/v1/namespaces/a/secrets/s", "patch secrets  a s"),
            ("DELETE", "/api/v1/namespaces/a/secrets", "deletecollection secrets  a "),
            ("POST", "/api/v1/namespaces/a/serviceaccounts/d/token", "create serviceaccounts token a d"),
            ("PATCH", "/apis/x.dev/v1/bindings/b/status", "patch bindings status  b"),
            ("GET", "/readyz", "get    "),
        ] {
            let r = Request::parse(&method.parse().unwrap(), &path.parse().unwrap());
            let text = format!("{} {} {} {} {}", r.verb, r.resource, r.subresource, r.namespace, r.name);
            assert_eq!(text, expected, "{method} {path}");
        }
    }

    #[test]
    fn a_lease_an_event_and_a_review_are_not_writes() {
        for (path, is_write) in [
            ("/api/v1/namespaces/a/secrets", true),
            ("/apis/coordination.k8s.io/v1/namespaces/a/leases", false),
            ("/apis/events.k8s.io/v1/namespaces/a/events", false),
            ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false),
        ] {
            assert_eq!(Request::parse(&Method::POST, &path.parse().unwrap()).is_write(), is_write, "{path}");
        }
    }
}
