//! The command line.

use std::path::PathBuf;

use acr_credential_binding::api::names;
use clap::{Parser, Subcommand, ValueEnum};

/// Checks and converts the configuration of ACR's pull credentials
#[derive(Parser)]
#[command(name = "kubectl-acr", bin_name = "kubectl acr", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Say what is wrong with the ConfigMap acr-configuration: where, why, and what to write instead
    ///
    /// Ends with 0 where nothing is, 1 for warnings with --strict, 2 for errors.
    Lint(Lint),
    /// Print the AcrCredentialBinding that the ConfigMap acr-configuration comes to
    ///
    /// Ends with 2 where there is none.
    Convert(Convert),
    /// Say what the controller would write to the cluster, and write nothing
    ///
    /// Ends with 2 where there is no binding to plan for.
    Plan(Plan),
    /// Take back all that the controller made, where it runs no more: Secrets, entries, finalizers, its own Secrets
    ///
    /// Says what that would be; --yes does it. Ends with 2 where something could not be taken back.
    Withdraw(Withdraw),
}

#[derive(clap::Args)]
pub(crate) struct Withdraw {
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,

    /// Also what bindings with `deletionPolicy: Retain` left behind, or would
    #[arg(long)]
    pub(crate) retained: bool,

    /// Namespace that the controller ran in
    #[arg(short, long, default_value = names::DEFAULT_NAMESPACE)]
    pub(crate) namespace: String,

    /// Name of the Secret in every covered namespace, if a flag changed it
    #[arg(long, default_value = names::DEFAULT_SECRET_NAME)]
    pub(crate) secret_name: String,
}

#[derive(clap::Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) input: Input,

    /// Region of the cluster, for entries that name none
    #[arg(long, default_value = "cn-hangzhou")]
    pub(crate) region: String,

    /// Name of the Secret in every covered namespace, if a flag changed it
    #[arg(long, default_value = names::DEFAULT_SECRET_NAME)]
    pub(crate) secret_name: String,

    /// Delete what the documented component left in `default` under its old names, if it is found
    #[arg(long)]
    pub(crate) remove_leftovers: bool,
}

#[derive(clap::Args)]
pub(crate) struct Lint {
    #[command(flatten)]
    pub(crate) input: Input,

    /// End with 1 where there are warnings
    #[arg(long)]
    pub(crate) strict: bool,

    /// How findings are written
    #[arg(short, long, value_enum, default_value = "human")]
    pub(crate) output: Output,
}

#[derive(clap::Args)]
pub(crate) struct Convert {
    #[command(flatten)]
    pub(crate) input: Input,

    /// Print AccessKey pairs on a terminal too
    #[arg(long)]
    pub(crate) show_secrets: bool,

    /// Print the ConfigMap that says what the AcrCredentialBinding in FILE says
    #[arg(long, conflicts_with_all = ["live", "show_secrets"])]
    pub(crate) reverse: bool,
}

/// What to look at.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Input {
    /// A manifest, a bare `data` map, JSON of the live object, or the managed add-on's JSON; - for standard input
    ///
    /// The add-on's JSON is read as it is, or in quotes as the `config` of an add-on in Terraform: that string or line
    /// alone, an `addons { … }` block, or the whole file. Of a heredoc or `jsonencode(…)`, give the JSON that comes out.
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// The ConfigMap kube-system/acr-configuration of the cluster that your kubeconfig names
    #[arg(long)]
    pub(crate) live: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Output {
    /// Drawn for people
    Human,
    /// One JSON object
    Json,
    /// SARIF 2.1.0
    Sarif,
}
