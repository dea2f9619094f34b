//! Flags of the commands that read the configuration.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::api::names;

/// Flags of `kubectl acr plan`.
#[derive(clap::Args)]
pub struct PlanArgs {
    /// The configuration to read.
    #[command(flatten)]
    pub input: InputArgs,

    /// Region of the cluster, for entries without `regionId`
    #[arg(long, default_value = "cn-hangzhou")]
    pub region: String,

    /// Name of the Secret in every covered namespace, if a flag changed it
    #[arg(long, default_value = names::DEFAULT_SECRET_NAME)]
    pub secret_name: String,

    /// Delete the Secrets with old names that the documented component left in the namespace `default`
    #[arg(long)]
    pub remove_leftovers: bool,

    /// Format of the result
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: PlanFormat,
}

/// Value of `--output` of `kubectl acr plan`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// A line for each namespace
    Text,
    /// A unified diff of the objects in the cluster against those that would be written; credentials are masked
    Diff,
}

/// Flags of `kubectl acr lint`.
#[derive(clap::Args)]
pub struct LintArgs {
    /// The configuration to read.
    #[command(flatten)]
    pub input: InputArgs,

    /// Exit with 1 if there are warnings
    #[arg(long)]
    pub strict: bool,

    /// Format of the findings
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

    /// Print the ConfigMap for the AcrCredentialBinding in FILE
    #[arg(long, conflicts_with_all = ["live", "show_secrets"])]
    pub reverse: bool,
}

/// The configuration to read.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
pub struct InputArgs {
    /// A manifest, a bare `data` map, JSON of the live object, or the managed add-on's configuration; - for standard input
    ///
    /// The add-on is found by its name, and the ConfigMap by its metadata: in Terraform's files, in the output of
    /// `terraform show -json`, in a state, in templates in JSON or YAML, or in a part of one of these. A value that
    /// depends on a variable is named with the command that prints it.
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Read the ConfigMap kube-system/acr-configuration of the cluster that your kubeconfig names
    #[arg(long)]
    pub live: bool,
}

/// Value of `--output`.
#[derive(Clone, Copy, ValueEnum)]
pub enum OutputFormat {
    /// Text for people
    Human,
    /// One JSON object
    Json,
    /// SARIF 2.1.0
    Sarif,
}
