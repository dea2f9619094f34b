//! Repair of what others deleted.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use serde_json::json;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{
    Bench, SECRET,
    call::Call,
    group::{account_path, repaired_account, secret_path},
    report::Row,
    requests::{Who, until_at_rest},
    spans::{Spans, grouped, seconds},
    transport::Transport,
    watch::{Watch, from_to},
};

/// The most Secrets that are deleted, and the most lists that are cleared.
const MOST: usize = 200;

/// Number of removals in flight at once.
const AT_A_TIME: usize = 16;

/// When each namespace's removal returned.
type Returned = HashMap<String, Instant>;

impl Bench {
    pub(super) async fn repair(&mut self) -> anyhow::Result<()> {
        let count = MOST.min(self.covered.len());
        println!(
            "\nDelete {count} Secrets and clear the lists of {count} ServiceAccounts, {AT_A_TIME} at a time"
        );
        let half = count / 2;
        let before = self.floor.repair(&self.transport, &self.template, 0..half).await?;
        let start = self.begin()?;
        // The lists belong to other namespaces, where there are enough.
        let deletes: Vec<_> = (0..count).map(|index| self.covered.namespace(index).to_owned()).collect();
        let clears: Vec<_> =
            (count..2 * count).map(|index| self.covered.namespace(index).to_owned()).collect();
        let calls = deletes
            .iter()
            .map(|namespace| (namespace.clone(), Call::delete(secret_path(namespace, SECRET))))
            .chain(clears.iter().map(|namespace| {
                let path = account_path(namespace, repaired_account());
                (namespace.clone(), Call::merge(&path, &json!({ "imagePullSecrets": null })))
            }));
        let calls = calls.collect();
        let started = Instant::now();
        let (returned, secrets, accounts) = tokio::try_join!(
            take_away(&self.transport, calls),
            until_back(&mut self.secrets, SECRET, count),
            until_back(&mut self.accounts, repaired_account(), count)
        )?;
        let (returned_deletes, returned_clears): (Vec<_>, Vec<_>) =
            returned.into_iter().partition(|(index, ..)| *index < count);
        let last = secrets.values().chain(accounts.values()).max().copied().unwrap_or(started);
        let secrets = windows(returned_deletes, &secrets)?;
        let accounts = windows(returned_clears, &accounts)?;
        let end = until_at_rest(&self.plane, Who::Controller).await?;
        let cost = self.cost("repair", start, end)?;
        let after = self.floor.repair(&self.transport, &self.template, half..count).await?;
        let of = grouped(count);
        self.report.row(Row::free(&format!("a deleted Secret is back, p50 / p99 of {of}"), secrets.both()));
        self.report.row(Row::free(&format!("a cleared list is back, p50 / p99 of {of}"), accounts.both()));
        let total = from_to(started, last);
        let job = format!("all {} are removed and back", grouped(2 * count));
        match self.layout.goals.repair {
            Some(goal) => self.report.row(Row::against(&job, total, before + after, goal)),
            None => self.report.row(Row::free(&job, seconds(total))),
        }
        self.report.cost(cost);
        Ok(())
    }
}

/// Sends all calls, and returns for each its index, its namespace and when it returned.
async fn take_away(
    transport: &Transport,
    calls: Vec<(String, Call)>,
) -> anyhow::Result<Vec<(usize, String, Instant)>> {
    let permits = Arc::new(Semaphore::new(AT_A_TIME));
    let mut tasks = JoinSet::new();
    for (index, (namespace, call)) in calls.into_iter().enumerate() {
        let (permits, client) = (Arc::clone(&permits), transport.client(index));
        tasks.spawn(async move {
            let _permit = permits.acquire_owned().await?;
            call.send(&client).await?;
            anyhow::Ok((index, namespace, Instant::now()))
        });
    }
    let mut returned = Vec::with_capacity(tasks.len());
    while let Some(task) = tasks.join_next().await {
        returned.push(task??);
    }
    Ok(returned)
}

/// Waits until this many objects of a name disappeared and came back, and returns when each did, by
/// namespace.
async fn until_back(watch: &mut Watch, name: &str, count: usize) -> anyhow::Result<Returned> {
    let (mut away, mut back) = (HashSet::new(), Returned::new());
    while back.len() < count {
        let seen = watch.next().await?;
        if seen.name != name {
            continue;
        }
        let whole = seen.exists && (seen.bound || name == SECRET);
        if !whole {
            away.insert(seen.namespace);
        } else if away.remove(&seen.namespace) {
            back.insert(seen.namespace, seen.at);
        }
    }
    Ok(back)
}

fn windows(returned: Vec<(usize, String, Instant)>, back: &Returned) -> anyhow::Result<Spans> {
    let window = |(_, namespace, at): (usize, String, Instant)| -> anyhow::Result<Duration> {
        let seen = back.get(&namespace).with_context(|| format!("{namespace} was not repaired"))?;
        Ok(from_to(at, *seen))
    };
    returned.into_iter().map(window).collect()
}
