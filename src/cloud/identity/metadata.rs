//! Client of the ECS metadata service: `docs/contributing/cloud-api.md`, "ECS metadata service".

use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::api::condition::Reason;
use crate::cloud::error::{CloudError, Retry, SetupError};
use crate::cloud::transport::{self, Timeouts, TransportError};

/// The service is local to the node, so a second is long. A Pod that cannot reach it must not wait for longer.
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(1), total: Duration::from_secs(3) };

/// Timeout of each read from the connection.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Limit of a reply's body in bytes. Real replies have a few hundred.
const MAX_BODY: usize = 64 << 10;

/// Lifetime of a metadata token in seconds, the longest that the service grants.
pub(super) const TOKEN_SECONDS: u32 = 21_600;

const TOKEN_HEADER: &str = "x-aliyun-ecs-metadata-token";
const TOKEN_TTL_HEADER: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";

/// The client of the metadata service. It never uses a proxy, since the address denotes this node.
#[derive(Debug)]
pub(super) struct MetadataClient {
    http: reqwest::Client,
    endpoint: Box<str>,
}

/// Reply of the metadata service. Not `Debug`: it may contain credentials.
pub(super) struct MetadataReply {
    /// HTTP status.
    pub(super) status: u16,
    /// Body as text, trimmed.
    pub(super) body: String,
}

impl MetadataClient {
    /// Creates a client. `endpoint` is a URL without a path, such as `http://100.100.100.200`.
    pub(super) fn new(endpoint: &str) -> Result<Self, SetupError> {
        let builder = transport::builder(TIMEOUTS).read_timeout(READ_TIMEOUT).no_proxy().tls_certs_only([]);
        Ok(Self { http: builder.build()?, endpoint: endpoint.trim_end_matches('/').into() })
    }

    /// Requests a token for the hardened mode. Returns `None` if the service does not support tokens.
    ///
    /// Only 403 and 404 mean that. Any other failure is an error: otherwise an attacker who disturbs this exchange
    /// could turn the hardening off.
    pub(super) async fn token(&self) -> Result<Option<SecretString>, CloudError> {
        let request = self.http.put(format!("{}/latest/api/token", self.endpoint));
        let reply = self.send(request.header(TOKEN_TTL_HEADER, TOKEN_SECONDS)).await?;
        match reply.status {
            200 if is_token(&reply.body) => Ok(Some(SecretString::from(reply.body))),
            403 | 404 => Ok(None),
            status => {
                Err(self.unexpected(&format!("answers HTTP {status} without a token to a token request")))
            }
        }
    }

    /// Sends one request for `path` under `/latest/meta-data/`. Returns a reply of any status.
    pub(super) async fn get(
        &self,
        path: &str,
        token: Option<&SecretString>,
    ) -> Result<MetadataReply, CloudError> {
        let mut request = self.http.get(format!("{}/latest/meta-data/{path}", self.endpoint));
        if let Some(token) = token {
            let mut value = HeaderValue::from_str(token.expose_secret())
                .map_err(|_| self.unexpected("issued a token that is not a valid header value"))?;
            value.set_sensitive(true);
            request = request.header(TOKEN_HEADER, value);
        }
        self.send(request).await
    }

    /// Returns the error of a reply that does not match the documentation. `problem` continues a sentence that begins
    /// with the service.
    pub(super) fn unexpected(&self, problem: &str) -> CloudError {
        let message = format!(
            "the metadata service {} {problem}; run on an ECS node whose metadata service is reachable",
            self.endpoint
        );
        CloudError::new(Reason::NoIdentity, Retry::Soon, message)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<MetadataReply, CloudError> {
        let response =
            request.send().await.map_err(|error| self.unexpected(&TransportError::of(&error).to_string()))?;
        let status = response.status().as_u16();
        let body = transport::body(response, MAX_BODY).await;
        let body = body.map_err(|error| self.unexpected(&error.to_string()))?;
        let body = String::from_utf8(body).map_err(|_| self.unexpected("sends a reply that is not text"))?;
        Ok(MetadataReply { status, body: body.trim().to_owned() })
    }
}

/// Returns the ID of this node's region.
///
/// # Errors
/// `NoIdentity`, if the service does not answer with one.
pub(in crate::cloud) async fn node_region(endpoint: &str) -> Result<String, CloudError> {
    let metadata = MetadataClient::new(endpoint).map_err(|error| {
        CloudError::new(Reason::NoIdentity, Retry::Soon, format!("{error} for the metadata service"))
    })?;
    let token = metadata.token().await?;
    let MetadataReply { status, body } = metadata.get("region-id", token.as_ref()).await?;
    if status == 200 && is_region(&body) {
        Ok(body)
    } else {
        Err(metadata.unexpected(&format!("answers HTTP {status} without a region")))
    }
}

/// Returns whether the text is one word, unlike an HTML page.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '<')
}

fn is_region(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (4..=32).contains(&text.len()) && text.contains('-') && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::{is_region, is_token};

    #[test]
    fn a_token_is_distinguished_from_a_page() {
        for (text, expected) in [
            ("AQAE-x_y/z+0==", true),
            ("", false),
            ("<html></html>", false),
            ("<!DOCTYPE html><title>Sign in</title>", false),
            ("two words", false),
            ("a\nb", false),
        ] {
            assert_eq!(is_token(text), expected, "{text}");
        }
    }

    #[test]
    fn a_region_is_distinguished_from_a_page() {
        for (text, expected) in [
            ("cn-hangzhou", true),
            ("ap-southeast-1", true),
            ("", false),
            ("hangzhou", false),
            ("<html>", false),
            ("cn-hangzhou.evil.example", false),
            ("cn-hangzhou\ncn-beijing", false),
        ] {
            assert_eq!(is_region(text), expected, "{text}");
        }
    }
}
