//! `cargo lab` and `cargo demo`: the lab for manual use.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this program's output is what it is for")]

mod admission;
mod bench;
mod demo;
mod economy;
mod faults;
mod images;
mod neighbours;
mod own_time;
mod pulls;

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
    /// Show the product at work: start everything, run each step and check its result.
    Demo {
        /// End after the last step instead of keeping everything running; exit 0 only if every step passed.
        #[arg(long)]
        once: bool,
    },
    /// Measure the product against a bare client on the same control plane.
    Bench(bench::Args),
    /// Count the cloud calls that keep fifty registries' tokens fresh, and compare them with the fewest that
    /// suffice.
    Economy(economy::Args),
    /// Create ServiceAccounts at fixed rates, and measure the latency and refusals that admission adds.
    Admission(admission::Args),
    /// Break things at random while the product works, and compare the end with that of a run in which nothing
    /// broke.
    Faults(faults::Args),
    /// Put the product beside one bad neighbour after the other, in a memory cgroup of 128 MiB, and measure what
    /// another tenant notices.
    Neighbours(neighbours::Args),
    /// Build the controller's image as a release does, push and pull it, and measure it.
    Image(images::Args),
    /// Run Pods on a real node: measure the time until they run, count those that missed the entry, and what a
    /// rotation costs the registry.
    Node(pulls::Args),
    /// Measure `kubectl acr status` and `explain` in a large cluster: their own time, their requests and what they read.
    OwnTime(own_time::Args),
    /// Start only the control plane and the cloud, for any client.
    Up(CloudArgs),
    /// Start only the cloud.
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
        Command::Faults(args) => faults::run(args).await,
        Command::Neighbours(args) => neighbours::run(args).await,
        Command::Image(args) => images::run(args).await,
        Command::Node(args) => pulls::run(args).await,
        Command::OwnTime(args) => own_time::run(args).await,
        Command::Up(args) => {
            let plane = Plane::start(Options::default()).await?;
            let cloud = args.start().await?;
            plane.enable_rrsa(&cloud).await?;
            println!("{}", cloud.describe());
            print_access(&plane);
            until_interrupted().await
        }
        Command::Cloud(args) => {
            let cloud = args.start().await?;
            println!("{}", cloud.describe());
            until_interrupted().await
        }
    }
}

/// Prints how to reach a running plane.
fn print_access(plane: &Plane) {
    println!("Kubernetes API server at {}", plane.url());
    println!("  export KUBECONFIG={}", plane.kubeconfig().display());
    println!("  alias kubectl={}", plane.kubectl_path().display());
}

async fn until_interrupted() -> anyhow::Result<()> {
    println!("\nEverything runs until Ctrl-C; then it is stopped and removed.");
    Ok(tokio::signal::ctrl_c().await?)
}

/// Returns the controller to measure: the given one, or a release build of this repository.
async fn shipped(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(binary) = given {
        return Ok(binary.to_owned());
    }
    println!("Build the controller as it is shipped");
    build_release().await
}
