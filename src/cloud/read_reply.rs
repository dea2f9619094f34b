//! Replies of the cloud without a call, as a proxy or a broken host may send them. The fuzz targets read any bytes so.

use k8s_openapi::jiff::Timestamp;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::access_key::AccessKey;
use super::call::{Action, Call, CallAuth};
use super::classify::classify;
use super::enterprise;
use super::error::{CallFailure, CloudError};
use super::reply::Reply;
use crate::model::Credential;

/// A reply to read.
#[derive(Clone, Copy, Debug)]
pub struct ReceivedReply<'a> {
    /// HTTP status.
    pub status: u16,
    /// Body.
    pub body: &'a [u8],
    /// Time at which it came.
    pub now: Timestamp,
}

/// Reads the reply to a request for a token.
///
/// # Errors
/// An error reply, or one without a valid token.
pub fn token(reply: ReceivedReply<'_>) -> Result<Credential, CloudError> {
    read(reply, Action::GetAuthorizationToken, |parsed, call| enterprise::minted(parsed, call, call.host))
}

/// Reads the reply to a request for an instance's domains.
///
/// # Errors
/// An error reply, or one without a domain.
pub fn domains(reply: ReceivedReply<'_>) -> Result<Vec<String>, CloudError> {
    read(reply, Action::ListInstanceEndpoint, enterprise::listed)
}

fn read<T: DeserializeOwned, R>(
    reply: ReceivedReply<'_>,
    action: Action,
    take: impl FnOnce(T, &Call<'_>) -> Result<R, CallFailure>,
) -> Result<R, CloudError> {
    let ReceivedReply { status, body, now } = reply;
    let key = AccessKey {
        holder: "the worker role w".into(),
        id: String::new(),
        secret: SecretString::default(),
        token: None,
        expires_at: Timestamp::MAX,
    };
    let call = Call {
        action,
        host: "cr.cn-hangzhou.aliyuncs.com",
        fallback_host: None,
        subject: "cri-abc in cn-hangzhou",
        query: &[],
        auth: CallAuth::AccessKey(&key),
        now,
    };
    let parsed = Reply::new(status, &HeaderMap::new(), body.to_vec()).parse();
    let parsed = parsed.map_err(|error| classify(&error, &call));
    parsed.and_then(|parsed| take(parsed, &call)).map_err(CallFailure::into_error)
}
