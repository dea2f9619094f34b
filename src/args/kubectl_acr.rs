//! The command line.

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

use crate::api::names;

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
}

/// The subcommands.
#[derive(Subcommand)]
pub enum PluginCommand {
    /// Say what is wrong with the ConfigMap acr-configuration: where, why, and what to write instead
    ///
    /// Ends with 0 where nothing is, 1 for warnings with --strict, 2 for errors.
    Lint(LintArgs),
    /// Print the AcrCredentialBinding that the ConfigMap acr-configuration comes to
    ///
    /// Ends with 2 where there is none.
    Convert(ConvertArgs),
    /// Say what the controller would write to the cluster, and write nothing
    ///
    /// Ends with 2 where there is no binding to plan for.
    Plan(PlanArgs),
    /// Take back all that the controller made, where it runs no more: Secrets, entries, finalizers, its own Secrets
    ///
    /// Says what that would be; --yes does it. Ends with 2 where something could not be taken back.
    Withdraw(WithdrawArgs),
}

/// Flags of `kubectl acr withdraw`.
#[derive(clap::Args)]
pub struct WithdrawArgs {
    /// Do it
    #[arg(long)]
    pub yes: bool,

    /// Also what bindings with `deletionPolicy: Retain` left behind, or would
    #[arg(long)]
    pub retained: bool,

    /// Namespace that the controller ran in
    #[arg(short, long, default_value = names::DEFAULT_NAMESPACE)]
    pub namespace: String,

    /// Name of the Secret in every covered namespace, if a flag changed it
    #[arg(long, default_value = names::DEFAULT_SECRET_NAME)]
    pub secret_name: String,
}

/// Flags of `kubectl acr plan`.
#[derive(clap::Args)]
pub struct PlanArgs {
    /// The configuration to read.
    #[command(flatten)]
    pub input: InputArgs,

    /// Region of the cluster, for entries that name none
    #[arg(long, default_value = "cn-hangzhou")]
    pub region: String,

    /// Name of the Secret in every covered namespace, if a flag changed it
    #[arg(long, default_value = names::DEFAULT_SECRET_NAME)]
    pub secret_name: String,

    /// Delete what the documented component left in `default` under its old names, if it is found
    #[arg(long)]
    pub remove_leftovers: bool,
}

/// Flags of `kubectl acr lint`.
#[derive(clap::Args)]
pub struct LintArgs {
    /// The configuration to read.
    #[command(flatten)]
    pub input: InputArgs,

    /// End with 1 where there are warnings
    #[arg(long)]
    pub strict: bool,

    /// How findings are written
    #[arg(short, long, value_enum, default_value = "human")]
    pub output: OutputFormat,
}

/// Flags of `kubectl acr convert`.
#[derive(clap::Args)]
pub struct ConvertArgs {
    /// The configuration to read.
    #[command(flatten)]
    pub input: InputArgs,

    /// Print AccessKey pairs on a terminal too
    #[arg(long)]
    pub show_secrets: bool,

    /// Print the ConfigMap that says what the AcrCredentialBinding in FILE says
    #[arg(long, conflicts_with_all = ["live", "show_secrets"])]
    pub reverse: bool,
}

/// What to look at.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct InputArgs {
    /// A manifest, a bare `data` map, JSON of the live object, or the managed add-on's JSON; - for standard input
    ///
    /// The add-on's JSON is read as it is, or in quotes as the `config` of an add-on in Terraform: that string or line
    /// alone, an `addons { … }` block, or the whole file. Of a heredoc or `jsonencode(…)`, give the JSON that comes out.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The ConfigMap kube-system/acr-configuration of the cluster that your kubeconfig names
    #[arg(long)]
    pub live: bool,
}

/// Value of `--output`.
#[derive(Clone, Copy, ValueEnum)]
pub enum OutputFormat {
    /// Drawn for people
    Human,
    /// One JSON object
    Json,
    /// SARIF 2.1.0
    Sarif,
}
