//! `kubectl acr check` with an API server that answers as no real one of the lab does.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::acr::{command, root, run};
use crate::connection::kubeconfig;

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

/// What the API server is like.
#[derive(Clone)]
struct Traits {
    version: &'static str,
    /// The header `Date`; that of this machine if none.
    date: Option<&'static str>,
    /// Whether it serves ValidatingAdmissionPolicy, and has those of deploy/policies.yaml.
    has_policies: bool,
}

/// An API server that lets its clients read nothing but its version and policies.
struct ApiServer {
    traits: Arc<Mutex<Traits>>,
    /// Its kubeconfig.
    file: String,
    _folder: tempfile::TempDir,
}

impl ApiServer {
    async fn start(traits: Traits) -> Self {
        let traits = Arc::new(Mutex::new(traits));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let shared = traits.clone();
        let router = Router::new().fallback(move |uri: Uri| {
            let traits = shared.lock().unwrap().clone();
            async move { answer(&traits, uri.path()) }
        });
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let folder = tempfile::tempdir().unwrap();
        let file = kubeconfig(folder.path(), &[("a", server)]);
        Self { traits, file, _folder: folder }
    }

    fn change(&self, change: impl FnOnce(&mut Traits)) {
        change(&mut self.traits.lock().unwrap());
    }

    /// Runs the command, and returns its exit code with result, message and cure of a part.
    fn check(&self, part: &str) -> (Option<i32>, String) {
        let done = run(command(&["check", "-o", "json", "--kubeconfig", &self.file]), "");
        let report: Value = serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{}", done.err));
        let lines = report["checks"].as_array().unwrap();
        let line = lines.iter().find(|line| line["part"] == part).unwrap();
        let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        (done.code, format!("{}: {} => {}", text("result"), text("message"), text("cure")))
    }
}

fn answer(traits: &Traits, path: &str) -> Response {
    let body = match path.strip_prefix(POLICIES) {
        _ if path == "/version" => json!({ "gitVersion": traits.version }),
        Some("") => {
            let resource = json!({
                "name": "validatingadmissionpolicies", "singularName": "", "namespaced": false,
                "kind": "ValidatingAdmissionPolicy", "verbs": ["get"],
            });
            let resources = if traits.has_policies { vec![resource] } else { Vec::new() };
            json!({ "kind": "APIResourceList", "groupVersion": "admissionregistration.k8s.io/v1", "resources": resources })
        }
        Some(rest) if traits.has_policies => {
            object(rest.rsplit('/').next().unwrap(), rest.contains("policybindings"))
        }
        _ => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
                "message": format!("{path} is forbidden"),
            });
            return (StatusCode::FORBIDDEN, axum::Json(status)).into_response();
        }
    };
    let mut response = axum::Json(body).into_response();
    if let Some(date) = traits.date {
        response.headers_mut().insert(header::DATE, HeaderValue::from_static(date));
    }
    response
}

/// Returns a policy of deploy/policies.yaml, or its binding.
fn object(name: &str, is_binding: bool) -> Value {
    let text = std::fs::read_to_string(root().join("deploy/policies.yaml")).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let kind = if is_binding { "ValidatingAdmissionPolicyBinding" } else { "ValidatingAdmissionPolicy" };
    let found =
        documents.into_iter().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_and_an_old_kubernetes_fail_until_they_are_corrected() {
    let date = Some("Thu, 01 Jan 2026 00:00:00 GMT");
    let server = ApiServer::start(Traits { version: "v1.24.1", date, has_policies: false }).await;
    let (code, clock) = server.check("clock");
    assert_eq!(code, Some(1));
    assert!(clock.contains("min ahead of the API server's => set the clock that is wrong"), "{clock}");
    server.change(|traits| traits.date = None);
    assert_eq!(server.check("clock").1, "passed: this machine and the API server agree => -");
    let (code, version) = server.check("kubernetes");
    assert_eq!(
        (code, version.as_str()),
        (Some(1), "failed: v1.24.1 is older than 1.25 => upgrade the cluster to Kubernetes 1.25 or later")
    );
    server.change(|traits| traits.version = "v1.25.0");
    assert_eq!(server.check("kubernetes").1, "passed: v1.25.0; the policies need 1.30 => -");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_without_policies_is_named() {
    let server = ApiServer::start(Traits { version: "v1.29.4", date: None, has_policies: false }).await;
    let (code, policies) = server.check("policies");
    assert_eq!(code, Some(0), "such a version cannot have them, and helm test passes: {policies}");
    assert!(
        policies.starts_with("warning: ")
            && policies.ends_with("=> upgrade to Kubernetes 1.30, then apply deploy/policies.yaml"),
        "{policies}"
    );
    server.change(|traits| *traits = Traits { version: "v1.30.0", has_policies: true, ..traits.clone() });
    let (code, policies) = server.check("policies");
    assert_eq!(
        (code, policies.as_str()),
        (Some(0), "passed: all 7 exist, deny and name the controller => -")
    );
    // Nothing else may be read, which is said and fails nothing.
    let (_, lease) = server.check("lease");
    assert!(lease.starts_with("notChecked: ") && lease.contains("is forbidden"), "{lease}");
}
