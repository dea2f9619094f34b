//! The controller's requests to the API server, from the audit log.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::{Duration, Instant},
};

use acr_lab::plane::{AuditEvent, AuditEvents, Mark, Plane};
use anyhow::bail;
use k8s_openapi::jiff::Timestamp;

use super::{CONTROLLER, NAMESPACE, spans::grouped};

/// A client is at rest when it has written nothing for this long. The product reports its status a while
/// after the work is done.
const QUIET: Duration = Duration::from_secs(4);

/// A client that is not at rest by then never will be.
const PATIENCE: Duration = Duration::from_secs(600);

/// The requests of one phase.
pub(super) struct Requests {
    counts: BTreeMap<String, usize>,
    refused: BTreeMap<String, usize>,
    /// All of them.
    pub(super) total: usize,
    /// Requests that change what the cluster stores.
    pub(super) writes: usize,
    /// Writes of tenants' Secrets and ServiceAccounts.
    pub(super) served: usize,
    /// Writes of tenants' Secrets.
    pub(super) secrets: usize,
    /// Writes that were made of an object that had been written before. Refused ones wrote nothing.
    pub(super) again: usize,
    /// The most writes in flight at once; the floor has 16.
    pub(super) at_once: usize,
}

impl Requests {
    /// Returns the controller's requests since a mark.
    pub(super) fn since(plane: &Plane, mark: Mark) -> anyhow::Result<Requests> {
        Ok(Requests::of(&plane.audit().since(mark)?.by_service_account(NAMESPACE, CONTROLLER)))
    }

    fn of(events: &AuditEvents) -> Requests {
        let mut requests = Requests {
            counts: BTreeMap::new(),
            refused: BTreeMap::new(),
            total: events.len(),
            writes: 0,
            served: 0,
            secrets: 0,
            again: 0,
            at_once: 0,
        };
        let mut moments = Vec::new();
        let mut objects: HashMap<(String, &str, &str), usize> = HashMap::new();
        for event in events.iter() {
            let mut what = format!("{} {}", event.verb, event.target());
            if event.request_uri.contains("dryRun=") {
                what.push_str(" (dry run)");
            }
            // A watch that ends on time answers 200 as well.
            if event.code >= 400 && !event.request_uri.contains("dryRun=") {
                *requests.refused.entry(format!("{what} {}", event.code)).or_default() += 1;
            }
            *requests.counts.entry(what).or_default() += 1;
            if !changes(event) {
                continue;
            }
            requests.writes += 1;
            moments.extend([(event.timestamp, true), (event.completed, false)]);
            let tenant = event.namespace != NAMESPACE;
            if tenant && matches!(event.target().as_str(), "secrets" | "serviceaccounts") {
                requests.served += 1;
                requests.secrets += usize::from(event.target() == "secrets");
                let made = usize::from(event.code < 400);
                *objects.entry((event.target(), &event.namespace, &event.name)).or_default() += made;
            }
        }
        requests.again = objects.values().map(|times| times.saturating_sub(1)).sum();
        requests.at_once = most_at_once(moments);
        requests
    }

    /// Describes refused and repeated writes; empty if there were none.
    pub(super) fn waste(&self) -> String {
        let mut waste = listed(&self.refused);
        if self.again > 0 {
            let again = format!("{} objects written again", grouped(self.again));
            waste = if waste.is_empty() { again } else { format!("{waste}; {again}") };
        }
        waste
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.counts.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&listed(&self.counts)),
        }
    }
}

fn listed(counts: &BTreeMap<String, usize>) -> String {
    let each: Vec<String> =
        counts.iter().map(|(what, count)| format!("{what} × {}", grouped(*count))).collect();
    each.join(", ")
}

/// Returns the most intervals that overlap, from the moments in which one begins (`true`) or ends. Of two at
/// the same moment the end comes first.
fn most_at_once(mut moments: Vec<(Timestamp, bool)>) -> usize {
    moments.sort_unstable();
    let (mut now, mut most) = (0_usize, 0);
    for (_, begins) in moments {
        now = if begins { now + 1 } else { now.saturating_sub(1) };
        most = most.max(now);
    }
    most
}

/// Returns whether a request changes what the cluster stores. A review of one's own rights is a POST, and
/// stores nothing.
fn changes(event: &AuditEvent) -> bool {
    event.is_write() && event.api_group != "authorization.k8s.io"
}

/// The client to wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// The product.
    Controller,
    /// The cluster's own controllers.
    ControllerManager,
}

impl Who {
    fn is(self, event: &AuditEvent) -> bool {
        match self {
            Who::Controller => event.user == format!("system:serviceaccount:{NAMESPACE}:{CONTROLLER}"),
            Who::ControllerManager => event.user == "kube-controller-manager",
        }
    }
}

/// Waits until a client has written nothing for a while, and returns when it came to rest.
pub(crate) async fn until_at_rest(plane: &Plane, who: Who) -> anyhow::Result<Instant> {
    let audit = plane.audit();
    let mut mark = audit.mark()?;
    let (started, mut since) = (Instant::now(), Instant::now());
    while since.elapsed() < QUIET {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let (events, next) = audit.read(mark)?;
        mark = next;
        if events.iter().any(|event| who.is(event) && changes(event)) {
            since = Instant::now();
        }
        if started.elapsed() > PATIENCE {
            bail!("{who:?} still writes after {PATIENCE:?}");
        }
    }
    Ok(since)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::most_at_once;

    #[test]
    fn intervals_that_touch_do_not_overlap() {
        let span = |from: i64, to: i64| [(from, true), (to, false)];
        let spans = [span(0, 10), span(10, 20), span(5, 12), span(30, 40)].into_iter().flatten();
        let moments = spans.map(|(at, begins)| (Timestamp::from_second(at).unwrap(), begins));
        assert_eq!(most_at_once(moments.collect()), 2);
    }
}
