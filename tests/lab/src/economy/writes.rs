//! The controller's requests to the API server, round by round.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use acr_lab::plane::{AuditEvent, AuditEvents};

use super::{PREFIX, rounds::Window};
use crate::bench::SECRET;

/// The requests of the measured rounds.
pub(super) struct Writes {
    /// Writes of the Secrets of covered namespaces that were not refused.
    pub(super) secrets: usize,
    /// The most writes that one namespace had in one round.
    pub(super) most: usize,
    /// For each round, the time from its beginning until the last of its Secrets was written.
    pub(super) done: Vec<Duration>,
    /// All other writes and refused requests, by kind.
    pub(super) others: BTreeMap<String, usize>,
}

impl Writes {
    /// Reads the writes from the audit log.
    pub(super) fn of(events: &AuditEvents, window: &Window) -> Writes {
        let mut writes = Writes {
            secrets: 0,
            most: 0,
            done: vec![Duration::ZERO; window.rounds.len()],
            others: BTreeMap::new(),
        };
        let mut each: HashMap<(usize, &str), usize> = HashMap::new();
        for event in events.iter() {
            let Some(round) = window.round_at(event.timestamp.as_millisecond()) else { continue };
            if is_tenants(event) && event.code < 400 {
                writes.secrets += 1;
                *each.entry((round, &event.namespace)).or_default() += 1;
                let passed = event.completed.as_millisecond() - window.rounds[round].begin();
                let passed = Duration::from_millis(u64::try_from(passed).unwrap_or_default());
                writes.done[round] = writes.done[round].max(passed);
            } else if event.is_write() || event.subresource == "token" || event.code >= 400 {
                *writes.others.entry(name(event)).or_default() += 1;
            }
        }
        writes.most = each.into_values().max().unwrap_or_default();
        writes
    }
}

fn is_tenants(event: &AuditEvent) -> bool {
    event.is_write()
        && event.resource == "secrets"
        && event.name == SECRET
        && event.namespace.starts_with(PREFIX)
}

fn name(event: &AuditEvent) -> String {
    let name = format!("{} {}", event.verb, event.target());
    let name = if event.name.starts_with("acr-credential") { format!("{name} {}", event.name) } else { name };
    if event.code >= 400 { format!("{name}, refused with {}", event.code) } else { name }
}
