//! Whether registries accept what was minted, and what follows from it.

use futures::future::join_all;

use super::error::{Failure, Retry};
use super::registry_check::{RegistryChecker, Verdict};
use crate::api::condition::Reason;
use crate::model::Credential;

/// Domains that are asked at most, all at once. One answer decides.
const MOST: usize = 6;

/// What a registry's rejection of a new credential means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// No registry is asked.
    #[default]
    Off,
    /// It is told, and the credential is used all the same.
    Warn,
    /// The credential is not used; the last good one stays.
    Enforce,
}

/// Shows a new credential to the registries behind `domains`, and says in its remark if they reject it.
///
/// # Errors
/// `CredentialRejected`, where rejection is enforced. A registry that cannot be reached from here rejects nothing.
pub(super) async fn verify(
    prover: &RegistryChecker,
    policy: Verify,
    domains: &[String],
    credential: &mut Credential,
) -> Result<(), Failure> {
    if policy == Verify::Off {
        return Ok(());
    }
    let asked = domains.iter().filter(|domain| !domain.contains('*')).take(MOST);
    let verdicts =
        join_all(asked.map(async |domain| (domain, prover.prove(domain, credential, None).await))).await;
    for (domain, verdict) in &verdicts {
        if let Verdict::Unknown(why) = verdict {
            tracing::debug!(%domain, %why, "a registry does not say whether it accepts the credential");
        }
    }
    let is =
        |wanted: Verdict| verdicts.iter().find(|(_, verdict)| *verdict == wanted).map(|(domain, _)| *domain);
    let Some(domain) = is(Verdict::Rejected).filter(|_| is(Verdict::Accepted).is_none()) else {
        return Ok(());
    };
    if policy == Verify::Enforce {
        let message = format!(
            "{domain} does not accept the new credential of {}, so it is not used; check that the domain belongs to \
             this instance, and that this identity may pull from it",
            credential.origin.identity
        );
        return Err(Failure::new(Reason::CredentialRejected, Retry::Soon, message));
    }
    credential.origin.remark = Some(format!("{domain} does not accept it").into());
    Ok(())
}
