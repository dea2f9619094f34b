//! `cargo lab neighbours`: what a tenant notices of the worst neighbour that it can have.
//!
//! Each row has a control plane, a cloud and a controller of its own. The controller is a process in a memory
//! cgroup of 128 MiB, the limit of its Deployment. It is started again when it ends, as a kubelet would. A
//! victim is measured before the fault, while it lasts, and after it. Accounts are created at a fixed rate,
//! regardless of how many still wait for their entry, so that a slow phase is not measured less often.
//!
//! The measurement has no thresholds: it fails only when a row cannot be measured.

mod keeper;
mod report;
mod rows;
mod scene;
mod seen;
mod stage;
mod victim;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use acr_lab::cgroup::MemoryCgroup;
use anyhow::{Context, bail, ensure};

use self::{
    report::{Outcome, Report},
    rows::Row,
    stage::Stage,
    victim::{Phase, Victim},
};
use crate::shipped;

/// The memory limit of the controller's Deployment.
const LIMIT: u64 = 128 * 1024 * 1024;

/// The longest time that one row may take.
const PATIENCE: Duration = Duration::from_secs(1_200);

/// The rows to measure, and where the results go.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Measure only this row; may be repeated. `--list` prints their names.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Print the rows' names, and measure nothing.
    #[arg(long)]
    list: bool,
    /// Accounts that the victim creates in a phase; in a longer phase, at the same rate.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    samples: u32,
    /// Seconds of each phase; some neighbours need a longer one.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=3_600))]
    seconds: u32,
    /// A controller to measure, instead of a release build of the one here.
    #[arg(long, value_name = "FILE")]
    controller: Option<PathBuf>,
    /// File that gets the tables in Markdown, after each row.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Measures all rows, or those that were named.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let rows = rows::all();
    if args.list {
        for row in &rows {
            println!("{:24} {}", row.name, row.title);
        }
        return Ok(());
    }
    if let Some(unknown) = args.only.iter().find(|name| rows.iter().all(|row| row.name != **name)) {
        bail!("there is no row {unknown}; cargo lab neighbours --list prints their names");
    }
    // Without the limit, the figures would say nothing about a cluster.
    drop(MemoryCgroup::create(LIMIT).context("the controller must run under its memory limit")?);
    let binary = shipped(args.controller.as_deref()).await?;
    let mut report = Report::new(&args);
    let mut failed = Vec::new();
    for row in
        rows.iter().filter(|row| args.only.is_empty() || args.only.iter().any(|name| *name == row.name))
    {
        println!("\n{}: {}", row.name, row.title);
        let measured = tokio::time::timeout(PATIENCE, measure(row, &args, &binary)).await;
        match measured.unwrap_or_else(|_| Err(anyhow::anyhow!("not done within {PATIENCE:?}"))) {
            Ok(outcome) => {
                println!("{}", outcome.text());
                report.add(outcome);
            }
            Err(error) => {
                println!("   not measured: {error:#}");
                failed.push(row.name);
            }
        }
        if let Some(file) = &args.markdown {
            std::fs::write(file, report.markdown())
                .with_context(|| format!("{} cannot be written", file.display()))?;
        }
    }
    println!("\n{}", report.markdown());
    if failed.is_empty() { Ok(()) } else { bail!("not measured: {}", failed.join(", ")) }
}

async fn measure(row: &Row, args: &Args, binary: &Path) -> anyhow::Result<Outcome> {
    let cgroup = Arc::new(MemoryCgroup::create(LIMIT)?);
    let stage = Stage::set_up(row, binary, cgroup).await?;
    let measured = phases(row, args, &stage).await;
    if measured.is_err() {
        println!("   the last lines of the controller's log:\n{}", stage.keeper.log_tail(20));
    }
    measured
}

async fn phases(row: &Row, args: &Args, stage: &Stage) -> anyhow::Result<Outcome> {
    let mut victim = Victim::move_in(stage, args).await?;
    (row.prepare)(stage).await.context("the neighbour was not prepared")?;
    victim.until_quiet(stage).await?;
    victim.warm_up(stage).await?;
    let before = calm(row, stage, &mut victim, "before").await?;
    let during = async {
        stage.scene.until_in_place().await;
        let during = victim.phase(stage, "during").await;
        stage.scene.end();
        during
    };
    let (found, during) = tokio::try_join!(
        async { (row.disturb)(stage).await.context("the neighbour did not do its worst") },
        during
    )?;
    victim.until_quiet(stage).await?;
    let after = calm(row, stage, &mut victim, "after").await?;
    let (ends, peak_rss_kib) = (stage.keeper.ends(), stage.keeper.peak_rss_kib());
    let oom_kills = stage.cgroup.oom_kills()?;
    Ok(Outcome { title: row.title, found, phases: [before, during, after], ends, oom_kills, peak_rss_kib })
}

/// Measures a phase without the neighbour.
async fn calm(row: &Row, stage: &Stage, victim: &mut Victim, name: &'static str) -> anyhow::Result<Phase> {
    let restart = async {
        if row.restarts {
            stage.keeper.restart().await?;
            ensure!(stage.keeper.until_ready(PATIENCE).await, "the controller was not ready after a restart");
        }
        Ok(())
    };
    let (phase, ()) = tokio::try_join!(victim.phase(stage, name), restart)?;
    victim.until_quiet(stage).await?;
    Ok(phase)
}
