//! `cargo lab economy`: how many cloud calls the product makes to keep fifty registries' tokens fresh,
//! compared with the fewest that would do.
//!
//! The cloud's hours are compressed: every lifetime in the cloud, and the binding's threshold, is shorter by
//! one factor. Calls are counted by the compressed hour. The controller's own constants are not compressed.
//! The report names them, and shows how long a round of calls and its writes took, so that a reader sees
//! whether they interfered.
//!
//! The measurement has no thresholds: it fails only when a phase does not finish.

mod identities;
mod minimum;
mod report;
mod rounds;
mod writes;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use acr_lab::{
    cloud::{Cloud, CloudConfig, Millis},
    controller::{Controller, ControllerOptions},
    plane::{Mark, Options, Plane},
};
use anyhow::{Context, bail};

use self::{minimum::Pace, report::Report, rounds::Window, writes::Writes};
use crate::bench::{
    CONTROLLER, NAMESPACE, SECRET,
    call::send_all,
    group::{create_account, create_namespace},
    requests::{Who, until_at_rest},
    setup::MANIFESTS,
    transport::{Kind, Transport},
};
use crate::shipped;

/// Prefix of the name of every covered namespace.
const PREFIX: &str = "econ-";

/// The longest time for the setup or the fill.
const PATIENCE: Duration = Duration::from_secs(300);

/// How often to poll: neither the audit log nor the cloud's record notifies readers.
const POLL_EVERY: Duration = Duration::from_millis(200);

/// The API server's answers to an apply that creates, and to a patch.
const CREATED: u16 = 201;
const UPDATED: u16 = 200;

/// Size of the measurement, and where its results go.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Namespaces that the binding covers.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    namespaces: u32,
    /// How many times faster the cloud's hours pass. At 60 the writes of a round for 2,000 namespaces can
    /// take as long as the time to the next round, on two busy cores.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    speed: u32,
    /// Hours of the cloud to measure after the first fill.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=48))]
    hours: u32,
    /// Bind half of each identity's registries so many minutes of the cloud after the others, under a binding
    /// of its own.
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=30))]
    apart: Option<u32>,
    /// Let the tokens of the node's role be valid as long as its key, as documented, and not for an hour.
    #[arg(long)]
    long_node_tokens: bool,
    /// A controller to measure, instead of a release build of the one here.
    #[arg(long, value_name = "FILE")]
    controller: Option<PathBuf>,
    /// File that gets the tables in Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// Measures and reports.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let binary = shipped(args.controller.as_deref()).await?;
    println!("Start a control plane and a simulated cloud");
    let plane = Plane::start(Options::default()).await?;
    let economy = Economy::set_up(&args, binary, plane);
    let economy = tokio::time::timeout(PATIENCE, economy).await.context("the setup did not finish")??;
    match economy.measure().await {
        Ok(report) => {
            println!("\n{report}");
            if let Some(file) = &args.markdown {
                std::fs::write(file, report.to_string())
                    .with_context(|| format!("{} cannot be written", file.display()))?;
            }
            Ok(())
        }
        Err(error) => {
            println!("\nThe last lines of the controller's log:\n{}", economy.controller.log_tail(30));
            Err(error)
        }
    }
}

/// Everything that a run needs.
struct Economy {
    // Fields drop in this order: clients before their servers.
    transport: Transport,
    controller: Controller,
    cloud: Cloud,
    plane: Plane,
    pace: Pace,
    namespaces: usize,
    hours: u32,
    apart: Option<u32>,
}

/// The counters when every namespace had its Secret.
struct Filled {
    at: Millis,
    mark: Mark,
    took: Duration,
    cpu: Duration,
    peak_rss_kib: u64,
}

impl Economy {
    /// Installs and creates everything but the binding.
    async fn set_up(args: &Args, binary: PathBuf, plane: Plane) -> anyhow::Result<Economy> {
        let pace = Pace { speed: args.speed, long_node_tokens: args.long_node_tokens };
        let cloud = Cloud::start(CloudConfig { world: identities::world(&pace), port: 0 }).await?;
        plane.enable_rrsa(&cloud).await?;
        for manifest in MANIFESTS {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(manifest);
            plane.apply_file(path).await.with_context(|| format!("{manifest} was not applied"))?;
        }

        println!("Create {} namespaces", args.namespaces);
        let transport = Transport::open(plane.kubeconfig(), Kind::Http1).await?;
        let create = |index| create_namespace(&format!("{PREFIX}{index:05}"));
        send_all(&transport, (0..args.namespaces).map(create).collect()).await?;
        let client = transport.client(0);
        identities::access_key(&cloud)?.send(&client).await?;
        create_account("kube-system", "aliyun-acr-credential-helper").send(&client).await?;
        until_at_rest(&plane, Who::ControllerManager).await?;

        let kubeconfig = plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await?;
        let options = ControllerOptions::new(binary, kubeconfig, cloud.address());
        let controller = Controller::start_ready(options, PATIENCE).await?;
        let namespaces = args.namespaces as usize;
        let (hours, apart) = (args.hours, args.apart);
        Ok(Economy { transport, controller, cloud, plane, pace, namespaces, hours, apart })
    }

    async fn measure(&self) -> anyhow::Result<Report> {
        println!("Bind {} registries and wait until every namespace is served", identities::registries());
        let filled = self.fill().await?;
        println!("   served after {:.1} s", filled.took.as_secs_f64());
        let hours = self.pace.compressed(Duration::from_secs(3600)) * self.hours;
        println!(
            "Let {} hours of the cloud pass, {} s, and the rest of a round",
            self.hours,
            hours.as_secs()
        );
        tokio::time::sleep(hours).await;
        let end = self.next_round(self.cloud.now()).await?;

        let cpu = self.controller.cpu()?.saturating_sub(filled.cpu);
        let calls = self.cloud.calls();
        let window = Window::between(&calls, filled.at, end).context("no round followed the fill")?;
        let requests = self.plane.audit().since(filled.mark)?.by_service_account(NAMESPACE, CONTROLLER);
        Ok(Report {
            pace: self.pace,
            namespaces: self.namespaces,
            apart: self.apart,
            writes: Writes::of(&requests, &window),
            uses: rounds::uses(&calls),
            fill: filled.took,
            peak_rss_kib: (filled.peak_rss_kib, self.controller.peak_rss_kib()?),
            cpu,
            window,
        })
    }

    /// Creates the bindings, and returns when each namespace has its Secret with all registries.
    async fn fill(&self) -> anyhow::Result<Filled> {
        let (started, client) = (Instant::now(), self.transport.client(0));
        let mark = self.plane.audit().mark()?;
        identities::binding("economy", &self.pace, |number| self.apart.is_none() || number % 2 == 0)
            .send(&client)
            .await?;
        let (mut mark, took) = (self.until_written(mark, CREATED).await?, started.elapsed());
        if let Some(minutes) = self.apart {
            let apart = self.pace.compressed(Duration::from_secs(60) * minutes);
            tokio::time::sleep(apart.saturating_sub(took)).await;
            identities::binding("economy-later", &self.pace, |number| number % 2 == 1).send(&client).await?;
            mark = self.until_written(mark, UPDATED).await?;
        }
        Ok(Filled {
            at: self.cloud.now(),
            mark,
            took,
            cpu: self.controller.cpu()?,
            peak_rss_kib: self.controller.peak_rss_kib()?,
        })
    }

    /// Waits until each namespace's Secret was written after a mark, and returns the mark up to which the
    /// audit log was read.
    async fn until_written(&self, mut mark: Mark, code: u16) -> anyhow::Result<Mark> {
        let (audit, started, mut written) = (self.plane.audit(), Instant::now(), HashSet::new());
        while written.len() < self.namespaces {
            if started.elapsed() > PATIENCE {
                bail!("{} of {} Secrets are written after {PATIENCE:?}", written.len(), self.namespaces);
            }
            tokio::time::sleep(POLL_EVERY).await;
            let (events, next) = audit.read(mark)?;
            mark = next;
            let ours = events.into_iter().filter(|event| event.name == SECRET && event.code == code);
            written.extend(ours.map(|event| event.namespace).filter(|name| name.starts_with(PREFIX)));
        }
        Ok(mark)
    }

    /// Waits for the next round after a moment, and returns when it began: up to there the rounds are
    /// complete.
    async fn next_round(&self, after: Millis) -> anyhow::Result<Millis> {
        let patience = self.pace.compressed(Duration::from_secs(2 * 3600)) + Duration::from_secs(10);
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(began) = rounds::begin_of_next(&self.cloud.calls(), after) {
                return Ok(began);
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
        bail!("no token was requested in {patience:?}")
    }
}
