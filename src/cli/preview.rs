//! A plan carried out on what is known of a namespace and nowhere else, so that what follows its writes is told too.

use k8s_openapi::jiff::Timestamp;

use crate::plan::{
    self, Change, NamespaceRecord, NamespaceResult, NamespaceView, SecretContent, SecretView, Snapshot,
};

/// Entries go before the Secret that they name: two rounds, and one that finds nothing more.
const ROUNDS: usize = 4;

/// The time of a plan in which nothing was tried before: no write rests.
pub(super) const TIMELESS: Timestamp = Timestamp::UNIX_EPOCH;

/// What a namespace would come to.
#[derive(Debug, Default)]
pub(super) struct Preview {
    /// What would be written, in its order.
    pub changes: Vec<Change>,
    /// What would stand then, for each binding that covers the namespace.
    pub results: Vec<NamespaceResult>,
}

impl Preview {
    /// Whether our Secret would go.
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
        if plan.changes.is_empty() {
            break;
        }
        plan.changes.iter().for_each(|change| take_in(&mut record.view, change));
        preview.changes.extend(plan.changes);
    }
    preview
}

fn take_in(view: &mut NamespaceView, change: &Change) {
    match change {
        Change::CreateSecret { content } | Change::UpdateSecret { content, .. } => {
            view.secret = Some(holding(content));
        }
        Change::RetainSecret { .. } => view.secret.iter_mut().for_each(|secret| secret.retained = true),
        Change::DeleteSecret { .. } => view.secret = None,
        Change::SetPullSecrets { service_account, pull_secrets, .. } => {
            let account = view.service_accounts.iter_mut().find(|account| account.name == *service_account);
            if let Some(account) = account {
                account.pull_secrets = pull_secrets.as_slice().into();
            }
        }
    }
}

/// Our Secret as it would be read after it was written.
fn holding(content: &SecretContent) -> SecretView {
    SecretView {
        uid: Box::default(),
        resource_version: Box::default(),
        ours: true,
        retained: false,
        foreign_type: None,
        extra_keys: Box::default(),
        listing: content.listing.clone(),
        fingerprint: content.fingerprint,
    }
}
