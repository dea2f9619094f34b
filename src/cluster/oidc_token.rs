//! Tokens of the ServiceAccount that trust policies name, by the TokenRequest API.

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::PostParams;
use kube::{Api, Client};
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::error::{CallError, call};

/// What STS asks of a token. Our admission policy lets no other audience through.
pub const AUDIENCE: &str = "sts.aliyuncs.com";

/// Seconds that a token is asked to live.
const LIFE: i64 = 3600;

/// How long a token is handed out anew. Several roles are asked for at once, and then seldom again.
const SHARED: SignedDuration = SignedDuration::from_secs(60);

/// Asks for tokens, one at a time, and hands each out for a minute.
pub struct TokenRequester {
    accounts: Api<ServiceAccount>,
    account: Box<str>,
    held: Mutex<Option<(SecretString, Timestamp)>>,
}

impl TokenRequester {
    /// Asks for tokens of one account. This controller never runs as it.
    pub fn new(client: Client, namespace: &str, account: &str) -> Self {
        Self { accounts: Api::namespaced(client, namespace), account: account.into(), held: Mutex::default() }
    }

    /// A token that was made a minute ago at most.
    ///
    /// # Errors
    /// [`CallError`]; `NotFound` if there is no such account.
    pub async fn token(&self, now: Timestamp) -> Result<SecretString, CallError> {
        let mut held = self.held.lock().await;
        // A clock that was set back makes it as old as one that was made long ago.
        let fresh =
            |made_at: &Timestamp| (SignedDuration::ZERO..SHARED).contains(&now.duration_since(*made_at));
        if let Some((token, _)) = held.as_ref().filter(|(_, made_at)| fresh(made_at)) {
            return Ok(token.clone());
        }
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: Some(vec![AUDIENCE.to_owned()]),
                expiration_seconds: Some(LIFE),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let params = PostParams::default();
        let asked = self.accounts.create_token_request(&self.account, &params, &request);
        let status = call(asked).await?.status.unwrap_or_default();
        let none = || CallError::Later("the API server answered without a token".to_owned(), None);
        let token = SecretString::from(status.token.ok_or_else(none)?);
        *held = Some((token.clone(), now));
        Ok(token)
    }
}

impl std::fmt::Debug for TokenRequester {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenRequester").field("account", &self.account).finish_non_exhaustive()
    }
}
