//! `cargo lab faults`: random schedules, and a soak.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use acr_lab::{
    controller::{ControllerOptions, build_debug},
    trial::{Rig, Schedule, Soak, daily_seed},
};
use anyhow::ensure;

use crate::shipped;

/// Shorter than the default, so that a takeover is one of many events of a schedule.
const LEASE: &str = "--lease-duration=4s";

/// Shorter than a trial's patience: after a restart, what no status names any more stays for the grace.
const GRACE: &str = "--withdrawal-grace=2s";

/// Which faults, and how many.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Random schedules to run.
    #[arg(long, default_value_t = 200)]
    schedules: u64,
    /// Seed of the first schedule; the others follow it. That of this day by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Run a soak of this many minutes instead.
    #[arg(long, value_name = "MINUTES")]
    soak: Option<u64>,
    /// Namespaces of the soak.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    namespaces: u32,
    /// A controller to try, instead of a build of the one here.
    #[arg(long, value_name = "FILE")]
    controller: Option<PathBuf>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let seed = args.seed.unwrap_or_else(daily_seed);
    match args.soak {
        Some(minutes) => soak(&args, minutes, seed).await,
        None => schedules(&args, seed).await,
    }
}

async fn schedules(args: &Args, first: u64) -> anyhow::Result<()> {
    let binary = match &args.controller {
        Some(binary) => binary.clone(),
        None => build_debug().await?,
    };
    let begun = Instant::now();
    let rig = Rig::start(&binary, 2, |options| options.arg(LEASE).arg(GRACE)).await?;
    let mut failed = Vec::new();
    for seed in first..first + args.schedules {
        match (Schedule { seed }).run(&rig).await {
            Ok(faults) => {
                println!("seed {seed}: ok, {} steps, {:.0?} in total", faults.len(), begun.elapsed())
            }
            Err(error) => {
                println!("seed {seed}: {error:#}");
                failed.push(seed);
            }
        }
    }
    ensure!(failed.is_empty(), "{} of {} schedules failed: seeds {failed:?}", failed.len(), args.schedules);
    Ok(())
}

async fn soak(args: &Args, minutes: u64, seed: u64) -> anyhow::Result<()> {
    let binary = shipped(args.controller.as_deref()).await?;
    let short = |options: ControllerOptions| options.arg(LEASE);
    let rig = Rig::start(&binary, 2, short).await?;
    println!("A soak of {minutes} minutes with seed {seed}");
    let soak = Soak {
        namespaces: usize::try_from(args.namespaces)?,
        time: Duration::from_secs(60 * minutes),
        token: Duration::from_secs(120),
        churn: 10,
        fault_every: Duration::from_secs(10),
        seed,
    };
    let report = soak.run(&rig).await?;
    println!(
        "{} pulls, {} of them refused; {} faults; {} accounts without an entry after 10 s; memory {} KiB at the \
         end, {:+.0} KiB a minute over the second half",
        report.pulls,
        report.refused.len(),
        report.faults,
        report.unattached.len(),
        report.memory.last().copied().unwrap_or_default(),
        report.slope(),
    );
    ensure!(report.refused.is_empty(), "refused pulls: {:?}", report.refused);
    ensure!(report.unattached.is_empty(), "accounts without an entry: {:?}", report.unattached);
    Ok(())
}
