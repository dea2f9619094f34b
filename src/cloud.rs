//! Client of Alibaba Cloud: mints registry credentials and lists registry domains. Knows no Kubernetes.
//!
//! ```text
//! RegistryKey → identity (chain → AccessKey, shared) → call → sign → client → reply → classify → CloudError
//!                                                                          ↘ enterprise → Credential, domains
//! ```
//!
//! # Guarantees
//! - Each call is attempted once, with deadlines of 5 s for the connection and 10 s in all. The caller backs off.
//! - One session a chain and one worker-role key are shared by all callers, also by concurrent ones.
//! - No returned, logged or printed value contains a secret, except [`Credential::token`](crate::model::Credential).
//!
//! # Caveats
//! - `now` is the time of the call. A caller that waits for another one's session signs with the time of its own
//!   arrival; the cloud tolerates 15 minutes.

mod access_key;
mod call;
mod classify;
mod client;
mod enterprise;
mod error;
mod hosts;
mod identity;
mod network;
mod observer;
mod personal;
pub mod read_reply;
mod registry_check;
mod reply;
mod sign;
mod single_flight;
mod transport;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
pub use reqwest::Certificate;

use self::call::{Action, Call, CallAuth};
use self::client::Client;
use self::error::CallFailure;
pub use self::error::{CloudError, Retry, SetupError};
use self::hosts::Hosts;
pub use self::identity::{AccessKeyPair, Environment, IdentitySources, OidcToken, RrsaRole, TokenMode};
use self::identity::{ControllerIdentity, IdentityResolver, ResolvedIdentity};
pub use self::network::{NetworkConfig, SimulatedCloud};
pub use self::observer::{CallObserver, ObservedCall};
use self::registry_check::{CheckerConfig, RegistryChecker};
pub use self::verify::Verify;
use crate::api::Reason;
use crate::model::identity::Identity;
use crate::model::{Credential, Edition, RegistryKey};

/// Configuration of [`Alibaba`].
#[derive(Debug)]
pub struct CloudSettings {
    /// ID of the cluster's region, such as `cn-hangzhou`. VPC hosts are used in this region only.
    pub cluster_region: Box<str>,
    /// Hosts, certificates and proxies.
    pub network: NetworkConfig,
    /// URL of the ECS metadata service, `http://100.100.100.200` on every node.
    pub metadata_endpoint: Box<str>,
    /// User agent, which the cloud's audit trail records.
    pub user_agent: Box<str>,
    /// Selection of the controller's own identity.
    pub token_mode: TokenMode,
    /// Credentials from the process's environment.
    pub environment: Environment,
    /// Credentials from the cluster.
    pub sources: Arc<dyn IdentitySources>,
    /// Counts the calls.
    pub observer: Arc<dyn CallObserver>,
    /// Policy for a new credential that a registry rejects.
    pub verify: Verify,
    /// Hosts, as `host[:port]`, that may issue registry tokens besides Alibaba's hosts and the registry itself.
    pub registry_auth_hosts: Vec<Box<str>>,
}

/// The client of Alibaba Cloud. Clones share connections, sessions and keys.
#[derive(Clone, Debug)]
pub struct Alibaba {
    inner: Arc<AlibabaInner>,
}

#[derive(Debug)]
struct AlibabaInner {
    cluster_region: Box<str>,
    cr_hosts: BTreeMap<Box<str>, Box<str>>,
    client: Client,
    identities: IdentityResolver,
    checker: RegistryChecker,
    verify: Verify,
}

impl Alibaba {
    /// Creates a client. Sends no request.
    ///
    /// # Errors
    /// No root certificates can be loaded, or the user agent is not a valid header value.
    pub fn new(settings: CloudSettings) -> Result<Self, SetupError> {
        let CloudSettings { cluster_region, network, metadata_endpoint, user_agent, .. } = settings;
        let client = Client::new(&user_agent, &network, settings.observer)?;
        let checker = RegistryChecker::new(&CheckerConfig {
            user_agent: &user_agent,
            allowed_auth_hosts: &settings.registry_auth_hosts,
            extra_certificates: &network.extra_certificates,
        })?;
        let controller =
            ControllerIdentity::new(settings.token_mode, settings.environment, &metadata_endpoint)?;
        let sts = network.sts_host.map_or_else(|| Hosts::sts(&cluster_region), Hosts::only);
        let identities = IdentityResolver::new(client.clone(), sts, controller, settings.sources);
        Ok(Self {
            inner: Arc::new(AlibabaInner {
                cluster_region,
                cr_hosts: network.cr_hosts,
                client,
                identities,
                checker,
                verify: settings.verify,
            }),
        })
    }

    /// Mints a credential with one signed `GetAuthorizationToken`. Opens the sessions of the identity's chain first if
    /// they are missing.
    ///
    /// # Errors
    /// The first failure. A session that the cloud rejects is dropped, so that the next attempt opens a new one.
    pub async fn mint(&self, key: &RegistryKey, now: Timestamp) -> Result<Credential, CloudError> {
        let context = self.prepare(key, now).await?;
        let client = &self.inner.client;
        let outcome = match &key.edition {
            Edition::Enterprise(instance) => {
                let query = [("InstanceId", &**instance)];
                enterprise::mint(client, &context.call(Action::GetAuthorizationToken, &query)).await
            }
            Edition::Personal => personal::mint(client, &context.call(Action::PersonalToken, &[])).await,
        };
        let mut credential = self.finish(&context, outcome)?;
        credential.origin.identity = key.identity.chain(self.inner.identities.controller_name()).into();
        let primary = context.hosts.primary();
        if *credential.origin.endpoint != *primary {
            let remark =
                format!("{primary} does not resolve here, so {} is used", credential.origin.endpoint);
            credential.origin.remark = Some(remark.into());
        }
        credential.origin.key_id = context.resolved.key_id;
        Ok(credential)
    }

    /// Lists the domains of the instance's enabled endpoints: system and custom, public and VPC. They are `host[:port]`,
    /// sorted, without duplicates, and never empty. The Personal Edition's domains need no call.
    ///
    /// # Errors
    /// As [`Self::mint`]; `NoDomains` if there is none.
    pub async fn domains(&self, key: &RegistryKey, now: Timestamp) -> Result<Vec<String>, CloudError> {
        let Edition::Enterprise(instance) = &key.edition else {
            return Ok(personal::domains(&key.region));
        };
        let context = self.prepare(key, now).await?;
        let query = [("InstanceId", &**instance), ("ModuleName", "Registry"), ("Summary", "true")];
        let call = context.call(Action::ListInstanceEndpoint, &query);
        let outcome = enterprise::domains(&self.inner.client, &call).await;
        self.finish(&context, outcome)
    }

    /// Checks a new credential at the registries behind `domains`, if the settings say so, before it replaces the old
    /// one. Notes a rejection in the credential's remark.
    ///
    /// # Errors
    /// `CredentialRejected`, if rejection is enforced. A registry that cannot be reached from here rejects nothing.
    pub async fn verify(&self, credential: &mut Credential, domains: &[String]) -> Result<(), CloudError> {
        verify::verify(&self.inner.checker, self.inner.verify, domains, credential).await
    }

    async fn prepare(&self, key: &RegistryKey, now: Timestamp) -> Result<CallContext, CloudError> {
        let resolved = self.inner.identities.resolve(&key.identity, now).await?;
        let hosts = match self.inner.cr_hosts.get(&key.region) {
            Some(host) => Hosts::only(&**host),
            None => Hosts::container_registry(&key.region, &self.inner.cluster_region),
        };
        let subject = match &key.edition {
            Edition::Enterprise(_) => key.to_string(),
            Edition::Personal => format!("Personal Edition registry in {}", key.region),
        };
        Ok(CallContext { hosts, subject, identity: key.identity.clone(), resolved, now })
    }

    fn finish<T>(&self, context: &CallContext, outcome: Result<T, CallFailure>) -> Result<T, CloudError> {
        if let Err(CallFailure::SessionRejected(_)) = &outcome {
            self.inner.identities.invalidate(&context.resolved.key);
        }
        let outcome = outcome.map_err(CallFailure::into_error);
        if matches!(&outcome, Err(error) if error.reason == Reason::AccessDenied) {
            self.inner.identities.access_denied(&context.identity);
        }
        outcome
    }
}

/// Hosts and identity for calls about one registry.
struct CallContext {
    hosts: Hosts,
    subject: String,
    identity: Identity,
    resolved: ResolvedIdentity,
    now: Timestamp,
}

impl CallContext {
    fn call<'a>(&'a self, action: Action, query: &'a [(&'a str, &'a str)]) -> Call<'a> {
        Call {
            action,
            host: self.hosts.primary(),
            fallback_host: self.hosts.fallback(),
            subject: &self.subject,
            query,
            auth: CallAuth::AccessKey(&self.resolved.key),
            now: self.now,
        }
    }
}

/// Returns the ID of this node's region from the metadata service at the URL `metadata_endpoint`.
///
/// # Errors
/// `NoIdentity`, if the service does not answer with a region.
pub async fn node_region(metadata_endpoint: &str) -> Result<String, CloudError> {
    identity::node_region(metadata_endpoint).await
}
