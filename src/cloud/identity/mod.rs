//! Who asks: the links of a chain, resolved to an AccessKey that can sign.

#[cfg_attr(not(test), expect(dead_code, reason = "the watch of the addon token does not exist yet"))]
mod addon;
mod assume;
mod metadata;
mod node;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use secrecy::SecretString;

use super::client::Client;
use super::error::{Denial, Failure, Retry, SetupError};
use super::flight::{Flight, Held, IfRenewalFails};
use crate::api::condition::Reason;
use crate::model::identity::{Arn, Base, Identity};
use assume::Ask;
pub(super) use metadata::region;
use node::Node;

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
    sts_host: String,
    node: Node,
    /// Chains that end in an assumed role. Those that have ended are dropped whenever one is added.
    assumed: Mutex<HashMap<Identity, Arc<Flight>>>,
}

impl Sessions {
    /// Nothing is asked for yet.
    pub(super) fn new(client: Client, sts_host: String, metadata_endpoint: &str) -> Result<Self, SetupError> {
        let node = Node::new(metadata_endpoint)?;
        Ok(Self { client, sts_host, node, assumed: Mutex::default() })
    }

    /// The key at the end of the chain.
    ///
    /// # Errors
    /// The first link that does not hold.
    pub(super) async fn resolve(&self, identity: &Identity, now: Timestamp) -> Result<AccessKey, Failure> {
        match &identity.assume {
            None => self.base(&identity.base, now).await,
            Some(role) => {
                let fetch = self.assume(identity, role, now);
                self.flight(identity, now).get(now, IfRenewalFails::Report, fetch).await
            }
        }
    }

    /// Drops a key that the cloud refused, so that the next attempt gets a new one.
    pub(super) async fn forget(&self, identity: &Identity, key: &AccessKey) {
        if identity.assume.is_none() {
            self.node.forget(key).await;
            return;
        }
        let flight = self.assumed.lock().unwrap_or_else(PoisonError::into_inner).get(identity).cloned();
        if let Some(flight) = flight {
            flight.forget(key).await;
        }
    }

    async fn base(&self, base: &Base, now: Timestamp) -> Result<AccessKey, Failure> {
        let unserved = |what: &str| {
            let message = format!("{what} are not served by this version yet; use the node's worker role");
            Err(Failure::new(Reason::NotYetServed, Retry::Rarely, message))
        };
        match base {
            Base::Own => self.node.key(now).await,
            Base::Rrsa { .. } => unserved("RRSA roles"),
            Base::AccessKey { .. } => unserved("AccessKey pairs"),
        }
    }

    async fn assume(&self, identity: &Identity, role: &Arn, now: Timestamp) -> Result<Held, Failure> {
        let caller = self.base(&identity.base, now).await?;
        let ask = Ask { host: &self.sts_host, role, seconds: identity.session_seconds, caller: &caller, now };
        let outcome = assume::assume_role(&self.client, &ask).await;
        if let Err(Denial::Session(_)) = &outcome {
            self.node.forget(&caller).await;
        }
        outcome.map_err(Denial::into_failure)
    }

    fn flight(&self, identity: &Identity, now: Timestamp) -> Arc<Flight> {
        let mut assumed = self.assumed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = assumed.get(identity) {
            return Arc::clone(flight);
        }
        assumed.retain(|_, flight| Arc::strong_count(flight) > 1 || !flight.is_idle(now));
        Arc::clone(assumed.entry(identity.clone()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::{AccessKey, Sessions};
    use crate::api::condition::Reason;
    use crate::cloud::client::Client;
    use crate::cloud::error::Retry;
    use crate::model::identity::{Arn, Base, Identity};

    fn sessions() -> Sessions {
        let client = Client::new("test", Some(([127, 0, 0, 1], 1).into())).unwrap();
        Sessions::new(client, "sts.example".to_owned(), "http://127.0.0.1:1").unwrap()
    }

    #[tokio::test]
    async fn an_identity_that_is_not_served_yet_says_so_with_and_without_a_second_hop() {
        let role = Arn::role("acs:ram::1:role/a").unwrap();
        let provider = Arn::oidc_provider("acs:ram::1:oidc-provider/p").unwrap();
        for base in [Base::Rrsa { role: role.clone(), provider }, Base::AccessKey { secret: "ak".into() }] {
            for assume in [None, Some(role.clone())] {
                let identity = Identity { base: base.clone(), assume, session_seconds: 3600 };
                let failure = sessions().resolve(&identity, Timestamp::UNIX_EPOCH).await.unwrap_err();
                assert_eq!(
                    (failure.reason, failure.retry),
                    (Reason::NotYetServed, Retry::Rarely),
                    "{identity}"
                );
            }
        }
    }

    #[tokio::test]
    async fn chains_that_ended_are_dropped_when_another_begins() {
        let sessions = sessions();
        for n in 0..50 {
            let role = Arn::role(&format!("acs:ram::1:role/r{n}")).unwrap();
            let identity = Identity { base: Base::Own, assume: Some(role), session_seconds: 3600 };
            sessions.flight(&identity, Timestamp::UNIX_EPOCH);
        }
        assert_eq!(sessions.assumed.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_key_prints_neither_its_secret_nor_its_token() {
        let printed = format!("{:?}", AccessKey::sample("W"));
        assert!(!printed.contains("sample-secret") && !printed.contains("sample-token"), "{printed}");
    }
}
