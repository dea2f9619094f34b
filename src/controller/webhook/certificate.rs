//! The certificate that this replica shows: its own, from a watched Secret, or cert-manager's, from files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use secrecy::{ExposeSecret, SecretString};
use tracing::{error, info};

use super::Webhook;
use crate::api::names;
use crate::cluster::certificates::read;
use crate::cluster::named_secret::{NamedSecret, Seen};
use crate::server::tls::{Unusable, certified};

/// How often files are looked at. The kubelet takes up to a minute to bring a new Secret; it replaces a symbolic
/// link, of which a watch on the files themselves hears nothing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Webhook {
    /// Begins to watch our own Secret.
    pub(super) fn watch_own(&self, client: Client, namespace: &str) -> NamedSecret {
        let webhook = self.clone();
        NamedSecret::watch(client, (namespace, names::WEBHOOK_NAME), move |seen| webhook.take_own(seen))
    }

    fn take_own(&self, seen: &Seen) {
        let data = match seen {
            Seen::Present(data) => data,
            Seen::Absent => {
                self.known.send_modify(|known| (known.absent, known.fault) = (true, None));
                return;
            }
            Seen::Refused(error) => {
                let why = format!("Secret {}: {error}", names::WEBHOOK_NAME);
                self.known.send_modify(|known| known.fault = Some(why.into()));
                return;
            }
        };
        let taken = read(data).inspect(|kept| {
            if let Some((chain, key)) = kept.served()
                && let Ok(key) = certified(chain.as_bytes(), key)
            {
                self.presented.replace(key);
            }
        });
        self.known.send_modify(|known| {
            known.absent = false;
            match taken {
                Ok(kept) => {
                    info!("the webhook's certificate is taken from its Secret");
                    known.bundle = Some(kept.bundle().into());
                    known.kept = Some(Arc::new(kept));
                    known.fault = None;
                }
                Err(why) => {
                    error!(error = %why, "the webhook's certificate cannot be used; the last good one stays");
                    known.fault = Some(why.to_string().into());
                }
            }
        });
    }

    /// Reads files for ever.
    pub(super) async fn follow_files(&self, folder: &Path) {
        let mut last: Option<Files> = None;
        loop {
            let path = folder.to_owned();
            let read = tokio::task::spawn_blocking(move || Files::read(&path)).await;
            let read = read.unwrap_or_else(|error| Err(error.to_string()));
            if let Ok(files) = &read
                && last.as_ref().is_some_and(|last| last.same(files))
            {
                tokio::time::sleep(LOOK_EVERY).await;
                continue;
            }
            let taken = read.and_then(|files| {
                let key = certified(&files.chain, &files.key).map_err(|why| told(folder, why))?;
                self.presented.replace(key);
                Ok(files)
            });
            match taken {
                Ok(files) => {
                    info!(folder = %folder.display(), "the webhook's certificate is taken from files");
                    self.known.send_modify(|known| {
                        known.bundle = Some(files.bundle.as_slice().into());
                        known.fault = None;
                    });
                    last = Some(files);
                }
                Err(why) => {
                    let before = self.known.borrow().fault.clone();
                    // Said once, and not at every look.
                    if before.as_deref() != Some(why.as_str()) {
                        error!(error = %why, "the webhook's certificate cannot be used; the last good one stays");
                        self.known.send_modify(|known| known.fault = Some(why.into()));
                    }
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

fn told(folder: &Path, why: Unusable) -> String {
    let file = if why == Unusable::Certificate { "tls.crt" } else { "tls.key" };
    let folder = folder.display();
    format!(
        "--webhook-cert-dir: {folder}/{file} {why}; mount a Secret of type kubernetes.io/tls as cert-manager makes it"
    )
}

/// What a folder holds.
struct Files {
    chain: Vec<u8>,
    key: SecretString,
    bundle: Vec<u8>,
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
        let key = String::from_utf8(file("tls.key")?).map_err(|_| told(folder, Unusable::Key))?;
        Ok(Self { chain: file("tls.crt")?, key: key.into(), bundle: file("ca.crt")? })
    }

    fn same(&self, other: &Self) -> bool {
        (&self.chain, self.key.expose_secret(), &self.bundle)
            == (&other.chain, other.key.expose_secret(), &other.bundle)
    }
}
