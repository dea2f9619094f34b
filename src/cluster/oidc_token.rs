//! OIDC tokens of the ServiceAccount that trust policies name, from the TokenRequest API.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::error::{CallError, call};
use crate::api::names::STS_AUDIENCE;

/// Seconds for which a token is requested.
const VALID_SECONDS: i64 = 3600;

/// Time for which a token is reused. Several roles need it at once, and then seldom again.
const REUSE: SignedDuration = SignedDuration::from_secs(60);

/// Requests tokens, one at a time, and reuses each for a minute.
pub struct TokenRequester {
    accounts: Api<ServiceAccount>,
    account: Box<str>,
    last: Mutex<Option<(SecretString, Timestamp)>>,
}

impl TokenRequester {
    /// Creates a requester for one account. This controller never runs as it.
    pub fn new(client: Client, namespace: &str, account: &str) -> Self {
        Self { accounts: Api::namespaced(client, namespace), account: account.into(), last: Mutex::default() }
    }

    /// Returns a token that is at most a minute old.
    ///
    /// # Errors
    /// [`CallError`]; `NotFound` if the account does not exist.
    pub async fn token(&self, now: Timestamp) -> Result<SecretString, CallError> {
        let mut last = self.last.lock().await;
        // A token from the future, after the clock was set back, counts as old.
        let fresh =
            |made_at: &Timestamp| (SignedDuration::ZERO..REUSE).contains(&now.duration_since(*made_at));
        if let Some((token, _)) = last.as_ref().filter(|(_, made_at)| fresh(made_at)) {
            return Ok(token.clone());
        }
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![STS_AUDIENCE.to_owned()]),
                expiration_seconds: Some(VALID_SECONDS),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        let asked = self.accounts.create_token_request(&self.account, &params, &request);
        let status = call(asked).await?.status.unwrap_or_default();
        let none = || CallError::Later("the API server answered without a token".to_owned(), None);
        let token = SecretString::from(status.token.ok_or_else(none)?);
        *last = Some((token.clone(), now));
        Ok(token)
    }
}

impl std::fmt::Debug for TokenRequester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequester").field("account", &self.account).finish_non_exhaustive()
    }
}
