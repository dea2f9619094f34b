//! ServiceAccounts, created at a rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use kube::Client;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;

use crate::bench::{SECRET, spans::Spans, transport::Transport};

/// Creates at a time where no rate is asked.
const AT_A_TIME: usize = 32;

/// Refusals that are printed in full.
const PRINTED: usize = 3;

/// The rate and the length of a load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// ServiceAccounts a second; `None` means without a limit.
    pub(super) rate: Option<u32>,
    /// Seconds of the load.
    pub(super) seconds: u32,
}

/// The outcome of a load.
#[derive(Default)]
pub(super) struct Outcome {
    /// Duration of each successful create.
    pub(super) spans: Spans,
    /// Creates that were refused.
    pub(super) refused: usize,
    /// ServiceAccounts that were created without our entry.
    pub(super) bare: usize,
    /// The first refusals, as the API server worded them.
    pub(super) errors: Vec<String>,
    took: Duration,
}

impl Outcome {
    /// Returns the ServiceAccounts created per second.
    pub(super) fn reached(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let count = self.spans.len() as f64;
        count / self.took.as_secs_f64().max(f64::EPSILON)
    }

    fn add(&mut self, answered: Answered) {
        match answered {
            Answered { result: Ok(served), took } => {
                self.spans.push(took);
                self.bare += usize::from(!served);
            }
            Answered { result: Err(error), .. } => {
                self.refused += 1;
                if self.errors.len() < PRINTED {
                    self.errors.push(error.to_string());
                }
            }
        }
    }
}

struct Answered {
    result: kube::Result<bool>,
    took: Duration,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Account {
    #[serde(default)]
    image_pull_secrets: Vec<Entry>,
}

#[derive(Deserialize, Clone)]
struct Entry {
    #[serde(default)]
    name: String,
}

/// Creates a ServiceAccount, and returns whether the response already has our entry.
pub(super) async fn create(client: &Client, namespace: &str, name: &str) -> kube::Result<bool> {
    let object = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
    let request = hyper::Request::post(format!("/api/v1/namespaces/{namespace}/serviceaccounts"))
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    let account: Account = client.request(request).await?;
    Ok(account.image_pull_secrets.iter().any(|entry| entry.name == SECRET))
}

async fn timed(client: Client, namespace: Arc<str>, number: usize) -> Answered {
    let began = Instant::now();
    let result = create(&client, &namespace, &format!("account-{number}")).await;
    Answered { result, took: began.elapsed() }
}

/// Creates ServiceAccounts. At a rate, each request is sent at its time, whether or not earlier ones are
/// answered. A sender that waits for a slow response would miss that the next one is slow too.
pub(super) async fn run(transport: &Transport, namespace: &str, load: Load) -> anyhow::Result<Outcome> {
    let namespace: Arc<str> = namespace.into();
    let length = Duration::from_secs(load.seconds.into());
    let (started, mut outcome) = (Instant::now(), Outcome::default());
    let mut tasks = JoinSet::new();
    match load.rate {
        Some(rate) => {
            for number in 0..(rate * load.seconds) as usize {
                #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
                let due = started + Duration::from_secs_f64(number as f64 / f64::from(rate));
                tokio::time::sleep_until(due.into()).await;
                tasks.spawn(timed(transport.client(number), namespace.clone(), number));
                while let Some(answered) = tasks.try_join_next() {
                    outcome.add(answered?);
                }
            }
            while let Some(answered) = tasks.join_next().await {
                outcome.add(answered?);
            }
        }
        None => {
            let next = Arc::new(AtomicUsize::new(0));
            let mut workers = JoinSet::new();
            for worker in 0..AT_A_TIME {
                let (client, namespace, next) = (transport.client(worker), namespace.clone(), next.clone());
                workers.spawn(async move {
                    let mut answers = Vec::new();
                    while started.elapsed() < length {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        answers.push(timed(client.clone(), namespace.clone(), number).await);
                    }
                    answers
                });
            }
            while let Some(answers) = workers.join_next().await {
                answers?.into_iter().for_each(|answered| outcome.add(answered));
            }
        }
    }
    outcome.took = started.elapsed();
    Ok(outcome)
}
