//! Policy for a new credential that a registry rejects.

use futures::future::join_all;

use super::error::{CloudError, Retry};
use super::registry_check::{CheckResult, RegistryChecker};
use crate::api::condition::Reason;
use crate::model::Credential;

/// Maximum number of domains that are checked, all at once. One acceptance decides.
const MAX_CHECKED: usize = 6;

/// Policy for a new credential that a registry rejects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Registries are not checked.
    #[default]
    Off,
    /// The status reports the rejection, and the credential is used.
    Warn,
    /// The credential is not used; the last good one stays.
    Enforce,
}

/// Checks a new credential at the registries behind `domains`. Notes a rejection in its remark.
///
/// # Errors
/// `CredentialRejected`, if rejection is enforced. A registry that cannot be reached from here rejects nothing.
pub(super) async fn verify(
    checker: &RegistryChecker,
    policy: Verify,
    domains: &[String],
    credential: &mut Credential,
) -> Result<(), CloudError> {
    if policy == Verify::Off {
        return Ok(());
    }
    let checked = domains.iter().filter(|domain| !domain.contains('*')).take(MAX_CHECKED);
    let results =
        join_all(checked.map(async |domain| (domain, checker.check(domain, credential, None).await))).await;
    for (domain, result) in &results {
        if let CheckResult::Unknown(cause) = result {
            tracing::debug!(%domain, %cause, "registry check inconclusive");
        }
    }
    let first =
        |wanted: CheckResult| results.iter().find(|(_, result)| *result == wanted).map(|(domain, _)| *domain);
    let Some(domain) = first(CheckResult::Rejected).filter(|_| first(CheckResult::Accepted).is_none()) else {
        return Ok(());
    };
    if policy == Verify::Enforce {
        let message = format!(
            "{domain} does not accept the new credential of {}, so it is not used; check that the domain belongs to \
             this instance, and that this identity may pull from it",
            credential.origin.identity
        );
        return Err(CloudError::new(Reason::CredentialRejected, Retry::Soon, message));
    }
    credential.origin.remark = Some(format!("{domain} does not accept it").into());
    Ok(())
}
