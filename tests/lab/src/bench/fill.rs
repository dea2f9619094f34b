//! From one binding to a Secret in every namespace and an entry in every ServiceAccount.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    BINDING, Bench, PATIENCE,
    group::ACCOUNTS,
    report::Row,
    requests::{Who, until_at_rest},
    scout::binding,
    spans::{grouped, ratio, seconds},
    watch::{Watch, from_to},
};

impl Bench {
    pub(super) async fn fill(&mut self) -> anyhow::Result<()> {
        let (count, half) = (self.covered.len(), self.covered.len() / 2);
        println!("\nStart with all namespaces and no binding");
        let before = self.floor.fill(&self.transport, &self.template, 0..half).await?;
        let start = self.begin()?;
        self.cpu = Duration::ZERO;
        let started = Instant::now();
        self.controller.restart()?;
        self.controller.until_ready(PATIENCE).await?;
        let ready = started.elapsed();
        let end = until_at_rest(&self.plane, Who::Controller).await?;
        self.report.row(Row::free("start, until ready", seconds(ready)));
        self.report.cost(self.cost("start", start, end)?);

        println!("\nFill {} namespaces from empty", grouped(count));
        let start = self.begin()?;
        let asked = Instant::now();
        binding(BINDING, "bench-*").send(&self.transport.client(0)).await?;
        let (secrets, accounts) = tokio::try_join!(
            until_all(&mut self.secrets, count, |_| true),
            until_all(&mut self.accounts, count * ACCOUNTS.len(), |bound| bound)
        )?;
        let filled = from_to(asked, secrets.max(accounts));
        let end = until_at_rest(&self.plane, Who::Controller).await?;
        // A Secret that was written again was incomplete before.
        let last = self.secrets.drain()?.into_iter().chain(self.accounts.drain()?).map(|seen| seen.at).max();
        let filled = last.map_or(filled, |last| from_to(asked, last));
        let cost = self.cost("fill", start, end)?;

        let cpu = self.controller.cpu()?;
        let after = self.floor.fill(&self.transport, &self.template, half..count).await?;
        let listened = self.controller.cpu()?.saturating_sub(cpu);
        println!(
            "   floor: {} before and {} after, while the controller, which receives these events, used {} of CPU",
            seconds(before),
            seconds(after),
            seconds(listened)
        );
        let drift = ratio(after, before) * half as f64 / (count - half) as f64;
        println!("   the second half of the floor took {drift:.2} × the first");
        self.report.row(Row::against("fill from empty", filled, before + after, 1.2));
        let needed = count * (1 + ACCOUNTS.len());
        let measured = format!(
            "{} writes, {} for its own state, {} reads",
            grouped(cost.requests.served),
            cost.requests.writes - cost.requests.served,
            cost.requests.total - cost.requests.writes
        );
        let reach = format!("{} writes and the initial lists", grouped(needed));
        let job = format!("API calls to fill {} objects", grouped(needed));
        self.report.row(Row::plain(&job, measured, &reach, cost.requests.served == needed));
        self.report.cost(cost);
        Ok(())
    }
}

/// Waits until this many objects in covered namespaces are complete, and returns when the last one was.
async fn until_all(watch: &mut Watch, count: usize, whole: fn(bool) -> bool) -> anyhow::Result<Instant> {
    let (mut seen, mut last) = (HashSet::new(), Instant::now());
    while seen.len() < count {
        let observation = watch.next().await?;
        if observation.exists && whole(observation.bound) && observation.namespace.starts_with("bench-") {
            last = observation.at;
            seen.insert((observation.namespace, observation.name));
        }
    }
    Ok(last)
}
