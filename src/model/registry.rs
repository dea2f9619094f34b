//! A registry, and what identifies a token for it.

use std::fmt;

use super::identity::{CredentialSource, Identity};

/// Which product of Container Registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Edition {
    /// An Enterprise Edition instance, by its id `cri-…`.
    Enterprise(Box<str>),
    /// The Personal Edition of the region.
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

/// What a token is for and who asked for it: one live token a key, shared by all namespaces and bindings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryKey {
    /// The product and instance.
    pub edition: Edition,
    /// The region that is asked.
    pub region: Box<str>,
    /// Who asks.
    pub identity: Identity,
}

impl RegistryKey {
    /// A string that is the same for equal keys only, for the token cache.
    pub fn id(&self) -> String {
        let Identity { base, assume, session_seconds } = &self.identity;
        let base = match base {
            CredentialSource::ControllerIdentity => "own".to_owned(),
            CredentialSource::Rrsa { role, provider } => {
                format!("rrsa {} {}", role.as_str(), provider.as_str())
            }
            CredentialSource::AccessKey { secret } => format!("key {secret}"),
        };
        let assume = assume.as_ref().map_or("-", |role| role.as_str());
        format!("{} {} {base} {assume} {session_seconds}", self.edition, self.region)
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
    /// Which token it takes.
    pub key: RegistryKey,
    /// The domains as given; empty: every domain of the instance's enabled endpoints.
    pub domains: Vec<String>,
}
