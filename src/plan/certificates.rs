//! When to renew the webhook's own certificates.
//!
//! # Guarantees
//! At every moment the webhook configuration trusts the authority of each certificate that a replica may still serve:
//! - A new authority signs nothing before the configuration has named it for a while, since an API server learns of a
//!   configuration by a watch.
//! - An old one stays until the last certificate that it signed has expired, so that a replica that has not seen the
//!   new one yet is trusted too.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Lifetimes of authorities and certificates.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Of an authority.
    pub authority: SignedDuration,
    /// Of a certificate that is served.
    pub certificate: SignedDuration,
    /// From the configuration that names a new authority to its first certificate.
    pub settle: SignedDuration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            authority: SignedDuration::from_hours(365 * 24),
            certificate: SignedDuration::from_hours(90 * 24),
            settle: SignedDuration::from_secs(60),
        }
    }
}

/// An authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its number, counted from one.
    pub id: u64,
    /// Start of its validity.
    pub since: Timestamp,
    /// End of its validity.
    pub until: Timestamp,
    /// When the last certificate that it signed expires.
    pub needed_until: Timestamp,
}

/// The certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServingCertificate {
    /// Id of the authority that signed it.
    pub authority: u64,
    /// Start of its validity.
    pub since: Timestamp,
    /// End of its validity.
    pub until: Timestamp,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
}

/// All authorities and the certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// Oldest first.
    pub authorities: Vec<Authority>,
    /// The certificate that is served.
    pub serving: Option<ServingCertificate>,
}

/// Whether the API server trusts the newest authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityTrust {
    /// No configuration exists, so the API server does not call the webhook yet.
    NotConfigured,
    /// A configuration exists that does not name it.
    NotYet,
    /// The configuration names it, at least since then.
    Since(Timestamp),
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateStep {
    /// Wait until this time.
    Wait(Timestamp),
    /// Create an authority.
    CreateAuthority,
    /// Sign a certificate with this authority.
    Sign(u64),
    /// Remove this authority.
    RemoveAuthority(u64),
}

/// Memory of which authority the configuration is seen to name, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrustTracker(Option<(u64, Timestamp)>);

impl TrustTracker {
    /// Records the bundles of a configuration. Returns whether all of them name the newest authority, which is given
    /// by its id and its certificate in PEM.
    pub fn observe<'a>(
        &mut self,
        newest: Option<(u64, &str)>,
        bundles: impl IntoIterator<Item = Option<&'a [u8]>>,
        now: Timestamp,
    ) -> AuthorityTrust {
        let mut bundles = bundles.into_iter().peekable();
        let (Some((id, certificate)), Some(_)) = (newest, bundles.peek()) else {
            return AuthorityTrust::NotConfigured;
        };
        let certificate = certificate.as_bytes();
        let names_it = |bundle: Option<&[u8]>| {
            bundle.is_some_and(|bundle| bundle.windows(certificate.len()).any(|part| part == certificate))
        };
        if !bundles.all(names_it) {
            self.0 = None;
            return AuthorityTrust::NotYet;
        }
        let since = self.0.filter(|(named, _)| *named == id).map_or(now, |(_, since)| since);
        self.0 = Some((id, since));
        AuthorityTrust::Since(since)
    }
}

/// Returns when to renew: after two thirds of the validity, which leaves time to resolve a failure.
fn due(since: Timestamp, until: Timestamp) -> Timestamp {
    since + until.duration_since(since) * 2 / 3
}

/// Returns the next step, of which there is at most one at a time.
pub fn next(
    certificates: &Certificates,
    names: &[String],
    trust: AuthorityTrust,
    lifetimes: &Lifetimes,
    now: Timestamp,
) -> CertificateStep {
    let Some(newest) = certificates.authorities.last().filter(|newest| now < newest.until) else {
        return CertificateStep::CreateAuthority;
    };
    let trusted_at = match trust {
        AuthorityTrust::NotConfigured => Some(now),
        AuthorityTrust::Since(since) => Some(since + lifetimes.settle),
        AuthorityTrust::NotYet => None,
    };
    let trusted = trusted_at.is_some_and(|at| at <= now);
    let signer = match certificates.authorities.iter().rev().nth(1).filter(|earlier| now < earlier.until) {
        Some(earlier) if !trusted => earlier,
        _ => newest,
    };
    let good = |serving: &&ServingCertificate| {
        let known = certificates.authorities.iter().any(|authority| authority.id == serving.authority);
        known && now < due(serving.since, serving.until) && serving.names == names
    };
    let Some(serving) = certificates.serving.as_ref().filter(good) else {
        return CertificateStep::Sign(signer.id);
    };
    let newest_due = due(newest.since, newest.until);
    if newest_due <= now {
        return CertificateStep::CreateAuthority;
    }
    if serving.authority != newest.id && trusted {
        return CertificateStep::Sign(newest.id);
    }
    let mut unused =
        certificates.authorities.iter().filter(|a| a.id != newest.id && a.id != serving.authority);
    if let Some(retired) = unused.clone().find(|authority| authority.needed_until <= now) {
        return CertificateStep::RemoveAuthority(retired.id);
    }
    let first = due(serving.since, serving.until).min(newest_due);
    let first = unused.by_ref().map(|authority| authority.needed_until).fold(first, Timestamp::min);
    let changes_at = trusted_at.filter(|_| serving.authority != newest.id);
    CertificateStep::Wait(changes_at.map_or(first, |at| first.min(at)))
}

/// Returns when a certificate that is made now expires: not after its authority.
pub fn end(now: Timestamp, lifetime: SignedDuration, authority: Option<&Authority>) -> Timestamp {
    let end = now + lifetime;
    authority.map_or(end, |authority| end.min(authority.until))
}

#[cfg(test)]
mod tests;
