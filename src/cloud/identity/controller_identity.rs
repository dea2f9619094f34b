//! The controller's own identity: selects one of the documented kinds.

use std::sync::{Mutex, MutexGuard, PoisonError};

use k8s_openapi::jiff::Timestamp;
use secrecy::ExposeSecret;

use super::addon;
use super::sources::{Environment, IdentitySources};
use super::worker_role::WorkerRole;
use crate::api::condition::Reason;
use crate::cloud::access_key::AccessKey;
use crate::cloud::error::{CloudError, Retry, SetupError};
use crate::model::binding::DEFAULT_SESSION_SECONDS;
use crate::model::identity::{CredentialSource, Identity};

/// The installation parameter `tokenMode` of the documented component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenMode {
    /// The first available one of: the environment, a registered cluster's key, ACK's addon token, the node's worker
    /// role.
    #[default]
    Auto,
    /// Only ACK's addon token.
    ManagedRole,
    /// Only the node's worker role.
    WorkerRole,
}

/// Kind of the controller's own identity, in the order of [`AUTO`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IdentityKind {
    /// AccessKey in the environment.
    EnvironmentKey,
    /// RRSA role in the environment.
    EnvironmentRole,
    /// AccessKey of a registered cluster.
    RegisteredCluster,
    /// ACK's addon token.
    ManagedRole,
    /// The node's role.
    WorkerRole,
}

impl IdentityKind {
    /// Returns the name as the status shows it.
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

/// The order in which `auto` tries the kinds: configured ones before those that exist by default.
const AUTO: [IdentityKind; 5] = [
    IdentityKind::EnvironmentKey,
    IdentityKind::EnvironmentRole,
    IdentityKind::RegisteredCluster,
    IdentityKind::ManagedRole,
    IdentityKind::WorkerRole,
];

/// Credential of the controller's own identity.
pub(super) enum ControllerCredential {
    /// A key that signs.
    Key(AccessKey),
    /// An RRSA role, whose session the caller opens.
    Rrsa(Identity),
}

/// The controller's own identity.
///
/// # Guarantees
/// - Under `auto`, the kind in use stays preferred while it works and the cloud does not deny its calls. So kinds that
///   come and go do not alternate.
/// - A kind in use only because an earlier one was unusable is given up when that one becomes usable.
/// - A kind whose availability is unknown, such as while the API server is unreachable, is not skipped.
#[derive(Debug)]
pub(in crate::cloud) struct ControllerIdentity {
    mode: TokenMode,
    environment: Environment,
    worker_role: WorkerRole,
    selection: Mutex<KindSelection>,
}

#[derive(Clone, Copy, Debug, Default)]
struct KindSelection {
    /// Kind to try first.
    preferred: Option<IdentityKind>,
    /// Kind that the last key came from.
    last_used: Option<IdentityKind>,
}

impl ControllerIdentity {
    /// Creates an identity without a selection. Sends no request.
    pub(in crate::cloud) fn new(
        mode: TokenMode,
        environment: Environment,
        metadata_endpoint: &str,
    ) -> Result<Self, SetupError> {
        let worker_role = WorkerRole::new(metadata_endpoint)?;
        Ok(Self { mode, environment, worker_role, selection: Mutex::default() })
    }

    /// Returns the kind that was used last.
    pub(super) fn last_used(&self) -> Option<IdentityKind> {
        self.selection().last_used
    }

    /// Makes the next search begin with the first kind: another identity may have the permission that this one lacks.
    pub(super) fn reset_preference(&self) {
        self.selection().preferred = None;
    }

    fn selection(&self) -> MutexGuard<'_, KindSelection> {
        self.selection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the credential of the first usable kind.
    ///
    /// # Errors
    /// The first error, if no kind is usable.
    pub(super) async fn find(
        &self,
        sources: &dyn IdentitySources,
        now: Timestamp,
    ) -> Result<ControllerCredential, CloudError> {
        let kinds: &[IdentityKind] = match self.mode {
            TokenMode::Auto => &AUTO,
            TokenMode::ManagedRole => &[IdentityKind::ManagedRole],
            TokenMode::WorkerRole => &[IdentityKind::WorkerRole],
        };
        let preferred = self.selection().preferred;
        let mut first_error: Option<CloudError> = None;
        let mut first_skipped: Option<IdentityKind> = None;
        for kind in preferred.iter().chain(kinds.iter().filter(|kind| Some(**kind) != preferred)) {
            match self.credential(*kind, sources, now).await {
                Ok(Some(credential)) => {
                    // A skipped earlier kind may become usable at any time.
                    let prefer = first_skipped.is_none_or(|first| first > *kind);
                    self.select(*kind, prefer, first_error.as_ref());
                    return Ok(credential);
                }
                Ok(None) => {}
                Err(error) if is_unusable(&error) => {
                    first_error = first_error.or(Some(error));
                    first_skipped = Some(first_skipped.map_or(*kind, |first| first.min(*kind)));
                }
                // The first error is the one to report, but this kind may be usable again at any time.
                Err(error) => {
                    let retry = error.retry;
                    return Err(CloudError { retry, ..first_error.unwrap_or(error) });
                }
            }
        }
        Err(first_error.unwrap_or_else(|| self.not_found()))
    }

    /// Drops a key that the cloud rejected.
    pub(super) fn invalidate(&self, key: &AccessKey) {
        self.worker_role.invalidate(key);
    }

    /// Extends the error of a denied assumption by the documented limit of the managed role.
    pub(super) fn explain(&self, mut error: CloudError) -> CloudError {
        let is_managed = self.last_used() == Some(IdentityKind::ManagedRole);
        if error.reason == Reason::TrustPolicyDenies && is_managed {
            error.message.push_str(
                "; the managed role works in its own account only: for another account use RRSA (rrsaRoleARN) or \
                 --token-mode workerRole",
            );
        }
        error
    }

    async fn credential(
        &self,
        kind: IdentityKind,
        sources: &dyn IdentitySources,
        now: Timestamp,
    ) -> Result<Option<ControllerCredential>, CloudError> {
        let key = match kind {
            IdentityKind::EnvironmentKey => {
                let Environment { key_pair, key_pair_holder, .. } = &self.environment;
                let holder =
                    key_pair_holder.as_deref().unwrap_or("the AccessKey of ALIBABA_CLOUD_ACCESS_KEY_ID");
                key_pair.clone().map(|pair| pair.into_key(holder))
            }
            IdentityKind::EnvironmentRole => {
                let rrsa = self.environment.rrsa.clone().map(|rrsa| Identity {
                    source: CredentialSource::Rrsa { role: rrsa.role, provider: rrsa.provider },
                    assume: None,
                    session_seconds: DEFAULT_SESSION_SECONDS,
                });
                return Ok(rrsa.map(ControllerCredential::Rrsa));
            }
            IdentityKind::RegisteredCluster => {
                let holder = "the AccessKey of kube-system/alibaba-addon-secret";
                sources.registered_cluster().await?.map(|pair| pair.into_key(holder))
            }
            // Read at each call, since ACK replaces the token without notice. Decrypting it takes microseconds.
            IdentityKind::ManagedRole => match sources.addon_token().await? {
                Some(text) => addon::parse(text.expose_secret(), now)?,
                None => None,
            },
            IdentityKind::WorkerRole
                if self.environment.metadata_disabled && self.mode == TokenMode::Auto =>
            {
                None
            }
            IdentityKind::WorkerRole => Some(self.worker_role.key(now).await?),
        };
        Ok(key.map(ControllerCredential::Key))
    }

    fn select(&self, kind: IdentityKind, prefer: bool, skipped: Option<&CloudError>) {
        let mut selection = self.selection();
        if prefer {
            selection.preferred = Some(kind);
        }
        if selection.last_used.replace(kind) == Some(kind) {
            return;
        }
        drop(selection);
        match skipped {
            Some(skipped) => {
                tracing::warn!(identity = kind.name(), %skipped, "controller identity selected")
            }
            None => tracing::info!(identity = kind.name(), "controller identity selected"),
        }
    }

    /// Returns the error of a search that finds no credential.
    pub(super) fn not_found(&self) -> CloudError {
        let message = match self.mode {
            TokenMode::ManagedRole => {
                "--token-mode is managedRole, and the cluster has no addon token: authorise the role \
                 AliyunCSManagedAcrRole for ACK, or use RRSA or --token-mode workerRole"
            }
            // The worker role has errors of its own, unless the environment turns it off.
            _ => {
                "the controller has no identity: use RRSA (rrsaRoleARN), name an AccessKey with accessKeySecretRef, or \
                 unset ALIBABA_CLOUD_ECS_METADATA_DISABLED to use the node's RAM role"
            }
        };
        CloudError::new(Reason::NoIdentity, Retry::Rarely, message)
    }
}

/// Returns whether a kind is known to be unusable for now. This includes an expired addon token, although ACK will
/// replace it.
fn is_unusable(error: &CloudError) -> bool {
    error.retry == Retry::Rarely || error.reason == Reason::AddonTokenInvalid
}
