//! The guard against the worst mistake: one edit that takes back everything everywhere.
//!
//! A binding that covered namespaces and suddenly covers none is more often a typo in a label than a wish, and a pull
//! that fails is found out late. What it made there stays for a grace; its status says so. Confirming, or deleting the
//! binding, takes it back at once. Also held where it was a single namespace: a typo looks the same there, and whoever
//! has one namespace loses all of it.
//!
//! ```text
//! covered ──relabelled──► straying ──others are covered still──► withdrawn
//!    │                       │ none is covered any more
//!    └──the spec is edited───┴──────► held ──grace over, confirmed, binding deleted──► withdrawn
//! ```
//!
//! A namespace that is deleted or opts out says itself what is wanted of it, and is never held.
//!
//! In the same way the entries stay of a binding that covers namespaces and no ServiceAccount in any of them.

mod entries;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use self::entries::Entries;
use super::failure::Failure;
use super::snapshot::Snapshot;
use super::view::NamespaceFacts;
use crate::api::{Reason, names};
use crate::model::Binding;

/// How long a namespace that lost its label is left as it is, to see whether the others lose theirs too. As long as
/// others go on to, it is left as well, for the grace at most: a tool that relabels a thousand of them takes minutes.
pub const STRAY: SignedDuration = SignedDuration::from_secs(5);

/// What a binding says about what it covers no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithdrawalIntent {
    /// Nothing: it is guarded.
    #[default]
    Guarded,
    /// Nothing is to be taken back while it is suspended, all or in part: no grace runs.
    Suspended,
    /// It is meant so.
    Confirmed,
    /// The binding is being deleted: what is held goes with the rest, by its `deletionPolicy`.
    Leaving,
}

/// Namespaces in which a binding's part stays, though it covers them no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    namespaces: BTreeSet<Arc<str>>,
    since: Timestamp,
}

/// That a binding's part stays in the namespace that was asked about, though it does not cover it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The binding.
    pub binding: Arc<str>,
    /// Whether it is held and told in the status, or merely not taken back yet.
    pub held: bool,
    /// Whether it is known that what the binding names is what stands there. After a start, a Secret of ours that nobody
    /// covers may have been any binding's; and after an edit of both, the new registries were never meant for it.
    pub verified: bool,
}

#[derive(Debug, Default)]
struct Known {
    covered: HashSet<Arc<str>>,
    /// Lost a moment ago, and when each was.
    recently_lost: HashMap<Arc<str>, Timestamp>,
    /// When the last of them was lost.
    strayed: Option<Timestamp>,
    held: Option<Hold>,
    /// Where it is not known that what it names now is what stands there.
    unverified: HashSet<Arc<str>>,
    intent: WithdrawalIntent,
    asked: Option<Arc<Binding>>,
    /// Whether it selects what it selected before: what it loses then was relabelled.
    same_selection: bool,
}

/// What every binding covers, and what is held of it.
#[derive(Debug)]
pub struct WithdrawalGuard {
    grace: SignedDuration,
    known: HashMap<Arc<str>, Known>,
    entries: Entries,
    /// When the CustomResourceDefinition was made. Nothing: it is going, gone, or was not looked at yet.
    defined_at: Option<Timestamp>,
}

/// What a look at a namespace came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whose part stays.
    pub retained: Vec<Retained>,
    /// Bindings of which something is held now that was not, or the other way round.
    pub changed: Vec<Arc<str>>,
}

impl WithdrawalGuard {
    /// A guard of this grace; none where it is nothing.
    pub fn new(grace: SignedDuration) -> Self {
        Self { grace, known: HashMap::new(), entries: Entries::default(), defined_at: None }
    }

    /// Whether the binding was ever told of.
    pub fn knows(&self, binding: &str) -> bool {
        self.known.contains_key(binding)
    }

    /// Forgets a binding that is gone.
    pub fn forget(&mut self, binding: &str) {
        self.known.remove(binding);
        self.entries.forget(binding);
    }

    /// After a start: what a binding covered, what it may have covered besides, and since when that is held.
    pub fn remember(
        &mut self,
        binding: &Arc<str>,
        verified: HashSet<Arc<str>>,
        unverified: HashSet<Arc<str>>,
        since: Option<Timestamp>,
    ) {
        let known = self.known.entry(binding.clone()).or_default();
        known.unverified = &unverified - &verified;
        let covered = &verified | &unverified;
        match since {
            // Some may have come back: those that did not are held still.
            Some(since) => known.held = Some(Hold { namespaces: covered.into_iter().collect(), since }),
            None => known.covered = covered,
        }
    }

    /// Takes in what a binding asks for now, before what it covers. What stands where it named other registries is not
    /// renewed with these: nobody ever asked for them there.
    pub fn ask(&mut self, binding: &Arc<Binding>) {
        let known = self.known.entry(binding.name.clone()).or_default();
        let before = known.asked.replace(binding.clone());
        known.same_selection = before.as_ref().is_some_and(|before| before.namespaces == binding.namespaces);
        if before.is_some_and(|before| before.registries != binding.registries) {
            let retained: Vec<Arc<str>> = known.namespaces().chain(&known.covered).cloned().collect();
            known.unverified.extend(retained);
        }
    }

    /// Takes in what a binding covers and says now, after an edit or a start. Returns the namespaces in which nothing of
    /// it is held any more.
    pub fn cover(
        &mut self,
        binding: &Arc<str>,
        covered: HashSet<Arc<str>>,
        intent: WithdrawalIntent,
        now: Timestamp,
    ) -> Vec<Arc<str>> {
        let guarded = self.grace.is_positive();
        let known = self.known.entry(binding.clone()).or_default();
        let before: Vec<Arc<str>> = known.namespaces().cloned().collect();
        let resumed = known.intent == WithdrawalIntent::Suspended && intent == WithdrawalIntent::Guarded;
        let lost = std::mem::replace(&mut known.covered, covered);
        known.intent = intent;
        known.recently_lost.retain(|name, _| !known.covered.contains(name));
        known.unverified.retain(|name| !known.covered.contains(name));
        match intent {
            WithdrawalIntent::Confirmed => known.held = None,
            WithdrawalIntent::Guarded | WithdrawalIntent::Suspended if guarded => {
                if known.same_selection {
                    // Labels that are going one by one: the look at each namespace has yet to come.
                    lost.iter().filter(|name| !known.covered.contains(*name)).for_each(|name| {
                        known.recently_lost.insert(name.clone(), now);
                        known.strayed = Some(now);
                    });
                }
                if known.covered.is_empty() || intent == WithdrawalIntent::Suspended {
                    known.hold(lost, now);
                }
                if let (true, Some(hold)) = (resumed, &mut known.held) {
                    hold.since = whole(now);
                }
            }
            WithdrawalIntent::Guarded | WithdrawalIntent::Suspended => known.held = None,
            WithdrawalIntent::Leaving => {}
        }
        if let Some(hold) = &mut known.held {
            hold.namespaces.retain(|name| !known.covered.contains(name));
        }
        known.held = known.held.take().filter(|hold| !hold.namespaces.is_empty());
        before.into_iter().filter(|name| !known.keeps(name)).collect()
    }

    /// Takes in whether a binding covers no ServiceAccount while entries stand that it alone can have given. `told`:
    /// since when its status says so.
    pub fn entitle(
        &mut self,
        binding: &Arc<Binding>,
        lost: bool,
        intent: WithdrawalIntent,
        (told, now): (Option<Timestamp>, Timestamp),
    ) {
        let guarded = self.grace.is_positive() && intent == WithdrawalIntent::Guarded;
        self.entries.ask(binding, lost, guarded, (told, whole(now)));
    }

    /// Whether entries stay that a binding covers no more.
    pub fn keeps_entries(&self, binding: &str) -> bool {
        self.entries.since(binding).is_some()
    }

    /// Takes in a namespace as it is now, and says whose part stays in it. `None`: it is not there.
    pub fn look(
        &mut self,
        namespace: &Arc<str>,
        facts: Option<&NamespaceFacts>,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Look {
        let facts = facts.filter(|facts| facts.is_open());
        let mut look = Look::default();
        for resolved in snapshot.bindings() {
            let Some(known) = self.known.get_mut(&resolved.binding.name) else { continue };
            let held_before = known.holds(namespace);
            let guarded = self.grace.is_positive()
                && matches!(known.intent, WithdrawalIntent::Guarded | WithdrawalIntent::Suspended);
            match facts {
                Some(facts) if resolved.binding.namespaces.covers(namespace, &facts.labels) => {
                    known.covered.insert(namespace.clone());
                    known.release(namespace);
                }
                Some(_) => {
                    if known.covered.remove(namespace) && guarded {
                        known.recently_lost.insert(namespace.clone(), now);
                        known.strayed = Some(now);
                    }
                    let goes_on = known.strayed.is_some_and(|last| now.duration_since(last) < STRAY);
                    let left = if goes_on { self.grace } else { STRAY };
                    known.recently_lost.retain(|_, since| now.duration_since(*since) < left);
                }
                None => {
                    known.covered.remove(namespace);
                    known.release(namespace);
                }
            }
            if guarded && (known.covered.is_empty() || known.intent == WithdrawalIntent::Suspended) {
                known.hold(HashSet::new(), now);
            }
            if known.holds(namespace) != held_before {
                look.changed.push(resolved.binding.name.clone());
            }
            if known.keeps(namespace) {
                let binding = resolved.binding.name.clone();
                let verified = !known.unverified.contains(namespace);
                look.retained.push(Retained { binding, held: known.holds(namespace), verified });
            }
        }
        look
    }

    /// Ends a hold whose grace is over. Returns the namespaces of which nothing is held any more, if one was.
    pub fn release_due(&mut self, binding: &str, now: Timestamp) -> Option<Vec<Arc<str>>> {
        let due = self.until(binding).is_some_and(|until| until <= now);
        let known = self.known.get_mut(binding).filter(|_| due)?;
        self.entries.release(binding);
        Some(known.held.take().into_iter().flat_map(|hold| hold.namespaces).collect())
    }

    /// Until when a binding's part stays. `None`: nothing is held, or no grace runs.
    pub fn until(&self, binding: &str) -> Option<Timestamp> {
        let known = self.known.get(binding).filter(|known| known.intent == WithdrawalIntent::Guarded)?;
        let since = known.held.as_ref().map(|hold| hold.since).or_else(|| self.entries.since(binding))?;
        Some(since.checked_add(self.grace).unwrap_or(Timestamp::MAX))
    }

    /// Namespaces in which a binding's part stays, though it covers them no more.
    pub fn namespaces(&self, binding: &str) -> impl Iterator<Item = &Arc<str>> {
        self.known.get(binding).into_iter().flat_map(Known::namespaces)
    }

    /// Since when a binding's part is held, and why, with the cure.
    pub fn told(&self, binding: &str, generation: i64) -> Option<(Timestamp, Failure)> {
        let until = whole(self.until(binding)?);
        let known = self.known.get(binding)?;
        let confirm = format!(
            "if it is meant, annotate the binding with {}: \"{generation}\", or delete it",
            names::ANNOTATION_CONFIRM_WITHDRAWAL
        );
        let Some(hold) = &known.held else {
            let message = format!(
                "this binding covers no ServiceAccount any more; the entries that it gave stay until {until}, and are \
                 withdrawn then. If that is a mistake, correct spec.serviceAccounts; {confirm}"
            );
            return Some((self.entries.since(binding)?, Failure::new(Reason::CoverageLost, message)));
        };
        let count = hold.namespaces.len();
        let mut listed = hold.namespaces.iter().take(3).map(|n| &**n).collect::<Vec<_>>().join(", ");
        if count > 3 {
            listed = format!("{listed} and {} more", count - 3);
        }
        let message = format!(
            "namespaces that this binding covered are covered no more ({count}: {listed}); what stands \
             there stays, and is renewed, until {until}, and is withdrawn then. If that is a mistake, correct \
             spec.watchNamespaces or the labels; {confirm}"
        );
        Some((hold.since, Failure::new(Reason::CoverageLost, message)))
    }

    /// Takes in when the CustomResourceDefinition was made. `None`: it is going, or gone.
    pub fn define(&mut self, created: Option<Timestamp>) {
        self.defined_at = created;
    }

    /// Until when nothing is taken back in a namespace that no binding covers and this process never served. Where the
    /// CustomResourceDefinition was deleted, the bindings went with it, and no wish did: they may be on their way back
    /// while it is young.
    pub fn unclaimed_until(&self) -> Timestamp {
        match self.defined_at {
            Some(created) => created.checked_add(self.grace).unwrap_or(Timestamp::MAX),
            None => Timestamp::MAX,
        }
    }

    /// Whether the CustomResourceDefinition is going, gone, or was not looked at yet.
    pub fn is_undefined(&self) -> bool {
        self.defined_at.is_none()
    }
}

impl Known {
    fn namespaces(&self) -> impl Iterator<Item = &Arc<str>> {
        let held = self.held.iter().flat_map(|hold| &hold.namespaces);
        held.chain(self.recently_lost.keys())
    }

    fn holds(&self, namespace: &str) -> bool {
        self.held.as_ref().is_some_and(|hold| hold.namespaces.contains(namespace))
    }

    fn keeps(&self, namespace: &str) -> bool {
        self.recently_lost.contains_key(namespace) || self.holds(namespace)
    }

    fn release(&mut self, namespace: &str) {
        self.recently_lost.remove(namespace);
        self.unverified.remove(namespace);
        if let Some(hold) = &mut self.held {
            hold.namespaces.remove(namespace);
        }
        self.held = self.held.take().filter(|hold| !hold.namespaces.is_empty());
    }

    /// Holds what was lost and what strays; a grace that is told of already goes on where nothing is added.
    fn hold(&mut self, lost: HashSet<Arc<str>>, now: Timestamp) {
        let strayed = std::mem::take(&mut self.recently_lost).into_keys();
        let lost: Vec<Arc<str>> = lost.into_iter().chain(strayed).filter(|name| !self.holds(name)).collect();
        if lost.is_empty() {
            return;
        }
        let since = whole(now);
        let hold = self.held.get_or_insert_with(|| Hold { namespaces: BTreeSet::new(), since });
        hold.since = since;
        hold.namespaces.extend(lost);
    }
}

/// A time as the API server stores it, in whole seconds: it is the same after a restart.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests;
