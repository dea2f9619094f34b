//! An admission webhook of another party, as a platform runs one: HTTPS on loopback.

use std::sync::Arc;

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

use crate::{certificates::Authority, listen::Listening, tls};

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
}

impl AdmissionHook {
    /// Starts a webhook that answers each request by this function.
    pub async fn start(
        answer: impl Fn(&Value) -> Verdict + Send + Sync + 'static,
    ) -> anyhow::Result<AdmissionHook> {
        let authority = Authority::new()?;
        let (acceptor, answer) = (tls::acceptor(&authority)?, Arc::new(answer));
        let listening = Listening::start(move |stream| {
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let answer = Arc::clone(&answer);
                    async move { reviewed(request, &*answer).await }
                });
                // An error is a client that left.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            }
        })
        .await?;
        Ok(AdmissionHook { authority, listening })
    }

    /// Returns the `clientConfig` by which an API server calls it.
    pub fn client_config(&self) -> Value {
        json!({
            "url": format!("https://127.0.0.1:{}/review", self.listening.address().port()),
            "caBundle": STANDARD.encode(self.authority.pem()),
        })
    }
}

async fn reviewed(
    request: Request<Incoming>,
    answer: &(impl Fn(&Value) -> Verdict + ?Sized),
) -> anyhow::Result<Response<Full<Bytes>>> {
    let body = request.into_body().collect().await?.to_bytes();
    let mut review: Value = serde_json::from_slice(&body)?;
    let asked = review["request"].take();
    let mut response = json!({ "uid": asked["uid"], "allowed": true });
    match answer(&asked) {
        Verdict::Admit => {}
        Verdict::NoAnswer => std::future::pending().await,
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
