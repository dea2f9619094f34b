//! Whether the pull Secret has a valid credential for the image, and why not.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;

use super::binding_entry::EntryOf;
use super::command::listed;
use crate::api::{Reason, names};
use crate::cli::explain::cause::PullCause;
use crate::cli::explain::facts::{PullFacts, SecretMetadata};
use crate::cli::explain::verdict::Verdict;
use crate::cli::fact::Fact;
use crate::plan::stuck_pods::is_for;

/// Returns the fault of Secret or credential.
pub(super) fn fault(facts: &PullFacts, serving: EntryOf<'_>) -> Option<Verdict> {
    let pair = serving.binding.pair(serving.entry, &facts.namespace).filter(|pair| pair.status == "False");
    let secret = match &facts.secret {
        Fact::Known(Some(secret)) => secret,
        Fact::Known(None) => return Some(absent(facts, serving, pair)),
        Fact::Unknown(_) => return pair.map(|pair| of_pair(facts, serving, pair)).or_else(|| issue(serving)),
    };
    if !secret.is_ours {
        return Some(foreign(facts, serving, secret));
    }
    // The pair repeats the failure of the registry, which is judged by what the Secret holds.
    if let Some(pair) = pair.filter(|pair| !is_of_registry(pair, serving)) {
        return Some(of_pair(facts, serving, pair));
    }
    let Some(container) = &facts.container else { return issue(serving) };
    let held: Vec<_> = secret.domains.iter().filter(|(domain, _)| is_for(domain, &container.image)).collect();
    let object = format!("secret/{}", facts.secret_name);
    let field = format!("metadata.annotations[{}]", names::ANNOTATION_REGISTRIES);
    match held.iter().map(|(_, expires)| *expires).max() {
        None => Some(issue(serving).unwrap_or_else(|| {
            let domains: Vec<String> = secret.domains.iter().map(|(domain, _)| domain.clone()).collect();
            let message =
                format!("the pull Secret {}/{} does not have the host", facts.namespace, facts.secret_name);
            let verdict = Verdict::of(PullCause::SecretWithoutHost, message);
            let verdict = verdict.because(object, field, listed(&domains));
            verdict.cured_by("request new credentials, which writes the Secret").by_command(refresh(serving))
        })),
        Some(expires) if expires <= facts.now => Some(expired(facts, serving, expires)),
        Some(_) => None,
    }
}

/// Returns the fault of the Secret for which the controller adds no entry: another owner has it, or its write fails.
pub(super) fn withholding(facts: &PullFacts, serving: EntryOf<'_>) -> Option<Verdict> {
    let pair = serving.binding.pair(serving.entry, &facts.namespace);
    let is_refused = pair.is_some_and(|pair| pair.status == "False" && !is_of_registry(pair, serving));
    let is_foreign = matches!(&facts.secret, Fact::Known(Some(secret)) if !secret.is_ours);
    (is_refused || is_foreign).then(|| fault(facts, serving)).flatten()
}

/// Returns the command that requests new credentials.
fn refresh(serving: EntryOf<'_>) -> String {
    format!(
        "kubectl annotate acrcredentialbinding {} --overwrite {}=\"$(date +%s)\"",
        serving.binding.name(),
        names::ANNOTATION_REFRESH_AT
    )
}

/// Returns whether the condition of a pair repeats that of its registry.
fn is_of_registry(pair: &Condition, serving: EntryOf<'_>) -> bool {
    let issued = serving.binding.issued(serving.entry);
    issued.is_some_and(|issued| issued.status == "False" && issued.reason == pair.reason)
        || [Reason::NotIssued, Reason::CredentialExpired].iter().any(|reason| pair.reason == reason.as_str())
}

/// Returns the reason of a condition, if it is known.
fn reason_of(condition: &Condition) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|reason| reason.as_str() == condition.reason)
}

/// Sets the cure of a condition's reason.
fn cured(verdict: Verdict, condition: &Condition) -> Verdict {
    match reason_of(condition) {
        Some(reason) => verdict.cured_by(reason.cure()),
        None => verdict,
    }
}

fn absent(facts: &PullFacts, serving: EntryOf<'_>, pair: Option<&Condition>) -> Verdict {
    if let Some(pair) = pair.filter(|pair| !is_of_registry(pair, serving)) {
        return of_pair(facts, serving, pair);
    }
    // Without a credential there is nothing to write.
    if let Some(verdict) = issue(serving) {
        return verdict;
    }
    let (namespace, name) = (&facts.namespace, &facts.secret_name);
    Verdict::of(PullCause::SecretMissing, format!("the pull Secret {namespace}/{name} does not exist"))
        .because(serving.object(), "status.pairs", "reports no failure here")
        .cured_by("start the controller, which writes it: the check names what it lacks")
        .by_command("kubectl acr check")
}

fn foreign(facts: &PullFacts, serving: EntryOf<'_>, secret: &SecretMetadata) -> Verdict {
    let (namespace, name) = (&facts.namespace, &facts.secret_name);
    let message = format!("the Secret {namespace}/{name} was made by another owner");
    let label = format!("metadata.labels[{}]", names::LABEL_MANAGED_BY);
    let value = if secret.managed_by.is_empty() { "(none)" } else { &secret.managed_by };
    Verdict::of(PullCause::SecretForeign, message)
        .because(format!("secret/{name}"), label, value)
        .cured_by(format!(
            "delete it, or annotate the binding {} with {}=true, which takes it over",
            serving.binding.name(),
            names::ANNOTATION_ADOPT
        ))
        .by_command(format!("kubectl -n {namespace} delete secret {name}"))
}

/// Explains why the controller did not write the Secret, by the condition of the pair.
fn of_pair(facts: &PullFacts, serving: EntryOf<'_>, pair: &Condition) -> Verdict {
    let namespace = &facts.namespace;
    let name = serving.binding.name();
    let edit = format!("kubectl edit acrcredentialbinding {name}");
    let show = format!("kubectl get acrcredentialbinding {name} -o yaml");
    let (cause, command) = match reason_of(pair) {
        Some(Reason::SecretConflict) => {
            (PullCause::SecretForeign, format!("kubectl -n {namespace} delete secret {}", facts.secret_name))
        }
        Some(Reason::SecretTooLarge) => (PullCause::SecretTooLarge, edit),
        Some(Reason::QuotaExceeded) => {
            (PullCause::QuotaExceeded, format!("kubectl -n {namespace} edit resourcequota"))
        }
        Some(Reason::DomainContested) => (PullCause::SecretWithoutHost, edit),
        _ if is_of_registry(pair, serving) => {
            if let Some(verdict) = issue(serving) {
                return verdict;
            }
            (PullCause::NotIssued, show)
        }
        _ => (PullCause::SecretNotWritten, show),
    };
    let message =
        format!("the pull Secret of {namespace} is not as the binding {name} asks: {}", pair.reason);
    let verdict = Verdict::of(cause, message).because(serving.object(), "status.pairs", &pair.message);
    cured(verdict, pair).by_command(command)
}

/// Returns the registry's own failure.
fn issue(serving: EntryOf<'_>) -> Option<Verdict> {
    let issued = serving.binding.issued(serving.entry).filter(|issued| issued.status == "False")?;
    let registry = serving.binding.registry(serving.entry)?;
    let is_expired = issued.reason == Reason::CredentialExpired.as_str();
    let cause = if is_expired { PullCause::CredentialExpired } else { PullCause::NotIssued };
    let message = format!("the cloud issues no credential for {}: {}", registry.registry, issued.reason);
    let field = format!("status.registries[{}].conditions[Issued]", serving.entry);
    let verdict = Verdict::of(cause, message).because(serving.object(), field, &issued.message);
    Some(cured(verdict, issued).by_command(refresh(serving)))
}

fn expired(facts: &PullFacts, serving: EntryOf<'_>, expires: Timestamp) -> Verdict {
    let message = format!("the credential in the pull Secret of {} has expired", facts.namespace);
    let field = format!("metadata.annotations[{}]", names::ANNOTATION_REGISTRIES);
    let verdict = Verdict::of(PullCause::CredentialExpired, message).because(
        format!("secret/{}", facts.secret_name),
        field,
        format!("expires {expires:.0}"),
    );
    match serving.binding.issued(serving.entry).filter(|issued| issued.status == "False") {
        Some(issued) => {
            let field = format!("status.registries[{}].conditions[Issued]", serving.entry);
            cured(verdict.because(serving.object(), field, &issued.message), issued)
                .by_command(refresh(serving))
        }
        None => verdict
            .cured_by("start the controller, which refreshes it: the check names what it lacks")
            .by_command("kubectl acr check"),
    }
}
