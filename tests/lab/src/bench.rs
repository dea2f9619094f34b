//! `cargo lab bench`: how fast the product is, as seen from outside.
//!
//! The controller runs as shipped: a release build in a process of its own with its own rights. Absolute
//! times drift, so each figure is compared with one from the same run on the same plane. The floor is a bare
//! client that does the same writes, 16 at a time, to an equal set of namespaces that no binding covers. Half
//! of it runs before a phase and half after. A race window is compared with the create calls that open it.
//!
//! The measurement has no thresholds: it fails only when a phase does not finish.

mod at_rest;
mod beside;
pub(crate) mod call;
mod edits;
mod fill;
pub(crate) mod group;
mod layout;
mod race;
mod refresh;
pub(crate) mod registries;
mod repair;
pub(crate) mod report;
pub(crate) mod requests;
mod scale;
pub(crate) mod scout;
pub(crate) mod setup;
pub(crate) mod spans;
pub(crate) mod transport;
pub(crate) mod watch;

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use acr_lab::{
    cloud::Cloud,
    controller::Controller,
    plane::{Mark, Options, Plane},
};
use anyhow::Context;

use self::{
    group::{Group, Template},
    layout::{Job, Layout},
    report::{Cost, Report, Row, combined, mebibytes},
    requests::Requests,
    spans::seconds,
    transport::Transport,
    watch::{Watch, from_to},
};
use crate::shipped;

/// The namespace and the ServiceAccount that the controller runs in and as.
pub(crate) const NAMESPACE: &str = "acr-credential-system";
pub(crate) const CONTROLLER: &str = "acr-credential-controller";

/// The name that the product's Secret has in every namespace.
pub(crate) const SECRET: &str = "acr-credential-secret-aggregation";

/// A phase that takes longer fails. At full size on two cores the longest phase takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(1_800);

/// Size of the measurement, and where its results go.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Namespaces that the binding covers, with three ServiceAccounts each.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(10..=50_000))]
    namespaces: u32,
    /// ServiceAccounts that are created to measure a race window.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    samples: u32,
    /// Measure at three sizes along three axes: namespaces, bindings (each on its own namespaces, and all on the
    /// same) and registries.
    #[arg(long, conflicts_with = "namespaces")]
    scale: bool,
    /// With --scale: measure only this axis; may be repeated.
    #[arg(long, value_name = "AXIS", requires = "scale", value_parser = scale::names())]
    only: Vec<String>,
    /// With --scale: the sizes to measure along each axis, instead of its own three.
    #[arg(long, value_name = "N,...", requires = "scale", value_delimiter = ',')]
    sizes: Vec<usize>,
    /// A controller to measure, instead of a release build of the one here.
    #[arg(long, value_name = "FILE")]
    controller: Option<PathBuf>,
    /// File that gets the tables in Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Runs all measurements.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        return Err(again_in_release());
    }
    let binary = shipped(args.controller.as_deref()).await?;
    let layouts = match args.scale {
        true => scale::layouts(&args),
        false => vec![Layout::one_binding(args.namespaces as usize, args.samples as usize)],
    };
    let (mut reports, mut failed) = (Vec::new(), Vec::new());
    for layout in layouts {
        let title = layout.title.clone();
        println!("\n== {title}");
        match measure(layout, &binary).await {
            Ok(report) => {
                println!("\n{}", report.text());
                report.missed_counts().iter().for_each(|missed| println!("missed: {missed}"));
                reports.push(report);
            }
            Err(error) => {
                println!("   not measured: {error:#}");
                failed.push(title);
            }
        }
        let text = match &reports[..] {
            [only] if !args.scale => only.markdown(),
            all => combined(all),
        };
        if let Some(file) = &args.markdown {
            std::fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()))?;
        }
    }
    anyhow::ensure!(failed.is_empty(), "not measured: {}", failed.join("; "));
    Ok(())
}

/// Measures one layout on a control plane and a cloud of its own.
async fn measure(layout: Layout, binary: &Path) -> anyhow::Result<Report> {
    println!("Start a control plane and a simulated cloud");
    let plane = Plane::start(Options::default()).await?;
    let mut bench = within("setup", Bench::set_up(layout, binary.to_owned(), plane)).await?;
    if let Err(error) = bench.measure().await {
        println!("\nThe last lines of the controller's log:\n{}", bench.controller.log_tail(30));
        return Err(error);
    }
    Ok(bench.report)
}

/// Restarts the same command as `cargo run --release`, because a debug build of the bare client would be a
/// slow floor. Returns only if that cannot be started.
pub(crate) fn again_in_release() -> anyhow::Error {
    println!("Build the bench itself in release: a slow floor would flatter the product");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let error = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["run", "--release", "--package=acr-lab", "--bin=lab", "--manifest-path"])
        .arg(manifest)
        .arg("--")
        .args(std::env::args_os().skip(1))
        .exec();
    anyhow::Error::new(error).context("cargo did not start")
}

/// Everything that a run needs.
struct Bench {
    // Fields drop in this order: clients before their servers.
    accounts: Watch,
    secrets: Watch,
    transport: Transport,
    controller: Controller,
    cloud: Cloud,
    plane: Plane,
    layout: Layout,
    template: Template,
    /// The namespaces that the bindings cover.
    covered: Group,
    /// The namespaces that only the bare client fills.
    floor: Group,
    /// Number of namespaces that the bindings cover so far.
    served: usize,
    /// The processor time that the controller had used when the phase began.
    cpu: Duration,
    report: Report,
}

impl Bench {
    async fn measure(&mut self) -> anyhow::Result<()> {
        for job in self.layout.jobs.clone() {
            match job {
                Job::Fill => within("fill", self.fill()).await?,
                Job::Served => {
                    within("race window, served namespace", self.race_in_served_namespaces()).await?
                }
                Job::New => within("race window, new namespace", self.race_in_new_namespaces()).await?,
                Job::Refresh => within("refresh", self.refresh()).await?,
                Job::During => within("race window during a refresh", self.race_during_refreshes()).await?,
                Job::Repair => within("repair", self.repair()).await?,
                Job::ConfigMap => within("edits of the ConfigMap", self.edits()).await?,
                Job::Beside => within("a binding beside the others", self.beside()).await?,
                Job::Registries => within("more registries", self.more_registries()).await?,
                Job::Rest => within("at rest", self.rest()).await?,
                Job::Restart => within("restart", self.restart()).await?,
            }
        }
        let (peak, most) = (self.report.peak_rss_kib(), self.layout.goals.peak_rss);
        self.report.row(Row::plain(
            "peak RSS",
            mebibytes(peak),
            &format!("≤ {most} MiB"),
            peak <= most * 1024,
        ));
        self.report.row(Row::free("CPU of all phases", seconds(self.report.cpu())));
        Ok(())
    }

    /// Begins a phase: what was observed before does not count.
    fn begin(&mut self) -> anyhow::Result<Start> {
        self.accounts.drain()?;
        self.secrets.drain()?;
        self.cpu = self.controller.cpu().unwrap_or_default();
        Ok(Start {
            at: Instant::now(),
            mark: self.plane.audit().mark()?,
            cloud_calls: self.cloud.calls().len(),
        })
    }

    /// Returns the cost of a phase that ended at `end`.
    fn cost(&self, phase: &str, start: Start, end: Instant) -> anyhow::Result<Cost> {
        Ok(Cost {
            phase: phase.to_owned(),
            wall: from_to(start.at, end),
            requests: Requests::since(&self.plane, start.mark)?,
            cloud_calls: self.cloud.calls().len() - start.cloud_calls,
            peak_rss_kib: self.controller.peak_rss_kib()?,
            cpu: self.controller.cpu()?.saturating_sub(self.cpu),
        })
    }
}

/// The counters at the beginning of a phase.
#[derive(Clone, Copy)]
struct Start {
    at: Instant,
    mark: Mark,
    cloud_calls: usize,
}

async fn within<T>(phase: &str, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result.with_context(|| format!("{phase} did not finish")),
        Err(_) => anyhow::bail!("{phase} did not finish within {PATIENCE:?}"),
    }
}
