//! Identities: resolves a chain of identities to an AccessKey that can sign.

mod addon;
mod assume;
mod controller_identity;
mod metadata;
mod oidc;
mod sources;
mod worker_role;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;

use self::controller_identity::{ControllerCredential, IdentityKind};
use super::access_key::AccessKey;
use super::client::Client;
use super::error::{CallFailure, CloudError};
use super::hosts::Hosts;
use super::single_flight::{IfRenewalFails, RenewableKey, SingleFlight};
use crate::api::condition::Reason;
use crate::model::binding::DEFAULT_SESSION_SECONDS;
use crate::model::identity::{Arn, CredentialSource, Identity};
pub(super) use controller_identity::ControllerIdentity;
pub use controller_identity::TokenMode;
pub(super) use metadata::node_region;
pub use sources::{AccessKeyPair, Environment, IdentitySources, OidcToken, RrsaRole};

/// Resolves identities to keys. It caches one session a chain, which all registries with that chain share.
#[derive(Debug)]
pub(super) struct IdentityResolver {
    client: Client,
    sts: Hosts,
    controller: ControllerIdentity,
    sources: Arc<dyn IdentitySources>,
    /// Sessions of assumed roles. Expired ones are dropped whenever one is added.
    sessions: Mutex<HashMap<SessionId, Arc<SingleFlight>>>,
}

/// Key of a cached session. A rotated AccessKey pair leads to another session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SessionId {
    identity: Identity,
    key_id: Option<Box<str>>,
}

/// A resolved chain of identities.
#[derive(Clone, Debug)]
pub(super) struct ResolvedIdentity {
    /// Key at the end of the chain, which signs.
    pub(super) key: AccessKey,
    /// AccessKeyId of the pair that the chain begins with, if it begins with a pair.
    pub(super) key_id: Option<Box<str>>,
}

impl IdentityResolver {
    /// Creates a resolver without any session. Sends no request.
    pub(super) fn new(
        client: Client,
        sts: Hosts,
        controller: ControllerIdentity,
        sources: Arc<dyn IdentitySources>,
    ) -> Self {
        Self { client, sts, controller, sources, sessions: Mutex::default() }
    }

    /// Returns the name of the controller's own identity; `own` until one is found.
    pub(super) fn controller_name(&self) -> &'static str {
        self.controller.last_used().map_or("own", IdentityKind::name)
    }

    /// Returns the key at the end of the chain.
    ///
    /// # Errors
    /// The error of the first link that fails.
    pub(super) async fn resolve(
        &self,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<ResolvedIdentity, CloudError> {
        let pair = match &identity.source {
            CredentialSource::AccessKey { secret } => {
                let holder = format!("the AccessKey of the Secret {secret}");
                Some(self.sources.key_pair(secret).await?.into_key(&holder))
            }
            CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => None,
        };
        let key_id: Option<Box<str>> = pair.as_ref().map(|pair| pair.id.as_str().into());
        let key = match &identity.assume {
            None => self.source_key(identity, pair, now).await?,
            Some(role) => {
                let session = self.session(identity, key_id.clone(), now);
                session.get(now, IfRenewalFails::Fail, self.assume(identity, role, pair, now)).await?
            }
        };
        Ok(ResolvedIdentity { key, key_id })
    }

    /// Drops a key that the cloud rejected from all caches, so that the next attempt gets a new one.
    pub(super) fn invalidate(&self, key: &AccessKey) {
        self.controller.invalidate(key);
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.values().for_each(|session| session.invalidate(key));
    }

    /// Records that the cloud denied access to an identity.
    pub(super) fn access_denied(&self, identity: &Identity) {
        if identity.source == CredentialSource::ControllerIdentity {
            self.controller.reset_preference();
        }
    }

    /// Returns the key of the first link: a pair, the controller's own key, or a session by an OIDC token.
    async fn source_key(
        &self,
        identity: &Identity,
        pair: Option<AccessKey>,
        now: Timestamp,
    ) -> Result<AccessKey, CloudError> {
        match (&identity.source, pair) {
            (_, Some(pair)) => Ok(pair),
            (CredentialSource::Rrsa { .. }, None) => self.rrsa_session(identity, now).await,
            (_, None) => match self.controller.find(&*self.sources, now).await? {
                ControllerCredential::Key(key) => Ok(key),
                ControllerCredential::Rrsa(identity) => self.rrsa_session(&identity, now).await,
            },
        }
    }

    /// Returns a session of an RRSA role. Chains that continue from it share the one with the default duration.
    async fn rrsa_session(&self, identity: &Identity, now: Timestamp) -> Result<AccessKey, CloudError> {
        let CredentialSource::Rrsa { role, provider } = &identity.source else {
            return Err(self.controller.not_found());
        };
        let seconds = match identity.assume {
            Some(_) => DEFAULT_SESSION_SECONDS,
            None => identity.session_seconds,
        };
        let first_link = Identity { assume: None, session_seconds: seconds, ..identity.clone() };
        let fetch = async {
            let token = self.sources.oidc_token().await?;
            let request = oidc::AssumeRoleWithOidc { sts: &self.sts, role, provider, seconds, now };
            oidc::assume_role(&self.client, &request, &token).await
        };
        let session = self.session(&first_link, None, now);
        session.get(now, IfRenewalFails::Fail, fetch).await
    }

    async fn assume(
        &self,
        identity: &Identity,
        role: &Arn,
        pair: Option<AccessKey>,
        now: Timestamp,
    ) -> Result<RenewableKey, CloudError> {
        let caller = self.source_key(identity, pair, now).await?;
        let seconds = identity.session_seconds;
        let request = assume::AssumeRole { sts: &self.sts, role, seconds, caller: &caller, now };
        let outcome = assume::assume_role(&self.client, &request).await;
        if let Err(CallFailure::SessionRejected(_)) = &outcome {
            self.invalidate(&caller);
        }
        outcome.map_err(|failure| {
            let error = failure.into_error();
            if error.reason == Reason::AccessDenied {
                self.access_denied(identity);
            }
            match identity.source {
                CredentialSource::ControllerIdentity => self.controller.explain(error),
                _ => error,
            }
        })
    }

    fn session(&self, identity: &Identity, key_id: Option<Box<str>>, now: Timestamp) -> Arc<SingleFlight> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let id = SessionId { identity: identity.clone(), key_id };
        if let Some(session) = sessions.get(&id) {
            return Arc::clone(session);
        }
        sessions.retain(|_, session| Arc::strong_count(session) > 1 || !session.is_idle(now));
        Arc::clone(sessions.entry(id).or_default())
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
        AccessKeyPair, ControllerIdentity, Environment, IdentityResolver, IdentitySources, OidcToken,
        TokenMode,
    };
    use crate::api::condition::Reason;
    use crate::cloud::client::Client;
    use crate::cloud::error::{CloudError, Retry};
    use crate::cloud::hosts::Hosts;
    use crate::cloud::network::{NetworkConfig, SimulatedCloud};
    use crate::model::identity::{Arn, CredentialSource, Identity};

    /// A cluster without any credential.
    #[derive(Debug)]
    struct EmptyCluster;

    impl IdentitySources for EmptyCluster {
        fn key_pair<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<AccessKeyPair, CloudError>> {
            async { Err(CloudError::new(Reason::SecretNotFound, Retry::Rarely, "absent")) }.boxed()
        }

        fn registered_cluster(&self) -> BoxFuture<'_, Result<Option<AccessKeyPair>, CloudError>> {
            async { Ok(None) }.boxed()
        }

        fn addon_token(&self) -> BoxFuture<'_, Result<Option<SecretString>, CloudError>> {
            async { Ok(None) }.boxed()
        }

        fn oidc_token(&self) -> BoxFuture<'_, Result<OidcToken, CloudError>> {
            async { Err(CloudError::new(Reason::ServiceAccountNotFound, Retry::Soon, "absent")) }.boxed()
        }
    }

    fn resolver_with(mode: TokenMode, environment: Environment) -> IdentityResolver {
        let cloud = SimulatedCloud { address: ([127, 0, 0, 1], 1).into(), unresolvable_hosts: Vec::new() };
        let network = NetworkConfig { simulator: Some(cloud), ..NetworkConfig::default() };
        let client = Client::new("test", &network, Arc::new(())).unwrap();
        let controller = ControllerIdentity::new(mode, environment, "http://127.0.0.1:1").unwrap();
        IdentityResolver::new(client, Hosts::only("sts.example"), controller, Arc::new(EmptyCluster))
    }

    fn controller() -> Identity {
        Identity { source: CredentialSource::ControllerIdentity, assume: None, session_seconds: 3600 }
    }

    #[tokio::test]
    async fn expired_sessions_are_dropped_when_another_is_added() {
        let resolver = resolver_with(TokenMode::Auto, Environment::default());
        for n in 0..50 {
            let role = Arn::role(&format!("acs:ram::1:role/r{n}")).unwrap();
            let identity = Identity { assume: Some(role), ..controller() };
            resolver.session(&identity, None, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(resolver.sessions.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn without_any_identity_the_message_names_the_alternatives() {
        let environment = Environment { metadata_disabled: true, ..Environment::default() };
        for (mode, alternative) in
            [(TokenMode::Auto, "rrsaRoleARN"), (TokenMode::ManagedRole, "AliyunCSManagedAcrRole")]
        {
            let resolver = resolver_with(mode, environment.clone());
            let error = resolver.resolve(&controller(), Timestamp::UNIX_EPOCH).await.unwrap_err();
            assert_eq!((error.reason, error.retry), (Reason::NoIdentity, Retry::Rarely), "{mode:?}");
            assert!(error.message.contains(alternative), "{}", error.message);
            assert_eq!(resolver.controller_name(), "own");
        }
    }

    #[tokio::test]
    async fn an_access_key_of_the_environment_is_the_controllers_identity() {
        let pair = AccessKeyPair { id: "LTAI".into(), secret: "s".into(), token: Some("t".into()) };
        let environment = Environment { key_pair: Some(pair), ..Environment::default() };
        let resolver = resolver_with(TokenMode::Auto, environment.clone());
        let resolved = resolver.resolve(&controller(), Timestamp::UNIX_EPOCH).await.unwrap();
        assert_eq!((resolved.key.id.as_str(), resolved.key_id), ("LTAI", None));
        assert!(resolved.key.token.is_some());
        assert_eq!(resolver.controller_name(), "environment");
        // An explicit mode does not use the environment.
        let resolver = resolver_with(TokenMode::ManagedRole, environment);
        assert!(resolver.resolve(&controller(), Timestamp::UNIX_EPOCH).await.is_err());
    }
}
