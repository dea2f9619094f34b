//! The certificate from files, as cert-manager's Secret is mounted.
//!
//! # Guarantees
//! Replicas see new files at different times, and one of them alone tells the API server whom to believe. So where the
//! authority changes, the old certificate is shown on for a while, and the old authority is believed for longer: no
//! replica that runs meanwhile shows what the API server does not believe. A replica that starts meanwhile knows the new
//! files alone, and shows them. An old certificate that is good for nothing any more is replaced at once.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::SignedDuration;
use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};
use tracing::{error, info};

use super::Webhook;
use crate::cluster::certified_key::{InvalidCertificate, parse_certified_key};
use crate::server::tls::is_trusted;

/// How often files are looked at, as a part of the time to settle: every 5 s. The kubelet takes up to a minute and a
/// half to bring a new Secret; it replaces a symbolic link, of which a watch on the files themselves hears nothing.
const LOOKS: u32 = 12;

/// Times to settle until a certificate of a new authority is shown: 2 min. By then every replica has its files.
const SHOWN_AFTER: u32 = 2;

/// Times to settle for which the authority of before is believed after that: 4 min. By then no replica shows its
/// certificates.
const BELIEVED_AFTER: u32 = 4;

impl Webhook {
    /// Reads files for ever.
    pub(super) async fn follow_files(&self, folder: &Path, namespace: &str) {
        let settle = Duration::try_from(self.settings.lives.settle).unwrap_or_default();
        let name = self.settings.names(namespace).remove(0);
        let mut turn: Option<Turn> = None;
        loop {
            let path = folder.to_owned();
            let read = tokio::task::spawn_blocking(move || Files::read(&path)).await;
            let read = read.unwrap_or_else(|error| Err(error.to_string()));
            let now = Instant::now();
            let changed = match read {
                Ok(files) => {
                    self.known.send_if_modified(|known| known.fault.take().is_some());
                    match &mut turn {
                        Some(turn) => turn.take(files, (now, settle)),
                        None => {
                            turn = Some(Turn::new(files));
                            true
                        }
                    }
                }
                Err(why) => {
                    let before = self.known.borrow().fault.clone();
                    // Said once, and not at every look.
                    if before.as_deref() != Some(why.as_str()) {
                        error!(error = %why, "the webhook's certificate cannot be used; the last good one stays");
                        self.known.send_modify(|known| known.fault = Some(why.into()));
                    }
                    false
                }
            };
            if let Some(turn) = &mut turn
                && (turn.advance((now, settle), &name) | changed)
            {
                self.presented.replace(turn.shown.certified.clone());
                self.known.send_modify(|known| known.bundle = Some(turn.bundle().into()));
            }
            tokio::time::sleep(settle / LOOKS).await;
        }
    }
}

/// What of the files is shown and believed.
struct Turn {
    shown: Files,
    /// Files of another authority, and when they are shown.
    next: Option<(Files, Instant)>,
    /// Authorities of before, and until when they are believed.
    before: Vec<(Vec<u8>, Instant)>,
}

impl Turn {
    fn new(files: Files) -> Self {
        info!("the webhook's certificate is taken from files");
        Self { shown: files, next: None, before: Vec::new() }
    }

    /// Takes in what the files are now. Returns whether that changes anything.
    fn take(&mut self, files: Files, (now, settle): (Instant, Duration)) -> bool {
        let newest = self.next.as_ref().map_or(&self.shown, |(next, _)| next);
        if newest.same(&files) {
            return false;
        }
        let dropped = self.next.take();
        let keep = |dropped: Files| (dropped.bundle, now + settle * (SHOWN_AFTER + BELIEVED_AFTER));
        if files.bundle == self.shown.bundle {
            self.before.extend(dropped.map(|(dropped, _)| keep(dropped)));
            info!("the webhook's renewed certificate is taken from files");
            self.shown = files;
            return true;
        }
        let due = match dropped {
            Some((dropped, due)) if dropped.bundle == files.bundle => due,
            dropped => {
                self.before.extend(dropped.map(|(dropped, _)| keep(dropped)));
                now + settle * SHOWN_AFTER
            }
        };
        info!(
            "the files hold another authority, which is believed from now on; its certificate is shown soon"
        );
        self.next = Some((files, due));
        true
    }

    /// Does what is due. Returns whether that changed anything.
    fn advance(&mut self, (now, settle): (Instant, Duration), name: &str) -> bool {
        let believed = self.before.len();
        self.before.retain(|(_, until)| now < *until);
        let mut changed = believed != self.before.len();
        let good = || is_trusted(&self.shown.certified, &self.shown.bundle, name);
        if let Some((next, _)) = self.next.take_if(|(_, due)| *due <= now || !good()) {
            info!("the webhook's certificate of another authority is shown from now on");
            let shown = std::mem::replace(&mut self.shown, next);
            self.before.push((shown.bundle, now + settle * BELIEVED_AFTER));
            changed = true;
        }
        changed
    }

    /// All authorities that are believed, each once.
    fn bundle(&self) -> Vec<u8> {
        let all = self.before.iter().map(|(bundle, _)| bundle).chain([&self.shown.bundle]);
        let all = all.chain(self.next.as_ref().map(|(next, _)| &next.bundle));
        let mut bundles: Vec<&Vec<u8>> = Vec::new();
        for bundle in all {
            if !bundles.contains(&bundle) {
                bundles.push(bundle);
            }
        }
        bundles.into_iter().flatten().copied().collect()
    }
}

/// How long a leader that begins keeps what the one before it had the API server believe.
pub(super) fn overlap(settle: SignedDuration) -> Duration {
    Duration::try_from(settle).unwrap_or_default() * (SHOWN_AFTER + BELIEVED_AFTER)
}

/// The authorities that are known here, and those that the API server believes already.
pub(super) fn with_standing(known: &[u8], standing: &[u8]) -> Vec<u8> {
    let holds = |all: &[u8], part: &[u8]| part.is_empty() || all.windows(part.len()).any(|some| some == part);
    match (holds(known, standing), holds(standing, known)) {
        (true, _) => known.to_owned(),
        (false, true) => standing.to_owned(),
        (false, false) => [standing, known].concat(),
    }
}

fn told(folder: &Path, why: InvalidCertificate) -> String {
    let file = if why == InvalidCertificate::Certificate { "tls.crt" } else { "tls.key" };
    let folder = folder.display();
    format!(
        "--webhook-cert-dir: {folder}/{file} {why}; mount a Secret of type kubernetes.io/tls as cert-manager makes it"
    )
}

/// What a folder holds.
struct Files {
    chain: Vec<u8>,
    key: SecretString,
    /// PEM that ends its last line, so that another can follow.
    bundle: Vec<u8>,
    certified: CertifiedKey,
}

impl Files {
    /// Reads all three. The kubelet replaces them at once, so files of two times would belong together by neither
    /// their key nor, where the authority changed too, their trust: the folder's own link is read first.
    fn read(folder: &Path) -> Result<Self, String> {
        let data = folder.join("..data");
        let from = std::fs::canonicalize(&data).unwrap_or_else(|_| folder.to_owned());
        let file = |name: &str| {
            std::fs::read(from.join(name)).map_err(|error| {
                format!(
                    "--webhook-cert-dir: {}/{name} cannot be read: {error}; mount a Secret of type \
                     kubernetes.io/tls with ca.crt as cert-manager makes it",
                    folder.display()
                )
            })
        };
        let key = String::from_utf8(file("tls.key")?).map_err(|_| told(folder, InvalidCertificate::Key))?;
        let (chain, key, mut bundle) = (file("tls.crt")?, SecretString::from(key), file("ca.crt")?);
        if bundle.last().is_some_and(|last| *last != b'\n') {
            bundle.push(b'\n');
        }
        let certified = parse_certified_key(&chain, &key).map_err(|why| told(folder, why))?;
        Ok(Self { chain, key, bundle, certified })
    }

    fn same(&self, other: &Self) -> bool {
        (&self.chain, self.key.expose_secret(), &self.bundle)
            == (&other.chain, other.key.expose_secret(), &other.bundle)
    }
}

#[cfg(test)]
mod tests {
    use super::with_standing;

    #[test]
    fn a_leader_that_begins_adds_to_what_is_believed() {
        for (known, standing, all) in [
            ("b", "", "b"),
            ("b", "b", "b"),
            ("b", "a", "ab"),
            ("b", "ab", "ab"),
            ("ab", "a", "ab"),
            ("c", "ab", "abc"),
        ] {
            assert_eq!(
                with_standing(known.as_bytes(), standing.as_bytes()),
                all.as_bytes(),
                "{known} {standing}"
            );
        }
    }
}
