//! The command line of `kubectl acr`.

mod bindings;
mod configuration;

use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

pub use self::bindings::{AwaitedState, BindingArgs, RefreshArgs, StatusArgs, StatusFormat};
pub use self::configuration::{ConvertArgs, InputArgs, LintArgs, OutputFormat, PlanArgs, PlanFormat};
use crate::api::names;
use crate::model::duration;
use crate::model::exceptions::{AUTOMOUNT_FALSE, ExceptionList, Exceptions, InvalidException};

/// Returns the command line of `kubectl acr`.
pub fn command() -> clap::Command {
    PluginArgs::command()
}

/// Checks and converts the configuration of ACR's pull credentials
#[derive(Parser)]
#[command(name = "kubectl-acr", bin_name = "kubectl acr", version)]
pub struct PluginArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub command: PluginCommand,

    /// The connection to the cluster.
    #[command(flatten)]
    pub connection: ConnectionArgs,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum PluginCommand {
    /// Check the ConfigMap acr-configuration: print each fault with its place, its cause and its fix
    ///
    /// Exits with 0 without findings, 1 for warnings with --strict, 2 for errors.
    Lint(LintArgs),
    /// Print the AcrCredentialBinding for the ConfigMap acr-configuration
    ///
    /// Exits with 2 if errors prevent the conversion.
    Convert(ConvertArgs),
    /// Preview what the controller would write to the cluster, and write nothing
    ///
    /// Exits with 2 if errors prevent the conversion. With --output diff, exits with 0 if nothing would change, and with
    /// 1 if something would.
    Plan(PlanArgs),
    /// Remove what the controller created, after it was stopped: Secrets, entries, finalizers, its own Secrets
    ///
    /// Prints a preview; --yes removes. Exits with 2 if something could not be removed.
    Withdraw(WithdrawArgs),
    /// Check an installation, or a cluster before one: a line for each part, and a cure if it fails
    ///
    /// Exits with 0, with 1 if a part failed, and with 2 if it could not run. What you may not read is not checked.
    Check(CheckArgs),
    /// Explain why an image cannot be pulled: one cause, the fields that prove it, and the command that cures it
    ///
    /// Exits with 0 if nothing is wrong, with 1 for a cause, and with 2 if it could not be determined. Give a code or a
    /// reason of a condition instead, and its meaning is printed without a cluster. What you may not read is named.
    Explain(ExplainArgs),
    /// Prepare the removal of the controller: take its rights away, and remove its webhook and its finalizers
    ///
    /// Run it before you delete the controller. Each step is printed, and it can be repeated. Exits with 1 if something is
    /// in the way, and with 2 if it could not run.
    Uninstall(UninstallArgs),
    /// Print the policies with exceptions for what other admission controllers add to the controller's writes
    ///
    /// An exception for a key is key=value, key or domain/*. Exceptions that FILE or the cluster has are kept. Exits with
    /// 2 for exceptions that the policies would not heed.
    Exceptions(ExceptionsArgs),
    /// Show the bindings as a tree: registries with the time left, and the namespaces that are not ready with the reason
    ///
    /// Exits with 0, with 1 if --wait has run out of time, and with 2 if the bindings cannot be read. It reads bindings
    /// only.
    Status(StatusArgs),
    /// Request new credentials of a binding
    ///
    /// Exits with 0, with 1 if --wait sees no success, and with 2 if the binding cannot be changed.
    Refresh(RefreshArgs),
    /// Suspend a binding: what it wrote is kept as it is, and is not refreshed
    ///
    /// The binding that is made from the ConfigMap cannot be suspended.
    Suspend(BindingArgs),
    /// Resume a suspended binding
    Resume(BindingArgs),
}

/// Flags of `kubectl acr exceptions`.
#[derive(clap::Args)]
pub struct ExceptionsArgs {
    /// Your copy of deploy/policies.yaml, to add to its exceptions; - for standard input [default: that of this version]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Add to the exceptions of the policies in the cluster that your kubeconfig names
    #[arg(long, conflicts_with = "file")]
    pub live: bool,

    /// The exceptions to add.
    #[command(flatten)]
    pub added: AddedExceptions,

    /// Form of the result
    #[arg(short, long, value_enum, default_value = "yaml")]
    pub output: ExceptionsFormat,
}

/// The exceptions to add.
#[derive(clap::Args)]
#[group(multiple = true)]
pub struct AddedExceptions {
    /// Label that the pull Secret may get; also each key of the controller's flag --secret-label
    #[arg(long = "secret-label", value_name = "KEY", value_parser = checked(ExceptionList::SecretLabels))]
    pub secret_labels: Vec<String>,

    /// Annotation that the pull Secret may get; also each key of the controller's flag --secret-annotation
    #[arg(long = "secret-annotation", value_name = "KEY",
        value_parser = checked(ExceptionList::SecretAnnotations))]
    pub secret_annotations: Vec<String>,

    /// Label that ServiceAccounts may get
    #[arg(long = "service-account-label", value_name = "KEY",
        value_parser = checked(ExceptionList::ServiceAccountLabels))]
    pub service_account_labels: Vec<String>,

    /// Annotation that ServiceAccounts may get
    #[arg(long = "service-account-annotation", value_name = "KEY",
        value_parser = checked(ExceptionList::ServiceAccountAnnotations))]
    pub service_account_annotations: Vec<String>,

    /// ServiceAccounts may get `automountServiceAccountToken: false`
    #[arg(long)]
    pub automount_false: bool,

    /// Pull secret that ServiceAccounts may get from others
    #[arg(long = "pull-secret", value_name = "NAME", value_parser = checked(ExceptionList::PullSecrets))]
    pub pull_secrets: Vec<String>,
}

impl AddedExceptions {
    /// Returns the exceptions by their lists.
    pub fn exceptions(&self) -> Exceptions {
        let automount = self.automount_false.then(|| AUTOMOUNT_FALSE.to_owned());
        let mut exceptions = Exceptions::default();
        for (list, items) in [
            (ExceptionList::SecretLabels, self.secret_labels.as_slice()),
            (ExceptionList::SecretAnnotations, &self.secret_annotations),
            (ExceptionList::ServiceAccountLabels, &self.service_account_labels),
            (ExceptionList::ServiceAccountAnnotations, &self.service_account_annotations),
            (ExceptionList::ServiceAccountFields, automount.as_slice()),
            (ExceptionList::PullSecrets, &self.pull_secrets),
        ] {
            items.iter().for_each(|item| exceptions.add(list, item));
        }
        exceptions
    }
}

/// Returns the parser of a list's exceptions.
fn checked(list: ExceptionList) -> impl Fn(&str) -> Result<String, InvalidException> + Clone {
    move |text| list.check(text).map(|()| text.to_owned())
}

/// Value of `--output` of `kubectl acr exceptions`.
#[derive(Clone, Copy, ValueEnum)]
pub enum ExceptionsFormat {
    /// The policies with all exceptions, to apply or to keep in Git in place of deploy/policies.yaml
    Yaml,
    /// The `patches` of a kustomization over deploy/policies.yaml
    Kustomize,
    /// Commands that patch the policies in the cluster
    Commands,
    /// Values of the Helm chart, with all exceptions
    Values,
}

/// Flags of `kubectl acr withdraw`.
#[derive(clap::Args)]
pub struct WithdrawArgs {
    /// Remove, instead of printing a preview
    #[arg(long)]
    pub yes: bool,

    /// Also remove what bindings with `deletionPolicy: Retain` keep
    #[arg(long)]
    pub retained: bool,

    /// Namespace of the controller
    #[arg(short, long, default_value = names::DEFAULT_NAMESPACE)]
    pub namespace: String,

    /// Name of the Secret in every covered namespace, if a flag changed it
    #[arg(long, default_value = names::DEFAULT_SECRET_NAME)]
    pub secret_name: String,
}

/// The connection to the cluster: the flags of every command, before or after its name.
#[derive(clap::Args)]
#[command(next_help_heading = "Connection to the cluster")]
pub struct ConnectionArgs {
    /// Path of the kubeconfig [default: that of KUBECONFIG, else ~/.kube/config, else the account of the Pod]
    #[arg(long, global = true)]
    pub kubeconfig: Option<PathBuf>,

    /// Context of the kubeconfig
    #[arg(long, global = true)]
    pub context: Option<String>,

    /// Longest time of one request, such as 10s; 0 for no limit
    #[arg(long, global = true, default_value = "10s", value_parser = parse_request_timeout)]
    pub request_timeout: Duration,
}

/// No limit: longer than any command.
const NO_LIMIT: Duration = Duration::from_secs(86_400);

/// Parses a time limit as kubectl does: a bare number means seconds, and 0 no limit.
fn parse_request_timeout(text: &str) -> Result<Duration, String> {
    let limit = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => duration::parse(text)?,
    };
    Ok(if limit.is_zero() { NO_LIMIT } else { limit.min(NO_LIMIT) })
}

/// The installation of the controller.
#[derive(clap::Args)]
pub struct InstallationArgs {
    /// Namespace of the controller
    #[arg(short, long, default_value = names::DEFAULT_NAMESPACE)]
    pub namespace: String,

    /// ServiceAccount of the controller
    #[arg(long, default_value = names::MANAGER)]
    pub service_account: String,
}

/// Flags of `kubectl acr explain`.
#[derive(clap::Args)]
pub struct ExplainArgs {
    /// pod/NAME, deploy/NAME, sts/NAME, ds/NAME, rs/NAME, job/NAME, cronjob/NAME, sa/NAME, image HOST/PATH:TAG, or a code or reason
    #[arg(required = true, num_args = 1..=2, value_name = "TARGET")]
    pub target: Vec<String>,

    /// Namespace of the object [default: that of the context]
    #[arg(short, long)]
    pub namespace: Option<String>,

    /// ServiceAccount of the Pods that would pull an image
    #[arg(long, default_value = "default")]
    pub service_account: String,

    /// Name of the Secret in every covered namespace, if a flag changed it
    #[arg(long, default_value = names::DEFAULT_SECRET_NAME)]
    pub secret_name: String,

    /// Format of the result
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: ExplainFormat,
}

/// Value of `--output` of `kubectl acr explain`.
#[derive(Clone, Copy, ValueEnum)]
pub enum ExplainFormat {
    /// Text for people
    Text,
    /// One JSON object
    Json,
    /// The same object as YAML
    Yaml,
}

/// Flags of `kubectl acr uninstall`.
#[derive(clap::Args)]
pub struct UninstallArgs {
    /// First delete the bindings, and wait until the controller has withdrawn what they cover
    #[arg(long)]
    pub withdraw: bool,

    /// Longest time of one step, such as 4m
    #[arg(long, default_value = "4m", value_parser = parse_duration)]
    pub timeout: Duration,

    /// The installation of the controller.
    #[command(flatten)]
    pub installation: InstallationArgs,
}

/// Flags of `kubectl acr check`.
#[derive(clap::Args)]
pub struct CheckArgs {
    /// Check whether the controller can be installed
    #[arg(long)]
    pub pre: bool,

    /// Name of the Secret in every covered namespace, if a flag changed it
    #[arg(long, default_value = names::DEFAULT_SECRET_NAME)]
    pub secret_name: String,

    /// Format of the result
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: CheckFormat,

    /// The installation of the controller.
    #[command(flatten)]
    pub installation: InstallationArgs,
}

/// Value of `--output` of `kubectl acr check`.
#[derive(Clone, Copy, ValueEnum)]
pub enum CheckFormat {
    /// Text for people
    Text,
    /// One JSON object
    Json,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration::parse(text)
}
