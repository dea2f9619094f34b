//! Whether the Pod has the entry in its list, and why not.

use super::binding_entry::EntryOf;
use super::command::{listed, recreate};
use crate::cli::explain::cause::PullCause;
use crate::cli::explain::facts::{AccountFacts, PodFacts, PullFacts};
use crate::cli::explain::target::WorkloadKind;
use crate::cli::explain::verdict::Verdict;
use crate::cli::fact::Fact;

/// Returns the fault of the list.
pub(super) fn fault(facts: &PullFacts, serving: EntryOf<'_>) -> Option<Verdict> {
    let ours = &facts.secret_name;
    let has_entry = |list: &[String]| list.contains(ours);
    // A template with a list of its own gives it to every Pod.
    if let Some(template) = &facts.template
        && !template.pull_secrets.is_empty()
        && !has_entry(&template.pull_secrets)
    {
        return Some(own_list(facts, &template.workload, &template.pull_secrets, true));
    }
    if facts.pod.as_ref().is_some_and(|pod| has_entry(&pod.pull_secrets)) {
        return None;
    }
    let Fact::Known(Some(account)) = &facts.account else {
        let pod = facts.pod.as_ref()?;
        return Some(match pod.pull_secrets.is_empty() {
            true => older(facts, pod, None),
            false => own_list(facts, &format!("pod/{}", pod.name), &pod.pull_secrets, false),
        });
    };
    let others: Vec<&String> = account.pull_secrets.iter().filter(|name| *name != ours).collect();
    let own = facts
        .pod
        .as_ref()
        .filter(|pod| !pod.pull_secrets.is_empty() && pod.pull_secrets.iter().collect::<Vec<_>>() != others);
    if !has_entry(&account.pull_secrets) {
        // With a list of its own, the Pod would not get the entry either, and the ServiceAccount's comes first.
        return Some(missing(facts, account, serving));
    }
    let pod = facts.pod.as_ref()?;
    Some(match own {
        Some(pod) => own_list(facts, &format!("pod/{}", pod.name), &pod.pull_secrets, false),
        None => older(facts, pod, Some(account)),
    })
}

fn older(facts: &PullFacts, pod: &PodFacts, account: Option<&AccountFacts>) -> Verdict {
    let name = &facts.account_name;
    let object = format!("pod/{}", pod.name);
    let message = format!("{object} was created before its ServiceAccount {name} had the entry");
    let verdict = Verdict::of(PullCause::PodOlderThanEntry, message).because(
        &object,
        "spec.imagePullSecrets",
        listed(&pod.pull_secrets),
    );
    let verdict = match pod.created_at {
        Some(time) => verdict.because(&object, "metadata.creationTimestamp", format!("{time:.0}")),
        None => verdict,
    };
    let verdict = match account {
        Some(account) => verdict.because(
            format!("serviceaccount/{name}"),
            "imagePullSecrets",
            listed(&account.pull_secrets),
        ),
        None => verdict,
    };
    verdict.cured_by("create the Pod again, so that it copies the list").by_command(recreate(facts, pod))
}

fn own_list(facts: &PullFacts, object: &str, list: &[String], in_template: bool) -> Verdict {
    let (namespace, secret) = (&facts.namespace, &facts.secret_name);
    let path_of =
        |object: &str| format!("{}.spec.imagePullSecrets", WorkloadKind::template_of(object).join("."));
    let path = if in_template { path_of(object) } else { "spec.imagePullSecrets".to_owned() };
    let message = format!("{object} has imagePullSecrets of its own, so the ServiceAccount's do not apply");
    let verdict = Verdict::of(PullCause::OwnPullSecrets, message).because(object, &path, listed(list));
    let verdict = verdict.cured_by(format!("remove the list, or add {secret} to it"));
    let removal_of = |path: &str| format!(r#"[{{"op":"remove","path":"/{}"}}]"#, path.replace('.', "/"));
    let removal = removal_of(&path);
    let owner = facts.pod.as_ref().and_then(|pod| pod.owner.as_deref());
    let replaced = |object: &str, patch: &str| {
        format!(
            "kubectl -n {namespace} get {object} -o yaml | kubectl patch -f - --local --type=json -p '{patch}' -o yaml | \
             kubectl replace --force -f -"
        )
    };
    match (in_template, owner) {
        (true, _) if object.starts_with("job/") => verdict.by_command(job(namespace, object)),
        (true, _) => {
            verdict.by_command(format!("kubectl -n {namespace} patch {object} --type=json -p '{removal}'"))
        }
        (false, None) => verdict.by_command(replaced(object, &removal)),
        (false, Some(owner)) if owner.starts_with("job/") => verdict.by_command(job(namespace, owner)),
        (false, Some(owner)) => {
            let removal = removal_of(&path_of(owner));
            verdict.by_command(format!("kubectl -n {namespace} patch {owner} --type=json -p '{removal}'"))
        }
    }
}

/// Returns the command that deletes a Job. Its template cannot be changed.
fn job(namespace: &str, job: &str) -> String {
    format!("kubectl -n {namespace} delete {job} && kubectl -n {namespace} apply -f JOB.yaml")
}

fn missing(facts: &PullFacts, account: &AccountFacts, serving: EntryOf<'_>) -> Verdict {
    let (namespace, name) = (&facts.namespace, &facts.account_name);
    let object = format!("serviceaccount/{name}");
    let message = format!("the ServiceAccount {namespace}/{name} lacks the entry {}", facts.secret_name);
    let verdict = Verdict::of(PullCause::EntryMissing, message).because(
        &object,
        "imagePullSecrets",
        listed(&account.pull_secrets),
    );
    // The condition is about one writer and one namespace, which its message names.
    let contended = serving.binding.condition("Contended").filter(|found| found.status == "True");
    let contended = contended.filter(|found| found.message.contains(namespace.as_str()));
    let pair = serving.binding.pair(serving.entry, namespace);
    let unattached = pair.filter(|pair| pair.message.contains("has no entry"));
    match (contended, unattached) {
        (Some(condition), _) => verdict
            .because(serving.object(), "status.conditions[Contended]", &condition.message)
            .cured_by("stop the writer that removes it")
            .by_command(format!(
                "kubectl -n {namespace} get serviceaccount {name} -o yaml --show-managed-fields"
            )),
        (None, Some(pair)) => verdict
            .because(serving.object(), "status.pairs", &pair.message)
            .cured_by("follow the message of the pair")
            .by_command(format!("kubectl get acrcredentialbinding {} -o yaml", serving.binding.name())),
        (None, None) => verdict
            .because(&object, "metadata.managedFields", format!("last written by {}", account.last_writer))
            .cured_by("start the controller, which adds it, or stop the last writer")
            .by_command("kubectl acr check"),
    }
}
