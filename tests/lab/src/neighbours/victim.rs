//! The victim: ten namespaces of a well-behaved tenant, and what happens to them in a phase.

use std::time::{Duration, Instant};

use acr_lab::plane::{AuditEvent, AuditEvents};
use anyhow::bail;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::{
    Args,
    seen::{Seen, is_bound},
    stage::Stage,
};
use crate::bench::{
    CONTROLLER, NAMESPACE, SECRET,
    call::Call,
    scout::{self, BINDINGS},
    spans::Spans,
    watch::from_to,
};

/// The victim's binding, and the beginning of its namespaces' names.
const VICTIM: &str = "victim";

/// Its namespaces.
pub(super) const NAMESPACES: usize = 10;

/// The instance of its registry.
const INSTANCE: &str = "cri-demo0001";

/// What the watches observe.
const ACCOUNTS: &str = "/api/v1/serviceaccounts";
const SECRETS: &str = "/api/v1/secrets";

/// The longest wait for an entry or a refresh. Longer is never.
pub(super) const NEVER: Duration = Duration::from_secs(120);

/// The longest wait for the answer to a create call.
const ANSWER: Duration = Duration::from_secs(40);

/// The victim is quiet when nothing of it was written for so long: its status is reported a while after the
/// work.
const QUIET: Duration = Duration::from_secs(4);

/// How often to check what the watches have seen.
pub(super) const POLL_EVERY: Duration = Duration::from_millis(5);

/// Returns the name of one of the victim's namespaces, in turn.
pub(super) fn namespace(number: usize) -> String {
    format!("{VICTIM}-{}", number % NAMESPACES)
}

/// The victim, and the watches that observe it.
pub(super) struct Victim {
    samples: u32,
    seconds: u32,
    entries: Seen,
    secrets: Seen,
    /// Phases so far, for the names of accounts.
    phases: usize,
}

/// The victim's figures in one phase.
pub(super) struct Phase {
    /// The name of the phase.
    pub(super) name: &'static str,
    /// Its length.
    pub(super) wall: Duration,
    /// Durations of the create calls.
    pub(super) creates: Spans,
    /// From the return of the create call to the entry.
    pub(super) windows: Spans,
    /// Create calls that were refused or not answered, with one of the reasons.
    pub(super) refused: usize,
    /// One of the reasons.
    pub(super) reason: String,
    /// Accounts that never got their entry.
    pub(super) never: usize,
    /// From the request for fresh tokens until every Secret had them; `None` if that never came.
    pub(super) refresh: Option<Duration>,
    /// Writes of the victim's objects beyond those that it needed.
    pub(super) extra_writes: i64,
    /// Writes of the status of the victim's binding.
    pub(super) status_writes: usize,
    /// Writes of the token cache.
    pub(super) cache_writes: usize,
    /// The controller's writes of all other objects.
    pub(super) other_writes: usize,
    /// The controller's requests that were refused with 429 or 5xx.
    pub(super) failed_requests: usize,
    /// Cloud calls for the victim's registry.
    pub(super) own_calls: usize,
    /// All other cloud calls.
    pub(super) other_calls: usize,
    /// The controller's processor time.
    pub(super) cpu: Duration,
}

/// One account.
struct Sample {
    place: (String, String),
    /// The length of the create call and its end, or the refusal.
    created: Result<(Duration, Instant), String>,
}

impl Victim {
    /// Creates the victim's namespaces and binding, and waits until they are served.
    pub(super) async fn move_in(stage: &Stage, args: &Args) -> anyhow::Result<Victim> {
        let victim = Victim {
            samples: args.samples,
            seconds: args.seconds,
            entries: Seen::follow(stage, ACCOUNTS, &format!("labelSelector={VICTIM}"), true).await?,
            secrets: Seen::follow(stage, SECRETS, &format!("fieldSelector=metadata.name={SECRET}"), false)
                .await?,
            phases: 0,
        };
        let names: Vec<String> = (0..NAMESPACES).map(namespace).collect();
        stage.create_namespaces(&names).await?;
        let mut spec = json!({
            "registries": [{ "instanceId": INSTANCE }],
            "watchNamespaces": { "names": [format!("{VICTIM}-*")] },
            "serviceAccounts": { "names": ["*"] },
        });
        if stage.webhook {
            spec["webhook"] = json!({ "enable": true, "failurePolicy": "Fail", "timeoutSeconds": 10 });
        }
        let object = json!({
            "apiVersion": "acrcredential.dev/v1alpha1",
            "kind": "AcrCredentialBinding",
            "metadata": { "name": VICTIM },
            "spec": spec,
        });
        Call::create(BINDINGS, &object).send(&stage.client()).await?;
        stage.until_ready(VICTIM, "True").await?;
        Ok(victim)
    }

    /// Creates some accounts that do not count: the first ones meet cold caches.
    pub(super) async fn warm_up(&mut self, stage: &Stage) -> anyhow::Result<()> {
        for number in 0..10 {
            let sample =
                create(stage.tenant(number), namespace(number), format!("warm-{number}"), stage.annotated);
            let sample = sample.await;
            if let Err(reason) = sample.created {
                bail!("the victim's first accounts were refused: {reason}");
            }
            self.entries.until(&[sample.place]).await?;
        }
        self.until_quiet(stage).await
    }

    /// Waits until nothing of the victim is written any more, for a while at most: a neighbour can keep it
    /// busy.
    pub(super) async fn until_quiet(&self, stage: &Stage) -> anyhow::Result<()> {
        let mut mark = stage.plane.audit().mark()?;
        let (mut since, started) = (Instant::now(), Instant::now());
        while since.elapsed() < QUIET && started.elapsed() < 6 * QUIET {
            tokio::time::sleep(10 * POLL_EVERY).await;
            let (events, next) = stage.plane.audit().read(mark)?;
            mark = next;
            if events.iter().any(|event| is_ours(event) && !matches!(part(event), Part::Other)) {
                since = Instant::now();
            }
        }
        Ok(())
    }

    /// Creates accounts at a fixed rate, asks for fresh tokens once, and reports what happened.
    pub(super) async fn phase(&mut self, stage: &Stage, name: &'static str) -> anyhow::Result<Phase> {
        self.phases += 1;
        let (mark, cpu, started) = (stage.plane.audit().mark()?, stage.keeper.cpu(), Instant::now());
        let calls = stage.cloud.calls().len();
        let length = Duration::from_secs(self.seconds.into());
        let mut creating = JoinSet::new();
        let mut beat = tokio::time::interval(length / self.samples);
        let mut refreshing = None;
        let mut number = 0;
        while started.elapsed() < length || stage.scene.is_busy() {
            beat.tick().await;
            let account = format!("{name}-{}-{number}", self.phases);
            creating.spawn(create(stage.tenant(number), namespace(number), account, stage.annotated));
            number += 1;
            if refreshing.is_none() && started.elapsed() > length / 3 {
                refreshing = Some(self.refresh(stage));
            }
        }
        let samples = creating.join_all().await;
        let places: Vec<_> = samples
            .iter()
            .filter(|sample| sample.created.is_ok())
            .map(|sample| sample.place.clone())
            .collect();
        self.entries.until(&places).await?;
        let refresh = match refreshing {
            Some(refreshing) => refreshing.await?,
            None => None,
        };
        let wall = started.elapsed();
        // What the phase caused is written a moment later.
        self.until_quiet(stage).await?;
        let used = stage.keeper.cpu().saturating_sub(cpu);
        let mut phase = Phase {
            name,
            wall,
            creates: Spans::default(),
            windows: Spans::default(),
            refused: 0,
            reason: String::new(),
            never: 0,
            refresh,
            extra_writes: 0,
            status_writes: 0,
            cache_writes: 0,
            other_writes: 0,
            failed_requests: 0,
            own_calls: 0,
            other_calls: 0,
            cpu: used,
        };
        for sample in samples {
            match (sample.created, self.entries.at(&sample.place)) {
                (Ok((took, end)), Some(at)) => {
                    phase.creates.push(took);
                    phase.windows.push(from_to(end, at));
                }
                (Ok((took, _)), None) => {
                    phase.creates.push(took);
                    phase.never += 1;
                }
                (Err(reason), _) => {
                    phase.refused += 1;
                    phase.reason = reason;
                }
            }
        }
        // A webhook adds the entry before the account exists.
        let accounts = if stage.webhook { 0 } else { phase.windows.len() };
        phase.count(&stage.plane.audit().since(mark)?, accounts);
        for call in stage.cloud.calls().iter().skip(calls) {
            match call.instance.as_deref() {
                Some(INSTANCE) => phase.own_calls += 1,
                _ => phase.other_calls += 1,
            }
        }
        Ok(phase)
    }

    /// Asks for fresh tokens, and measures until every Secret of the victim was written.
    fn refresh(&self, stage: &Stage) -> JoinHandle<Option<Duration>> {
        let (client, secrets) = (stage.client(), self.secrets.clone());
        tokio::spawn(async move {
            let asked = Instant::now();
            scout::refresh(VICTIM, &now()).send(&client).await.ok()?;
            while asked.elapsed() < NEVER {
                let fresh = (0..NAMESPACES).filter_map(|number| {
                    secrets.at(&(namespace(number), SECRET.to_owned())).filter(|at| *at > asked)
                });
                let fresh: Vec<Instant> = fresh.collect();
                if fresh.len() == NAMESPACES {
                    return fresh.into_iter().max().map(|last| from_to(asked, last));
                }
                tokio::time::sleep(POLL_EVERY).await;
            }
            None
        })
    }

    /// Measures how soon a new account, and then its entry, is there again after a fault that hit everyone:
    /// from `end` to the first create call that the API server accepts, and to the entry.
    pub(super) async fn recovery(stage: &Stage, end: Instant) -> anyhow::Result<(Duration, Duration)> {
        let (client, mut number) = (stage.tenant(0), 0);
        let deadline = end + NEVER;
        let (account, created) = loop {
            let name = format!("recovered-{number}");
            let sample = create(client.clone(), namespace(0), name, false).await;
            match sample.created {
                Ok((_, at)) => break (sample.place.1, at),
                Err(reason) if Instant::now() > deadline => bail!("still refused: {reason}"),
                Err(_) => number += 1,
            }
            tokio::time::sleep(POLL_EVERY).await;
        };
        let path = format!("/api/v1/namespaces/{}/serviceaccounts/{account}", namespace(0));
        stage.until("the first account has its entry", &path, is_bound).await?;
        Ok((from_to(end, created), end.elapsed()))
    }
}

impl Phase {
    fn count(&mut self, events: &AuditEvents, accounts: usize) {
        for event in events.iter().filter(|event| is_controllers(event)) {
            self.failed_requests += usize::from(event.code == 429 || event.code >= 500);
        }
        let mut writes = 0;
        for event in events.iter().filter(|event| is_ours(event)) {
            match part(event) {
                // One that was refused has changed nothing.
                Part::Object => writes += i64::from(event.code < 400),
                Part::Status => self.status_writes += 1,
                Part::Cache => self.cache_writes += 1,
                Part::Other => self.other_writes += 1,
            }
        }
        let refreshes = if self.refresh.is_some() { NAMESPACES } else { 0 };
        let needed = i64::try_from(accounts + refreshes).unwrap_or_default();
        self.extra_writes = writes - needed;
    }
}

/// What a write of the controller is for.
enum Part {
    /// A Secret or an account of the victim.
    Object,
    /// The status of the victim's binding.
    Status,
    /// The token cache.
    Cache,
    /// Anything else.
    Other,
}

fn part(event: &AuditEvent) -> Part {
    match event.resource.as_str() {
        // An account that a policy always refuses is a neighbour, wherever it is.
        "serviceaccounts" if event.name == "refused" => Part::Other,
        "secrets" | "serviceaccounts" if event.namespace.starts_with(VICTIM) => Part::Object,
        "acrcredentialbindings" if event.name == VICTIM => Part::Status,
        "secrets" if event.namespace == NAMESPACE => Part::Cache,
        _ => Part::Other,
    }
}

fn is_controllers(event: &AuditEvent) -> bool {
    event.user == format!("system:serviceaccount:{NAMESPACE}:{CONTROLLER}")
}

fn is_ours(event: &AuditEvent) -> bool {
    is_controllers(event) && event.is_write() && event.resource != "events"
}

/// Creates an account, and annotates it as another writer would.
async fn create(client: Client, namespace: String, name: String, annotated: bool) -> Sample {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    let body = json!({ "metadata": { "name": name, "labels": { VICTIM: "" } } });
    let call = Call::create(path.clone(), &body);
    let sent = Instant::now();
    let answer = tokio::time::timeout(ANSWER, call.send(&client)).await;
    let created = match answer {
        Ok(Ok(_)) => Ok((sent.elapsed(), Instant::now())),
        Ok(Err(error)) => Err(short(&error)),
        Err(_) => Err(format!("no answer within {ANSWER:?}")),
    };
    if annotated && created.is_ok() {
        let patch = json!({ "metadata": { "annotations": { "example.com/owner": "platform" } } });
        // A conflict is the other writer's own business.
        let _ = Call::merge(&format!("{path}/{name}"), &patch).send(&client).await;
    }
    Sample { place: (namespace, name), created }
}

/// Returns the API server's words alone, where it answered.
fn short(error: &anyhow::Error) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => format!("{} {}", status.code, status.message),
        _ => format!("{error:#}"),
    }
}

#[allow(clippy::disallowed_methods, reason = "the refresh annotation's value is a time")]
fn now() -> String {
    Timestamp::now().to_string()
}
