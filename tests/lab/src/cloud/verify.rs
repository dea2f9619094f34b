//! The simulator's own check of a signature, without a server: for tests that give a signer more unusual
//! input than HTTP allows.

use axum::http;

use super::acs3::Authorization;
use super::request::Request;

/// A request as it goes over the wire.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// As sent, that is, encoded; empty means `/`.
    pub path: &'a str,
    /// As sent, without the question mark.
    pub query: &'a str,
    /// All headers in any order, `host` and `authorization` among them.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Checks an ACS3 signature as the cloud's gateway does.
///
/// # Errors
/// The gateway's reason to refuse it, or that it is not an HTTP request.
///
/// # Caveats
/// The key's name, the date and the nonce are not checked, but their headers must be present and signed.
pub fn acs3(sent: &Sent<'_>, secret: &str) -> Result<(), String> {
    let request = read(sent).map_err(|error| error.to_string())?;
    let written = request.header("authorization").ok_or("the Authorization header is missing")?;
    let authorization =
        Authorization::parse(&written).ok_or("the Authorization header is not of the documented form")?;
    authorization.verify(&request, secret)
}

fn read(sent: &Sent<'_>) -> http::Result<Request> {
    let path = if sent.path.is_empty() { "/" } else { sent.path };
    let uri = http::Uri::builder().path_and_query(format!("{path}?{}", sent.query)).build()?;
    let mut request = http::Request::builder().method(sent.method).uri(uri);
    for (name, value) in sent.headers {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(())?.into_parts();
    Ok(Request::new(head, sent.body.to_vec().into()))
}
