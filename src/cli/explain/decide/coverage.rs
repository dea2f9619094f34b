//! Whether a binding is in force for a namespace and a ServiceAccount.

use super::binding_entry::{EntryOf, object_of};
use super::command::listed;
use crate::api::{Reason, names};
use crate::cli::explain::cause::PullCause;
use crate::cli::explain::facts::{ObjectFacts, PullFacts, StoredSpec};
use crate::cli::explain::verdict::{ExplainResult, Verdict};
use crate::cli::fact::Fact;
use crate::model::coverage::ObjectSelection;

/// Reasons of `Ready` of a binding that does not serve what it selects.
const HELD: [Reason; 3] = [Reason::InvalidSpec, Reason::DryRun, Reason::Withdrawing];

/// Returns the entry that serves the ServiceAccount, or the fault of the binding that comes nearest to it.
pub(super) fn covering<'a>(
    facts: &PullFacts,
    entries: Vec<EntryOf<'a>>,
) -> Result<EntryOf<'a>, Box<Verdict>> {
    let mut nearest: Option<(usize, Verdict)> = None;
    for found in entries {
        match fault(facts, found.binding) {
            None => return Ok(found),
            Some((stage, verdict)) => {
                if nearest.as_ref().is_none_or(|(furthest, _)| stage > *furthest) {
                    nearest = Some((stage, verdict));
                }
            }
        }
    }
    let none = || {
        Verdict::of(PullCause::NamespaceNotCovered, "there is no binding in the cluster")
            .cured_by("create a binding that covers the namespace")
            .by_command("kubectl apply -f BINDING.yaml")
    };
    Err(Box::new(nearest.map_or_else(none, |(_, verdict)| verdict)))
}

/// Returns why a binding does not serve the ServiceAccount, and how many steps it passed.
fn fault(facts: &PullFacts, binding: &StoredSpec) -> Option<(usize, Verdict)> {
    let namespace = &facts.namespace;
    let Some(parsed) = &binding.parsed else { return Some((2, held(binding, "spec", "invalid"))) };
    let of_namespace = match &facts.namespace_object {
        Fact::Known(Some(object)) => object,
        Fact::Known(None) => return Some((0, absent(facts))),
        // Names alone may decide.
        Fact::Unknown(_) if parsed.namespaces.covers_name(namespace) => &ObjectFacts::default(),
        Fact::Unknown(why) => return Some((0, unknown(binding, "the namespace", why))),
    };
    if !parsed.namespaces.covers(namespace, &of_namespace.labels) {
        return Some((0, not_covered(facts, binding, &parsed.namespaces, of_namespace)));
    }
    if of_namespace.label_skips || of_namespace.annotation_skips {
        let verdict = Verdict::of(
            PullCause::NamespaceSkipped,
            format!("the namespace {namespace} opts out by {}", names::SKIP),
        );
        return Some((1, opt_out(verdict, of_namespace, "namespace", namespace, "kubectl")));
    }
    if let Some(verdict) = hold(binding, facts) {
        return Some((2, verdict));
    }
    let name = &facts.account_name;
    let account = match &facts.account {
        Fact::Known(Some(account)) => &account.object,
        Fact::Known(None) => {
            let message = format!("the ServiceAccount {namespace}/{name} does not exist");
            let verdict = Verdict::of(PullCause::ServiceAccountNotCovered, message)
                .because(&facts.subject, "serviceAccountName", name)
                .cured_by("create the ServiceAccount")
                .by_command(format!("kubectl -n {namespace} create serviceaccount {name}"));
            return Some((3, verdict));
        }
        Fact::Unknown(_) if parsed.service_accounts.covers_name(name) => &ObjectFacts::default(),
        Fact::Unknown(why) => return Some((3, unknown(binding, "the ServiceAccount", why))),
    };
    if !parsed.service_accounts.covers(name, &account.labels) {
        return Some((3, account_not_covered(facts, binding)));
    }
    if account.label_skips || account.annotation_skips {
        let message = format!("the ServiceAccount {namespace}/{name} opts out by {}", names::SKIP);
        let verdict = Verdict::of(PullCause::ServiceAccountNotCovered, message);
        let kubectl = format!("kubectl -n {namespace}");
        return Some((3, opt_out(verdict, account, "serviceaccount", name, &kubectl)));
    }
    None
}

fn unknown(binding: &StoredSpec, what: &str, why: &str) -> Verdict {
    let message = format!("{what} cannot be read, and the binding {} may select its labels", binding.name());
    Verdict::without_cause(ExplainResult::Unknown, message)
        .because(what, "labels", why)
        .cured_by("get the right to read it, and run it again")
}

fn absent(facts: &PullFacts) -> Verdict {
    let namespace = &facts.namespace;
    Verdict::of(PullCause::NamespaceNotCovered, format!("the namespace {namespace} does not exist"))
        .cured_by("create the namespace, or name another one by --namespace")
        .by_command(format!("kubectl create namespace {namespace}"))
}

/// Adds the fields that opt an object out, and the command that removes them.
fn opt_out(verdict: Verdict, object: &ObjectFacts, kind: &str, name: &str, kubectl: &str) -> Verdict {
    let key = names::SKIP;
    let fields =
        [("label", "labels", object.label_skips), ("annotate", "annotations", object.annotation_skips)];
    let mut verdict = verdict.cured_by(format!("remove {key}"));
    let mut commands = Vec::new();
    for (verb, field, _) in fields.into_iter().filter(|(.., skips)| *skips) {
        verdict = verdict.because(format!("{kind}/{name}"), format!("metadata.{field}[{key}]"), "true");
        commands.push(format!("{kubectl} {verb} {kind} {name} {key}-"));
    }
    verdict.by_command(commands.join(" && "))
}

/// Returns the command that changes a list of a binding. The ConfigMap's own binding is changed in the ConfigMap.
fn patch(binding: &StoredSpec, operations: &str) -> String {
    match binding.is_converted() {
        true => format!("kubectl -n {} edit configmap {}", names::LEGACY_NAMESPACE, names::LEGACY_NAME),
        false => {
            format!("kubectl patch acrcredentialbinding {} --type=json -p '[{operations}]'", binding.name())
        }
    }
}

/// Returns the operation that adds a name to a list. An empty list means `default`, which is kept.
fn add_name(path: &str, names: &[String], has_selector: bool, name: &str) -> String {
    match (names.is_empty(), has_selector || name == "default") {
        (false, _) => format!(r#"{{"op":"add","path":"{path}/-","value":"{name}"}}"#),
        (true, true) => format!(r#"{{"op":"add","path":"{path}","value":["{name}"]}}"#),
        (true, false) => format!(r#"{{"op":"add","path":"{path}","value":["default","{name}"]}}"#),
    }
}

fn not_covered(
    facts: &PullFacts,
    binding: &StoredSpec,
    selection: &ObjectSelection,
    object: &ObjectFacts,
) -> Verdict {
    let (namespace, name) = (&facts.namespace, binding.name());
    let spec = &binding.object.spec.watch_namespaces;
    let mut operations = Vec::new();
    let message = match selection.excluded_by(namespace) {
        Some(pattern) => {
            let index = spec.exclude.iter().position(|text| text == pattern.as_str());
            operations.extend(
                index.map(|at| format!(r#"{{"op":"remove","path":"/spec/watchNamespaces/exclude/{at}"}}"#)),
            );
            format!("the binding {name} excludes the namespace {namespace} by {}", pattern.as_str())
        }
        None => format!("the binding {name} does not select the namespace {namespace}"),
    };
    if !selection.selects(namespace, &object.labels) {
        operations.push(add_name(
            "/spec/watchNamespaces/names",
            &spec.names,
            spec.selector.is_some(),
            namespace,
        ));
    }
    let names = listed_names(&spec.names, spec.selector.is_some());
    let verdict = Verdict::of(PullCause::NamespaceNotCovered, message)
        .because(object_of(binding), "spec.watchNamespaces.names", names)
        .because(object_of(binding), "spec.watchNamespaces.exclude", listed(&spec.exclude));
    let verdict = match binding.condition("WithdrawalHeld") {
        Some(held) => verdict.because(object_of(binding), "status.conditions[WithdrawalHeld]", &held.message),
        None => verdict,
    };
    let verdict = if binding.is_converted() {
        verdict.cured_by(format!("add {namespace} to watch-namespace in the ConfigMap"))
    } else {
        verdict.cured_by("add the namespace to its names, or remove the exclusion")
    };
    verdict.by_command(patch(binding, &operations.join(",")))
}

fn listed_names(names: &[String], has_selector: bool) -> String {
    match names {
        [] if !has_selector => "default".to_owned(),
        names => listed(names),
    }
}

fn account_not_covered(facts: &PullFacts, binding: &StoredSpec) -> Verdict {
    let (namespace, account, name) = (&facts.namespace, &facts.account_name, binding.name());
    let spec = &binding.object.spec.service_accounts;
    let message = format!("the binding {name} does not select the ServiceAccount {namespace}/{account}");
    let operation = add_name("/spec/serviceAccounts/names", &spec.names, spec.selector.is_some(), account);
    let names = listed_names(&spec.names, spec.selector.is_some());
    let verdict = Verdict::of(PullCause::ServiceAccountNotCovered, message).because(
        object_of(binding),
        "spec.serviceAccounts.names",
        names,
    );
    let verdict = if binding.is_converted() {
        verdict.cured_by(format!("add {account} to service-account in the ConfigMap"))
    } else {
        verdict.cured_by("add the ServiceAccount to its names")
    };
    verdict.by_command(patch(binding, &operation))
}

/// Returns why a binding is not in force.
fn hold(binding: &StoredSpec, facts: &PullFacts) -> Option<Verdict> {
    let name = binding.name();
    if binding.object.spec.suspend {
        let verdict = Verdict::of(PullCause::BindingHeld, format!("the binding {name} is suspended"))
            .because(object_of(binding), "spec.suspend", "true")
            .cured_by("resume it");
        let patch = r#"{"spec":{"suspend":false}}"#;
        return Some(
            verdict
                .by_command(format!("kubectl patch acrcredentialbinding {name} --type=merge -p '{patch}'")),
        );
    }
    if let Some(time) = &binding.object.metadata.deletion_timestamp {
        let verdict = Verdict::of(PullCause::BindingHeld, format!("the binding {name} is being deleted"));
        let verdict = verdict.because(object_of(binding), "metadata.deletionTimestamp", time.0.to_string());
        return Some(
            verdict.cured_by("create it again once it is gone").by_command("kubectl apply -f BINDING.yaml"),
        );
    }
    let observed = binding.object.status.as_ref().and_then(|status| status.observed_generation);
    let ready = binding.condition("Ready");
    if observed.is_none_or(|generation| generation < 0) || ready.is_none() {
        let verdict =
            Verdict::of(PullCause::BindingHeld, format!("no controller has reported on the binding {name}"));
        let verdict = verdict.because(object_of(binding), "status.observedGeneration", "-1");
        let check =
            format!("start the controller: the check names what it lacks in {}", names::DEFAULT_NAMESPACE);
        return Some(verdict.cured_by(check).by_command("kubectl acr check"));
    }
    let ready = ready?;
    let reason = HELD.into_iter().find(|reason| ready.reason == reason.as_str())?;
    // What is there still serves, and a status is about all namespaces.
    let secret_serves = matches!(&facts.secret, Fact::Known(Some(secret)) if secret.is_ours);
    if reason == Reason::InvalidSpec && secret_serves {
        return None;
    }
    Some(held(binding, "status.conditions[Ready]", &ready.message).cured_by(reason.cure()))
}

fn held(binding: &StoredSpec, field: &str, value: &str) -> Verdict {
    let name = binding.name();
    Verdict::of(PullCause::BindingHeld, format!("the binding {name} is not in force"))
        .because(object_of(binding), field, value)
        .by_command(format!("kubectl edit acrcredentialbinding {name}"))
}
