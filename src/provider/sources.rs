//! Credentials that come with one run: the token of a Pod, or a file with one.

use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;
use secrecy::SecretString;

use crate::api::Reason;
use crate::cloud::{AccessKeyPair, CloudError, IdentitySources, OidcToken, Retry};

/// Bytes of a token's file that are read at most.
const MAX_TOKEN: usize = 64 << 10;

/// Where the OIDC token of a run comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// From the kubelet's request.
    Request(SecretString),
    /// From a file, as the RRSA webhook mounts it.
    File(PathBuf),
    /// There is none.
    Absent,
}

/// The sources of one run. There is no cluster to read from.
#[derive(Clone, Debug)]
pub struct RunSources {
    /// The token.
    pub token: TokenSource,
}

impl RunSources {
    fn token(&self) -> Result<OidcToken, CloudError> {
        let none = |message: String| CloudError::new(Reason::NoIdentity, Retry::Rarely, message);
        match &self.token {
            TokenSource::Request(token) => Ok(OidcToken {
                holder: "the OIDC token of the Pod's ServiceAccount".into(),
                token: token.clone(),
            }),
            TokenSource::File(path) => {
                let read = std::fs::read_to_string(path).map_err(|error| {
                    none(format!(
                        "the OIDC token {} cannot be read ({}): correct ALIBABA_CLOUD_OIDC_TOKEN_FILE",
                        path.display(),
                        error.kind()
                    ))
                })?;
                if read.len() > MAX_TOKEN {
                    return Err(none(format!("the file {} is too large for an OIDC token", path.display())));
                }
                let holder = format!("the OIDC token of {}", path.display()).into();
                Ok(OidcToken { holder, token: SecretString::from(read.trim()) })
            }
            TokenSource::Absent => Err(none(
                "there is no OIDC token: set ALIBABA_CLOUD_OIDC_TOKEN_FILE to a file with one".to_owned(),
            )),
        }
    }
}

impl IdentitySources for RunSources {
    fn key_pair<'a>(&'a self, secret: &'a str) -> BoxFuture<'a, Result<AccessKeyPair, CloudError>> {
        let message = format!("there is no Secret {secret} to read here");
        async { Err(CloudError::new(Reason::SecretNotFound, Retry::Rarely, message)) }.boxed()
    }

    fn registered_cluster(&self) -> BoxFuture<'_, Result<Option<AccessKeyPair>, CloudError>> {
        async { Ok(None) }.boxed()
    }

    fn addon_token(&self) -> BoxFuture<'_, Result<Option<SecretString>, CloudError>> {
        async { Ok(None) }.boxed()
    }

    fn oidc_token(&self) -> BoxFuture<'_, Result<OidcToken, CloudError>> {
        async { self.token() }.boxed()
    }
}
