//! Flags and environment, and what they mean.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory, Parser, ValueEnum};

use super::identity::IdentityArgs;
use super::network::{NetworkArgs, key_value};
use super::webhook::WebhookArgs;
use crate::api::names;
use crate::cloud::{CallObserver, CloudSettings, IdentitySources, NetworkConfig, Verify};
use crate::controller::ControllerConfig;
use crate::model::duration;
use crate::plan::Template;

/// Returns the command line of `acr-credential-controller`.
pub fn command() -> clap::Command {
    ControllerArgs::command()
}

/// Keeps Alibaba Cloud Container Registry pull credentials fresh in every namespace that a binding covers.
#[derive(Debug, Parser)]
#[command(name = "acr-credential-controller", version)]
pub struct ControllerArgs {
    /// Region of the cluster, such as cn-hangzhou [default: the node's, from its metadata]
    #[arg(long, env = "ACR_REGION")]
    pub region: Option<String>,

    /// Namespace of the controller
    #[arg(long, env = "POD_NAMESPACE", default_value = names::DEFAULT_NAMESPACE)]
    pub namespace: String,

    /// Name of the Secret in every covered namespace; the RBAC rules name it too
    #[arg(long, env = "ACR_SECRET_NAME", default_value = names::DEFAULT_SECRET_NAME, value_parser = secret_name)]
    pub secret_name: String,

    /// Label to add to that Secret, as key=value; may be repeated; the policies need its key as an exception
    #[arg(long = "secret-label", value_parser = key_value)]
    pub secret_labels: Vec<(String, String)>,

    /// Annotation to add to that Secret, as key=value; may be repeated; the policies need its key as an exception
    #[arg(long = "secret-annotation", value_parser = key_value)]
    pub secret_annotations: Vec<(String, String)>,

    /// Namespace of the ConfigMap acr-configuration; if empty, the ConfigMap is ignored
    #[arg(long, env = "ACR_CONFIG_MAP_NAMESPACE", default_value = names::LEGACY_NAMESPACE)]
    pub config_map_namespace: String,

    /// Write no Secret and no ServiceAccount in any namespace; the status of each binding says what would be written
    #[arg(long, env = "ACR_DRY_RUN")]
    pub dry_run: bool,

    /// Replace Pods that were created before the Secret was attached to their ServiceAccount, and whose image pull is
    /// denied; needs deploy/stuck-pods.yaml
    #[arg(long, env = "ACR_REPLACE_STUCK_PODS")]
    pub replace_stuck_pods: bool,

    /// Time for which the ConfigMap may be missing before its binding is deleted, such as 60s or 5m
    #[arg(long, env = "ACR_CONFIG_MAP_GRACE", default_value = "60s", value_parser = parse_duration)]
    pub config_map_grace: Duration,

    /// Time for which Secrets and entries are kept and refreshed after a binding suddenly selects no namespace any
    /// more, such as 10m; 0s withdraws them at once
    #[arg(long, env = "ACR_WITHDRAWAL_GRACE", default_value = "10m", value_parser = parse_duration)]
    pub withdrawal_grace: Duration,

    /// Time for which a watch of the API server may send nothing before the bindings become Ready=Unknown, such as 5m;
    /// a watch without changes sends a bookmark each minute, so that less than 2m is for tests
    #[arg(long, env = "ACR_WATCH_STALE_AFTER", default_value = "5m", value_parser = parse_duration)]
    pub watch_stale_after: Duration,

    /// Address that serves /livez, /readyz and /metrics
    #[arg(long, env = "ACR_LISTEN_ADDRESS", default_value = "0.0.0.0:8080", value_parser = listen_address)]
    pub listen_address: SocketAddr,

    /// Duration of the lease, from 3s to 5m; after a crash, another replica takes over within this time and two
    /// seconds
    #[arg(long, env = "ACR_LEASE_DURATION", default_value = "15s", value_parser = lease_duration)]
    pub lease_duration: Duration,

    /// Unique name of this replica in the lease, such as that of its Pod [default: the host name and a random suffix]
    #[arg(long, env = "POD_NAME")]
    pub pod_name: Option<String>,

    /// UID of this replica's Pod
    #[arg(long, env = "POD_UID", hide = true)]
    pub pod_uid: Option<String>,

    /// Format of the log
    #[arg(long, env = "ACR_LOG_FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,

    /// Filter of the log, such as info or info,acr_credential_binding=debug
    #[arg(long, env = "ACR_LOG_LEVEL", default_value = "info")]
    pub log_level: String,

    /// URL of the ECS metadata service
    #[arg(long, env = "ALIBABA_CLOUD_IMDS_ENDPOINT", default_value = "http://100.100.100.200")]
    pub metadata_endpoint: String,

    /// The controller's own identity.
    #[command(flatten)]
    pub identity: IdentityArgs,

    /// The webhook.
    #[command(flatten)]
    pub webhook: WebhookArgs,

    /// Check of each new credential against its registry before it is used
    #[arg(long, env = "ACR_VERIFY_CREDENTIALS", value_enum, default_value = "off")]
    pub verify_credentials: VerifyMode,

    /// Host to which a registry may send for tokens besides Alibaba's own, as host or host:port; may be repeated
    #[arg(long = "registry-auth-host")]
    pub registry_auth_hosts: Vec<String>,

    /// How the cloud is reached.
    #[command(flatten)]
    pub network: NetworkArgs,
}

/// Value of `--log-format`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormat {
    /// One line of text per event
    Text,
    /// One JSON object per event
    Json,
}

/// Value of `--verify-credentials`.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum VerifyMode {
    /// Use credentials without a check
    Off,
    /// Report a rejected credential, and use it
    Warn,
    /// Report a rejected credential, and keep the last good one
    Enforce,
}

impl From<VerifyMode> for Verify {
    fn from(mode: VerifyMode) -> Self {
        match mode {
            VerifyMode::Off => Self::Off,
            VerifyMode::Warn => Self::Warn,
            VerifyMode::Enforce => Self::Enforce,
        }
    }
}

impl ControllerArgs {
    /// Returns the settings of the cloud's client.
    pub fn cloud_settings(
        &self,
        region: &str,
        network: NetworkConfig,
        sources: Arc<dyn IdentitySources>,
        observer: Arc<dyn CallObserver>,
    ) -> CloudSettings {
        CloudSettings {
            cluster_region: region.into(),
            network,
            metadata_endpoint: self.metadata_endpoint.as_str().into(),
            user_agent: concat!("acr-credential-controller/", env!("CARGO_PKG_VERSION")).into(),
            token_mode: self.identity.token_mode.into(),
            environment: self.identity.environment.identity(),
            sources,
            observer,
            verify: self.verify_credentials.into(),
            registry_auth_hosts: self.registry_auth_hosts.iter().map(|host| host.as_str().into()).collect(),
        }
    }

    /// Returns the configuration of the controller.
    pub fn controller_config(&self, region: &str, replica: &str) -> ControllerConfig {
        let map = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<BTreeMap<_, _>>();
        ControllerConfig {
            region: region.into(),
            namespace: self.namespace.as_str().into(),
            template: Template {
                name: self.secret_name.as_str().into(),
                labels: map(&self.secret_labels),
                annotations: map(&self.secret_annotations),
            },
            config_map_namespace: Some(self.config_map_namespace.as_str())
                .filter(|n| !n.is_empty())
                .map(Into::into),
            config_map_grace: self.config_map_grace,
            withdrawal_grace: self.withdrawal_grace,
            watch_stale_after: self.watch_stale_after,
            dry_run: self.dry_run,
            replace_stuck_pods: self.replace_stuck_pods,
            places: self.identity.source_locations(),
            listen_address: self.listen_address,
            replica: replica.into(),
            lease: self.lease_duration,
            webhook: self.webhook.settings(),
        }
    }

    /// Returns the name of this replica. A container that restarts in its Pod has the same name, and takes over its
    /// own lease at once: the kubelet starts it only after the previous one has ended.
    pub fn replica(&self) -> String {
        match (&self.pod_name, &self.pod_uid) {
            (Some(name), Some(uid)) => format!("{name}_{uid}"),
            (Some(name), None) => name.clone(),
            (None, _) => {
                let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
                format!("{}_{:016x}", host.trim(), rand::random::<u64>())
            }
        }
    }
}

/// Parses a lease duration. A shorter one would be lost to a slow API server, and a longer one delays the takeover.
fn lease_duration(text: &str) -> Result<Duration, String> {
    let lease = duration::parse(text)?;
    let bounds = Duration::from_secs(3)..=Duration::from_secs(300);
    if bounds.contains(&lease) { Ok(lease) } else { Err("write a duration between 3s and 5m".to_owned()) }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}

/// Parses a Secret's name, by the rule of the API server, which would refuse each write with another one.
fn secret_name(text: &str) -> Result<String, String> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(alphanumeric)
            && label.ends_with(alphanumeric)
            && label.chars().all(|c| alphanumeric(c) || c == '-')
    };
    if text.len() <= 253 && text.split('.').all(is_label) {
        Ok(text.to_owned())
    } else {
        Err("write lower-case letters, digits, - and ., such as acr-pull".to_owned())
    }
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write address:port, such as 0.0.0.0:8080".to_owned())
}
