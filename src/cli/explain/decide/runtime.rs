//! What the message of the container runtime proves.

use super::binding_entry::EntryOf;
use super::command::set_image;
use crate::cli::explain::cause::PullCause;
use crate::cli::explain::facts::{ContainerFacts, PullFacts};
use crate::cli::explain::message::PullError;
use crate::cli::explain::target::WorkloadKind;
use crate::cli::explain::verdict::Verdict;

/// Adds the message of the kubelet.
pub(super) fn quoted(verdict: Verdict, facts: &PullFacts, container: &ContainerFacts) -> Verdict {
    let object = facts.pod.as_ref().map_or_else(|| facts.subject.clone(), |pod| format!("pod/{}", pod.name));
    let field = format!("status.containerStatuses[{}].state.waiting", container.name);
    verdict.because(object, field, format!("{}: {}", container.reason, container.message))
}

/// Returns the verdict of a message. `serving` has the credential that was in order, if that was examined.
pub(super) fn verdict(
    facts: &PullFacts,
    container: &ContainerFacts,
    said: PullError,
    serving: Option<EntryOf<'_>>,
) -> Verdict {
    let image = &container.image;
    let (cause, message) = match said {
        PullError::Refused => {
            (PullCause::PullDenied, format!("the registry refuses {image} to a valid credential"))
        }
        PullError::NotFound => (PullCause::NoSuchTag, format!("the registry does not have {image}")),
        PullError::Unreachable => {
            (PullCause::HostUnreachable, format!("the node does not reach the host of {image}"))
        }
        PullError::Certificate => {
            (PullCause::CertificateInvalid, format!("the node does not trust the host of {image}"))
        }
        PullError::Platform => {
            (PullCause::WrongArchitecture, format!("{image} does not exist for the node's architecture"))
        }
        PullError::RateLimited => {
            (PullCause::RateLimited, format!("too many pulls, of {image} among others"))
        }
        PullError::NeverPulled => (
            PullCause::CachedImageNotAllowed,
            format!("{image} is not on the node, or is not the Pod's to use, and may not be pulled"),
        ),
    };
    let mut verdict = quoted(Verdict::of(cause, message), facts, container);
    let describe = |pod: &str| format!("kubectl -n {} describe pod {pod}", facts.namespace);
    let pod = facts.pod.as_ref().map(|pod| pod.name.as_str());
    if let Some(serving) = serving {
        let identity = serving.binding.registry(serving.entry).map(|found| found.identity.clone());
        let field = format!("status.registries[{}].identity", serving.entry);
        verdict = match (said, identity) {
            (PullError::Refused, Some(identity)) => verdict.because(serving.object(), field, identity),
            _ => verdict,
        };
    }
    let command = match said {
        PullError::NotFound => {
            let (name, _) = image.rsplit_once(':').unwrap_or((image, ""));
            let name = if name.contains('/') { name } else { image };
            set_image(facts, container, &format!("{}:TAG", name.split('@').next().unwrap_or(name)))
        }
        PullError::Unreachable => {
            let other = serving.and_then(|serving| other_host(serving, image));
            other.and_then(|image| set_image(facts, container, &image)).or_else(|| pod.map(describe))
        }
        PullError::NeverPulled => never(facts, container),
        PullError::Refused | PullError::Certificate | PullError::Platform | PullError::RateLimited => {
            pod.map(describe)
        }
    };
    match command {
        Some(command) => verdict.by_command(command),
        None => verdict,
    }
}

/// Returns the image at another host of the same registry.
fn other_host(serving: EntryOf<'_>, image: &str) -> Option<String> {
    let (host, rest) = image.split_once('/')?;
    let mut others = serving.binding.domains(serving.entry).iter();
    let other = others.find(|domain| *domain != host && !domain.contains(['*', '/']))?;
    Some(format!("{other}/{rest}"))
}

/// Returns the command that lets a container's image be pulled.
fn never(facts: &PullFacts, container: &ContainerFacts) -> Option<String> {
    let namespace = &facts.namespace;
    let patch =
        format!(r#"{{"containers":[{{"name":"{}","imagePullPolicy":"IfNotPresent"}}]}}"#, container.name);
    let template = facts.template.as_ref().map(|template| template.workload.clone());
    let workload = template.or_else(|| facts.pod.as_ref()?.owner.clone());
    match (workload, &facts.pod) {
        (Some(workload), _) if !workload.starts_with("job/") => {
            let fields = WorkloadKind::template_of(&workload).iter().rev();
            let patch = fields
                .fold(format!(r#"{{"spec":{patch}}}"#), |inner, field| format!(r#"{{"{field}":{inner}}}"#));
            Some(format!("kubectl -n {namespace} patch {workload} -p '{patch}'"))
        }
        (None, Some(pod)) => Some(format!(
            "kubectl -n {namespace} get pod {} -o yaml | kubectl patch -f - --local -p '{{\"spec\":{patch}}}' -o yaml | kubectl \
             replace --force -f -",
            pod.name
        )),
        _ => None,
    }
}
