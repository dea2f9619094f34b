//! What the cloud client asks of a cluster, held in memory: Secrets, files and tokens that a test lays out.

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;

use acr_credential_binding::api::Reason;
use acr_credential_binding::cloud::{Failure, IdentitySources, KeyPair, OidcToken, Retry};
use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;

/// A cluster in which there is nothing, until a test puts something there.
#[derive(Default)]
pub(crate) struct Cluster {
    things: Mutex<Things>,
}

#[derive(Default)]
pub(crate) struct Things {
    /// By the Secret's name: AccessKeyId and AccessKeySecret.
    pub(crate) pairs: HashMap<String, (String, String)>,
    pub(crate) registered_cluster: Option<(String, String)>,
    pub(crate) addon_token: Option<String>,
    pub(crate) oidc_token: Option<String>,
    /// The API server is away: nothing can be told.
    pub(crate) away: bool,
}

impl Cluster {
    /// Changes what is there, or looks at it.
    pub(crate) fn put<R>(&self, change: impl FnOnce(&mut Things) -> R) -> R {
        change(&mut self.things.lock().unwrap())
    }

    fn read<T>(&self, read: impl FnOnce(&Things) -> Result<T, Failure>) -> Result<T, Failure> {
        let things = self.things.lock().unwrap();
        if things.away {
            return Err(Failure::new(Reason::Unreachable, Retry::Soon, "the API server is away"));
        }
        read(&things)
    }
}

/// What is in it stays unsaid: the client prints its sources with itself, and tests search that for secrets.
impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

fn pair((id, secret): &(String, String)) -> KeyPair {
    KeyPair { id: id.as_str().into(), secret: SecretString::from(secret.as_str()), token: None }
}

impl IdentitySources for Cluster {
    fn key_pair<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<KeyPair, Failure>> {
        let absent = || Failure::new(Reason::SecretNotFound, Retry::Rarely, "no such Secret");
        let read = self.read(|things| things.pairs.get(secret).map(pair).ok_or_else(absent));
        async { read }.boxed()
    }

    fn registered_cluster(&self) -> BoxFuture<'_, Result<Option<KeyPair>, Failure>> {
        let read = self.read(|things| Ok(things.registered_cluster.as_ref().map(pair)));
        async { read }.boxed()
    }

    fn addon_token(&self) -> BoxFuture<'_, Result<Option<SecretString>, Failure>> {
        let read = self.read(|things| Ok(things.addon_token.clone().map(SecretString::from)));
        async { read }.boxed()
    }

    fn oidc_token(&self) -> BoxFuture<'_, Result<OidcToken, Failure>> {
        let absent = || Failure::new(Reason::ServiceAccountNotFound, Retry::Soon, "no such ServiceAccount");
        let token = |text: String| OidcToken {
            holder: "the OIDC token of system:serviceaccount:kube-system:aliyun-acr-credential-helper".into(),
            token: SecretString::from(text),
        };
        let read = self.read(|things| things.oidc_token.clone().map(token).ok_or_else(absent));
        async { read }.boxed()
    }
}
