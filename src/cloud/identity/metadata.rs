//! The ECS metadata service: `alibaba-api.md` §6.

use std::time::Duration;

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use crate::api::condition::Reason;
use crate::cloud::error::{Failure, Retry, SetupError};
use crate::cloud::transport::{self, Deadlines, Trouble};

/// It is on the node's own host, so that a second is long; a Pod that cannot reach it must not wait for more.
const DEADLINES: Deadlines = Deadlines { connect: Duration::from_secs(1), total: Duration::from_secs(3) };

/// Two seconds without a byte.
const READ: Duration = Duration::from_secs(2);

/// What it answers is a few hundred bytes.
const LARGEST_BODY: usize = 64 << 10;

/// The longest life that the service gives a token.
pub(super) const TICKET_SECONDS: u32 = 21_600;

const TICKET: &str = "x-aliyun-ecs-metadata-token";
const TICKET_TTL: &str = "x-aliyun-ecs-metadata-token-ttl-seconds";

/// A client that never uses a proxy: the address means this very node.
#[derive(Debug)]
pub(super) struct Metadata {
    http: reqwest::Client,
    endpoint: Box<str>,
}

/// Not `Debug`: it may hold credentials.
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// The text, trimmed.
    pub(super) body: String,
}

impl Metadata {
    /// `endpoint`: scheme and address, such as `http://100.100.100.200`.
    pub(super) fn new(endpoint: &str) -> Result<Self, SetupError> {
        let builder = transport::builder(DEADLINES).read_timeout(READ).no_proxy().tls_certs_only([]);
        Ok(Self { http: builder.build()?, endpoint: endpoint.trim_end_matches('/').into() })
    }

    /// A token for the hardened mode; `None` where the service knows no tokens, so that plain requests are right.
    ///
    /// Only 403 and 404 mean that. Any other failure must not lead to plain requests, or whoever can break the
    /// exchange could turn the hardening off.
    pub(super) async fn ticket(&self) -> Result<Option<SecretString>, Failure> {
        let request = self.http.put(format!("{}/latest/api/token", self.endpoint));
        let answer = self.send(request.header(TICKET_TTL, TICKET_SECONDS)).await?;
        match answer.status {
            200 if is_ticket(&answer.body) => Ok(Some(SecretString::from(answer.body))),
            403 | 404 => Ok(None),
            status => {
                Err(self.unexpected(&format!("answers HTTP {status} without a token to a request for one")))
            }
        }
    }

    /// One request; any status is an answer.
    pub(super) async fn get(&self, path: &str, ticket: Option<&SecretString>) -> Result<Answer, Failure> {
        let mut request = self.http.get(format!("{}/latest/meta-data/{path}", self.endpoint));
        if let Some(ticket) = ticket {
            let mut value = HeaderValue::from_str(ticket.expose_secret())
                .map_err(|_| self.unexpected("gave a token that is no header value"))?;
            value.set_sensitive(true);
            request = request.header(TICKET, value);
        }
        self.send(request).await
    }

    /// The failure of an answer that is none.
    pub(super) fn unexpected(&self, what: &str) -> Failure {
        let message = format!(
            "the metadata service {} {what}; run on an ECS node whose metadata service is reachable",
            self.endpoint
        );
        Failure::new(Reason::NoIdentity, Retry::Soon, message)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, Failure> {
        let response =
            request.send().await.map_err(|error| self.unexpected(&Trouble::of(&error).to_string()))?;
        let status = response.status().as_u16();
        let body = transport::body(response, LARGEST_BODY).await;
        let body = body.map_err(|trouble| self.unexpected(&trouble.to_string()))?;
        let body = String::from_utf8(body).map_err(|_| self.unexpected("answers what is no text"))?;
        Ok(Answer { status, body: body.trim().to_owned() })
    }
}

/// The region of this node.
///
/// # Errors
/// `NoIdentity`, if the service does not answer with one.
pub(crate) async fn region(endpoint: &str) -> Result<String, Failure> {
    let metadata = Metadata::new(endpoint).map_err(|error| {
        Failure::new(Reason::NoIdentity, Retry::Soon, format!("{error} for the metadata service"))
    })?;
    let ticket = metadata.ticket().await?;
    let Answer { status, body } = metadata.get("region-id", ticket.as_ref()).await?;
    if status == 200 && is_region(&body) {
        Ok(body)
    } else {
        Err(metadata.unexpected(&format!("answers HTTP {status} and no region")))
    }
}

/// One word, which a page is not.
fn is_ticket(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '<')
}

fn is_region(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (4..=32).contains(&text.len()) && text.contains('-') && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::{is_region, is_ticket};

    #[test]
    fn a_token_is_told_from_a_page() {
        for (text, expected) in [
            ("AQAE-x_y/z+0==", true),
            ("", false),
            ("<html></html>", false),
            ("<!DOCTYPE html><title>Sign in</title>", false),
            ("two words", false),
            ("a\nb", false),
        ] {
            assert_eq!(is_ticket(text), expected, "{text}");
        }
    }

    #[test]
    fn a_region_is_told_from_a_page() {
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
