//! `kubectl acr withdraw`: removes what the controller created, after the controller was stopped. It makes the
//! controller's own decisions and writes.

mod admission;
mod error;

pub use self::error::WithdrawError;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};

use self::error::of;
use super::inventory;
use super::preview::{Preview, TIMELESS, preview};
use super::secret_references::{SecretReferences, find_references};
use crate::api::binding::{AcrCredentialBinding, DeletionPolicy};
use crate::api::names;
use crate::cluster::error::{CallError, call};
use crate::cluster::keys::KeySecrets;
use crate::cluster::report::BindingWriter;
use crate::cluster::{Applier, Index, Outcome};
use crate::model::{Binding, count};
use crate::plan::stored_binding::reported_namespaces;
use crate::plan::{
    self, Change, NamespaceRecord, Phase, RegistryCredential, ResolvedBinding, SecretView, Snapshot,
    Template, change,
};

/// Rounds of planning and applying at most.
const ROUNDS: usize = 6;

/// The longest time until each API server has observed that admission no longer adds the entry. Some milliseconds are
/// usual.
const ADMISSION_PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two rounds in that time.
const PAUSE: Duration = Duration::from_millis(100);

/// Namespaces in progress at once.
const WORKERS: usize = 16;

/// A region for registries without `regionId`: nothing is minted for them.
const ANY_REGION: &str = "cn-hangzhou";

/// Lease duration where the Lease has none.
const LEASE_SECONDS: u64 = 15;

/// The scope of a withdrawal.
#[derive(Clone, Debug)]
pub struct WithdrawOptions {
    /// The namespace that the controller ran in.
    pub namespace: Box<str>,
    /// Name of the Secret in every covered namespace.
    pub secret_name: Box<str>,
    /// Whether to include what bindings with `deletionPolicy: Retain` keep.
    pub retained: bool,
}

/// The result of a withdrawal, or its preview.
#[derive(Debug, Default)]
pub struct Withdrawal {
    /// Whether anything was written; otherwise this is a preview.
    pub done: bool,
    /// Namespaces, with a description of what is removed.
    pub namespaces: Vec<(Arc<str>, String)>,
    /// Namespaces where the removal failed, and why.
    pub failed: Vec<(Arc<str>, String)>,
    /// Namespaces where a Secret of ours stays because of `deletionPolicy: Retain`.
    pub retained: Vec<Arc<str>>,
    /// Namespaces where a Secret that looks like ours stays with its entries, and why.
    pub left: Vec<(Arc<str>, &'static str)>,
    /// References to the removed Secrets.
    pub references: SecretReferences,
    /// Bindings whose finalizer is removed.
    pub bindings: Vec<String>,
    /// Other objects of the controller that are removed, as `KIND NAME`.
    pub own: Vec<String>,
}

/// Removes everything that the controller created, or previews the removal.
///
/// # Guarantees
/// - Admission is stopped first. Entries are removed before the Secret that they name, and finalizers last.
/// - Objects of other owners stay, even if they have our names.
/// - After an interruption, another run does the rest.
///
/// # Errors
/// [`WithdrawError`]. Failures in a namespace are in [`Withdrawal::failed`]; then all finalizers stay.
pub async fn withdraw(
    client: &Client,
    options: &WithdrawOptions,
    act: bool,
) -> Result<Withdrawal, WithdrawError> {
    if act && let Some(holder) = running(client, &options.namespace).await? {
        return Err(WithdrawError::Running { holder, namespace: options.namespace.clone() });
    }
    let template = Arc::new(Template {
        name: options.secret_name.clone(),
        labels: Default::default(),
        annotations: Default::default(),
    });
    let bindings = inventory::bindings(client).await?;
    let resolved_bindings = bindings.iter().filter_map(|object| deleted(object, options.retained)).collect();
    let snapshot = Snapshot::new(template.clone(), resolved_bindings, false);
    let index = Arc::new(inventory::index(client, &template).await?);
    if options.retained {
        clear_retained_marks(&index);
    }
    for namespace in bindings.iter().flat_map(reported_namespaces) {
        index.update(namespace, |record| record.reported = true);
    }
    let mut all = index.matching(|_, _| true);
    all.sort();
    let previewed = |namespace: &Arc<str>| {
        let record = index.update(namespace, |record| record.clone());
        record.map(|record| preview(record, &snapshot)).unwrap_or_default()
    };
    let previews: Vec<Preview> = all.iter().map(previewed).collect();
    let losing = all.iter().zip(&previews).filter(|(_, preview)| preview.loses_secret());
    let losing: Vec<&str> = losing.map(|(namespace, _)| &**namespace).collect();
    let references = find_references(client, &[&options.secret_name], &losing).await;
    let mut own = admission::stop(client, &options.namespace, act).await?;
    let settled_at = Instant::now() + if own.is_empty() { Duration::ZERO } else { ADMISSION_PATIENCE };
    let results: Vec<_> = if act {
        let applier = Applier::new(client.clone(), index.clone(), template);
        let work = all.iter().map(|namespace| {
            withdraw_from(namespace, &index, &snapshot, Writes { applier: &applier, settled_at })
        });
        stream::iter(work).buffered(WORKERS).collect().await
    } else {
        previews.into_iter().map(|preview| (preview.changes, None)).collect()
    };
    let mut withdrawal = Withdrawal { done: act, references, ..Withdrawal::default() };
    for (namespace, (changes, failure)) in all.into_iter().zip(results) {
        let is_retained = |secret: &SecretView| secret.ours && secret.retained;
        let to_retain = changes.iter().any(|change| matches!(change, Change::RetainSecret { .. }));
        if to_retain
            || index
                .read(&namespace, |view| view.secret.as_ref().is_some_and(is_retained))
                .unwrap_or_default()
        {
            withdrawal.retained.push(namespace.clone());
        }
        let left_alone = |record: &mut NamespaceRecord| plan::namespace::left_alone(record, &snapshot);
        let left = index.update(&namespace, left_alone).flatten();
        withdrawal.left.extend(left.map(|why| (namespace.clone(), why)));
        if !changes.is_empty() {
            withdrawal.namespaces.push((namespace.clone(), change::describe(&changes, &options.secret_name)));
        }
        withdrawal.failed.extend(failure.map(|error| (namespace, error.to_string())));
    }
    if withdrawal.failed.is_empty() {
        let finalized = bindings.into_iter().filter(|b| b.finalizers().iter().any(|f| f == names::FINALIZER));
        for binding in finalized {
            withdrawal.bindings.push(binding.name_any());
            if act {
                remove_finalizer(client, binding).await.map_err(of("a finalizer cannot be removed"))?;
            }
        }
        let keys = KeySecrets::new(client.clone(), &options.namespace);
        let secrets = keys.all().await.map_err(of("the Secrets of the controller cannot be read"))?;
        if act {
            keys.delete(&secrets).await.map_err(of("a Secret of the controller cannot be deleted"))?;
        }
        let place = |secret: &Secret| format!("Secret {}/{}", options.namespace, secret.name_any());
        own.extend(secrets.iter().map(place));
    }
    withdrawal.own = own;
    Ok(withdrawal)
}

/// Returns the holder of the Lease if it renews it. The clocks of two machines cannot be compared, so the Lease is watched
/// for its duration.
async fn running(client: &Client, namespace: &str) -> Result<Option<String>, WithdrawError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let read = async || {
        let lease = call(leases.get_opt(names::LEASE_NAME)).await.map_err(of("the Lease cannot be read"))?;
        let spec = lease.and_then(|lease| lease.spec);
        let held = spec.filter(|spec| spec.holder_identity.as_ref().is_some_and(|holder| !holder.is_empty()));
        Ok::<_, WithdrawError>(held)
    };
    let Some(first) = read().await? else { return Ok(None) };
    let seconds = first.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(LEASE_SECONDS);
    for _ in 0..=seconds.clamp(1, 60) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        match read().await? {
            None => return Ok(None),
            Some(now) if now != first => return Ok(now.holder_identity),
            Some(_) => {}
        }
    }
    Ok(None)
}

/// Resolves a binding as if it were deleted; `None` if it is invalid, since an invalid spec is never in force.
fn deleted(object: &AcrCredentialBinding, retained: bool) -> Option<ResolvedBinding> {
    let binding = Binding::parse_stored(object, ANY_REGION).ok()?;
    let phase = match binding.deletion_policy {
        DeletionPolicy::Retain if !retained => Phase::Retaining,
        DeletionPolicy::Retain | DeletionPolicy::Delete => Phase::Withdrawing,
    };
    let registries = vec![RegistryCredential::Missing; binding.registries.len()];
    Some(ResolvedBinding { binding: Arc::new(binding), phase, registries, keeps_entries: false })
}

/// Clears the marks of `deletionPolicy: Retain`, so that retained Secrets are removed like all others.
fn clear_retained_marks(index: &Index) {
    for namespace in index.with_our_secret() {
        let secret = index.read(&namespace, |view| view.secret.clone()).flatten();
        if let Some(secret) = secret {
            index.put_secret(&namespace, SecretView { retained: false, ..secret });
        }
    }
}

/// The writes of a withdrawal.
#[derive(Clone, Copy)]
struct Writes<'a> {
    applier: &'a Applier,
    /// Until then, admission may restore what is removed, or refuse a write; both are retried.
    settled_at: Instant,
}

/// Removes everything from a namespace. Returns the changes made, and the failure that stopped it.
async fn withdraw_from(
    namespace: &Arc<str>,
    index: &Index,
    snapshot: &Snapshot,
    Writes { applier, settled_at }: Writes<'_>,
) -> (Vec<Change>, Option<CallError>) {
    let mut made = Vec::new();
    let mut rounds = 0;
    while rounds < ROUNDS {
        let planned = |record: &mut NamespaceRecord| plan::namespace(record, snapshot, &[], TIMELESS);
        let plan = index.update(namespace, planned).unwrap_or_default();
        if plan.changes.is_empty() {
            return (made, None);
        }
        let early = Instant::now() < settled_at;
        for change in plan.changes {
            match applier.apply(namespace, &change).await {
                Outcome::Done => {
                    made.retain(|earlier| !same_object(earlier, &change));
                    made.push(change);
                }
                // Kubernetes deletes what a terminating namespace holds.
                Outcome::Failed(CallError::Terminating | CallError::NotFound) => return (made, None),
                Outcome::Failed(CallError::Later(..) | CallError::Unanswered(_)) if early => {}
                Outcome::Failed(error) => return (made, Some(error)),
                Outcome::Stale => {}
            }
        }
        if early {
            tokio::time::sleep(PAUSE).await;
        } else {
            rounds += 1;
        }
    }
    (made, Some(CallError::Conflict))
}

/// Returns whether both changes write the same ServiceAccount: the second one repeats a reverted first one.
fn same_object(one: &Change, other: &Change) -> bool {
    match (one, other) {
        (
            Change::SetPullSecrets { service_account: one, .. },
            Change::SetPullSecrets { service_account: other, .. },
        ) => one == other,
        _ => false,
    }
}

/// Removes our finalizer from a binding.
async fn remove_finalizer(client: &Client, mut binding: AcrCredentialBinding) -> Result<(), CallError> {
    let writer = BindingWriter::new(client.clone());
    for _ in 0..ROUNDS {
        match writer.set_finalizer(&binding, false).await {
            Ok(_) | Err(CallError::NotFound) => return Ok(()),
            Err(CallError::Conflict) => match writer.read(&binding.name_any()).await? {
                Some(now) => binding = now,
                None => return Ok(()),
            },
            Err(error) => return Err(error),
        }
    }
    Err(CallError::Conflict)
}

impl Withdrawal {
    /// Writes the result for people.
    ///
    /// # Errors
    /// The output cannot be written.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let would = if self.done { "" } else { "would " };
        for (namespace, what) in &self.namespaces {
            writeln!(to, "{namespace}: {would}{}", what.trim_start_matches("would "))?;
        }
        for (namespace, why) in &self.failed {
            writeln!(to, "{namespace}: failed: {why}")?;
        }
        for (namespace, why) in &self.left {
            writeln!(to, "{namespace}: left as it is, with its entries: {why}")?;
        }
        self.references.write(to)?;
        self.bindings
            .iter()
            .try_for_each(|name| writeln!(to, "binding {name}: {would}remove the finalizer"))?;
        self.own.iter().try_for_each(|name| writeln!(to, "{name}: {would}delete"))?;
        if !self.retained.is_empty() {
            let all = self.retained.iter().map(|n| &**n).collect::<Vec<_>>().join(", ");
            writeln!(to, "Secrets kept by deletionPolicy Retain (--retained removes them too): {all}")?;
        }
        let end = match (self.done, self.failed.is_empty()) {
            (true, true) => "done",
            (true, false) => {
                "finalizers stay until nothing is left: fix the failures above and run the command again"
            }
            (false, _) => "nothing was written; --yes applies it",
        };
        let namespaces = count(self.namespaces.len(), "namespace", "namespaces");
        writeln!(to, "{namespaces}, {}; {end}", count(self.bindings.len(), "binding", "bindings"))
    }
}
