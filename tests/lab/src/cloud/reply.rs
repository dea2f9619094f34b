//! The cloud's replies: success envelopes, error bodies and the documented codes.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

/// The content type of every OpenAPI reply.
pub(super) const JSON: &str = "application/json;charset=utf-8";

/// A complete reply, before any fault in its delivery.
#[derive(Debug)]
pub(super) struct Reply {
    /// HTTP status.
    pub(super) status: u16,
    /// The `Code`, or `success`.
    pub(super) code: String,
    /// Headers beside the content type and the date.
    pub(super) headers: Vec<(&'static str, String)>,
    /// `Content-Type`.
    pub(super) content_type: &'static str,
    /// The body's text.
    pub(super) body: String,
}

impl Reply {
    /// Returns 200 with a JSON body.
    pub(super) fn json(body: &Value) -> Self {
        Self {
            status: 200,
            code: SUCCESS.into(),
            headers: Vec::new(),
            content_type: JSON,
            body: body.to_string(),
        }
    }

    /// Returns plain text, as the metadata service answers.
    pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Self {
        let code = if status.is_success() { SUCCESS.to_owned() } else { status.as_str().to_owned() };
        let (status, body) = (status.as_u16(), body.into());
        Self { status, code, headers: Vec::new(), content_type: "text/plain", body }
    }
}

/// The `Code` of a successful reply.
pub(super) const SUCCESS: &str = "success";

/// How an API spells the names in its error bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `RequestId`, `Code`, `Message`.
    Rpc,
    /// `requestId`, `code`, `message`.
    Roa,
}

impl Style {
    /// Spells the names of an error body. The names within `AccessDeniedDetail` are the same in both styles.
    fn spell(self, body: Map<String, Value>) -> Value {
        match self {
            Self::Rpc => Value::Object(body),
            Self::Roa => body.into_iter().map(|(name, value)| (lower_first(&name), value)).collect(),
        }
    }
}

fn lower_first(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(rest).collect()
}

/// The form of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// An HTTP error with the gateway's error body.
    HttpError,
    /// 200, `IsSuccess: false`.
    NotSuccess,
}

/// A refusal by its documented code.
#[derive(Debug)]
pub(super) struct Refusal {
    status: u16,
    code: String,
    message: String,
    /// `AccessDeniedDetail`, where rights are missing.
    detail: Option<Value>,
    retry_after_ms: Option<u64>,
    form: Form,
}

impl Refusal {
    /// Returns an HTTP error.
    pub(super) fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { status, code, message, detail: None, retry_after_ms: None, form: Form::HttpError }
    }

    /// Returns a refusal under a status of success, which clients of ACR must expect.
    pub(super) fn not_success(code: impl Into<String>) -> Self {
        Self { form: Form::NotSuccess, ..Self::new(200, code, "") }
    }

    /// Returns 400 `Missing<Name>`.
    pub(super) fn missing(parameter: &str) -> Self {
        Self::new(400, format!("Missing{parameter}"), format!("{parameter} is mandatory for this action."))
    }

    /// Returns 404 for a host name without a product.
    pub(super) fn no_product() -> Self {
        Self::new(404, "InvalidProduct.NotFound", "Cannot find product according to your specified domain.")
    }

    /// Returns 404 for an action or version that the product does not have.
    pub(super) fn no_api() -> Self {
        Self::new(404, "InvalidApi.NotFound", "Specified api is not found, please check your url and method.")
    }

    /// Returns 400 `Throttling.User`, with `x-acs-retry-after` in milliseconds if given.
    pub(super) fn throttled(retry_after_ms: Option<u64>) -> Self {
        let refusal = Self::new(400, "Throttling.User", "Request was denied due to user flow control.");
        Self { retry_after_ms, ..refusal }
    }

    /// Adds an `AccessDeniedDetail`.
    pub(super) fn with_detail(self, detail: Value) -> Self {
        Self { detail: Some(detail), ..self }
    }

    /// Returns the reply of an OpenAPI gateway.
    pub(super) fn into_reply(self, request_id: &str, host: &str, style: Style) -> Reply {
        let mut body = Map::new();
        let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        put("RequestId", json!(request_id));
        put("Code", json!(self.code));
        match self.form {
            Form::NotSuccess => put("IsSuccess", json!(false)),
            Form::HttpError => {
                let help = "https://api.aliyun.com/troubleshoot";
                put("HostId", json!(host));
                put("Message", json!(self.message));
                put("Recommend", json!(format!("{help}?q={}&requestId={request_id}", self.code)));
                if let Some(detail) = self.detail {
                    put("AccessDeniedDetail", detail);
                }
            }
        }
        let body = style.spell(body);
        let wait = self.retry_after_ms.map(|wait| ("x-acs-retry-after", wait.to_string()));
        let headers = wait.into_iter().collect();
        Reply { status: self.status, code: self.code, headers, content_type: JSON, body: body.to_string() }
    }

    /// Returns the reply of the metadata service, which is plain text but for the credentials' own `Code`.
    pub(super) fn into_metadata_reply(self) -> Reply {
        let body = match self.form {
            Form::NotSuccess => json!({ "Code": self.code }).to_string(),
            Form::HttpError => self.message,
        };
        Reply { status: self.status, code: self.code, headers: Vec::new(), content_type: "text/plain", body }
    }
}
