//! The race window: how long a new ServiceAccount exists without our entry, so that a Pod could miss it.

use std::time::Instant;

use kube::Client;

use super::{
    Bench,
    group::{create_account, create_namespace},
    report::Row,
    requests::{Who, until_at_rest},
    spans::Spans,
    watch::{Watch, from_to},
};

/// Measurements of new ServiceAccounts, created one after the other.
#[derive(Default)]
pub(super) struct Races {
    /// Durations of the bare create calls.
    pub(super) creates: Spans,
    /// From the return of the create call until the watcher saw the entry.
    pub(super) windows: Spans,
}

impl Races {
    /// Creates one ServiceAccount and waits for its entry.
    pub(super) async fn run(
        &mut self,
        client: &Client,
        accounts: &mut Watch,
        (namespace, name): (&str, &str),
    ) -> anyhow::Result<()> {
        let call = create_account(namespace, name);
        let sent = Instant::now();
        call.send(client).await?;
        let created = Instant::now();
        let seen =
            accounts.find(|seen| seen.bound && seen.name == name && seen.namespace == namespace).await?;
        self.creates.push(from_to(sent, created));
        self.windows.push(from_to(created, seen.at));
        Ok(())
    }
}

impl Bench {
    pub(super) async fn race_in_served_namespaces(&mut self) -> anyhow::Result<()> {
        println!("\nA new ServiceAccount in a served namespace");
        let start = self.begin()?;
        let client = self.transport.client(0);
        let mut races = Races::default();
        for sample in 0..self.layout.samples {
            let namespace = self.covered.namespace(sample);
            races.run(&client, &mut self.accounts, (namespace, &format!("app-{sample}"))).await?;
        }
        let end = until_at_rest(&self.plane, Who::Controller).await?;
        let job = "race window, served namespace";
        self.report.row(Row::race(job, &races.windows, &races.creates, Some(self.layout.goals.served)));
        self.report.cost(self.cost(job, start, end)?);
        Ok(())
    }

    pub(super) async fn race_in_new_namespaces(&mut self) -> anyhow::Result<()> {
        println!("\nA new ServiceAccount in a namespace that is as new");
        let start = self.begin()?;
        let client = self.transport.client(0);
        let mut races = Races::default();
        for sample in 0..self.layout.samples {
            let namespace = format!("bench-new-{sample:05}");
            create_namespace(&namespace).send(&client).await?;
            races.run(&client, &mut self.accounts, (&namespace, "app")).await?;
        }
        self.served += self.layout.samples;
        let end = until_at_rest(&self.plane, Who::Controller).await?;
        let job = "race window, new namespace";
        self.report.row(Row::race(job, &races.windows, &races.creates, Some(self.layout.goals.new)));
        self.report.cost(self.cost(job, start, end)?);
        Ok(())
    }
}
