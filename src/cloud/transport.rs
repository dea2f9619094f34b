//! HTTP basics of both clients: timeouts, no redirects, bounded bodies, and stable error texts.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Response};

/// Timeouts of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For the connection, TLS included.
    pub(super) connect: Duration,
    /// For the whole request: connection, reply and body.
    pub(super) total: Duration,
}

/// Returns a builder for HTTP/1.1 that follows no redirect. A signature is valid for one host only, and a credential
/// must not be sent to another one.
pub(super) fn builder(timeouts: Timeouts) -> ClientBuilder {
    reqwest::Client::builder()
        .http1_only()
        .tcp_nodelay(true)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(timeouts.connect)
        .timeout(timeouts.total)
}

/// A request without a complete reply. Equal causes have equal texts, without address, port or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The host name does not resolve.
    Unresolved,
    /// The host refuses the connection.
    ConnectionRefused,
    /// TLS failed, usually because the certificate's issuer is not trusted.
    UntrustedCertificate,
    /// A timeout passed.
    TimedOut,
    /// The connection failed, or broke before the reply's headers arrived.
    ConnectionFailed,
    /// The URL or a header is not valid.
    InvalidRequest,
    /// The connection broke within the body.
    Truncated,
    /// The body exceeds the limit.
    TooLarge,
}

impl TransportError {
    /// Classifies an error of the HTTP library.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            Self::InvalidRequest
        } else if error.is_timeout() {
            Self::TimedOut
        } else if error.is_dns() {
            Self::Unresolved
        } else if causes(error).any(|cause| cause.is::<rustls::Error>()) {
            Self::UntrustedCertificate
        } else if causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(is_refused) {
            Self::ConnectionRefused
        } else if error.is_body() || error.is_decode() {
            Self::Truncated
        } else {
            Self::ConnectionFailed
        }
    }
}

impl fmt::Display for TransportError {
    /// Continues a sentence that begins with the host's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unresolved => "does not resolve in DNS",
            Self::ConnectionRefused => "refuses the connection",
            Self::UntrustedCertificate => "presents a certificate that is not trusted, or does not speak TLS",
            Self::TimedOut => "does not answer in time",
            Self::ConnectionFailed => "cannot be connected to, or drops the connection",
            Self::InvalidRequest => "cannot be called with a valid request",
            Self::Truncated => "sends a truncated reply",
            Self::TooLarge => "sends a reply that exceeds the size limit",
        })
    }
}

fn is_refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Returns the error and its causes. An `io::Error` does not report an error that it wraps as its source, so wrapped
/// errors are unpacked here.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error as &'a (dyn Error + 'static)), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// Reads the whole body in chunks, and never holds more than `limit` bytes.
pub(super) async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| TransportError::of(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(TransportError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
