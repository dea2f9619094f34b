//! Fresh tokens in every Secret, and whether new ServiceAccounts wait meanwhile.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Instant,
};

use k8s_openapi::jiff::Timestamp;

use super::{
    Bench,
    call::send_all,
    race::Races,
    report::Row,
    requests::{Who, until_at_rest},
    scout::refresh,
    spans::{grouped, ratio, seconds},
    watch::{Watch, from_to},
};

/// The most refreshes that are requested to catch enough moments in which one runs.
const REFRESHES: usize = 8;

impl Bench {
    pub(super) async fn refresh(&mut self) -> anyhow::Result<()> {
        let (count, half) = (self.served, self.served / 2);
        println!("\nRefresh {} Secrets", grouped(count));
        let before = self.floor.refresh(&self.transport, &self.template, half).await?;
        let start = self.begin()?;
        self.ask_for_fresh_tokens().await?;
        let asked = Instant::now();
        let (first, changed) = until_changed(&mut self.secrets, count).await?;
        let end = until_at_rest(&self.plane, Who::Controller).await?;
        // A Secret that was written again was not completely fresh before.
        let last = self.secrets.drain()?.into_iter().map(|seen| seen.at).max().unwrap_or(changed);
        let cost = self.cost("refresh", start, end)?;
        let after = self.floor.refresh(&self.transport, &self.template, count - half).await?;
        println!("   the first Secret was fresh after {}", seconds(from_to(asked, first)));
        println!(
            "   floor: {} before and {} after, {:.2} × the first",
            seconds(before),
            seconds(after),
            ratio(after, before) * half as f64 / (count - half) as f64
        );
        let job = format!("refresh of {} Secrets", grouped(count));
        self.report.row(Row::against(&job, from_to(asked, last), before + after, self.layout.goals.refresh));
        self.report.cost(cost);
        Ok(())
    }

    async fn ask_for_fresh_tokens(&self) -> anyhow::Result<()> {
        let at = now();
        let calls = self.layout.bindings.iter().map(|binding| refresh(&binding.name, &at));
        send_all(&self.transport, calls.collect()).await?;
        Ok(())
    }

    pub(super) async fn race_during_refreshes(&mut self) -> anyhow::Result<()> {
        println!("\nA new ServiceAccount in a served namespace, while every Secret is refreshed");
        let start = self.begin()?;
        let client = self.transport.client(0);
        let (mut races, mut end, mut rounds) = (Races::default(), start.at, 0);
        while rounds < REFRESHES && races.windows.len() < self.layout.samples {
            let done = AtomicBool::new(false);
            self.ask_for_fresh_tokens().await?;
            let refreshing = async {
                until_changed(&mut self.secrets, self.served).await?;
                done.store(true, Ordering::Relaxed);
                anyhow::Ok(())
            };
            let racing = async {
                let mut sample = 0;
                while !done.load(Ordering::Relaxed) {
                    // Namespaces just refreshed, waiting, and in progress, in turn.
                    let namespace = self.covered.namespace(sample * 7);
                    let name = format!("meanwhile-{rounds}-{sample}");
                    races.run(&client, &mut self.accounts, (namespace, &name)).await?;
                    sample += 1;
                }
                anyhow::Ok(())
            };
            tokio::try_join!(refreshing, racing)?;
            end = until_at_rest(&self.plane, Who::Controller).await?;
            self.secrets.drain()?;
            rounds += 1;
        }
        let job = "race window, during a refresh";
        self.report.row(Row::race(job, &races.windows, &races.creates, self.layout.goals.during));
        let mut cost = self.cost(&format!("{job}; {rounds} of them"), start, end)?;
        // Each refresh but the first rewrites every Secret.
        cost.requests.again = cost.requests.again.saturating_sub((rounds - 1) * self.served);
        self.report.cost(cost);
        Ok(())
    }
}

/// Waits until this many Secrets have changed, and returns when the first and the last did.
async fn until_changed(secrets: &mut Watch, count: usize) -> anyhow::Result<(Instant, Instant)> {
    let (mut seen, mut first, mut last) = (HashSet::new(), None, Instant::now());
    while seen.len() < count {
        let observation = secrets.next().await?;
        if observation.exists && observation.namespace.starts_with("bench-") {
            last = observation.at;
            first = first.or(Some(last));
            seen.insert(observation.namespace);
        }
    }
    Ok((first.unwrap_or(last), last))
}

#[allow(clippy::disallowed_methods, reason = "the refresh annotation's value is a time")]
fn now() -> String {
    Timestamp::now().to_string()
}
