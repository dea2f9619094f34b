//! The controller's own identity: which of the documented ways is there.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use super::node::Node;
use super::sources::{Environment, IdentitySources};
use super::{AccessKey, addon};
use crate::api::condition::Reason;
use crate::cloud::error::{Failure, Retry, SetupError};
use crate::model::identity::{Arn, CredentialSource, Identity};

/// The installation parameter `tokenMode` of the documented component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenMode {
    /// What is there: the environment, a registered cluster's key, ACK's addon token, the node's worker role.
    #[default]
    Auto,
    /// ACK's addon token, and nothing else.
    ManagedRole,
    /// The node's role, and nothing else.
    WorkerRole,
}

/// One way to an own identity, in the order of [`AUTO`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// An AccessKey in the environment.
    EnvironmentKey,
    /// A role in the environment, by an OIDC token.
    EnvironmentRole,
    /// The key of a registered cluster.
    RegisteredCluster,
    /// ACK's addon token.
    ManagedRole,
    /// The node's role.
    WorkerRole,
}

impl Way {
    /// As the status shows it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EnvironmentKey => "environment",
            Self::EnvironmentRole => "environment-rrsa",
            Self::RegisteredCluster => "registered-cluster",
            Self::ManagedRole => "managed-role",
            Self::WorkerRole => "worker-role",
        }
    }
}

/// The ways in the order in which `auto` looks for them: what somebody set on purpose goes before what is found.
const AUTO: [Way; 5] =
    [Way::EnvironmentKey, Way::EnvironmentRole, Way::RegisteredCluster, Way::ManagedRole, Way::WorkerRole];

/// Where a way leads.
pub(in crate::cloud) enum Found {
    /// A key that signs.
    Key(AccessKey),
    /// A role that is assumed with an OIDC token, which sessions are kept for elsewhere.
    Role(Identity),
}

/// The own identity.
///
/// # Guarantees
/// - Under `auto`, a way that was found is kept for as long as it leads to a key that the cloud does not deny what it is
///   for: two ways that come and go do not take turns. One that is only gone because another was closed for a while is
///   left again when that one opens.
/// - A way that cannot be told to be absent, such as while the API server is away, is not passed over.
#[derive(Debug)]
pub(in crate::cloud) struct ControllerIdentity {
    mode: TokenMode,
    environment: Environment,
    node: Node,
    ways: Mutex<Ways>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Ways {
    /// Goes before the others.
    chosen: Option<Way>,
    /// Led to a key last.
    used: Option<Way>,
}

impl ControllerIdentity {
    /// Nothing is looked for yet.
    pub(in crate::cloud) fn new(
        mode: TokenMode,
        environment: Environment,
        metadata_endpoint: &str,
    ) -> Result<Self, SetupError> {
        let node = Node::new(metadata_endpoint)?;
        Ok(Self { mode, environment, node, ways: Mutex::default() })
    }

    /// The way that was found last.
    pub(super) fn way(&self) -> Option<Way> {
        self.ways().used
    }

    /// What the cloud denies this identity, another one may be granted: the next look begins with the first way.
    pub(super) fn look_anew(&self) {
        self.ways().chosen = None;
    }

    fn ways(&self) -> MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a key or a role.
    ///
    /// # Errors
    /// Why the only way is closed, or the first of several.
    pub(super) async fn find(&self, sources: &dyn IdentitySources, now: Timestamp) -> Result<Found, Failure> {
        let ways: &[Way] = match self.mode {
            TokenMode::Auto => &AUTO,
            TokenMode::ManagedRole => &[Way::ManagedRole],
            TokenMode::WorkerRole => &[Way::WorkerRole],
        };
        let chosen = self.ways().chosen;
        let mut closed: Option<Failure> = None;
        let mut open_later: Option<Way> = None;
        for way in chosen.iter().chain(ways.iter().filter(|way| Some(**way) != chosen)) {
            match self.go(*way, sources, now).await {
                Ok(Some(found)) => {
                    let keep = open_later.is_none_or(|first| first > *way);
                    self.choose(*way, keep, closed.as_ref());
                    return Ok(found);
                }
                Ok(None) => {}
                Err(failure) if is_closed(&failure) => {
                    closed = closed.or(Some(failure));
                    open_later = Some(open_later.map_or(*way, |first| first.min(*way)));
                }
                // What is wrong with the first way is told, but this one may be open again at any time.
                Err(failure) => {
                    let retry = failure.retry;
                    return Err(Failure { retry, ..closed.unwrap_or(failure) });
                }
            }
        }
        Err(closed.unwrap_or_else(|| self.nowhere()))
    }

    /// Drops a key that the cloud refused.
    pub(super) fn forget(&self, key: &AccessKey) {
        self.node.forget(key);
    }

    /// Says of a refused assumption what the documentation says of the managed role.
    pub(super) fn explain(&self, mut failure: Failure) -> Failure {
        if failure.reason == Reason::TrustPolicyDenies && self.way() == Some(Way::ManagedRole) {
            failure.message.push_str(
                "; the managed role serves its own account: for another one use RRSA (rrsaRoleARN), or \
                 --token-mode workerRole",
            );
        }
        failure
    }

    async fn go(
        &self,
        way: Way,
        sources: &dyn IdentitySources,
        now: Timestamp,
    ) -> Result<Option<Found>, Failure> {
        let key = match way {
            Way::EnvironmentKey => {
                let holder = "the AccessKey of ALIBABA_CLOUD_ACCESS_KEY_ID";
                self.environment.key_pair.clone().map(|pair| pair.signs_as(holder))
            }
            Way::EnvironmentRole => {
                return Ok(self
                    .environment
                    .rrsa
                    .clone()
                    .map(|(role, provider)| Found::Role(role_of(role, provider))));
            }
            Way::RegisteredCluster => {
                let holder = "the AccessKey of kube-system/alibaba-addon-secret";
                sources.registered_cluster().await?.map(|pair| pair.signs_as(holder))
            }
            Way::ManagedRole => return Ok(self.managed(sources, now).await?.map(Found::Key)),
            Way::WorkerRole if self.environment.metadata_disabled && self.mode == TokenMode::Auto => None,
            Way::WorkerRole => Some(self.node.key(now).await?),
        };
        Ok(key.map(Found::Key))
    }

    /// The text is read at each ask: ACK replaces it without notice. It is small, and decrypting it takes
    /// microseconds.
    async fn managed(
        &self,
        sources: &dyn IdentitySources,
        now: Timestamp,
    ) -> Result<Option<AccessKey>, Failure> {
        match sources.addon_token().await? {
            Some(text) => addon::read(text.expose_secret(), now),
            None => Ok(None),
        }
    }

    /// `keep`: no way that goes before it was passed over, which may lead to a key again at any time.
    fn choose(&self, way: Way, keep: bool, passed_over: Option<&Failure>) {
        let mut ways = self.ways();
        if keep {
            ways.chosen = Some(way);
        }
        if ways.used.replace(way) == Some(way) {
            return;
        }
        drop(ways);
        match passed_over {
            Some(failure) => {
                tracing::warn!(identity = way.name(), passed_over = %failure, "own identity found")
            }
            None => tracing::info!(identity = way.name(), "own identity found"),
        }
    }

    pub(super) fn nowhere(&self) -> Failure {
        let message = match self.mode {
            TokenMode::ManagedRole => {
                "--token-mode is managedRole, and there is no addon token: authorise the role \
                 AliyunCSManagedAcrRole for ACK, or use RRSA or --token-mode workerRole"
            }
            _ => {
                "no identity is found: use RRSA (rrsaRoleARN), give the node a RAM role, or name an AccessKey \
                 with accessKeySecretRef"
            }
        };
        Failure::new(Reason::NoIdentity, Retry::Rarely, message)
    }
}

/// Whether a way is known to lead nowhere for now. An addon token that has ended will be replaced, but it is known to
/// be of no use.
fn is_closed(failure: &Failure) -> bool {
    failure.retry == Retry::Rarely || failure.reason == Reason::AddonTokenInvalid
}

fn role_of(role: Arn, provider: Arn) -> Identity {
    let session_seconds = crate::model::binding::DEFAULT_SESSION_SECONDS;
    Identity { base: CredentialSource::Rrsa { role, provider }, assume: None, session_seconds }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
