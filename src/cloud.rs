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
mod identity;
mod personal;
mod registry_check;
mod reply;
mod sign;
mod single_flight;
mod transport;
mod verify;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;
pub use reqwest::Certificate;

use self::call::{Action, By, Call};
use self::client::Client;
use self::endpoint::Hosts;
use self::error::Denial;
pub use self::error::{Failure, Retry, SetupError};
use self::identity::{ControllerIdentity, Resolved, Sessions};
pub use self::identity::{Environment, IdentitySources, KeyPair, OidcToken, TokenMode};
use self::registry_check::{RegistryChecker, Setup};
pub use self::verify::Verify;
use crate::api::Reason;
use crate::model::identity::Identity;
use crate::model::{Credential, Edition, RegistryKey};

/// Where the cloud is, seen from here, and as whom to go there.
#[derive(Debug)]
pub struct Settings {
    /// The cluster's region, whose VPC hosts are used, such as `cn-hangzhou`.
    pub cluster_region: Box<str>,
    /// How hosts are reached.
    pub reach: Reach,
    /// Scheme and address of the ECS metadata service, `http://100.100.100.200` on every node.
    pub metadata_endpoint: Box<str>,
    /// What the cloud's audit trail shows as the client.
    pub user_agent: Box<str>,
    /// Which own identity to use.
    pub token_mode: TokenMode,
    /// What the process's environment says.
    pub environment: Environment,
    /// What lies in the cluster.
    pub sources: Arc<dyn IdentitySources>,
    /// Whether registries are asked what they think of a new credential.
    pub verify: Verify,
    /// Hosts, as `host[:port]`, to which registries may send for tokens, beside Alibaba's own and their own.
    pub registry_auth_hosts: Vec<Box<str>>,
}

/// How hosts are reached.
#[derive(Clone, Debug, Default)]
pub struct Reach {
    /// Certificates to trust besides the system's.
    pub extra_certificates: Vec<Certificate>,
    /// STS is asked at this host, and nowhere else.
    pub sts_host: Option<Box<str>>,
    /// Container Registry's API is asked at these hosts, by region.
    pub cr_hosts: BTreeMap<Box<str>, Box<str>>,
    /// A lab that stands in for every API host; `None` in the world, where hosts are reached by HTTPS and through
    /// the proxies of the environment.
    pub lab: Option<Lab>,
}

/// A simulated cloud, reached by plain HTTP under the hosts' own names and through no proxy.
#[derive(Clone, Debug)]
pub struct Lab {
    /// Where it listens.
    pub address: SocketAddr,
    /// Names that have no address there, as a VPC host's outside its network.
    pub without_address: Vec<Box<str>>,
}

/// The client of Alibaba Cloud. Clones share connections, sessions and keys.
#[derive(Clone, Debug)]
pub struct Alibaba {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    cluster_region: Box<str>,
    cr_hosts: BTreeMap<Box<str>, Box<str>>,
    client: Client,
    sessions: Sessions,
    prover: RegistryChecker,
    verify: Verify,
}

impl Alibaba {
    /// A client that has asked for nothing yet.
    ///
    /// # Errors
    /// No root certificates can be loaded, or the user agent is no header value.
    pub fn new(settings: Settings) -> Result<Self, SetupError> {
        let Settings { cluster_region, reach, metadata_endpoint, user_agent, .. } = settings;
        let client = Client::new(&user_agent, &reach)?;
        let setup = Setup {
            user_agent: &user_agent,
            realms: &settings.registry_auth_hosts,
            roots: &reach.extra_certificates,
        };
        let prover = RegistryChecker::new(&setup)?;
        let own = ControllerIdentity::new(settings.token_mode, settings.environment, &metadata_endpoint)?;
        let sts = reach.sts_host.map_or_else(|| endpoint::sts(&cluster_region), Hosts::only);
        let sessions = Sessions::new(client.clone(), sts, own, settings.sources);
        Ok(Self {
            inner: Arc::new(Inner {
                cluster_region,
                cr_hosts: reach.cr_hosts,
                client,
                sessions,
                prover,
                verify: settings.verify,
            }),
        })
    }

    /// Asks for a credential: one signed `GetAuthorizationToken`, and before it whatever the identity's chain lacks.
    ///
    /// # Errors
    /// The first thing that went wrong. A session that the cloud refuses is dropped, so that the next attempt gets
    /// a new one.
    pub async fn mint(&self, key: &RegistryKey, now: Timestamp) -> Result<Credential, Failure> {
        let asked = self.ask(key, now).await?;
        let client = &self.inner.client;
        let outcome = match &key.edition {
            Edition::Enterprise(instance) => {
                let query = [("InstanceId", &**instance)];
                enterprise::mint(client, &asked.call(Action::GetAuthorizationToken, &query)).await
            }
            Edition::Personal => personal::mint(client, &asked.call(Action::PersonalToken, &[])).await,
        };
        let mut credential = self.settle(&asked, outcome)?;
        credential.origin.identity = key.identity.chain(self.inner.sessions.own_name()).into();
        if *credential.origin.endpoint != *asked.hosts.at().host {
            let remark = format!(
                "{} has no address here, so {} was asked",
                asked.hosts.at().host,
                credential.origin.endpoint
            );
            credential.origin.remark = Some(remark.into());
        }
        credential.origin.key_id = asked.resolved.key_id;
        Ok(credential)
    }

    /// Lists the domains of the instance's enabled endpoints, system and custom ones, public and VPC, sorted, each
    /// once, as `host[:port]`. Never empty. Those of the Personal Edition are known without asking.
    ///
    /// # Errors
    /// As [`Self::mint`]; `NoDomains` if there is none.
    pub async fn domains(&self, key: &RegistryKey, now: Timestamp) -> Result<Vec<String>, Failure> {
        let Edition::Enterprise(instance) = &key.edition else {
            return Ok(personal::domains(&key.region));
        };
        let asked = self.ask(key, now).await?;
        let query = [("InstanceId", &**instance), ("ModuleName", "Registry"), ("Summary", "true")];
        let outcome =
            enterprise::domains(&self.inner.client, &asked.call(Action::ListInstanceEndpoint, &query)).await;
        self.settle(&asked, outcome)
    }

    /// Shows a new credential to the registries behind `domains`, if this was asked for, before it takes an old
    /// one's place. Its remark says if they reject it.
    ///
    /// # Errors
    /// `CredentialRejected`, where rejection is enforced. A registry that cannot be reached from here, whose name
    /// has no address or which is linked to no VPC, rejects nothing.
    pub async fn verify(&self, credential: &mut Credential, domains: &[String]) -> Result<(), Failure> {
        verify::verify(&self.inner.prover, self.inner.verify, domains, credential).await
    }

    async fn ask(&self, key: &RegistryKey, now: Timestamp) -> Result<Asked, Failure> {
        let resolved = self.inner.sessions.resolve(&key.identity, now).await?;
        let hosts = match self.inner.cr_hosts.get(&key.region) {
            Some(host) => Hosts::only(&**host),
            None => endpoint::cr(&key.region, &self.inner.cluster_region),
        };
        let subject = match &key.edition {
            Edition::Enterprise(_) => key.to_string(),
            Edition::Personal => format!("Personal Edition registry in {}", key.region),
        };
        Ok(Asked { hosts, subject, identity: key.identity.clone(), resolved, now })
    }

    fn settle<T>(&self, asked: &Asked, outcome: Result<T, Denial>) -> Result<T, Failure> {
        if let Err(Denial::Session(_)) = &outcome {
            self.inner.sessions.forget(&asked.resolved.key);
        }
        let outcome = outcome.map_err(Denial::into_failure);
        if matches!(&outcome, Err(failure) if failure.reason == Reason::AccessDenied) {
            self.inner.sessions.denied(&asked.identity);
        }
        outcome
    }
}

/// All that a call about a registry needs.
struct Asked {
    hosts: Hosts,
    subject: String,
    identity: Identity,
    resolved: Resolved,
    now: Timestamp,
}

impl Asked {
    fn call<'a>(&'a self, action: Action, query: &'a [(&'a str, &'a str)]) -> Call<'a> {
        let by = By::Key(&self.resolved.key);
        Call { action, at: self.hosts.at(), subject: &self.subject, query, by, now: self.now }
    }
}

/// The region of this node, by its metadata service: what [`Settings`] need before they can be.
///
/// # Errors
/// `NoIdentity`, if the service does not answer with a region.
pub async fn node_region(metadata_endpoint: &str) -> Result<String, Failure> {
    identity::region(metadata_endpoint).await
}
