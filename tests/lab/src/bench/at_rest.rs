//! Rest: nothing is written while nothing happens, nor across a restart.

use std::time::{Duration, Instant};

use super::{Bench, PATIENCE, report::Row, spans::seconds};

/// How long the idle cluster is watched.
const REST: Duration = Duration::from_secs(30);

/// How long a restarted controller is watched after it is ready.
const AFTER_RESTART: Duration = Duration::from_secs(10);

/// The goal of both.
const NOTHING: &str = "0 writes, 0 cloud calls";

impl Bench {
    pub(super) async fn rest(&mut self) -> anyhow::Result<()> {
        println!("\n{} s at rest", REST.as_secs());
        let start = self.begin()?;
        tokio::time::sleep(REST).await;
        let cost = self.cost("at rest", start, Instant::now())?;
        let (writes, calls) = (cost.requests.writes, cost.cloud_calls);
        let job = format!("at rest, {} s", REST.as_secs());
        let measured = format!("{writes} writes, {calls} cloud calls");
        self.report.row(Row::plain(&job, measured, NOTHING, writes + calls == 0));
        self.report.cost(cost);
        Ok(())
    }

    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        println!("\nStop the controller by SIGTERM and start it again");
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
        let (writes, calls) = (cost.requests.writes, cost.cloud_calls);
        let measured = format!("{writes} writes, {calls} cloud calls");
        self.report.row(Row::plain("across a restart", measured, NOTHING, writes + calls == 0));
        self.report.row(Row::free(
            "restart: to end, to be ready",
            format!("{}, {}", seconds(ended), seconds(ready)),
        ));
        self.report.cost(cost);
        Ok(())
    }
}
