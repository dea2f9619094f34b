//! `kubectl acr withdraw`: takes back what the controller made, where it runs no more. By the same decisions and the same
//! writes as its own.

mod admission;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};

use super::plan as planned;
use super::preview::{Preview, TIMELESS, preview};
use super::secret_references::{SecretReferences, find_references};
use crate::api::binding::{AcrCredentialBinding, DeletionPolicy};
use crate::api::names;
use crate::cluster::error::{CallError, call};
use crate::cluster::keys::KeySecrets;
use crate::cluster::report::BindingWriter;
use crate::cluster::{Applier, Index, Outcome};
use crate::model::Binding;
use crate::plan::{
    self, Change, NamespaceRecord, NamespaceView, Phase, RegistryCredential, ResolvedBinding, SecretView,
    Snapshot, Template, change,
};

/// Plans and applies until nothing is left, at most this often.
const ROUNDS: usize = 6;

/// How long each API server may take to hear that nothing serves ServiceAccounts at their creation any more. Some
/// milliseconds are usual.
const HEARD: Duration = Duration::from_secs(10);

/// Between two rounds in that time.
const PAUSE: Duration = Duration::from_millis(100);

/// Namespaces that are worked on side by side.
const WORKERS: usize = 16;

/// Entries that name no region are read all the same: nothing is minted for them.
const ANY_REGION: &str = "cn-hangzhou";

/// A controller that holds the Lease renews it within this many seconds, unless the Lease says otherwise.
const LEASE_SECONDS: u64 = 15;

/// What to take back.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace that the controller ran in.
    pub namespace: Box<str>,
    /// Name of the Secret in every covered namespace.
    pub secret_name: Box<str>,
    /// Also what bindings with `deletionPolicy: Retain` left behind, or would.
    pub retained: bool,
}

/// Why nothing was taken back, or not all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two would write the same objects.
    #[error(
        "the controller {holder} runs: it renews the Lease {namespace}/{}. Delete its Deployment first, or delete the \
         bindings and let it withdraw them",
        names::LEASE_NAME
    )]
    Running {
        /// Who holds the Lease.
        holder: String,
        /// Where it is.
        namespace: Box<str>,
    },
    /// The API server refuses, or cannot be asked.
    #[error(transparent)]
    Unreadable(#[from] planned::Error),
    /// The same, of one thing.
    #[error("{what}: {why}")]
    Call {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        why: CallError,
    },
}

/// What was taken back, or would be.
#[derive(Debug, Default)]
pub struct Withdrawal {
    /// Whether it was.
    pub done: bool,
    /// Namespaces, and what of ours went there.
    pub namespaces: Vec<(Arc<str>, String)>,
    /// Namespaces where that failed, and why.
    pub failed: Vec<(Arc<str>, String)>,
    /// Namespaces where a Secret of ours stays, since it was left behind on purpose.
    pub retained: Vec<Arc<str>>,
    /// Who names the Secret where it went.
    pub find_references: SecretReferences,
    /// Bindings that were let go.
    pub bindings: Vec<String>,
    /// What else of ours went, each by kind and name.
    pub own: Vec<String>,
}

/// Takes everything back, or says what that would be.
///
/// # Guarantees
/// - What serves ServiceAccounts at their creation goes first, entries before the Secret that they name, and bindings are
///   let go after all of it.
/// - What others made stays, whatever its name.
/// - Run again after it was interrupted, it does the rest.
///
/// # Errors
/// [`Error`]. What fails in a namespace is told in [`Withdrawal::failed`], and then no binding is let go.
pub async fn withdraw(client: &Client, options: &Options, act: bool) -> Result<Withdrawal, Error> {
    if act && let Some(holder) = running(client, &options.namespace).await? {
        return Err(Error::Running { holder, namespace: options.namespace.clone() });
    }
    let template = Arc::new(Template {
        name: options.secret_name.clone(),
        labels: Default::default(),
        annotations: Default::default(),
    });
    let bindings = planned::bindings(client).await?;
    let resolved_bindings = bindings.iter().filter_map(|object| leaving(object, options.retained)).collect();
    let snapshot = Snapshot::new(template.clone(), resolved_bindings, false);
    let index = Arc::new(planned::read(client, &template).await?);
    if options.retained {
        forget_marks(&index);
    }
    let mut all = index.matching(|_, _| true);
    all.sort();
    let rehearsed = |namespace: &Arc<str>| {
        let view = index.read(namespace, NamespaceView::clone);
        view.map(|view| preview(NamespaceRecord::new(view), &snapshot)).unwrap_or_default()
    };
    let previews: Vec<Preview> = all.iter().map(rehearsed).collect();
    let losing = all.iter().zip(&previews).filter(|(_, preview)| preview.loses_secret());
    let losing: Vec<&str> = losing.map(|(namespace, _)| &**namespace).collect();
    let find_references = find_references(client, &[&options.secret_name], &losing).await;
    let mut own = admission::stop(client, &options.namespace, act).await?;
    let heard = Instant::now() + if own.is_empty() { Duration::ZERO } else { HEARD };
    let results: Vec<_> = if act {
        let applier = Applier::new(client.clone(), index.clone(), template);
        let work = all.iter().map(|namespace| take_back(namespace, &index, &snapshot, (&applier, heard)));
        stream::iter(work).buffered(WORKERS).collect().await
    } else {
        previews.into_iter().map(|preview| (preview.changes, None)).collect()
    };
    let mut withdrawal = Withdrawal { done: act, find_references, ..Withdrawal::default() };
    for (namespace, (changes, failure)) in all.into_iter().zip(results) {
        let left = |secret: &SecretView| secret.ours && secret.retained;
        let would_be = changes.iter().any(|change| matches!(change, Change::RetainSecret { .. }));
        if would_be
            || index.read(&namespace, |view| view.secret.as_ref().is_some_and(left)).unwrap_or_default()
        {
            withdrawal.retained.push(namespace.clone());
        }
        if !changes.is_empty() {
            withdrawal.namespaces.push((namespace.clone(), change::describe(&changes, &options.secret_name)));
        }
        withdrawal.failed.extend(failure.map(|error| (namespace, error.to_string())));
    }
    if withdrawal.failed.is_empty() {
        let held = bindings.into_iter().filter(|b| b.finalizers().iter().any(|f| f == names::FINALIZER));
        for binding in held {
            withdrawal.bindings.push(binding.name_any());
            if act {
                let_go(client, binding).await.map_err(of("a binding cannot be let go"))?;
            }
        }
        let keys = KeySecrets::new(client.clone(), &options.namespace);
        let secrets = keys.all().await.map_err(of("the controller's own Secrets cannot be read"))?;
        if act {
            keys.delete(&secrets).await.map_err(of("a Secret of the controller's own cannot be deleted"))?;
        }
        let place = |secret: &Secret| format!("Secret {}/{}", options.namespace, secret.name_any());
        own.extend(secrets.iter().map(place));
    }
    withdrawal.own = own;
    Ok(withdrawal)
}

fn of(what: &'static str) -> impl Fn(CallError) -> Error {
    move |why| Error::Call { what, why }
}

/// Who renews the Lease, if anybody does. This machine's clock says nothing about that, so it is watched for as long as
/// it holds.
async fn running(client: &Client, namespace: &str) -> Result<Option<String>, Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let read = async || {
        let lease = call(leases.get_opt(names::LEASE_NAME)).await.map_err(of("the Lease cannot be read"))?;
        let spec = lease.and_then(|lease| lease.spec);
        let held = spec.filter(|spec| spec.holder_identity.as_ref().is_some_and(|holder| !holder.is_empty()));
        Ok::<_, Error>(held)
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

/// A binding as if it were deleted. One that is not valid was never served by what it says now.
fn leaving(object: &AcrCredentialBinding, retained: bool) -> Option<ResolvedBinding> {
    let binding = Binding::parse(object, ANY_REGION).ok()?;
    let phase = match binding.deletion_policy {
        DeletionPolicy::Retain if !retained => Phase::Retaining,
        DeletionPolicy::Retain | DeletionPolicy::Delete => Phase::Withdrawing,
    };
    let registries = vec![RegistryCredential::Missing; binding.registries.len()];
    Some(ResolvedBinding { binding: Arc::new(binding), phase, registries, keeps_entries: false })
}

/// What was left behind on purpose is like everything else from here on.
fn forget_marks(index: &Index) {
    for namespace in index.with_our_secret() {
        let secret = index.read(&namespace, |view| view.secret.clone()).flatten();
        if let Some(secret) = secret {
            index.put_secret(&namespace, SecretView { retained: false, ..secret });
        }
    }
}

/// What was written in a namespace, and why it went no further. Until the given time what is put back, or cannot be
/// written, is tried again.
async fn take_back(
    namespace: &Arc<str>,
    index: &Index,
    snapshot: &Snapshot,
    (applier, heard): (&Applier, Instant),
) -> (Vec<Change>, Option<CallError>) {
    let mut made = Vec::new();
    let mut rounds = 0;
    while rounds < ROUNDS {
        let planned = |record: &mut NamespaceRecord| plan::namespace(record, snapshot, &[], TIMELESS);
        let plan = index.update(namespace, planned).unwrap_or_default();
        if plan.changes.is_empty() {
            return (made, None);
        }
        let early = Instant::now() < heard;
        for change in plan.changes {
            match applier.apply(namespace, &change).await {
                Outcome::Done => {
                    made.retain(|earlier| !same_object(earlier, &change));
                    made.push(change);
                }
                // Everything in it goes by itself.
                Outcome::Failed(CallError::Terminating | CallError::NotFound) => return (made, None),
                Outcome::Failed(CallError::Later(..)) if early => {}
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

/// Whether a change was made again, since it was undone.
fn same_object(one: &Change, other: &Change) -> bool {
    match (one, other) {
        (
            Change::SetPullSecrets { service_account: one, .. },
            Change::SetPullSecrets { service_account: other, .. },
        ) => one == other,
        _ => false,
    }
}

/// Takes our finalizer off.
async fn let_go(client: &Client, mut binding: AcrCredentialBinding) -> Result<(), CallError> {
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
    /// Writes it for people.
    ///
    /// # Errors
    /// What is written to cannot be.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let would = if self.done { "" } else { "would " };
        for (namespace, what) in &self.namespaces {
            writeln!(to, "{namespace}: {would}{}", what.trim_start_matches("would "))?;
        }
        for (namespace, why) in &self.failed {
            writeln!(to, "{namespace}: failed: {why}")?;
        }
        self.find_references.write(to)?;
        self.bindings
            .iter()
            .try_for_each(|name| writeln!(to, "binding {name}: {would}take our finalizer off"))?;
        self.own.iter().try_for_each(|name| writeln!(to, "{name}: {would}delete it"))?;
        if !self.retained.is_empty() {
            let all = self.retained.iter().map(|n| &**n).collect::<Vec<_>>().join(", ");
            writeln!(to, "left behind by deletionPolicy Retain, --retained takes them back too: {all}")?;
        }
        let end = match (self.done, self.failed.is_empty()) {
            (true, true) => "done",
            (true, false) => "the bindings still hold what is left: mend what failed and run it again",
            (false, _) => "nothing was written; --yes does it",
        };
        writeln!(to, "{} namespaces, {} bindings; {end}", self.namespaces.len(), self.bindings.len())
    }
}
