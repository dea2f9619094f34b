//! The sources of identities that lie in the cluster or in files.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use kube::Client;
use secrecy::{ExposeSecret, SecretString};

use super::clients::Clients;
use super::clock;
use super::key_pairs::{ReadPairs, WatchedPairs};
use super::state::SharedState;
use crate::api::names::STS_AUDIENCE;
use crate::api::{Reason, names};
use crate::cloud::{AccessKeyPair, CloudError, IdentitySources, OidcToken, Retry};
use crate::cluster::error::CallError;
use crate::cluster::named_secret::{NamedSecret, SecretData, SecretState};
use crate::cluster::oidc_token::TokenRequester;
use crate::model::identity::CredentialSource;

/// Locations of the sources.
#[derive(Clone, Debug)]
pub struct SourceLocations {
    /// The file that ACK mounts with the addon token. It precedes the Secret where it exists.
    pub addon_token_file: PathBuf,
    /// Namespace and name of ACK's Secret with the addon token.
    pub addon_token_secret: (Box<str>, Box<str>),
    /// The file that the RRSA webhook mounts with an OIDC token.
    pub oidc_token_file: Option<PathBuf>,
    /// Namespace and name of the ServiceAccount whose OIDC token is requested.
    pub rrsa_service_account: (Box<str>, Box<str>),
}

/// The purpose of a watched Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum SecretPurpose {
    /// It holds a key pair that a binding names.
    KeyPair,
    /// It may be the source of the controller's identity.
    ControllerIdentity,
}

/// A watched Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SourceSecret {
    purpose: SecretPurpose,
    namespace: Box<str>,
    name: Box<str>,
}

/// The sources of one controller.
pub struct ClusterSources {
    client: Client,
    /// The controller's own namespace.
    namespace: Box<str>,
    locations: SourceLocations,
    tokens: TokenRequester,
    watched: Mutex<HashMap<SourceSecret, Arc<NamedSecret>>>,
    /// The key pairs that are read, since too many are named to watch each.
    read: ReadPairs,
    shared: Arc<SharedState>,
}

impl ClusterSources {
    /// Returns sources of which nothing is watched yet.
    pub fn new(
        clients: &Clients,
        namespace: &str,
        locations: SourceLocations,
        shared: Arc<SharedState>,
    ) -> Self {
        let (account_namespace, account) = &locations.rrsa_service_account;
        Self {
            tokens: TokenRequester::new(clients.write.clone(), account_namespace, account),
            client: clients.watch.clone(),
            namespace: namespace.into(),
            locations,
            watched: Mutex::default(),
            read: ReadPairs::new(clients.write.clone(), namespace),
            shared,
        }
    }

    /// Watches the Secrets of these key pairs and no others, so that a rotated pair is noticed at once. Of more than
    /// [`WatchedPairs::MOST`], the rest is read where it is needed: RBAC grants a Secret by its name, so that each takes
    /// a watch of its own.
    pub fn watch_pairs(&self, secrets: &BTreeSet<Box<str>>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.retain(|secret, _| {
            secret.purpose == SecretPurpose::ControllerIdentity || secrets.contains(&secret.name)
        });
        let chosen = WatchedPairs::choose(secrets, pairs_of(&watched));
        drop(watched);
        for secret in chosen {
            self.secret(SecretPurpose::KeyPair, &self.namespace, &secret);
        }
        self.read.retain(secrets);
    }

    /// Reads the pairs among these that are not watched. Failed attempts with a pair that changed are repeated at once.
    pub async fn check_pairs(&self, secrets: BTreeSet<Box<str>>) {
        let unwatched = secrets.into_iter().filter(|secret| self.watched_pair(secret).is_none());
        let reads = unwatched.map(|secret| async move { self.read_pair(&secret).await });
        futures::stream::iter(reads).buffer_unordered(WatchedPairs::READS).map(drop).collect::<()>().await;
    }

    /// Returns the watch on the Secret of a key pair. There is none where too many are named.
    fn watched_pair(&self, secret: &str) -> Option<Arc<NamedSecret>> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let pair = SourceSecret {
            purpose: SecretPurpose::KeyPair,
            namespace: self.namespace.clone(),
            name: secret.into(),
        };
        if let Some(watch) = watched.get(&pair) {
            return Some(watch.clone());
        }
        let room = pairs_of(&watched).count() < WatchedPairs::MOST;
        drop(watched);
        room.then(|| self.secret(SecretPurpose::KeyPair, &self.namespace, secret))
    }

    /// Reads the Secret of a key pair. Users of it are woken if it changed since it was last read.
    async fn read_pair(&self, secret: &str) -> SecretState {
        let (state, changed) = self.read.read(secret).await;
        if changed {
            let source = SourceSecret {
                purpose: SecretPurpose::KeyPair,
                namespace: self.namespace.clone(),
                name: secret.into(),
            };
            source_changed(&self.shared, &source, &state);
        }
        state
    }

    /// Returns the watch on a Secret, and starts it first where there is none.
    fn secret(&self, purpose: SecretPurpose, namespace: &str, name: &str) -> Arc<NamedSecret> {
        let secret = SourceSecret { purpose, namespace: namespace.into(), name: name.into() };
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || {
            let (shared, source) = (self.shared.clone(), secret.clone());
            Arc::new(NamedSecret::watch(self.client.clone(), namespace, name, move |seen| {
                source_changed(&shared, &source, seen);
            }))
        };
        watched.entry(secret.clone()).or_insert_with(start).clone()
    }

    async fn pair(&self, secret: &str) -> Result<AccessKeyPair, CloudError> {
        let source = format!("Secret {}/{secret}", self.namespace);
        let missing = |message: String| CloudError::new(Reason::SecretNotFound, Retry::Rarely, message);
        let state = match self.watched_pair(secret) {
            Some(watch) => watch.now().await,
            None => self.read_pair(secret).await,
        };
        match state {
            SecretState::Present(data) => pair_in(&data, "accessKeyId", "accessKeySecret").ok_or_else(|| {
                missing(format!("the {source} lacks accessKeyId or accessKeySecret; give it both"))
            }),
            SecretState::Absent => Err(missing(format!(
                "the {source} does not exist; create it with the keys accessKeyId and accessKeySecret"
            ))),
            SecretState::Refused(CallError::Forbidden(_)) => {
                let message = format!(
                    "the {source} may not be read; add {secret} to resourceNames of the Role acr-credential-keys in {}",
                    self.namespace
                );
                Err(CloudError::new(Reason::Forbidden, Retry::Rarely, message))
            }
            SecretState::Refused(error) => Err(unreadable(&source, &error)),
        }
    }

    async fn registered(&self) -> Result<Option<AccessKeyPair>, CloudError> {
        let (namespace, name) = names::REGISTERED_CLUSTER_SECRET;
        match self.secret(SecretPurpose::ControllerIdentity, namespace, name).now().await {
            SecretState::Present(data) => Ok(pair_in(&data, "access-key-id", "access-key-secret")),
            SecretState::Absent | SecretState::Refused(CallError::Forbidden(_)) => Ok(None),
            SecretState::Refused(error) => Err(unreadable(&format!("Secret {namespace}/{name}"), &error)),
        }
    }

    async fn addon(&self) -> Result<Option<SecretString>, CloudError> {
        if let Some(text) = read(&self.locations.addon_token_file, Reason::AddonTokenInvalid)? {
            return Ok(Some(text));
        }
        let (namespace, name) = &self.locations.addon_token_secret;
        let source = format!("Secret {namespace}/{name}");
        match self.secret(SecretPurpose::ControllerIdentity, namespace, name).now().await {
            SecretState::Present(data) => Ok(data.get(names::ADDON_TOKEN_KEY).cloned()),
            SecretState::Absent => Ok(None),
            SecretState::Refused(CallError::Forbidden(_)) => {
                let message = format!("the {source} may not be read; apply the RBAC of this version");
                Err(CloudError::new(Reason::Forbidden, Retry::Rarely, message))
            }
            SecretState::Refused(error) => Err(unreadable(&source, &error)),
        }
    }

    async fn oidc(&self) -> Result<OidcToken, CloudError> {
        if let Some(path) = &self.locations.oidc_token_file
            && let Some(token) = read(path, Reason::OIDCTokenRejected)?
        {
            let holder = format!("the OIDC token in {}", path.display()).into();
            return Ok(OidcToken { holder, token });
        }
        let (namespace, account) = &self.locations.rrsa_service_account;
        let holder = format!("the OIDC token of system:serviceaccount:{namespace}:{account}").into();
        let failed = |error: CallError| match error {
            CallError::NotFound => {
                let message = format!(
                    "the ServiceAccount {namespace}/{account}, whose OIDC token RRSA uses, does not exist; create it: \
                     kubectl -n {namespace} create serviceaccount {account}"
                );
                CloudError::new(Reason::ServiceAccountNotFound, Retry::Soon, message)
            }
            // RBAC forbids; a policy refuses as invalid.
            CallError::Forbidden(_) | CallError::Denied(_) | CallError::Invalid(_) => {
                let message = format!(
                    "no token of the ServiceAccount {namespace}/{account} for {STS_AUDIENCE} may be requested; apply the \
                     RBAC and the policies of this version, and name the account in them as --rrsa-service-account does"
                );
                CloudError::new(Reason::Forbidden, Retry::Rarely, message)
            }
            error => unreadable(&format!("token of {namespace}/{account}"), &error),
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
        f.debug_struct("ClusterSources").field("locations", &self.locations).finish_non_exhaustive()
    }
}

/// Records that a source changed, and wakes the credential loop.
fn source_changed(shared: &SharedState, source: &SourceSecret, seen: &SecretState) {
    let mut state = shared.state();
    match (source.purpose, seen) {
        (SecretPurpose::KeyPair, seen) => {
            let key_id = match seen {
                SecretState::Present(data) => data.get("accessKeyId").map(ExposeSecret::expose_secret),
                SecretState::Absent | SecretState::Refused(_) => None,
            };
            let is_source = |base: &CredentialSource| match base {
                CredentialSource::AccessKey { secret } => *secret == source.name,
                CredentialSource::ControllerIdentity | CredentialSource::Rrsa { .. } => false,
            };
            state.credentials.source_changed(is_source, key_id);
            if !matches!(seen, SecretState::Refused(_)) {
                shared.key_secret_changed(&source.name);
            }
        }
        (SecretPurpose::ControllerIdentity, _) => {
            state.credentials.source_changed(|base| *base == CredentialSource::ControllerIdentity, None);
        }
    }
    drop(state);
    shared.credentials.notify_one();
}

/// Returns the names of the key pairs that are watched.
fn pairs_of(watched: &HashMap<SourceSecret, Arc<NamedSecret>>) -> impl Iterator<Item = &str> {
    let pairs = watched.keys().filter(|secret| secret.purpose == SecretPurpose::KeyPair);
    pairs.map(|secret| &*secret.name)
}

fn pair_in(data: &SecretData, id: &str, secret: &str) -> Option<AccessKeyPair> {
    let id = data.get(id)?.expose_secret().into();
    Some(AccessKeyPair { id, secret: data.get(secret)?.clone(), token: None })
}

fn unreadable(what: &str, error: &CallError) -> CloudError {
    CloudError::new(Reason::Unreachable, Retry::Soon, format!("the {what} cannot be read now: {error}"))
}

/// Returns a file's text. It is read at each request, since the kubelet replaces it; it has a few kilobytes.
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
