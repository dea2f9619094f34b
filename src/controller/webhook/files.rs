//! The certificate from files, as cert-manager's Secret is mounted.

use std::path::Path;
use std::time::Instant;

use rustls::sign::CertifiedKey;
use secrecy::{ExposeSecret, SecretString};
use tracing::{error, info};

use super::replica::WebhookReplica;
use crate::cluster::certified_key::{InvalidCertificate, parse_certified_key};
use crate::plan::certificate_rotation::{CertificateRotation, FilesChange, Presentable};
use crate::server::tls::is_trusted;

/// Reads of the files in one time to settle: one every 5 s. The kubelet takes up to a minute and a half to bring a new
/// Secret. It replaces a symbolic link, so a watch on the files themselves sees nothing.
const READS: u32 = 12;

/// Reads the files again and again, and presents what the rotation decides.
pub async fn follow_files(webhook: &WebhookReplica, folder: &Path, namespace: &str) {
    let settle = webhook.settings.settle();
    let host = webhook.settings.host(namespace);
    let mut rotation: Option<CertificateRotation<CertificateFiles>> = None;
    loop {
        let path = folder.to_owned();
        let read = tokio::task::spawn_blocking(move || CertificateFiles::read(&path)).await;
        let read = read.unwrap_or_else(|error| Err(error.to_string()));
        let now = Instant::now();
        let mut changed = false;
        match (read, &mut rotation) {
            (Err(why), _) => report_fault(webhook, why),
            (Ok(files), None) => {
                clear_fault(webhook);
                info!(folder = %folder.display(), "webhook certificate loaded");
                rotation = Some(CertificateRotation::new(files, settle));
                changed = true;
            }
            (Ok(files), Some(rotation)) => {
                clear_fault(webhook);
                changed = observe(rotation, files, now);
            }
        }
        if let Some(rotation) = &mut rotation {
            changed |= rotation.remove_retired(now);
            if rotation.present_due(now, |files| is_trusted(&files.certified, &files.bundle, &host)) {
                info!("webhook certificate of the new authority in use");
                changed = true;
            }
            if changed {
                webhook.presented.replace(rotation.presented().certified.clone());
                webhook.certificate.send_modify(|state| state.bundle = Some(rotation.bundle().into()));
            }
        }
        tokio::time::sleep(settle / READS).await;
    }
}

/// Records the files as they are now. Returns whether they changed.
fn observe(
    rotation: &mut CertificateRotation<CertificateFiles>,
    files: CertificateFiles,
    now: Instant,
) -> bool {
    match rotation.observe(files, now) {
        FilesChange::None => return false,
        FilesChange::Renewed => info!("webhook certificate renewed"),
        FilesChange::NewAuthority => info!("webhook authority changed; its certificate is used soon"),
    }
    true
}

/// Logs and records why the files cannot be used, once.
fn report_fault(webhook: &WebhookReplica, why: String) {
    if webhook.certificate.borrow().fault.as_deref() != Some(why.as_str()) {
        error!(error = %why, "webhook certificate invalid; the last valid one stays in use");
        webhook.certificate.send_modify(|state| state.fault = Some(why.into()));
    }
}

fn clear_fault(webhook: &WebhookReplica) {
    webhook.certificate.send_if_modified(|state| state.fault.take().is_some());
}

/// The content of a folder.
struct CertificateFiles {
    chain: Vec<u8>,
    key: SecretString,
    /// PEM that ends with a line break, so that another can follow.
    bundle: Vec<u8>,
    certified: CertifiedKey,
}

impl CertificateFiles {
    /// Reads all three files. The kubelet replaces them at once, so files of two times would not match: the folder's
    /// own link is resolved first.
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
        let invalid = |why| invalid_file(folder, &why);
        let key = String::from_utf8(file("tls.key")?).map_err(|_| invalid(InvalidCertificate::Key))?;
        let (chain, key, mut bundle) = (file("tls.crt")?, SecretString::from(key), file("ca.crt")?);
        if bundle.last().is_some_and(|last| *last != b'\n') {
            bundle.push(b'\n');
        }
        let certified = parse_certified_key(&chain, &key).map_err(invalid)?;
        Ok(Self { chain, key, bundle, certified })
    }
}

impl Presentable for CertificateFiles {
    fn authorities(&self) -> &[u8] {
        &self.bundle
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.chain, self.key.expose_secret(), &self.bundle)
            == (&other.chain, other.key.expose_secret(), &other.bundle)
    }
}

/// Describes a file that cannot be served.
fn invalid_file(folder: &Path, why: &InvalidCertificate) -> String {
    let file = if *why == InvalidCertificate::Certificate { "tls.crt" } else { "tls.key" };
    let folder = folder.display();
    format!(
        "--webhook-cert-dir: {folder}/{file} {why}; mount a Secret of type kubernetes.io/tls as cert-manager makes it"
    )
}
