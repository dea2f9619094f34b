//! HTTP as both clients need it: deadlines, no redirects, bounded bodies, and what went wrong in stable words.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{ClientBuilder, Response};

/// How long a host may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadlines {
    /// To accept the connection, TLS included.
    pub(super) connect: Duration,
    /// For everything: connection, answer, body.
    pub(super) total: Duration,
}

/// A client's beginnings. HTTP/1.1 alone, and no redirect is followed: a signature is good for one host, and
/// credentials must not travel to another.
pub(super) fn builder(deadlines: Deadlines) -> ClientBuilder {
    reqwest::Client::builder()
        .http1_only()
        .tcp_nodelay(true)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(deadlines.connect)
        .timeout(deadlines.total)
}

/// Why there is no answer. Says the same for the same cause: no address, port or time is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The name has no address.
    Unresolved,
    /// Nobody listens there.
    Refused,
    /// TLS failed, most often since the certificate's issuer is not trusted.
    Untrusted,
    /// A deadline passed.
    Silent,
    /// The connection could not be made, or broke before the answer's head was there.
    Broken,
    /// The URL or a header is not one.
    Unsendable,
    /// The body broke off.
    Truncated,
    /// The body is larger than any real one.
    TooLarge,
}

impl Trouble {
    /// The trouble behind an error of the HTTP library.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            Self::Unsendable
        } else if error.is_timeout() {
            Self::Silent
        } else if error.is_dns() {
            Self::Unresolved
        } else if causes(error).any(|cause| cause.is::<rustls::Error>()) {
            Self::Untrusted
        } else if causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(refused) {
            Self::Refused
        } else if error.is_body() || error.is_decode() {
            Self::Truncated
        } else {
            Self::Broken
        }
    }
}

impl fmt::Display for Trouble {
    /// Continues a sentence that begins with the host's name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unresolved => "has no address in DNS",
            Self::Refused => "refuses the connection",
            Self::Untrusted => "shows a certificate that is not trusted, or speaks no TLS",
            Self::Silent => "does not answer in time",
            Self::Broken => "cannot be connected to, or breaks the connection",
            Self::Unsendable => "makes no valid request",
            Self::Truncated => "breaks its answer off",
            Self::TooLarge => "sends an answer larger than any real one",
        })
    }
}

fn refused(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// The error and what caused it. An `io::Error` that wraps another error does not name it as its source, so that
/// one is looked into as well.
fn causes<'a>(error: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error as &'a (dyn Error + 'static)), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// The whole body, read in chunks so that no more than `limit` bytes are ever held.
pub(super) async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, Trouble> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Trouble::of(&error))? {
        if body.len() + chunk.len() > limit {
            return Err(Trouble::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
