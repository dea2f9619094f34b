//! A cluster in memory, as the cloud client sees it: Secrets, files and tokens that a test provides.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{AccessKeyPair, CloudError, IdentitySources, OidcToken, Retry};
use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;

/// A cluster that is empty until a test adds credentials.
#[derive(Default)]
pub(crate) struct Cluster {
    credentials: Mutex<StoredCredentials>,
}

#[derive(Default)]
pub(crate) struct StoredCredentials {
    /// AccessKeyId and AccessKeySecret by the Secret's name.
    pub(crate) pairs: HashMap<String, (String, String)>,
    pub(crate) registered_cluster: Option<(String, String)>,
    pub(crate) addon_token: Option<String>,
    pub(crate) oidc_token: Option<String>,
    /// Whether the API server is unreachable.
    pub(crate) unreachable: bool,
}

impl Cluster {
    /// Changes or reads the stored credentials.
    pub(crate) fn edit<R>(&self, change: impl FnOnce(&mut StoredCredentials) -> R) -> R {
        change(&mut self.credentials.lock().unwrap())
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&StoredCredentials) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let credentials = self.credentials.lock().unwrap();
        if credentials.unreachable {
            return Err(CloudError::new(Reason::Unreachable, Retry::Soon, "the API server is unreachable"));
        }
        read(&credentials)
    }
}

/// Omits the credentials: the client's `Debug` includes its sources, and tests search it for secrets.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

fn pair((id, secret): &(String, String)) -> AccessKeyPair {
    AccessKeyPair { id: id.as_str().into(), secret: SecretString::from(secret.as_str()), token: None }
}

impl IdentitySources for Cluster {
    fn key_pair<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<AccessKeyPair, CloudError>> {
        let absent = || CloudError::new(Reason::SecretNotFound, Retry::Rarely, "no such Secret");
        let read = self.read(|credentials| credentials.pairs.get(secret).map(pair).ok_or_else(absent));
        async { read }.boxed()
    }

    fn registered_cluster(&self) -> BoxFuture<'_, Result<Option<AccessKeyPair>, CloudError>> {
        let read = self.read(|credentials| Ok(credentials.registered_cluster.as_ref().map(pair)));
        async { read }.boxed()
    }

    fn addon_token(&self) -> BoxFuture<'_, Result<Option<SecretString>, CloudError>> {
        let read = self.read(|credentials| Ok(credentials.addon_token.clone().map(SecretString::from)));
        async { read }.boxed()
    }

    fn oidc_token(&self) -> BoxFuture<'_, Result<OidcToken, CloudError>> {
        let absent =
            || CloudError::new(Reason::ServiceAccountNotFound, Retry::Soon, "no such ServiceAccount");
        let token = |text: String| OidcToken {
            holder: "the OIDC token of system:serviceaccount:kube-system:aliyun-acr-credential-helper".into(),
            token: SecretString::from(text),
        };
        let read = self.read(|credentials| credentials.oidc_token.clone().map(token).ok_or_else(absent));
        async { read }.boxed()
    }
}
