//! Flags and environment variables of the controller's own identity.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use secrecy::SecretString;

use crate::api::names;
use crate::cloud::{AccessKeyPair, Environment, RrsaRole, TokenMode};
use crate::controller::SourceLocations;
use crate::model::identity::Arn;

/// Flags of the controller's own identity, which mints for entries that name no other.
#[derive(Debug, Args)]
pub struct IdentityArgs {
    /// The controller's own identity
    #[arg(long, env = "ACR_TOKEN_MODE", value_enum, default_value = "auto")]
    pub token_mode: TokenModeFlag,

    /// File with ACK's addon token; if it exists, it has precedence over the Secret
    #[arg(long, env = "ALIBABA_CLOUD_ACK_ADDON_TOKEN_PATH", default_value = names::ADDON_TOKEN_FILE)]
    pub addon_token_file: PathBuf,

    /// Secret with ACK's addon token, as namespace/name; the RBAC rules name it too
    #[arg(long, env = "ACR_ADDON_TOKEN_SECRET", default_value = names::ADDON_TOKEN_SECRET, value_parser = namespaced_name)]
    pub addon_token_secret: NamespacedName,

    /// ServiceAccount whose OIDC token RRSA uses, as namespace/name; trust policies, the RBAC rules and the admission
    /// policies name it too
    #[arg(long, env = "ACR_RRSA_SERVICE_ACCOUNT", default_value = names::RRSA_SERVICE_ACCOUNT, value_parser = namespaced_name)]
    pub rrsa_service_account: NamespacedName,

    /// File with an OIDC token, as the RRSA webhook mounts it; if set, no token is requested
    #[arg(long, env = "ALIBABA_CLOUD_OIDC_TOKEN_FILE")]
    pub oidc_token_file: Option<PathBuf>,

    /// The identity in the environment.
    #[command(flatten)]
    pub environment: EnvironmentArgs,
}

/// The identity in the environment variables of the official SDKs. Keys are not flags, because process lists show those.
#[derive(Debug, Args)]
pub struct EnvironmentArgs {
    #[arg(long, env = "ALIBABA_CLOUD_ROLE_ARN", hide = true, value_parser = Arn::role)]
    role_arn: Option<Arn>,

    #[arg(long, env = "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", hide = true, value_parser = Arn::oidc_provider)]
    oidc_provider_arn: Option<Arn>,
}

/// Value of `--token-mode`, in the documented component's spelling.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum TokenModeFlag {
    /// The first identity that is available
    Auto,
    /// ACK's managed role
    #[value(name = "managedRole")]
    ManagedRole,
    /// The node's worker role
    #[value(name = "workerRole")]
    WorkerRole,
}

impl From<TokenModeFlag> for TokenMode {
    fn from(mode: TokenModeFlag) -> Self {
        match mode {
            TokenModeFlag::Auto => Self::Auto,
            TokenModeFlag::ManagedRole => Self::ManagedRole,
            TokenModeFlag::WorkerRole => Self::WorkerRole,
        }
    }
}

/// Namespace and name.
#[derive(Clone, Debug)]
pub struct NamespacedName {
    namespace: Box<str>,
    name: Box<str>,
}

fn namespaced_name(text: &str) -> Result<NamespacedName, String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(NamespacedName { namespace: namespace.into(), name: name.into() })
        }
        _ => Err("write namespace/name".to_owned()),
    }
}

impl IdentityArgs {
    /// Returns the sources of identities in the cluster.
    pub fn source_locations(&self) -> SourceLocations {
        let pair = |object: &NamespacedName| (object.namespace.clone(), object.name.clone());
        SourceLocations {
            addon_token_file: self.addon_token_file.clone(),
            addon_token_secret: pair(&self.addon_token_secret),
            oidc_token_file: self.oidc_token_file.clone(),
            rrsa_service_account: pair(&self.rrsa_service_account),
        }
    }
}

impl EnvironmentArgs {
    /// Returns the identity.
    pub fn identity(&self) -> Environment {
        let rrsa = self.role_arn.clone().zip(self.oidc_provider_arn.clone());
        let given = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let pair = given("ALIBABA_CLOUD_ACCESS_KEY_ID").zip(given("ALIBABA_CLOUD_ACCESS_KEY_SECRET"));
        Environment {
            key_pair: pair.map(|(id, secret)| AccessKeyPair {
                id: id.into(),
                secret: SecretString::from(secret),
                token: given("ALIBABA_CLOUD_SECURITY_TOKEN").map(SecretString::from),
            }),
            key_pair_holder: None,
            rrsa: rrsa.map(|(role, provider)| RrsaRole { role, provider }),
            metadata_disabled: given("ALIBABA_CLOUD_ECS_METADATA_DISABLED")
                .is_some_and(|value| value == "true"),
        }
    }
}
