//! Flags of the commands that show and change bindings.

use std::time::Duration;

use clap::ValueEnum;

use crate::model::duration;

/// Flags of `kubectl acr status`.
#[derive(clap::Args)]
pub struct StatusArgs {
    /// The binding [default: all]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// List the failures of this namespace only, and count the others
    #[arg(short, long)]
    pub namespace: Option<String>,

    /// List the failures of all namespaces, which is the default
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,

    /// Format of the result
    #[arg(short, long, value_enum, default_value = "tree")]
    pub output: StatusFormat,

    /// Print the status again at each change, until the command is stopped
    #[arg(short, long, conflicts_with = "wait")]
    pub watch: bool,

    /// Wait for a state of the binding, or of all
    #[arg(long, value_enum, ignore_case = true, value_name = "STATE")]
    pub wait: Option<AwaitedState>,

    /// Longest time of --wait, such as 5m
    #[arg(long, default_value = "5m", value_parser = |text: &str| duration::parse(text), requires = "wait")]
    pub timeout: Duration,
}

/// Value of `--wait` of `kubectl acr status`.
#[derive(Clone, Copy, ValueEnum)]
pub enum AwaitedState {
    /// The condition Ready is True, and is about the current spec
    #[value(name = "Ready")]
    Ready,
}

/// Value of `--output` of `kubectl acr status`.
#[derive(Clone, Copy, ValueEnum)]
pub enum StatusFormat {
    /// A tree with the first ten failing namespaces of each binding
    Tree,
    /// A tree with domains, times, and each failing namespace that the status lists
    Wide,
    /// One JSON object, as docs/reference/status.schema.json describes it
    Json,
    /// The same as YAML
    Yaml,
}

/// Flags of `kubectl acr refresh`.
#[derive(clap::Args)]
pub struct RefreshArgs {
    /// The binding.
    #[command(flatten)]
    pub binding: BindingArgs,

    /// Wait until the refresh was handled, and print the status of the binding
    #[arg(long)]
    pub wait: bool,

    /// Longest time of --wait, such as 2m
    #[arg(long, default_value = "2m", value_parser = |text: &str| duration::parse(text), requires = "wait")]
    pub timeout: Duration,
}

/// The binding to change.
#[derive(clap::Args)]
pub struct BindingArgs {
    /// The binding
    #[arg(value_name = "NAME")]
    pub name: String,
}
