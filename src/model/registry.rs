//! Registries, and the keys that identify a credential.

use std::fmt;

use super::identity::{CredentialSource, Identity};

/// Edition of Container Registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Edition {
    /// An Enterprise Edition instance, by its ID `cri-…`.
    Enterprise(Box<str>),
    /// The Personal Edition in a region.
    Personal,
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enterprise(id) => f.write_str(id),
            Self::Personal => f.write_str("personal"),
        }
    }
}

/// Key of a credential: a registry and the identity that mints for it. All namespaces and bindings with one key share
/// one credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryKey {
    /// Edition and instance.
    pub edition: Edition,
    /// ID of the region whose API mints, such as `cn-hangzhou`.
    pub region: Box<str>,
    /// Identity that mints.
    pub identity: Identity,
}

impl RegistryKey {
    /// Returns a string that is equal for equal keys only. The stored credential cache uses it.
    pub fn id(&self) -> String {
        let Identity { source, assume, session_seconds } = &self.identity;
        let source = match source {
            CredentialSource::ControllerIdentity => "own".to_owned(),
            CredentialSource::Rrsa { role, provider } => {
                format!("rrsa {} {}", role.as_str(), provider.as_str())
            }
            CredentialSource::AccessKey { secret } => format!("key {secret}"),
        };
        let assume = assume.as_ref().map_or("-", |role| role.as_str());
        format!("{} {} {source} {assume} {session_seconds}", self.edition, self.region)
    }
}

impl fmt::Display for RegistryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.edition, self.region)
    }
}

/// One entry of a binding's registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Key of the credential.
    pub key: RegistryKey,
    /// Domains as `host[:port]`, as configured. Empty means every domain of the instance's enabled endpoints.
    pub domains: Vec<String>,
    /// Why the instance, or some of its domains, gets no credential. Such domains are not in `domains`.
    pub unsupported: Option<String>,
}

impl Registry {
    /// Returns whether a credential may be minted: the cloud issues one, and it has an address to be used for.
    pub fn is_served(&self) -> bool {
        self.unsupported.is_none() || !self.domains.is_empty()
    }
}
