//! Who asks: the links of a chain, resolved to an AccessKey that can sign.

mod addon;
mod assume;
mod metadata;
mod node;
mod oidc;
mod own;
mod sources;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::client::Client;
use super::endpoint::Hosts;
use super::error::{Denial, Failure};
use super::single_flight::{Held, IfRenewalFails, SingleFlight};
use crate::api::condition::Reason;
use crate::model::binding::DEFAULT_SESSION_SECONDS;
use crate::model::identity::{Arn, CredentialSource, Identity};
pub(super) use metadata::region;
pub use own::TokenMode;
pub(super) use own::{ControllerIdentity, Found};
pub use sources::{Environment, IdentitySources, KeyPair, OidcToken};

/// A key that signs. Neither secret nor token shows in `Debug`.
#[derive(Clone, Debug)]
pub(super) struct AccessKey {
    /// Whose it is, for messages: `the worker role W`, or a role's ARN.
    pub(super) holder: Arc<str>,
    /// The AccessKeyId, which is no secret.
    pub(super) id: String,
    /// The AccessKeySecret.
    pub(super) secret: SecretString,
    /// The session's token, sent along with every request; none for a user's own pair.
    pub(super) token: Option<SecretString>,
    /// From when on the cloud refuses it.
    pub(super) expires_at: Timestamp,
}

#[cfg(test)]
impl AccessKey {
    /// A key for tests, of `holder`.
    pub(super) fn sample(holder: &str) -> Self {
        Self {
            holder: holder.into(),
            id: "STS.sample".to_owned(),
            secret: SecretString::from("sample-secret"),
            token: Some(SecretString::from("sample-token")),
            expires_at: Timestamp::MAX,
        }
    }
}

/// The sessions of every chain in use: one a chain, shared by all registries that ask as it.
#[derive(Debug)]
pub(super) struct Sessions {
    client: Client,
    sts: Hosts,
    own: ControllerIdentity,
    sources: Arc<dyn IdentitySources>,
    /// Chains that end in an assumed role. Those that have ended are dropped whenever one is added.
    assumed: Mutex<HashMap<Chain, Arc<SingleFlight>>>,
}

/// What a session is of. A rotated pair begins another chain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Chain {
    identity: Identity,
    key_id: Option<Box<str>>,
}

/// The end of a chain.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// Signs.
    pub(super) key: AccessKey,
    /// The AccessKeyId of the pair that the chain begins with, if it begins with one.
    pub(super) key_id: Option<Box<str>>,
}

impl Sessions {
    /// Nothing is asked for yet.
    pub(super) fn new(
        client: Client,
        sts: Hosts,
        own: ControllerIdentity,
        sources: Arc<dyn IdentitySources>,
    ) -> Self {
        Self { client, sts, own, sources, assumed: Mutex::default() }
    }

    /// What the controller's own identity is, as far as it was looked for.
    pub(super) fn own_name(&self) -> &'static str {
        self.own.way().map_or("own", own::Way::name)
    }

    /// The key at the end of the chain.
    ///
    /// # Errors
    /// The first link that does not hold.
    pub(super) async fn resolve(&self, identity: &Identity, now: Timestamp) -> Result<Resolved, Failure> {
        let pair = match &identity.base {
            CredentialSource::AccessKey { secret } => {
                let holder = format!("the AccessKey of the Secret {secret}");
                Some(self.sources.key_pair(secret).await?.signs_as(&holder))
            }
            CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => None,
        };
        let key_id: Option<Box<str>> = pair.as_ref().map(|pair| pair.id.as_str().into());
        let key = match &identity.assume {
            None => self.base(identity, pair, now).await?,
            Some(role) => {
                let single_flight = self.single_flight(identity, key_id.clone(), now);
                single_flight.get(now, IfRenewalFails::Report, self.assume(identity, role, pair, now)).await?
            }
        };
        Ok(Resolved { key, key_id })
    }

    /// Drops a key that the cloud refused, wherever it is held, so that the next attempt gets a new one.
    pub(super) fn forget(&self, key: &AccessKey) {
        self.own.forget(key);
        let assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
        assumed.values().for_each(|single_flight| single_flight.forget(key));
    }

    /// The first link: a key, or a session by an OIDC token.
    async fn base(
        &self,
        identity: &Identity,
        pair: Option<AccessKey>,
        now: Timestamp,
    ) -> Result<AccessKey, Failure> {
        match (&identity.base, pair) {
            (_, Some(pair)) => Ok(pair),
            (CredentialSource::Rrsa { .. }, None) => self.oidc(identity, now).await,
            (_, None) => match self.own.find(&*self.sources, now).await? {
                Found::Key(key) => Ok(key),
                Found::Role(identity) => self.oidc(&identity, now).await,
            },
        }
    }

    /// The session of an RRSA role. Chains that go on from it share the one of the usual length.
    async fn oidc(&self, identity: &Identity, now: Timestamp) -> Result<AccessKey, Failure> {
        let CredentialSource::Rrsa { role, provider } = &identity.base else {
            return Err(self.own.nowhere());
        };
        let seconds = match identity.assume {
            Some(_) => DEFAULT_SESSION_SECONDS,
            None => identity.session_seconds,
        };
        let hop = Identity { assume: None, session_seconds: seconds, ..identity.clone() };
        let fetch = async {
            let token = self.sources.oidc_token().await?;
            let ask = oidc::Ask { at: self.sts.at(), role, provider, seconds, now };
            oidc::assume_role(&self.client, &ask, &token).await
        };
        let single_flight = self.single_flight(&hop, None, now);
        single_flight.get(now, IfRenewalFails::Report, fetch).await
    }

    /// Takes in that the cloud denied an identity what it was asked for.
    pub(super) fn denied(&self, identity: &Identity) {
        if identity.base == CredentialSource::ControllerIdentity {
            self.own.look_anew();
        }
    }

    async fn assume(
        &self,
        identity: &Identity,
        role: &Arn,
        pair: Option<AccessKey>,
        now: Timestamp,
    ) -> Result<Held, Failure> {
        let caller = self.base(identity, pair, now).await?;
        let seconds = identity.session_seconds;
        let ask = assume::Ask { at: self.sts.at(), role, seconds, caller: &caller, now };
        let outcome = assume::assume_role(&self.client, &ask).await;
        if let Err(Denial::Session(_)) = &outcome {
            self.forget(&caller);
        }
        let explain = |failure| match identity.base {
            CredentialSource::ControllerIdentity => self.own.explain(failure),
            _ => failure,
        };
        outcome.map_err(|denial| {
            let failure = denial.into_failure();
            if failure.reason == Reason::AccessDenied {
                self.denied(identity);
            }
            explain(failure)
        })
    }

    fn single_flight(
        &self,
        identity: &Identity,
        key_id: Option<Box<str>>,
        now: Timestamp,
    ) -> Arc<SingleFlight> {
        let mut assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = Chain { identity: identity.clone(), key_id };
        if let Some(single_flight) = assumed.get(&chain) {
            return Arc::clone(single_flight);
        }
        assumed
            .retain(|_, single_flight| Arc::strong_count(single_flight) > 1 || !single_flight.is_idle(now));
        Arc::clone(assumed.entry(chain).or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use k8s_openapi::jiff::Timestamp;
    use secrecy::SecretString;

    use super::{
        AccessKey, ControllerIdentity, Environment, IdentitySources, KeyPair, OidcToken, Sessions, TokenMode,
    };
    use crate::api::condition::Reason;
    use crate::cloud::client::Client;
    use crate::cloud::endpoint::Hosts;
    use crate::cloud::error::{Failure, Retry};
    use crate::cloud::{Lab, Reach};
    use crate::model::identity::{Arn, CredentialSource, Identity};

    /// A cluster in which nothing is.
    #[derive(Debug)]
    struct Nothing;

    impl IdentitySources for Nothing {
        fn key_pair<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<KeyPair, Failure>> {
            async { Err(Failure::new(Reason::SecretNotFound, Retry::Rarely, "absent")) }.boxed()
        }

        fn registered_cluster(&self) -> BoxFuture<'_, Result<Option<KeyPair>, Failure>> {
            async { Ok(None) }.boxed()
        }

        fn addon_token(&self) -> BoxFuture<'_, Result<Option<SecretString>, Failure>> {
            async { Ok(None) }.boxed()
        }

        fn oidc_token(&self) -> BoxFuture<'_, Result<OidcToken, Failure>> {
            async { Err(Failure::new(Reason::ServiceAccountNotFound, Retry::Soon, "absent")) }.boxed()
        }
    }

    fn sessions_in(mode: TokenMode, environment: Environment) -> Sessions {
        let lab = Lab { address: ([127, 0, 0, 1], 1).into(), without_address: Vec::new() };
        let client = Client::new("test", &Reach { lab: Some(lab), ..Reach::default() }).unwrap();
        let own = ControllerIdentity::new(mode, environment, "http://127.0.0.1:1").unwrap();
        Sessions::new(client, Hosts::only("sts.example"), own, Arc::new(Nothing))
    }

    fn own() -> Identity {
        Identity { base: CredentialSource::ControllerIdentity, assume: None, session_seconds: 3600 }
    }

    #[tokio::test]
    async fn chains_that_ended_are_dropped_when_another_begins() {
        let sessions = sessions_in(TokenMode::Auto, Environment::default());
        for n in 0..50 {
            let role = Arn::role(&format!("acs:ram::1:role/r{n}")).unwrap();
            let identity = Identity { assume: Some(role), ..own() };
            sessions.single_flight(&identity, None, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(sessions.assumed.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn without_any_identity_the_cure_names_the_ways() {
        let environment = Environment { metadata_disabled: true, ..Environment::default() };
        for (mode, cure) in
            [(TokenMode::Auto, "rrsaRoleARN"), (TokenMode::ManagedRole, "AliyunCSManagedAcrRole")]
        {
            let sessions = sessions_in(mode, environment.clone());
            let failure = sessions.resolve(&own(), Timestamp::UNIX_EPOCH).await.unwrap_err();
            assert_eq!((failure.reason, failure.retry), (Reason::NoIdentity, Retry::Rarely), "{mode:?}");
            assert!(failure.message.contains(cure), "{}", failure.message);
            assert_eq!(sessions.own_name(), "own");
        }
    }

    #[tokio::test]
    async fn a_key_of_the_environment_is_the_own_identity_and_is_named() {
        let pair = KeyPair { id: "LTAI".into(), secret: "s".into(), token: Some("t".into()) };
        let environment = Environment { key_pair: Some(pair), ..Environment::default() };
        let sessions = sessions_in(TokenMode::Auto, environment.clone());
        let resolved = sessions.resolve(&own(), Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!((resolved.key.id.as_str(), resolved.key_id), ("LTAI", None));
        assert!(resolved.key.token.is_some());
        assert_eq!(sessions.own_name(), "environment");
        // A mode that was chosen looks nowhere else.
        let sessions = sessions_in(TokenMode::ManagedRole, environment);
        assert!(sessions.resolve(&own(), Timestamp::UNIX_EPOCH).await.is_err());
    }

    #[test]
    fn a_key_prints_neither_its_secret_nor_its_token() {
        let printed = format!("{:?}", AccessKey::sample("W"));
        assert!(!printed.contains("sample-secret") && !printed.contains("sample-token"), "{printed}");
    }
}
