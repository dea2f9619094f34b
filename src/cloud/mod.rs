//! Alibaba Cloud: credentials for registries, and the domains they are good for. No Kubernetes.
//!
//! ```text
//! RegistryKey → identity (chain → AccessKey, shared) → call → sign → client → reply → classify → Failure
//!                                                                          ↘ enterprise → Credential, domains
//! ```
//!
//! # Guarantees
//! - One attempt a call, with deadlines of 5 s for the connection and 10 s in all. Who calls backs off.
//! - One session a chain and one worker-role key, whoever asks and however many at once.
//! - Nothing returned, logged or printed holds a credential, but [`Credential::token`](crate::model::Credential).
//!
//! # Caveats
//! - `now` is taken as the time of the call. A caller that waits in line for a session signs with the time at which
//!   it came; the cloud tolerates 15 minutes.

mod call;
mod classify;
mod client;
mod endpoint;
mod enterprise;
mod error;
mod flight;
mod identity;
#[cfg_attr(not(test), expect(dead_code, reason = "nobody asks registries yet"))]
mod proof;
mod reply;
mod sign;
#[cfg(test)]
mod sign_fuzz_tests;
mod transport;

use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use self::call::{Action, Call};
use self::client::Client;
use self::error::Denial;
pub use self::error::{Failure, Retry, SetupError};
use self::identity::{AccessKey, Sessions};
use crate::api::condition::Reason;
use crate::model::{Credential, Edition, RegistryKey};

/// Where the cloud is, seen from here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster's region, whose VPC hosts are used, such as `cn-hangzhou`.
    pub cluster_region: Box<str>,
    /// Reach every API host at this address, by plain HTTP under the host's own name, and through no proxy. For the
    /// lab; `None` in the world, where hosts are reached by HTTPS and through the proxies of the environment.
    pub address: Option<SocketAddr>,
    /// Scheme and address of the ECS metadata service, `http://100.100.100.200` on every node.
    pub metadata_endpoint: Box<str>,
    /// What the cloud's audit trail shows as the client.
    pub user_agent: Box<str>,
}

/// The client of Alibaba Cloud. Clones share connections, sessions and keys.
#[derive(Clone, Debug)]
pub struct Alibaba {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cluster_region: Box<str>,
    client: Client,
    sessions: Sessions,
}

impl Alibaba {
    /// A client that has asked for nothing yet.
    ///
    /// # Errors
    /// No root certificates can be loaded, or the user agent is no header value.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let Settings { cluster_region, address, metadata_endpoint, user_agent } = settings;
        let client = Client::new(&user_agent, address)?;
        let sessions = Sessions::new(client.clone(), endpoint::sts(&cluster_region), &metadata_endpoint)?;
        Ok(Self { inner: Arc::new(Inner { cluster_region, client, sessions }) })
    }

    /// Asks for a credential: one signed `GetAuthorizationToken`, and before it whatever the identity's chain lacks.
    ///
    /// # Errors
    /// The first thing that went wrong. A session that the cloud refuses is dropped, so that the next attempt gets
    /// a new one.
    pub async fn mint(&self, key: &RegistryKey, now: Timestamp) -> Result<Credential, Failure> {
        let asked = self.ask(key, now).await?;
        let query = [("InstanceId", asked.instance)];
        let outcome =
            enterprise::mint(&self.inner.client, &asked.call(Action::GetAuthorizationToken, &query)).await;
        self.settle(&asked, outcome).await
    }

    /// Lists the domains of the instance's enabled endpoints, system and custom ones, public and VPC, sorted, each
    /// once, as `host[:port]`. Never empty.
    ///
    /// # Errors
    /// As [`Self::mint`]; `NoDomains` if there is none.
    pub async fn domains(&self, key: &RegistryKey, now: Timestamp) -> Result<Vec<String>, Failure> {
        let asked = self.ask(key, now).await?;
        let query = [("InstanceId", asked.instance), ("ModuleName", "Registry"), ("Summary", "true")];
        let outcome =
            enterprise::domains(&self.inner.client, &asked.call(Action::ListInstanceEndpoint, &query)).await;
        self.settle(&asked, outcome).await
    }

    async fn ask<'a>(&self, key: &'a RegistryKey, now: Timestamp) -> Result<Asked<'a>, Failure> {
        let Edition::Enterprise(instance) = &key.edition else {
            let message =
                "the Personal Edition is not served by this version yet; name an Enterprise instanceId";
            return Err(Failure::new(Reason::NotYetServed, Retry::Rarely, message));
        };
        let access_key = self.inner.sessions.resolve(&key.identity, now).await?;
        let host = endpoint::cr(&key.region, &self.inner.cluster_region);
        Ok(Asked { registry: key, instance, host, subject: key.to_string(), access_key, now })
    }

    async fn settle<T>(&self, asked: &Asked<'_>, outcome: Result<T, Denial>) -> Result<T, Failure> {
        if let Err(Denial::Session(_)) = &outcome {
            self.inner.sessions.forget(&asked.registry.identity, &asked.access_key).await;
        }
        outcome.map_err(Denial::into_failure)
    }
}

/// A registry together with all that a call about it needs.
struct Asked<'a> {
    registry: &'a RegistryKey,
    instance: &'a str,
    host: String,
    subject: String,
    access_key: AccessKey,
    now: Timestamp,
}

impl Asked<'_> {
    fn call<'a>(&'a self, action: Action, query: &'a [(&'a str, &'a str)]) -> Call<'a> {
        Call { action, host: &self.host, subject: &self.subject, query, key: &self.access_key, now: self.now }
    }
}

/// The region of this node, by its metadata service: what [`Settings`] need before they can be.
///
/// # Errors
/// `NoIdentity`, if the service does not answer with a region.
pub async fn node_region(metadata_endpoint: &str) -> Result<String, Failure> {
    identity::region(metadata_endpoint).await
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::{Alibaba, Settings};
    use crate::api::condition::Reason;
    use crate::model::identity::{Base, Identity};
    use crate::model::{Edition, RegistryKey};

    #[tokio::test]
    async fn the_personal_edition_says_that_it_is_not_served_yet() {
        let alibaba = Alibaba::new(Settings {
            cluster_region: "cn-hangzhou".into(),
            address: Some(([127, 0, 0, 1], 1).into()),
            metadata_endpoint: "http://127.0.0.1:1".into(),
            user_agent: "test".into(),
        })
        .unwrap();
        let identity = Identity { base: Base::Own, assume: None, session_seconds: 3600 };
        let key = RegistryKey { edition: Edition::Personal, region: "cn-hangzhou".into(), identity };
        let failure = alibaba.mint(&key, Timestamp::UNIX_EPOCH).await.unwrap_err();
        assert_eq!(failure.reason, Reason::NotYetServed);
    }
}
