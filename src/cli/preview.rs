//! Carries out a plan on a copy of a namespace's view, so that the changes that follow its writes are previewed too.

use k8s_openapi::jiff::Timestamp;

use crate::plan::notice::Notice;
use crate::plan::view::Provenance;
use crate::plan::{
    self, Change, NamespaceRecord, NamespaceResult, NamespaceView, SecretContent, SecretView, Snapshot,
};

/// Rounds at most. Entries are removed before the Secret that they name: two rounds, and one that finds nothing more.
const ROUNDS: usize = 4;

/// The time of a plan in which nothing was tried before: no write rests.
pub(super) const TIMELESS: Timestamp = Timestamp::UNIX_EPOCH;

/// The previewed changes of one namespace.
#[derive(Debug, Default)]
pub(super) struct Preview {
    /// The writes, in order.
    pub changes: Vec<Change>,
    /// The results after these writes, for each binding that covers the namespace.
    pub results: Vec<NamespaceResult>,
    /// The notices that the controller would give.
    pub notices: Vec<Notice>,
}

impl Preview {
    /// Returns whether our Secret would be removed.
    pub fn loses_secret(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::DeleteSecret { .. }))
    }
}

/// Plans until nothing is left to write.
pub(super) fn preview(mut record: NamespaceRecord, snapshot: &Snapshot) -> Preview {
    let mut preview = Preview::default();
    for _ in 0..ROUNDS {
        let plan = plan::namespace(&record, snapshot, &[], TIMELESS);
        preview.results = plan.results;
        plan.notices.iter().for_each(|notice| record.notices.add(notice));
        preview.notices.extend(plan.notices);
        if plan.changes.is_empty() {
            break;
        }
        plan.changes.iter().for_each(|change| observe(&mut record.view, change));
        preview.changes.extend(plan.changes);
    }
    preview
}

fn observe(view: &mut NamespaceView, change: &Change) {
    match change {
        Change::CreateSecret { content }
        | Change::UpdateSecret { content, .. }
        | Change::ReplaceSecret { content, .. } => {
            view.secret = Some(written(content));
        }
        Change::RetainSecret { .. } => view.secret.iter_mut().for_each(|secret| secret.retained = true),
        Change::DeleteSecret { .. } => view.secret = None,
        Change::SetPullSecrets { service_account, pull_secrets, .. } => {
            let account = view.service_accounts.iter_mut().find(|account| *account.name == **service_account);
            if let Some(account) = account {
                account.pull_secrets = pull_secrets.as_slice().into();
            }
        }
    }
}

/// Returns our Secret as the watch would observe it after this write.
fn written(content: &SecretContent) -> SecretView {
    SecretView {
        uid: Box::default(),
        resource_version: Box::default(),
        ours: true,
        provenance: Provenance::Here,
        retained: false,
        foreign_type: None,
        immutable: false,
        extra_keys: Box::default(),
        listing: content.listing.clone(),
        fingerprint: content.fingerprint,
    }
}
