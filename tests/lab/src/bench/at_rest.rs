//! Rest: nothing is written while nothing happens, nor across a restart.

use std::time::{Duration, Instant};

use hyper::Request;
use kube::Client;
use serde::Deserialize;

use super::{
    Bench, PATIENCE, SECRET,
    report::Row,
    scout::BINDINGS,
    spans::{ratio, seconds},
};

/// How long a restarted controller is watched after it is ready.
const AFTER_RESTART: Duration = Duration::from_secs(10);

/// The goal of both.
const NOTHING: &str = "0 writes, 0 cloud calls";

/// The most processor time at rest, in percent of a core.
const MOST_CPU: f64 = 0.1;

/// The most time until it is ready again, as a multiple of the bare lists.
const MOST_LISTS: f64 = 1.2;

/// Objects of a page of a bare list, as many as the product asks for.
const PAGE: usize = 250;

/// A page of a list, of which only the way to the next one is kept.
#[derive(Deserialize, Clone)]
struct Page {
    metadata: PageMetadata,
}

#[derive(Deserialize, Clone)]
struct PageMetadata {
    #[serde(default, rename = "continue")]
    next: String,
}

impl Bench {
    pub(super) async fn rest(&mut self) -> anyhow::Result<()> {
        let rest = self.layout.rest;
        println!("\n{} s at rest", rest.as_secs());
        let start = self.begin()?;
        tokio::time::sleep(rest).await;
        let cost = self.cost("at rest", start, Instant::now())?;
        let (writes, calls) = (cost.requests.writes, cost.cloud_calls);
        let job = format!("at rest, {} s", rest.as_secs());
        let measured = format!("{writes} writes, {calls} cloud calls");
        self.report.row(Row::count(&job, measured, NOTHING, writes + calls == 0));
        let share = 100.0 * ratio(cost.cpu, rest);
        let reach = format!("≤ {MOST_CPU} %");
        self.report.row(Row::plain(
            "CPU at rest, of a core",
            format!("{share:.2} %"),
            &reach,
            share <= MOST_CPU,
        ));
        self.report.cost(cost);
        Ok(())
    }

    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        println!("\nStop the controller by SIGTERM and start it again");
        let before = self.bare_lists().await?;
        let start = self.begin()?;
        let stopped_at = Instant::now();
        self.controller.terminate(PATIENCE).await?;
        let ended = stopped_at.elapsed();
        self.cpu = Duration::ZERO;
        let started = Instant::now();
        self.controller.restart()?;
        self.controller.until_ready(PATIENCE).await?;
        let ready = started.elapsed();
        tokio::time::sleep(AFTER_RESTART).await;
        let cost = self.cost("restart", start, Instant::now())?;
        let after = self.bare_lists().await?;
        let (writes, calls) = (cost.requests.writes, cost.cloud_calls);
        let measured = format!("{writes} writes, {calls} cloud calls");
        self.report.row(Row::count("across a restart", measured, NOTHING, writes + calls == 0));
        self.report.row(Row::against(
            "restart, until ready; bare lists",
            ready,
            (before + after) / 2,
            MOST_LISTS,
        ));
        self.report.row(Row::free("restart, until the old process has ended", seconds(ended)));
        self.report.cost(cost);
        Ok(())
    }

    /// Lists what the controller reads at its start, the kinds side by side, and returns how long it takes.
    async fn bare_lists(&self) -> anyhow::Result<Duration> {
        let secrets = format!("/api/v1/secrets?fieldSelector=metadata.name={SECRET}&");
        let bindings = format!("{BINDINGS}?");
        let started = Instant::now();
        tokio::try_join!(
            list(self.transport.client(0), "/api/v1/namespaces?"),
            list(self.transport.client(1), "/api/v1/serviceaccounts?"),
            list(self.transport.client(2), &secrets),
            list(self.transport.client(3), &bindings),
        )?;
        Ok(started.elapsed())
    }
}

/// Lists one kind, page by page.
async fn list(client: Client, path: &str) -> anyhow::Result<()> {
    let mut next = String::new();
    loop {
        let request = Request::get(format!("{path}limit={PAGE}&continue={next}")).body(Vec::new())?;
        next = client.request::<Page>(request).await?.metadata.next;
        if next.is_empty() {
            return Ok(());
        }
    }
}
