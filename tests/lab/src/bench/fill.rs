//! From the first binding to a Secret in every namespace and an entry in every ServiceAccount.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    Bench, PATIENCE,
    call::send_all,
    report::Row,
    requests::{Who, until_at_rest},
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
        let bindings = self.layout.bindings.iter().map(|binding| binding.create()).collect();
        let asked = Instant::now();
        let (_, secrets, accounts) = tokio::try_join!(
            send_all(&self.transport, bindings),
            until_all(&mut self.secrets, count, |_| true),
            until_all(&mut self.accounts, count * self.covered.accounts_each(), |bound| bound)
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
        let goal = self.layout.goals.fill;
        self.report.row(Row::against("fill from empty", filled, before + after, goal));
        let needed = count * self.covered.writes_each();
        let measured = format!(
            "{} writes, {} for its own state, {} reads",
            grouped(cost.requests.served),
            cost.requests.writes - cost.requests.served,
            cost.requests.total - cost.requests.writes
        );
        let reach = format!("{} writes and the initial lists", grouped(needed));
        let job = format!("API calls to fill {} objects", grouped(needed));
        self.report.row(Row::plain(&job, measured, &reach, cost.requests.served == needed));
        let again = cost.requests.again;
        let job = "objects that the fill wrote more than once";
        self.report.row(Row::plain(job, again.to_string(), "0", again == 0));
        if self.layout.bindings.len() > 1 {
            #[expect(clippy::cast_precision_loss, reason = "a count of writes is far below 2^53")]
            let each = cost.requests.secrets as f64 / count as f64;
            let job = format!("writes of each Secret while {} bindings are made", self.layout.bindings.len());
            self.report.row(Row::plain(&job, format!("{each:.2}"), "1", cost.requests.secrets == count));
        }
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
