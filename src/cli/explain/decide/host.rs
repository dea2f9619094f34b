//! The entries of bindings that have the host of an image, or the nearest host if none has it.

use super::binding_entry::{EntryOf, object_of};
use super::command::set_image;
use super::runtime;
use crate::cli::explain::cause::PullCause;
use crate::cli::explain::facts::{ContainerFacts, PullFacts, StoredSpec};
use crate::cli::explain::message::PullError;
use crate::cli::explain::verdict::{ExplainResult, Verdict};
use crate::model::distance::distance;
use crate::model::edition::{is_unsupported_address, unsupported};
use crate::plan::stuck_pods::is_for;

/// Letters by which a host may differ from the one that is meant.
const MAX_DISTANCE: usize = 2;

/// Returns the entries that have the host.
pub(super) fn entries<'a>(
    facts: &PullFacts,
    container: &ContainerFacts,
    bindings: &'a [StoredSpec],
    said: Option<PullError>,
) -> Result<Vec<EntryOf<'a>>, Box<Verdict>> {
    let all = || {
        bindings
            .iter()
            .flat_map(|binding| (0..binding.entries()).map(move |entry| EntryOf { binding, entry }))
    };
    let has = |found: &EntryOf<'_>| {
        found.binding.domains(found.entry).iter().any(|domain| is_for(domain, &container.image))
    };
    let found: Vec<_> = all().filter(has).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    // Before the first credential, the domains of an instance are not known.
    let unnamed = |found: &EntryOf<'_>| {
        found.binding.domains(found.entry).is_empty() && region_is(found, host(&container.image))
    };
    let found: Vec<_> = all().filter(unnamed).collect();
    let nearest = nearest(host(&container.image), all());
    match nearest {
        None if !found.is_empty() => Ok(found),
        nearest => Err(Box::new(no_binding(facts, container, bindings, nearest, said))),
    }
}

/// Returns the host of an image, with its port.
fn host(image: &str) -> &str {
    image.split('/').next().unwrap_or_default()
}

/// Returns whether a host of the cloud may belong to the entry, by its region.
fn region_is(found: &EntryOf<'_>, host: &str) -> bool {
    let region = found.binding.registry(found.entry).map(|status| status.region_id.as_str());
    host.ends_with(".aliyuncs.com")
        && region.is_some_and(|region| host.split('.').any(|label| label == region))
}

/// The nearest host of a binding, and how the host of the image differs from it.
struct Nearest<'a> {
    found: EntryOf<'a>,
    domain: &'a str,
    differs: &'static str,
}

fn nearest<'a>(host: &str, entries: impl Iterator<Item = EntryOf<'a>>) -> Option<Nearest<'a>> {
    let mut best: Option<(usize, Nearest<'a>)> = None;
    for found in entries {
        for domain in found.binding.domains(found.entry) {
            let domain = domain.split('/').next().unwrap_or_default();
            let Some((rank, differs)) = difference(host, domain) else { continue };
            if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                best = Some((rank, Nearest { found, domain, differs }));
            }
        }
    }
    best.map(|(_, nearest)| nearest)
}

/// Returns how a host differs from a domain, with a rank; `None` if it is a quite different one.
fn difference(host: &str, domain: &str) -> Option<(usize, &'static str)> {
    let (name, rest) = host.split_once('.')?;
    let (other, other_rest) = domain.split_once('.')?;
    let public = |name: &str| name.trim_end_matches("-vpc").trim_end_matches("-internal").to_owned();
    if rest == other_rest && public(name) == public(other) {
        return Some((0, "the other network (-vpc or public)"));
    }
    let is_of_cloud = rest.ends_with(".aliyuncs.com") && other_rest.ends_with(".aliyuncs.com");
    if is_of_cloud && public(name) == public(other) {
        return Some((2, "another region"));
    }
    if distance(host, domain) <= MAX_DISTANCE {
        return Some((1, "a spelling"));
    }
    (is_of_cloud && rest == other_rest).then_some((3, "another instance"))
}

fn no_binding(
    facts: &PullFacts,
    container: &ContainerFacts,
    bindings: &[StoredSpec],
    nearest: Option<Nearest<'_>>,
    said: Option<PullError>,
) -> Verdict {
    let host = host(&container.image);
    // A registry of others needs no binding: its own fault is the one to correct.
    if let (None, Some(said), false) = (&nearest, said, host.ends_with(".aliyuncs.com"))
        && said != PullError::Refused
    {
        return runtime::verdict(facts, container, said, None);
    }
    if !container.image.contains('/') || !host.contains(['.', ':']) && host != "localhost" {
        let message = format!("{:?} names no registry, so it is an image of Docker Hub", container.image);
        let verdict = Verdict::of(PullCause::HostOfNoBinding, message);
        return verdict.cured_by("write the image with its host, as HOST/NAMESPACE/REPOSITORY:TAG");
    }
    let message = format!("no binding has the host {host}");
    let verdict =
        Verdict::of(PullCause::HostOfNoBinding, message).because(&facts.subject, "image", &container.image);
    if is_unsupported_address(host) {
        return verdict.cured_by(unsupported(host));
    }
    if let Some(Nearest { found, domain, differs }) = nearest {
        let image = container.image.replacen(host, domain, 1);
        let field = format!("status.registries[{}].domains", found.entry);
        let cure = format!(
            "use the host {domain}, which differs by {differs}, or list {host} in domains of the entry of its instance"
        );
        let verdict = verdict.because(found.object(), field, found.binding.domains(found.entry).join(", "));
        let verdict = verdict.cured_by(cure);
        return match set_image(facts, container, &image) {
            Some(command) => verdict.by_command(command),
            None => verdict.by_command(format!("kubectl acr explain image {image} -n {}", facts.namespace)),
        };
    }
    match bindings.first() {
        Some(binding) => verdict
            .because(
                object_of(binding),
                "spec.registries",
                format!("{} without this host", crate::model::count(binding.entries(), "entry", "entries")),
            )
            .cured_by(format!(
                "add an entry for the instance of {host}, or list {host} in domains of its entry"
            ))
            .by_command(format!("kubectl edit acrcredentialbinding {}", binding.name())),
        None => {
            let message = "there is no binding in the cluster";
            Verdict { message: message.to_owned(), result: ExplainResult::Cause, ..verdict }
                .cured_by("create a binding with an entry for the instance of this host")
                .by_command("kubectl apply -f BINDING.yaml")
        }
    }
}
