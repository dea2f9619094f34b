//! `cargo lab faults`: random schedules, and a soak.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use acr_lab::{
    controller::{ControllerOptions, build_debug},
    plane::{Options, Release},
    trial::{Rig, Schedule, Soak, daily_seed, hand_over},
};
use anyhow::ensure;

use crate::shipped;

/// Shorter than the default, so that a takeover is one of many events of a schedule, and long enough for a machine that
/// does other work, too.
const LEASE: &str = "--lease-duration=10s";

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
    /// A controller of another version as the second replica. The lease goes there and back first.
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// The release of Kubernetes.
    #[arg(long, value_enum, default_value_t = Kubernetes::Newest)]
    kubernetes: Kubernetes,
}

/// The releases that the lab builds.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Kubernetes {
    #[value(name = "1.37")]
    Newest,
    #[value(name = "1.34")]
    Oldest,
}

impl Kubernetes {
    fn options(self) -> Options {
        let release = match self {
            Kubernetes::Newest => Release::Newest,
            Kubernetes::Oldest => Release::Oldest,
        };
        Options { release, ..Options::default() }
    }
}

/// How often the lease goes to the other version and back.
const HAND_OVERS: usize = 4;

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
    let beside = args.beside.as_ref().unwrap_or(&binary);
    let builds = [&*binary, &**beside];
    let rig = Rig::start(args.kubernetes.options(), &builds, |options| options.arg(LEASE).arg(GRACE)).await?;
    let mut results = Results::default();
    if args.beside.is_some() {
        results.holders = hand_over(&rig, HAND_OVERS).await?;
        println!("The lease was held by replicas {:?}, and nothing was written for it", results.holders);
    }
    for seed in first..first + args.schedules {
        match (Schedule { seed }).run(&rig).await {
            Ok(steps) => {
                println!("seed {seed}: ok, {} steps, {:.0?} in total", steps.len(), begun.elapsed());
                results.add(&steps);
            }
            Err(error) => {
                println!("seed {seed}: {error:#}");
                results.failed.push(seed);
            }
        }
    }
    let version = rig.client().apiserver_version().await?.git_version;
    println!("\n{}", results.table(args.schedules, first, begun.elapsed(), &version));
    let failed = results.failed;
    ensure!(failed.is_empty(), "{} of {} schedules failed: seeds {failed:?}", failed.len(), args.schedules);
    Ok(())
}

/// What the schedules came to.
#[derive(Default)]
struct Results {
    holders: Vec<usize>,
    failed: Vec<u64>,
    steps: usize,
    faults: BTreeMap<String, usize>,
}

impl Results {
    /// Adds the steps of a schedule that held, each with the fault before it.
    fn add(&mut self, steps: &[String]) {
        self.steps += steps.len();
        for step in steps {
            let fault = step.split([' ', '(', ';']).next().unwrap_or_default();
            if fault != "Nothing" {
                *self.faults.entry(fault.to_lowercase()).or_default() += 1;
            }
        }
    }

    /// Returns the results as a table for `docs/benchmarks.md`.
    fn table(&self, schedules: u64, first: u64, took: Duration, kubernetes: &str) -> String {
        let faults: Vec<String> = self.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let rows = [
            ("schedules", format!("{schedules}, seeds {first} to {}", first + schedules - 1)),
            ("failed", format!("{} {:?}", self.failed.len(), self.failed)),
            ("steps of a user", self.steps.to_string()),
            ("faults", format!("{}: {}", self.faults.values().sum::<usize>(), faults.join(", "))),
            ("hand-overs to another version", self.holders.len().to_string()),
            ("time", format!("{} min", took.as_secs() / 60)),
            (
                "date, commit",
                format!(
                    "{}, {}",
                    said(&["date", "-u", "+%F"]),
                    said(&["git", "rev-parse", "--short", "HEAD"])
                ),
            ),
            ("machine", format!("{cores} cores, Kubernetes {kubernetes}")),
        ];
        let rows = rows.map(|(what, value)| format!("| {what} | {value} |"));
        format!("| `cargo lab faults` | |\n| --- | --- |\n{}", rows.join("\n"))
    }
}

/// Returns what a program prints, in one line; a question mark where it does not run.
fn said(command: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(command[0]).args(&command[1..]).current_dir(folder).output();
    output.map_or("?".to_owned(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

async fn soak(args: &Args, minutes: u64, seed: u64) -> anyhow::Result<()> {
    let binary = shipped(args.controller.as_deref()).await?;
    let short = |options: ControllerOptions| options.arg(LEASE);
    let rig = Rig::start(args.kubernetes.options(), &[&binary, &binary], short).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_counts_faults_by_kind_and_names_the_seeds_that_failed() {
        let mut results = Results { failed: vec![8], ..Results::default() };
        results.add(&["Nothing; Bind { binding: 0 }".to_owned(), "Kill; Unbind { binding: 1 }".to_owned()]);
        results
            .add(&["Cloud(Html); Bind { binding: 0 }".to_owned(), "Kill; Unbind { binding: 1 }".to_owned()]);
        let table = results.table(3, 7, Duration::from_secs(120), "v1.34.4");
        for row in [
            "| schedules | 3, seeds 7 to 9 |",
            "| failed | 1 [8] |",
            "| steps of a user | 4 |",
            "| faults | 3: cloud 1, kill 2 |",
            "| time | 2 min |",
            "Kubernetes v1.34.4 |",
        ] {
            assert!(table.contains(row), "{table}");
        }
    }
}
