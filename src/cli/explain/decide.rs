//! The decision: which cause is the first to correct, from what was read.
//!
//! ```text
//! Pod ── message ── host ── coverage ── entry ── Secret ── credential ── message
//! ```
//!
//! A message that comes after the login, such as a missing tag, ends the search: the credential was accepted.

mod binding_entry;
mod command;
mod coverage;
mod credential;
mod entry;
mod host;
mod kubelet;
mod runtime;

use self::binding_entry::EntryOf;
use super::cause::PullCause;
use super::facts::{ContainerFacts, ImageProgress, PodFacts, PullFacts};
use super::message::{PullError, recognise};
use super::verdict::{ExplainResult, Verdict};
use crate::cli::fact::Fact;

/// Decides on a pull.
pub(super) fn decide(facts: &PullFacts) -> Verdict {
    let mut verdict = search(facts);
    verdict.target.clone_from(&facts.subject);
    verdict.namespace.clone_from(&facts.namespace);
    verdict.image = facts.container.as_ref().map(|container| container.image.clone());
    verdict.not_read = not_read(facts);
    verdict
}

/// Returns what could not be read, and why.
fn not_read(facts: &PullFacts) -> Vec<String> {
    let mut unread = Vec::new();
    let mut add = |what: &str, why: Option<&String>| {
        unread.extend(why.map(|why| format!("{what}: {why}")));
    };
    add("the bindings", why(&facts.bindings));
    add("the namespace", why(&facts.namespace_object));
    add("the ServiceAccount", why(&facts.account));
    add("the rights of the kubelet", facts.kubelet_may_request.as_ref().and_then(why));
    add("the metadata of the pull Secret", why(&facts.secret));
    unread
}

fn why<T>(fact: &Fact<T>) -> Option<&String> {
    match fact {
        Fact::Known(_) => None,
        Fact::Unknown(why) => Some(why),
    }
}

fn search(facts: &PullFacts) -> Verdict {
    if let Some(verdict) = facts.pod.as_ref().and_then(|pod| not_a_pull_failure(facts, pod)) {
        return verdict;
    }
    let container = facts.container.as_ref();
    let said = container.and_then(|found| recognise(&found.message, &found.image));
    if let (Some(container), Some(said @ (PullError::NotFound | PullError::Platform))) = (container, said) {
        return runtime::verdict(facts, container, said, None);
    }
    let bindings = match &facts.bindings {
        Fact::Known(bindings) => bindings,
        Fact::Unknown(_) => return without_bindings(facts, said),
    };
    let entries = match container {
        Some(container) => match host::entries(facts, container, bindings, said) {
            Ok(entries) => entries,
            Err(verdict) => return kubelet::fault(facts, said).unwrap_or(*verdict),
        },
        None => bindings.iter().map(|binding| EntryOf { binding, entry: 0 }).collect(),
    };
    let serving = match coverage::covering(facts, entries) {
        Ok(serving) => serving,
        Err(verdict) => return kubelet::fault(facts, said).unwrap_or(*verdict),
    };
    if let Some(verdict) = entry::fault(facts, serving) {
        let is_missing = verdict.code.as_deref() == Some(PullCause::EntryMissing.as_str());
        let withheld = is_missing.then(|| credential::withholding(facts, serving)).flatten();
        return withheld.unwrap_or(verdict);
    }
    if let Some(verdict) = credential::fault(facts, serving) {
        return verdict;
    }
    match (container, said) {
        (Some(container), Some(said)) => runtime::verdict(facts, container, said, Some(serving)),
        (Some(container), None) if is_failing(facts) => unrecognised(facts, container),
        _ => Verdict::without_cause(ExplainResult::Nothing, healthy(facts, serving)),
    }
}

fn is_failing(facts: &PullFacts) -> bool {
    facts.pod.as_ref().is_some_and(|pod| pod.progress == ImageProgress::Failing)
}

fn healthy(facts: &PullFacts, serving: EntryOf<'_>) -> String {
    let binding = serving.binding.name();
    match &facts.container {
        Some(container) => {
            format!("the pull Secret has a valid credential of the binding {binding} for {}", container.image)
        }
        None => format!(
            "the ServiceAccount has the entry, and the pull Secret valid credentials of the binding {binding}"
        ),
    }
}

/// Decides on a Pod that runs, or that something else stops.
fn not_a_pull_failure(facts: &PullFacts, pod: &PodFacts) -> Option<Verdict> {
    let object = format!("pod/{}", pod.name);
    match &pod.progress {
        ImageProgress::Failing | ImageProgress::Starting => None,
        ImageProgress::Running => {
            Some(Verdict::without_cause(ExplainResult::Nothing, format!("{object} has its images")))
        }
        ImageProgress::Other(field, value) => {
            let message = format!("{object} does not wait for an image");
            let verdict = Verdict::of(PullCause::NotAPullFailure, message).because(&object, field, value);
            Some(verdict.by_command(format!("kubectl -n {} describe pod {}", facts.namespace, pod.name)))
        }
    }
}

/// Decides without the bindings: what the message proves alone.
fn without_bindings(facts: &PullFacts, said: Option<PullError>) -> Verdict {
    match (&facts.container, said) {
        (Some(container), Some(said)) if said != PullError::Refused => {
            runtime::verdict(facts, container, said, None)
        }
        (container, _) => {
            let verdict = Verdict::without_cause(
                ExplainResult::Unknown,
                "the bindings cannot be read, so it is not known which one serves the image",
            );
            let cure = "get the right to list acrcredentialbindings, and run it again";
            let verdict = verdict.cured_by(cure);
            match container {
                Some(container) if !container.message.is_empty() => {
                    runtime::quoted(verdict, facts, container)
                }
                _ => verdict,
            }
        }
    }
}

/// Reports a message that is in no line of the table.
fn unrecognised(facts: &PullFacts, container: &ContainerFacts) -> Verdict {
    let verdict = Verdict::without_cause(
        ExplainResult::Unknown,
        "binding, entry and credential are in order, and the message of the kubelet is not known",
    );
    let verdict = runtime::quoted(verdict, facts, container)
        .cured_by("read the Events of the Pod, which may have the message of the first attempt");
    match &facts.pod {
        Some(pod) => verdict.by_command(format!("kubectl -n {} describe pod {}", facts.namespace, pod.name)),
        None => verdict,
    }
}

#[cfg(test)]
mod tests;
