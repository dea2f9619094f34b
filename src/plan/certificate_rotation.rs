//! The webhook's certificate from files: which one to present, and which authorities the API server is to trust.
//!
//! # Guarantees
//! Replicas see new files at different times, and one of them alone configures the API server. So where the authority
//! changes, the old certificate is presented for a while, and the old authority is trusted for longer: no running
//! replica presents a certificate that the API server does not trust. A replica that starts meanwhile knows the new
//! files alone, and presents them. An old certificate that is no longer valid is replaced at once.

use std::time::{Duration, Instant};

/// Times to settle until a certificate of a new authority is presented: 2 min. By then every replica has its files.
const PRESENTED_AFTER: u32 = 2;

/// Times to settle for which the former authority is trusted after that: 4 min. By then no replica presents its
/// certificates.
const TRUSTED_AFTER: u32 = 4;

/// A certificate that can be presented.
pub trait Presentable {
    /// Returns the authorities to trust for it, in PEM.
    fn authorities(&self) -> &[u8];

    /// Returns whether both are the same files.
    fn is_same(&self, other: &Self) -> bool;
}

/// Effect of new files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilesChange {
    /// They are the same.
    None,
    /// The certificate was renewed by the same authority: it is presented at once.
    Renewed,
    /// Another authority: it is trusted at once, and its certificate is presented later.
    NewAuthority,
}

/// A certificate that is presented later.
#[derive(Debug)]
struct PendingCertificate<C> {
    certificate: C,
    due: Instant,
}

/// Authorities that are trusted for a while.
#[derive(Debug)]
struct FormerAuthorities {
    bundle: Vec<u8>,
    until: Instant,
}

/// The rotation of certificates from files.
#[derive(Debug)]
pub struct CertificateRotation<C> {
    presented: C,
    pending: Option<PendingCertificate<C>>,
    former: Vec<FormerAuthorities>,
    settle: Duration,
}

impl<C: Presentable> CertificateRotation<C> {
    /// Returns a rotation that presents the first files. `settle`: the time for all replicas to have new files.
    pub fn new(first: C, settle: Duration) -> Self {
        Self { presented: first, pending: None, former: Vec::new(), settle }
    }

    /// Returns the certificate to present.
    pub fn presented(&self) -> &C {
        &self.presented
    }

    /// Records the files as they are now.
    pub fn observe(&mut self, files: C, now: Instant) -> FilesChange {
        let newest = self.pending.as_ref().map_or(&self.presented, |pending| &pending.certificate);
        if newest.is_same(&files) {
            return FilesChange::None;
        }
        let dropped = self.pending.take();
        if files.authorities() == self.presented.authorities() {
            self.retire(dropped, now);
            self.presented = files;
            return FilesChange::Renewed;
        }
        let due = match dropped {
            Some(dropped) if dropped.certificate.authorities() == files.authorities() => dropped.due,
            dropped => {
                self.retire(dropped, now);
                now + self.settle * PRESENTED_AFTER
            }
        };
        self.pending = Some(PendingCertificate { certificate: files, due });
        FilesChange::NewAuthority
    }

    fn retire(&mut self, dropped: Option<PendingCertificate<C>>, now: Instant) {
        let until = now + self.settle * (PRESENTED_AFTER + TRUSTED_AFTER);
        let former = dropped.map(|dropped| dropped.certificate.authorities().to_vec());
        self.former.extend(former.map(|bundle| FormerAuthorities { bundle, until }));
    }

    /// Presents a pending certificate that is due, or whose predecessor is no longer valid. Returns whether it did.
    pub fn present_due(&mut self, now: Instant, is_valid: impl FnOnce(&C) -> bool) -> bool {
        let presented = &self.presented;
        let due = self.pending.take_if(|pending| pending.due <= now || !is_valid(presented));
        let Some(PendingCertificate { certificate, .. }) = due else { return false };
        let former = std::mem::replace(&mut self.presented, certificate);
        let until = now + self.settle * TRUSTED_AFTER;
        self.former.push(FormerAuthorities { bundle: former.authorities().to_vec(), until });
        true
    }

    /// Removes former authorities that are not trusted any more. Returns whether there were any.
    pub fn remove_retired(&mut self, now: Instant) -> bool {
        let before = self.former.len();
        self.former.retain(|former| now < former.until);
        before != self.former.len()
    }

    /// Returns all authorities to trust, each once.
    pub fn bundle(&self) -> Vec<u8> {
        let all = self.former.iter().map(|former| former.bundle.as_slice());
        let all = all.chain([self.presented.authorities()]);
        let all = all.chain(self.pending.as_ref().map(|pending| pending.certificate.authorities()));
        let mut bundles: Vec<&[u8]> = Vec::new();
        for bundle in all {
            if !bundles.contains(&bundle) {
                bundles.push(bundle);
            }
        }
        bundles.concat()
    }
}

/// Returns for how long a new leader keeps the authorities that its predecessor configured.
pub fn overlap(settle: Duration) -> Duration {
    settle * (PRESENTED_AFTER + TRUSTED_AFTER)
}

/// Returns the authorities that are known here together with those that the API server trusts already.
pub fn merge_bundles(known: &[u8], configured: &[u8]) -> Vec<u8> {
    let holds = |all: &[u8], part: &[u8]| part.is_empty() || all.windows(part.len()).any(|some| some == part);
    match (holds(known, configured), holds(configured, known)) {
        (true, _) => known.to_owned(),
        (false, true) => configured.to_owned(),
        (false, false) => [configured, known].concat(),
    }
}

#[cfg(test)]
mod tests;
