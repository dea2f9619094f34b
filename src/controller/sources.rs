//! Where identities begin, as far as that is in the cluster or in files: what the cloud client asks for.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use secrecy::{ExposeSecret, SecretString};

use super::state::SharedState;
use super::{Clients, clock};
use crate::api::{Reason, names};
use crate::cloud::{AccessKeyPair, CloudError, IdentitySources, OidcToken, Retry};
use crate::cluster::error::CallError;
use crate::cluster::named_secret::{NamedSecret, SecretData, SecretState};
use crate::cluster::oidc_token::{AUDIENCE, TokenRequester};
use crate::model::identity::CredentialSource;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Places {
    /// The file that ACK mounts with the addon token. It goes before the Secret where it exists.
    pub addon_token_file: PathBuf,
    /// Namespace and name of ACK's Secret with the addon token.
    pub addon_token_secret: (Box<str>, Box<str>),
    /// The file that the RRSA webhook mounts with an OIDC token.
    pub oidc_token_file: Option<PathBuf>,
    /// Namespace and name of the ServiceAccount whose OIDC token is asked for.
    pub rrsa_service_account: (Box<str>, Box<str>),
}

/// What a Secret is looked at for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    /// It holds a key pair that a binding names.
    Pair,
    /// The own identity may begin with it.
    ControllerIdentity,
}

/// What for, namespace and name.
type Place = (Role, Box<str>, Box<str>);

/// The sources of one controller.
pub struct ClusterSources {
    client: Client,
    /// The controller's own namespace.
    namespace: Box<str>,
    places: Places,
    tokens: TokenRequester,
    watched: Mutex<HashMap<Place, Arc<NamedSecret>>>,
    shared: Arc<SharedState>,
}

impl ClusterSources {
    /// Nothing is watched yet.
    pub fn new(clients: &Clients, namespace: &str, places: Places, shared: Arc<SharedState>) -> Self {
        let (account_namespace, account) = &places.rrsa_service_account;
        Self {
            tokens: TokenRequester::new(clients.write.clone(), account_namespace, account),
            client: clients.watch.clone(),
            namespace: namespace.into(),
            places,
            watched: Mutex::default(),
            shared,
        }
    }

    /// Watches the Secrets of these key pairs and no others, so that a rotated pair is noticed when it is rotated.
    pub fn watch_pairs(&self, secrets: &BTreeSet<Box<str>>) {
        for secret in secrets {
            self.secret((&self.namespace, secret), Role::Pair);
        }
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|(role, _, name), _| *role == Role::ControllerIdentity || secrets.contains(name));
    }

    fn secret(&self, (namespace, name): (&str, &str), role: Role) -> Arc<NamedSecret> {
        let place: Place = (role, namespace.into(), name.into());
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = || {
            let (shared, pair) = (self.shared.clone(), role == Role::Pair);
            let secret: Box<str> = name.into();
            Arc::new(NamedSecret::watch(self.client.clone(), namespace, name, move |seen| {
                shared.source_changed(&secret, pair, seen);
            }))
        };
        watched.entry(place).or_insert_with(begin).clone()
    }

    async fn pair(&self, secret: &str) -> Result<AccessKeyPair, CloudError> {
        let place = format!("Secret {}/{secret}", self.namespace);
        let missing = |message: String| CloudError::new(Reason::SecretNotFound, Retry::Rarely, message);
        match self.secret((&self.namespace, secret), Role::Pair).now().await {
            SecretState::Present(data) => pair_in(&data, "accessKeyId", "accessKeySecret").ok_or_else(|| {
                missing(format!("the {place} lacks accessKeyId or accessKeySecret; give it both"))
            }),
            SecretState::Absent => Err(missing(format!(
                "the {place} does not exist; create it with the keys accessKeyId and accessKeySecret"
            ))),
            SecretState::Refused(CallError::Forbidden(_)) => {
                let message = format!(
                    "the {place} may not be read; add {secret} to resourceNames of the Role acr-credential-keys in {}",
                    self.namespace
                );
                Err(CloudError::new(Reason::Forbidden, Retry::Rarely, message))
            }
            SecretState::Refused(error) => Err(later(&place, &error)),
        }
    }

    async fn registered(&self) -> Result<Option<AccessKeyPair>, CloudError> {
        let (namespace, name) = names::REGISTERED_CLUSTER_SECRET;
        match self.secret((namespace, name), Role::ControllerIdentity).now().await {
            SecretState::Present(data) => Ok(pair_in(&data, "access-key-id", "access-key-secret")),
            SecretState::Absent | SecretState::Refused(CallError::Forbidden(_)) => Ok(None),
            SecretState::Refused(error) => Err(later(&format!("Secret {namespace}/{name}"), &error)),
        }
    }

    async fn addon(&self) -> Result<Option<SecretString>, CloudError> {
        if let Some(text) = read(&self.places.addon_token_file, Reason::AddonTokenInvalid)? {
            return Ok(Some(text));
        }
        let (namespace, name) = &self.places.addon_token_secret;
        let place = format!("Secret {namespace}/{name}");
        match self.secret((namespace, name), Role::ControllerIdentity).now().await {
            SecretState::Present(data) => Ok(data.get(names::ADDON_TOKEN_KEY).cloned()),
            SecretState::Absent => Ok(None),
            SecretState::Refused(CallError::Forbidden(_)) => {
                let message = format!("the {place} may not be read; apply the RBAC of this version");
                Err(CloudError::new(Reason::Forbidden, Retry::Rarely, message))
            }
            SecretState::Refused(error) => Err(later(&place, &error)),
        }
    }

    async fn oidc(&self) -> Result<OidcToken, CloudError> {
        if let Some(path) = &self.places.oidc_token_file
            && let Some(token) = read(path, Reason::OIDCTokenRejected)?
        {
            let holder = format!("the OIDC token in {}", path.display()).into();
            return Ok(OidcToken { holder, token });
        }
        let (namespace, account) = &self.places.rrsa_service_account;
        let holder = format!("the OIDC token of system:serviceaccount:{namespace}:{account}").into();
        let failed = |error: CallError| match error {
            CallError::NotFound => {
                let message = format!(
                    "the ServiceAccount {namespace}/{account}, whose OIDC token RRSA takes, does not exist; create it: \
                     kubectl -n {namespace} create serviceaccount {account}"
                );
                CloudError::new(Reason::ServiceAccountNotFound, Retry::Soon, message)
            }
            // RBAC forbids; a policy's refusal comes as invalid.
            CallError::Forbidden(_) | CallError::Invalid(_) => {
                let message = format!(
                    "no token of the ServiceAccount {namespace}/{account} for {AUDIENCE} may be asked for; apply the \
                     RBAC and the policies of this version, and name the account in them as --rrsa-service-account does"
                );
                CloudError::new(Reason::Forbidden, Retry::Rarely, message)
            }
            error => later(&format!("token of {namespace}/{account}"), &error),
        };
        let token = self.tokens.token(clock::now()).await.map_err(failed)?;
        Ok(OidcToken { holder, token })
    }
}

impl IdentitySources for ClusterSources {
    fn key_pair<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<AccessKeyPair, CloudError>> {
        self.pair(secret).boxed()
    }

    fn registered_cluster(&self) -> BoxFuture<'_, Result<Option<AccessKeyPair>, CloudError>> {
        self.registered().boxed()
    }

    fn addon_token(&self) -> BoxFuture<'_, Result<Option<SecretString>, CloudError>> {
        self.addon().boxed()
    }

    fn oidc_token(&self) -> BoxFuture<'_, Result<OidcToken, CloudError>> {
        self.oidc().boxed()
    }
}

impl fmt::Debug for ClusterSources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterSources").field("places", &self.places).finish_non_exhaustive()
    }
}

/// The AccessKeyId that a Secret of a key pair holds.
pub fn key_id(data: &SecretData) -> Option<&str> {
    data.get("accessKeyId").map(ExposeSecret::expose_secret)
}

/// Whether an identity begins with the pair of a Secret.
pub fn begins_with(base: &CredentialSource, secret: &str) -> bool {
    matches!(base, CredentialSource::AccessKey { secret: named } if **named == *secret)
}

fn pair_in(data: &SecretData, id: &str, secret: &str) -> Option<AccessKeyPair> {
    let id = data.get(id)?.expose_secret().into();
    Some(AccessKeyPair { id, secret: data.get(secret)?.clone(), token: None })
}

fn later(what: &str, error: &CallError) -> CloudError {
    CloudError::new(Reason::Unreachable, Retry::Soon, format!("the {what} cannot be read now: {error}"))
}

/// A file's text. It is read at each ask, since the kubelet replaces it; it has a few kilobytes.
fn read(path: &Path, reason: Reason) -> Result<Option<SecretString>, CloudError> {
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(SecretString::from(text.trim()))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => {
            let message =
                format!("{} cannot be read: {}; check the volume and its mode", path.display(), error.kind());
            Err(CloudError::new(reason, Retry::Soon, message))
        }
    }
}
