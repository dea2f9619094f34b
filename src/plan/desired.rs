//! The writes that bring one namespace to the wanted state, whether or not they rest for now.

use std::sync::Arc;

use k8s_openapi::jiff::Timestamp;

use super::adoption;
use super::change::{Change, ObjectKey};
use super::duty::NamespaceCoverage;
use super::failure::Failure;
use super::notice::{Notice, NoticeReason, NoticeSubject};
use super::record::NamespaceRecord;
use super::refusal::{deletion, immutable};
use super::secret::SecretContent;
use super::service_account::{Want, pull_secrets};
use super::snapshot::Snapshot;
use super::view::{NamespaceView, Provenance, SecretView, ServiceAccountView};
use crate::api::{Reason, names};

/// The writes of a served namespace.
#[derive(Debug)]
pub struct Served {
    /// Writes that may go side by side.
    pub changes: Vec<Change>,
    /// Whether the Secret holds everything that is wanted; if not, why.
    pub secret: Result<(), Failure>,
}

/// A namespace, and the content that its bindings want in its Secret.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The namespace.
    pub record: &'a NamespaceRecord,
    /// All bindings.
    pub snapshot: &'a Snapshot,
    /// Those that matter here.
    pub coverage: &'a NamespaceCoverage<'a>,
    /// The wanted content.
    pub content: &'a Arc<SecretContent>,
    /// The time.
    pub now: Timestamp,
}

impl Site<'_> {
    /// Plans a served namespace. Credentials of a suspended or retained binding stay in the Secret: it must not lose
    /// them by another's refresh.
    pub fn serve(&self) -> Served {
        let (secret, write) = match self.fill() {
            Filled::Done => (Ok(()), None),
            Filled::Not(why) => (Err(why), None),
            Filled::Soon(why, write) => (Err(why), Some(write)),
        };
        let conflict = secret.as_ref().err().is_some_and(|f| f.reason == Reason::SecretConflict);
        let changes = write.into_iter().chain(self.entries(conflict)).collect();
        Served { changes, secret }
    }

    /// Returns whether the Secret may belong in part to bindings that went with the CustomResourceDefinition and may come back.
    pub fn may_be_unclaimed(&self) -> bool {
        let Self { record, snapshot, content, now, .. } = self;
        let found = record.view.secret.as_ref().filter(|secret| !record.served && may_go(secret));
        found.is_some_and(|secret| {
            snapshot.protects_unclaimed(*now) && secret.listing.would_lose_by(&content.listing, *now)
        })
    }

    /// Returns the notices to the users of a served namespace, before these changes.
    pub fn notices(&self, changes: &[Change]) -> Vec<Notice> {
        let updates = changes.iter().any(|change| matches!(change, Change::UpdateSecret { .. }));
        let Self { record, snapshot, coverage, .. } = self;
        let view = &record.view;
        let covers = |account: &ServiceAccountView| {
            let by = |&i: &usize| {
                snapshot.resolved(i).binding.service_accounts.covers(&account.name, &account.labels)
            };
            coverage.active.iter().any(by)
        };
        let unclear = |account: &ServiceAccountView| {
            let value = account.unclear_skip.as_ref().filter(|_| covers(account))?;
            let subject = NoticeSubject::Object(ObjectKey::ServiceAccount((*account.name).into()));
            Some(skip_notice(subject, value))
        };
        let of_namespace = view.facts.as_ref().and_then(|facts| facts.unclear_skip.as_ref());
        let of_namespace = of_namespace.map(|value| skip_notice(NoticeSubject::Namespace, value));
        let of_accounts = view.service_accounts.iter().filter_map(unclear);
        let replaced = self.replaced().filter(|_| updates).into_iter().chain(self.replacement(changes));
        of_namespace.into_iter().chain(of_accounts).chain(replaced).collect()
    }

    /// Returns the notice that the takeover of a Secret removes content of its owner.
    fn replaced(&self) -> Option<Notice> {
        let Self { record, snapshot, coverage, content, .. } = self;
        let secret = self.foreign()?;
        let adopts = |&i: &usize| Some(&snapshot.resolved(i).binding).filter(|binding| binding.adopt);
        let bindings: Vec<Arc<str>> =
            coverage.active.iter().filter_map(adopts).map(|binding| binding.name.clone()).collect();
        let loss = adoption::loss(secret, record.foreign.as_deref(), content)?;
        let message = format!(
            "The Secret {}/{} is taken over for the binding {}. This removes {loss}",
            record.view.name,
            snapshot.secret_name(),
            bindings.join(", ")
        );
        let subject = NoticeSubject::Object(ObjectKey::Secret);
        Some(Notice { subject, reason: NoticeReason::ContentReplaced, message, bindings })
    }

    /// Returns another owner's Secret that could be taken over.
    fn foreign(&self) -> Option<&SecretView> {
        let found = self.record.view.secret.as_ref();
        found.filter(|secret| !secret.ours && secret.foreign_type.is_none())
    }

    /// Returns whether the hosts in another owner's Secret are still to be read.
    pub fn reads_foreign(&self) -> bool {
        let known =
            |secret: &SecretView| self.record.foreign.as_ref().is_some_and(|hosts| hosts.is_of(secret));
        self.foreign().is_some_and(|secret| !known(secret))
    }

    /// Returns the notice that a Secret of an earlier time is removed, though no binding gives the cause.
    pub fn leftover(&self, withdrawal: &[Change]) -> Option<Notice> {
        self.record.view.secret.as_ref().filter(|_| !withdrawal.is_empty())?;
        let message = format!(
            "No binding covers the namespace {}. This controller wrote the Secret {} for it at an earlier time. It removes \
             the Secret and its entries of ServiceAccounts. To get a Secret here again, cover the namespace by a binding",
            self.record.view.name,
            self.snapshot.secret_name()
        );
        let (subject, reason) = (NoticeSubject::Object(ObjectKey::Secret), NoticeReason::LeftoverRemoved);
        Some(Notice { subject, reason, message, bindings: Vec::new() })
    }

    fn fill(&self) -> Filled {
        let Self { record, snapshot, coverage, content, .. } = self;
        let active = &coverage.active;
        let adopt = active.iter().any(|&i| snapshot.resolved(i).binding.adopt);
        // Nothing is minted for a suspended binding: it would be waited for without end.
        let pending = active.iter().any(|&i| snapshot.resolved(i).is_pending());
        let progressing = |message| Failure::new(Reason::Progressing, message);
        let waiting = || Filled::Not(progressing("waiting for the first credential"));
        let found = record.view.secret.as_ref();
        if let Some(failure) = found.and_then(|secret| self.conflict(secret, adopt)) {
            return Filled::Not(failure);
        }
        if found.is_some_and(|secret| secret.immutable && !self.may_replace(secret)) {
            return Filled::Not(immutable(&record.view.name, snapshot.secret_name()));
        }
        // A binding that is left out loses its credentials. It must be reported, and one that rests reports nothing.
        let is_active =
            |binding: &Arc<str>| active.iter().any(|&i| snapshot.resolved(i).binding.name == *binding);
        let others_go_on = |left_out: &[Arc<str>]| left_out.iter().all(is_active);
        if let Some(large) = &content.too_large
            && !large.left_out.as_deref().is_some_and(others_go_on)
        {
            return Filled::Not(Failure::new(Reason::SecretTooLarge, large.why.as_str()));
        }
        match found {
            None if pending => waiting(),
            None => Filled::Soon(
                record.refusal().cloned().unwrap_or_else(|| progressing("the Secret is being created")),
                Change::CreateSecret { content: Arc::clone(content) },
            ),
            Some(secret) if !secret.immutable && is_as_wanted(secret, content) => Filled::Done,
            Some(_) if self.may_be_unclaimed() => Filled::Not(progressing(
                "the Secret holds credentials that no binding asks for, and the CustomResourceDefinition is new: \
                 waiting for the bindings that asked for them",
            )),
            // The existing content may be all that pulls have, and nothing is there to replace it.
            Some(_) if pending || content.is_empty => waiting(),
            Some(secret) if secret.immutable => Filled::Soon(
                progressing("the Secret is immutable and is being replaced"),
                self.replace(secret),
            ),
            Some(secret) => Filled::Soon(progressing("the Secret is being updated"), self.update(secret)),
        }
    }

    /// Returns whether an immutable Secret may be deleted and created again: it must be this controller's own. At once,
    /// also with the wanted content: a kubelet that reads it while it is immutable never reads it again.
    fn may_replace(&self, secret: &SecretView) -> bool {
        may_go(secret) && is_removable(secret, self.record, self.coverage)
    }

    /// Returns the notice that an immutable Secret is replaced.
    fn replacement(&self, changes: &[Change]) -> Option<Notice> {
        let replaces = |change: &Change| matches!(change, Change::ReplaceSecret { .. });
        let secret = self.record.view.secret.as_ref().filter(|_| changes.iter().any(replaces))?;
        let message = format!(
            "The Secret {}/{} was made immutable, so its credential cannot be renewed. The controller deletes it (UID {}) and \
             creates it again with another UID. Entries of ServiceAccounts stay. A kubelet that read it meanwhile keeps the \
             old content for as long as a Pod on its node names it",
            self.record.view.name,
            self.snapshot.secret_name(),
            secret.uid
        );
        let (subject, reason) = (NoticeSubject::Object(ObjectKey::Secret), NoticeReason::SecretReplaced);
        Some(Notice { subject, reason, message, bindings: Vec::new() })
    }

    /// Returns why the existing Secret must not be touched, if it must not.
    fn conflict(&self, secret: &SecretView, adopt: bool) -> Option<Failure> {
        let Self { record, snapshot, content, .. } = self;
        let found = format!("Secret {}/{}", record.view.name, snapshot.secret_name());
        let message = match &secret.foreign_type {
            Some(other) => format!(
                "{found} has the type {other}, which cannot be changed: delete it ({}), and the controller writes its own",
                deletion(&record.view.name, snapshot.secret_name())
            ),
            None if secret.ours || adopt => return None,
            None => {
                let loss = adoption::loss(secret, record.foreign.as_deref(), content);
                let loss = loss.map(|loss| format!(". Taking it over removes {loss}")).unwrap_or_default();
                format!(
                    "{found} exists and was not created by this controller: delete or rename it, or annotate the binding \
                     with {}: \"true\" to take it over{loss}",
                    names::ANNOTATION_ADOPT
                )
            }
        };
        Some(Failure::new(Reason::SecretConflict, message))
    }

    /// Plans the lists of `imagePullSecrets` that are not as wanted.
    fn entries(&self, conflict: bool) -> impl Iterator<Item = Change> {
        let Self { record, snapshot, coverage, .. } = self;
        // A pull retries until the Secret exists, but a missing entry is never added to a Pod.
        // An entry makes no sense only where the Secret cannot come.
        let attach = !conflict && record.refusal().is_none();
        let entries_stay = coverage.active.iter().any(|&i| snapshot.resolved(i).keeps_entries);
        let kept = coverage.kept();
        record.view.service_accounts.iter().filter_map(move |account| {
            let covers = |i: &usize| {
                snapshot.resolved(*i).binding.service_accounts.covers(&account.name, &account.labels)
            };
            let wanted = coverage.active.iter().any(covers) && !account.skip;
            let want = match (wanted, kept.iter().any(covers)) {
                _ if conflict => Want::AsIs,
                (true, _) if attach => Want::Attached,
                (true, _) | (_, true) => Want::AsIs,
                _ if entries_stay && !account.skip => Want::AsIs,
                // An unreadable binding may cover it, unless it opts out.
                _ if snapshot.keeps_all() && !account.skip => Want::AsIs,
                (false, false) => Want::Detached,
            };
            set_pull_secrets(account, snapshot, want)
        })
    }

    /// Plans a namespace in which only credentials are renewed: pulls go on, and nothing else is repaired.
    pub fn renew(&self) -> Option<Change> {
        let Self { record, snapshot, coverage, content, .. } = self;
        let is_ours = |secret: &&SecretView| may_go(secret) && secret.provenance != Provenance::Elsewhere;
        let secret = record.view.secret.as_ref().filter(is_ours)?;
        let pending = coverage.retained.iter().any(|(i, _)| snapshot.resolved(*i).is_pending());
        let stale = secret.fingerprint != content.fingerprint;
        let usable = !pending && !content.is_empty && content.too_large.is_none();
        let possible = !secret.immutable || self.may_replace(secret);
        let write = || if secret.immutable { self.replace(secret) } else { self.update(secret) };
        (stale && usable && possible).then(write)
    }

    fn replace(&self, secret: &SecretView) -> Change {
        Change::ReplaceSecret {
            content: Arc::clone(self.content),
            uid: secret.uid.clone(),
            resource_version: secret.resource_version.clone(),
        }
    }

    fn update(&self, secret: &SecretView) -> Change {
        Change::UpdateSecret {
            content: Arc::clone(self.content),
            resource_version: secret.resource_version.clone(),
            extra_keys: secret.extra_keys.clone(),
            reverts: self.record.is_reverted(secret),
        }
    }
}

/// The state of our Secret.
enum Filled {
    Done,
    Not(Failure),
    Soon(Failure, Change),
}

/// Plans the withdrawal: entries go first, then the Secret.
pub fn withdraw(
    record: &NamespaceRecord,
    snapshot: &Snapshot,
    coverage: &NamespaceCoverage<'_>,
) -> Vec<Change> {
    let view = &record.view;
    let ours = view.secret.as_ref().filter(|secret| may_go(secret) && is_removable(secret, record, coverage));
    let was_covered = !coverage.leaving().is_empty() || record.served || record.reported;
    // Beside a Secret that is not ours, an entry of that name is not ours either.
    let entries_are_ours = ours.is_some() || (was_covered && view.secret.is_none());
    if !entries_are_ours {
        return Vec::new();
    }
    let accounts = view.service_accounts.iter();
    let detached = accounts.filter_map(|account| set_pull_secrets(account, snapshot, Want::Detached));
    let mut changes: Vec<Change> = detached.collect();
    if let (true, Some(secret)) = (changes.is_empty(), ours) {
        changes.push(Change::DeleteSecret {
            uid: secret.uid.clone(),
            resource_version: secret.resource_version.clone(),
        });
    }
    changes
}

/// Returns whether a Secret that looks like ours may be removed. Labels and annotations do not prove it: they are copied
/// along when a user copies a Secret.
fn is_removable(secret: &SecretView, record: &NamespaceRecord, coverage: &NamespaceCoverage<'_>) -> bool {
    match secret.provenance {
        Provenance::Here => true,
        Provenance::Unknown => record.served || record.reported || !coverage.leaving().is_empty(),
        Provenance::Elsewhere => false,
    }
}

/// Returns why a Secret that looks like ours stays in a namespace that is not served, if one does.
pub fn left_alone(record: &NamespaceRecord, coverage: &NamespaceCoverage<'_>) -> Option<&'static str> {
    let secret = record.view.secret.as_ref().filter(|secret| may_go(secret))?;
    if is_removable(secret, record, coverage) {
        return None;
    }
    Some(match secret.provenance {
        Provenance::Elsewhere => "the Secret is a copy of the one in another namespace",
        Provenance::Here | Provenance::Unknown => {
            "the Secret does not show that the controller wrote it here, and no binding covers the namespace"
        }
    })
}

/// Plans the mark on a Secret that is left behind on purpose.
pub fn retain(view: &NamespaceView) -> Option<Change> {
    let secret = view.secret.as_ref().filter(|secret| may_go(secret))?;
    Some(Change::RetainSecret {
        resource_version: secret.resource_version.clone(),
        extra_keys: secret.extra_keys.clone(),
    })
}

fn set_pull_secrets(account: &ServiceAccountView, snapshot: &Snapshot, want: Want) -> Option<Change> {
    let pull_secrets = pull_secrets(&account.pull_secrets, snapshot.secret_name(), want)?;
    Some(Change::SetPullSecrets {
        service_account: (*account.name).into(),
        resource_version: account.resource_version.clone(),
        pull_secrets,
    })
}

/// Returns the notice that a value of `skip` is not understood.
fn skip_notice(subject: NoticeSubject, value: &str) -> Notice {
    let message = format!(
        "The value {value:?} of {} is not a boolean of YAML, so it opts nothing out. Write \"true\" or \"false\"",
        names::SKIP
    );
    Notice { subject, reason: NoticeReason::SkipNotUnderstood, message, bindings: Vec::new() }
}

/// Returns whether the Secret needs no write. One without a mark gets it with the next write, and one with another
/// namespace's mark is repaired.
fn is_as_wanted(secret: &SecretView, content: &SecretContent) -> bool {
    secret.fingerprint == content.fingerprint && secret.provenance != Provenance::Elsewhere
}

/// Returns whether a Secret is ours and was not left behind on purpose. One of another type was never created by us.
fn may_go(secret: &SecretView) -> bool {
    secret.ours && !secret.retained && secret.foreign_type.is_none()
}
