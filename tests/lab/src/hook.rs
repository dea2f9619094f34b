//! An admission webhook of another party, as a platform runs one: HTTPS on loopback.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::CONTENT_TYPE,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::{certificates::Authority, listen::Listening, process::lock, tls};

/// What the webhook answers to a request of an `AdmissionReview`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The object is admitted as it is.
    Admit,
    /// The object is admitted with this JSON patch.
    Patch(Value),
    /// The object is refused with this code and message.
    Deny(u16, String),
    /// The request is read and never answered; the connection stays open.
    NoAnswer,
}

/// The webhook; it ends, with its connections, when dropped.
pub struct AdmissionHook {
    authority: Authority,
    listening: Listening,
    silences: Arc<Silences>,
}

/// The requests that get no answer.
#[derive(Default)]
struct Silences(Mutex<Silence>);

#[derive(Default)]
struct Silence {
    count: usize,
    /// Those that still wait, by number, with their namespace.
    waiting: BTreeMap<usize, String>,
    /// The most that waited at the same time, by namespace.
    most: HashMap<String, usize>,
}

/// A request that waits, until its client leaves.
struct Waiting {
    number: usize,
    silences: Arc<Silences>,
}

impl Waiting {
    fn begin(silences: &Arc<Silences>, namespace: &str) -> Waiting {
        let mut silence = lock(&silences.0);
        silence.count += 1;
        let number = silence.count;
        silence.waiting.insert(number, namespace.to_owned());
        let now = silence.waiting.values().filter(|other| *other == namespace).count();
        let most = silence.most.entry(namespace.to_owned()).or_default();
        *most = now.max(*most);
        Waiting { number, silences: Arc::clone(silences) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.silences.0).waiting.remove(&self.number);
    }
}

impl AdmissionHook {
    /// Starts a webhook that answers each request by this function.
    pub async fn start(
        answer: impl Fn(&Value) -> Verdict + Send + Sync + 'static,
    ) -> anyhow::Result<AdmissionHook> {
        let authority = Authority::new()?;
        let (acceptor, answer) = (tls::acceptor(&authority)?, Arc::new(answer));
        let silences = Arc::<Silences>::default();
        let here = Arc::clone(&silences);
        let listening = Listening::start(move |stream| {
            let (acceptor, answer, silences) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&here));
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let (answer, silences) = (Arc::clone(&answer), Arc::clone(&silences));
                    async move { reviewed(request, &*answer, &silences).await }
                });
                // An error is a client that left.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await?;
        Ok(AdmissionHook { authority, listening, silences })
    }

    /// Returns the numbers of the requests that wait without an answer.
    pub fn waiting(&self) -> Vec<usize> {
        lock(&self.silences.0).waiting.keys().copied().collect()
    }

    /// Returns the most requests of one namespace that waited at the same time, by namespace.
    pub fn most_waiting(&self) -> HashMap<String, usize> {
        lock(&self.silences.0).most.clone()
    }

    /// Returns the `clientConfig` by which an API server calls it.
    pub fn client_config(&self) -> Value {
        json!({
            "url": format!("https://127.0.0.1:{}/review", self.listening.address().port()),
            "caBundle": STANDARD.encode(self.authority.pem()),
        })
    }

    /// Returns a ValidatingWebhookConfiguration of this name, by which an API server calls it for the objects of a rule
    /// and waits for half a minute, the longest that it ever does.
    pub fn validating(&self, name: &str, rule: &Value) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": { "name": name },
            "webhooks": [{
                "name": format!("{name}.platform.example.com"),
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
                "timeoutSeconds": 30,
                "clientConfig": self.client_config(),
                "rules": [rule],
            }],
        })
    }
}

async fn reviewed(
    request: Request<Incoming>,
    answer: &(impl Fn(&Value) -> Verdict + ?Sized),
    silences: &Arc<Silences>,
) -> anyhow::Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let mut review: Value = serde_json::from_slice(&body)?;
    let asked = review["request"].take();
    let mut response = json!({ "uid": asked["uid"], "allowed": true });
    match answer(&asked) {
        Verdict::Admit => {}
        Verdict::NoAnswer => {
            let _waiting = Waiting::begin(silences, asked["namespace"].as_str().unwrap_or_default());
            std::future::pending().await
        }
        Verdict::Patch(patch) => {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(patch.to_string()));
        }
        Verdict::Deny(code, message) => {
            response["allowed"] = json!(false);
            response["status"] = json!({ "code": code, "message": message });
        }
    }
    let reply =
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response });
    let response = Response::builder().header(CONTENT_TYPE, "application/json");
    Ok(response.body(Full::from(reply.to_string()))?)
}
