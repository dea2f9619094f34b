//! Flags of `acr-credential-provider`, and of `docker-credential-acr`, which is the same program by another name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Parser, ValueEnum};

use super::identity::EnvironmentArgs;
use super::network::NetworkArgs;
use crate::cloud::{CloudSettings, Environment, TokenMode, Verify};
use crate::provider::sources::{RunSources, TokenSource};

/// The file that the kubelet's plugin reads by default.
pub const DEFAULT_CONFIG: &str = "/etc/kubernetes/acr-credential-provider.yaml";

/// The name by which the program speaks Docker's protocol.
pub const DOCKER_NAME: &str = "docker-credential-acr";

/// Answers the kubelet's request for credentials of one image: reads it from standard input, and writes the response to
/// standard output.
#[derive(Debug, Parser)]
#[command(name = "acr-credential-provider", version)]
pub struct ProviderArgs {
    /// File with the registries
    #[arg(long, env = "ACR_CREDENTIAL_PROVIDER_CONFIG", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,

    /// How the cloud is reached.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

/// Answers Docker, skopeo, podman and others with a credential of one registry: reads its address from standard input,
/// and writes the credential to standard output.
#[derive(Debug, Parser)]
#[command(name = DOCKER_NAME, version)]
pub struct DockerArgs {
    /// What the client asks for
    #[arg(value_enum)]
    pub verb: DockerVerb,

    /// File with the registries [default: acr-credential-provider.yaml in $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, env = "ACR_CREDENTIAL_PROVIDER_CONFIG")]
    pub config: Option<PathBuf>,

    /// File with an OIDC token
    #[arg(long, env = "ALIBABA_CLOUD_OIDC_TOKEN_FILE")]
    pub oidc_token_file: Option<PathBuf>,

    /// The identity in the environment.
    #[command(flatten)]
    pub environment: EnvironmentArgs,

    /// Profile of ~/.aliyun/config.json [default: its current one]
    #[arg(long, env = "ALIBABA_CLOUD_PROFILE")]
    pub profile: Option<String>,

    /// How the cloud is reached.
    #[command(flatten)]
    pub cloud: CloudArgs,
}

/// What a client of Docker's protocol asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DockerVerb {
    /// The credential of a registry
    Get,
    /// The registries with a stored credential: none
    List,
    /// Refused: nothing is stored
    Store,
    /// Refused: nothing is stored
    Erase,
}

/// Flags that both have.
#[derive(Debug, Args)]
pub struct CloudArgs {
    /// URL of the ECS metadata service
    #[arg(long, env = "ALIBABA_CLOUD_IMDS_ENDPOINT", default_value = "http://100.100.100.200")]
    pub metadata_endpoint: String,

    /// How the cloud is reached.
    #[command(flatten)]
    pub network: NetworkArgs,
}

impl CloudArgs {
    /// Returns the settings of the cloud's client for one run.
    ///
    /// # Errors
    /// The CA bundle cannot be read.
    pub fn settings(
        &self,
        region: &str,
        token_mode: TokenMode,
        environment: Environment,
        token: TokenSource,
    ) -> anyhow::Result<CloudSettings> {
        Ok(CloudSettings {
            cluster_region: region.into(),
            network: self.network.config()?,
            metadata_endpoint: self.metadata_endpoint.as_str().into(),
            user_agent: concat!("acr-credential-provider/", env!("CARGO_PKG_VERSION")).into(),
            token_mode,
            environment,
            sources: Arc::new(RunSources { token }),
            verify: Verify::Off,
            registry_auth_hosts: Vec::new(),
            observer: Arc::new(()),
        })
    }
}

impl DockerArgs {
    /// Returns the file with the registries.
    ///
    /// # Errors
    /// No flag names it, and there is no home directory.
    pub fn config_file(&self) -> anyhow::Result<PathBuf> {
        if let Some(config) = &self.config {
            return Ok(config.clone());
        }
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = folder("XDG_CONFIG_HOME").or_else(|| folder("HOME").map(|home| home.join(".config")));
        let folder =
            folder.context("there is no HOME: set ACR_CREDENTIAL_PROVIDER_CONFIG to a file of registries")?;
        Ok(folder.join("acr-credential-provider.yaml"))
    }

    /// Returns the file of Alibaba Cloud's command line, if there is a home directory.
    pub fn cli_file(&self) -> Option<PathBuf> {
        let home = std::env::var_os("HOME").filter(|value| !value.is_empty())?;
        Some(Path::new(&home).join(".aliyun/config.json"))
    }

    /// Returns where the OIDC token of the environment is.
    pub fn token(&self) -> TokenSource {
        self.oidc_token_file.clone().map_or(TokenSource::Absent, TokenSource::File)
    }
}
