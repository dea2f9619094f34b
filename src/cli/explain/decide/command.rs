//! Commands that correct a fault, and lists as evidence shows them.

use crate::cli::explain::facts::{ContainerFacts, PodFacts, PullFacts};

/// Returns names as evidence shows a list.
pub(super) fn listed(names: &[String]) -> String {
    if names.is_empty() { "[]".to_owned() } else { names.join(", ") }
}

/// Returns the command that creates the Pods of an owner again, or the Pod itself.
pub(super) fn recreate(facts: &PullFacts, pod: &PodFacts) -> String {
    let namespace = &facts.namespace;
    let name = &pod.name;
    match pod.owner.as_deref() {
        Some(owner)
            if ["deployment/", "statefulset/", "daemonset/"].iter().any(|kind| owner.starts_with(kind)) =>
        {
            format!("kubectl -n {namespace} rollout restart {owner}")
        }
        Some(_) => format!("kubectl -n {namespace} delete pod {name}"),
        // A copy gets the list at its creation, since it has none.
        None => {
            format!("kubectl -n {namespace} get pod {name} -o yaml | kubectl replace --force -f -")
        }
    }
}

/// Returns the command that gives a container another image; `None` for an image without an object.
pub(super) fn set_image(facts: &PullFacts, container: &ContainerFacts, image: &str) -> Option<String> {
    let workload = facts.template.as_ref().map(|template| template.workload.as_str());
    let pod = facts.pod.as_ref().map(|pod| (format!("pod/{}", pod.name), pod.owner.as_deref()));
    let object = match (workload, &pod) {
        (Some(workload), _) => workload,
        (None, Some((_, Some(owner)))) => owner,
        (None, Some((name, None))) => name,
        (None, None) => return None,
    };
    // The template of a Job cannot be changed.
    let object = if object.starts_with("job/") { &pod.as_ref()?.0 } else { object };
    Some(format!("kubectl -n {} set image {object} {}={image}", facts.namespace, container.name))
}
