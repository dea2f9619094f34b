//! `cargo lab` and `cargo demo`: the lab for one's own eyes and hands.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is what it is for")]

mod admission;
mod bench;
mod demo;
mod economy;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use acr_lab::{
    cloud::{Cloud, CloudConfig},
    controller::build_release,
    plane::{Options, Plane},
};
use clap::{Args, Parser, Subcommand};

/// A real Kubernetes control plane and a simulated Alibaba Cloud, on loopback.
#[derive(Parser)]
#[command(name = "lab")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show the product at work: start everything, run it, and say what came of it.
    Demo {
        /// End after the last step instead of leaving all running; exit 0 only if every step held.
        #[arg(long)]
        once: bool,
    },
    /// Measure the product against a bare client on the same control plane.
    Bench(bench::Args),
    /// Count the cloud calls that keep fifty registries' tokens fresh, against the fewest that would do.
    Economy(economy::Args),
    /// Create ServiceAccounts at rates, and measure what serving them at their creation adds and refuses.
    Admission(admission::Args),
    /// Start the control plane and the cloud alone, for any client to be pointed at.
    Up(CloudArgs),
    /// Start the cloud alone.
    Cloud(CloudArgs),
}

#[derive(Args)]
struct CloudArgs {
    /// The cloud's port on loopback; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    cloud_port: u16,
}

impl CloudArgs {
    async fn start(&self) -> anyhow::Result<Cloud> {
        Cloud::start(CloudConfig { port: self.cloud_port, ..CloudConfig::demo() }).await
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo { once } => demo::run(once).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Economy(args) => economy::run(args).await,
        Command::Admission(args) => admission::run(args).await,
        Command::Up(args) => {
            let plane = Plane::start(Options::default()).await?;
            let cloud = args.start().await?;
            plane.enable_rrsa(&cloud).await?;
            println!("{}", cloud.describe());
            print_access(&plane);
            until_told().await
        }
        Command::Cloud(args) => {
            let cloud = args.start().await?;
            println!("{}", cloud.describe());
            until_told().await
        }
    }
}

/// How to get at a running plane.
fn print_access(plane: &Plane) {
    println!("Kubernetes API server at {}", plane.url());
    println!("  export KUBECONFIG={}", plane.kubeconfig().display());
    println!("  alias kubectl={}", plane.kubectl_path().display());
}

async fn until_told() -> anyhow::Result<()> {
    println!("\nAll of it runs until Ctrl-C, and nothing of it is left then.");
    Ok(tokio::signal::ctrl_c().await?)
}

/// Returns the controller to measure: the one that is given, or a release build of the one here.
async fn shipped(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(binary) = given {
        return Ok(binary.to_owned());
    }
    println!("Build the controller as it is shipped");
    build_release().await
}
