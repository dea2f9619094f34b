//! Raw requests, as an intruder or any other tool would send them, without a client library in between.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The body of a request, and how the API server must treat it.
#[derive(Clone, Debug)]
pub enum Body {
    None,
    /// The object itself, or the options of a deletion.
    Json(Value),
    Merge(Value),
    Strategic(Value),
    JsonPatch(Value),
    /// Server-side apply, with force.
    Apply(Value),
}

/// One request to the API server.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    pub headers: Vec<(&'static str, &'static str)>,
    pub body: Body,
}

impl Call {
    pub fn new(method: &'static str, path: impl Into<String>, body: Body) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body }
    }
}

/// A caller with a token.
pub struct Caller {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Caller {
    /// Returns the ServiceAccount of a kubeconfig that the plane wrote, which is JSON.
    pub fn new(kubeconfig: &Path) -> Self {
        let config: Value = serde_json::from_slice(&std::fs::read(kubeconfig).unwrap()).unwrap();
        let cluster = &config["clusters"][0]["cluster"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let authority = STANDARD.decode(text(&cluster["certificate-authority-data"])).unwrap();
        let authority = reqwest::Certificate::from_pem(&authority).unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
        Self { http, url: text(&cluster["server"]), token: text(&config["users"][0]["user"]["token"]) }
    }

    /// Sends a request, and returns the HTTP status and the API server's message.
    pub async fn send(&self, call: &Call, dry_run: bool) -> (u16, String) {
        let mut query: Vec<&str> = Vec::new();
        let writes = call.method != "GET";
        if dry_run && writes {
            query.push("dryRun=All");
        }
        let (kind, body) = match &call.body {
            Body::None => ("application/json", None),
            Body::Json(body) => ("application/json", Some(body)),
            Body::Merge(body) => ("application/merge-patch+json", Some(body)),
            Body::Strategic(body) => ("application/strategic-merge-patch+json", Some(body)),
            Body::JsonPatch(body) => ("application/json-patch+json", Some(body)),
            Body::Apply(body) => {
                query.extend(["fieldManager=thief", "force=true"]);
                ("application/apply-patch+yaml", Some(body))
            }
        };
        let mark = if call.path.contains('?') { "&" } else { "?" };
        let query = if query.is_empty() { String::new() } else { format!("{mark}{}", query.join("&")) };
        let url = format!("{}{}{query}", self.url, call.path);
        let mut request = self.http.request(call.method.parse().unwrap(), url).bearer_auth(&self.token);
        for (name, value) in &call.headers {
            request = request.header(*name, *value);
        }
        request = request.header("Content-Type", kind);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let code = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        let said = serde_json::from_str::<Value>(&text).ok();
        let said = said.and_then(|said| said["message"].as_str().map(str::to_owned));
        (code, said.unwrap_or(text))
    }
}
