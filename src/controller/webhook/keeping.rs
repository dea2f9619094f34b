//! What the leader does: the configuration by which the API server asks, and our own certificates.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhook, MutatingWebhookConfiguration};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::{Webhook, files};
use crate::api::names;
use crate::cluster::certificates::{CertificateStore, StoredCertificates};
use crate::cluster::error::CallError;
use crate::cluster::last_writer::writer;
use crate::cluster::owned::is_labelled;
use crate::cluster::webhook::{ObservedWebhook, WebhookWriter};
use crate::controller::clock;
use crate::controller::state::SharedState;
use crate::plan::admission::enabling;
use crate::plan::certificates::{Step, Trust, next};
use crate::plan::refresh::backoff;
use crate::plan::webhook::{Target, webhooks};
use crate::plan::write_history::Enforced;

/// What must be granted, and how.
const NOT_GRANTED: &str = "this controller may not keep a webhook: apply deploy/webhook.yaml";

/// What is waited for where the right came late.
const NOT_ALL: &str =
    "the right to the webhook's certificate is new: every replica takes it first, within a minute";

/// Why the webhook is not used although it could be.
const OFF: &str = "the webhook is off: --webhook-address is empty";

/// How long the other way has to be looked at first: a webhook that is not needed should not stand for a moment.
const OTHER_WAY: Duration = Duration::from_secs(3);

/// Keeps the configuration while some binding asks for it and no MutatingAdmissionPolicy serves.
pub struct WebhookLoop {
    /// What is served.
    pub webhook: Webhook,
    /// The shared state.
    pub shared: Arc<SharedState>,
    /// For writes.
    pub write: Client,
    /// For the watch on the configuration.
    pub watch: Client,
    /// The controller's own namespace.
    pub namespace: Box<str>,
}

/// What is remembered between two looks.
struct Memory {
    began: Instant,
    configuration: WebhookWriter,
    store: CertificateStore,
    seen: watch::Sender<ObservedWebhook>,
    /// The watch on the configuration, once it is granted.
    watching: JoinSet<()>,
    /// Whether it was looked for a configuration that an earlier process left behind.
    clean: bool,
    /// What was written, and whether somebody undoes it.
    upheld: Enforced<Vec<MutatingWebhook>>,
    /// Since when the configuration is seen to name which authority.
    trusted: Option<(u64, Timestamp)>,
}

/// When to look again, at the latest; or why nobody is served, in words, and that it is worth another try.
type Looked = Result<Option<Duration>, String>;

impl WebhookLoop {
    /// Works for ever.
    pub async fn run(self) {
        let seen = watch::Sender::default();
        let (mut snapshots, mut modes) = (self.shared.snapshots(), self.shared.modes());
        let (mut known, mut configuration) = (self.webhook.known.subscribe(), seen.subscribe());
        let mut memory = Memory {
            began: Instant::now(),
            configuration: WebhookWriter::new(self.write.clone()),
            store: CertificateStore::new(self.write.clone(), &self.namespace),
            seen,
            watching: JoinSet::new(),
            clean: false,
            upheld: Enforced::default(),
            trusted: None,
        };
        let mut attempt = 0;
        loop {
            let wait = match self.look(&mut memory).await {
                Ok(wait) => {
                    attempt = 0;
                    wait
                }
                Err(why) => {
                    if attempt == 0 {
                        warn!(why, "the webhook is not in force");
                    }
                    self.shared.change_modes(|modes| modes.webhook = Some(Err(why.into())));
                    attempt += 1;
                    Some(backoff(attempt, Duration::from_secs(2), Duration::from_secs(60), "webhook"))
                }
            };
            // The senders live as long as this process.
            tokio::select! {
                _ = snapshots.changed() => {}
                _ = modes.changed() => {}
                _ = known.changed() => {}
                _ = configuration.changed() => {}
                () = clock::rest(wait) => {}
            }
        }
    }

    async fn look(&self, memory: &mut Memory) -> Looked {
        let snapshot = self.shared.snapshot();
        let asked = enabling(&snapshot).next().is_some();
        let policy = self.shared.modes().borrow().policy.clone();
        let left = OTHER_WAY.saturating_sub(memory.began.elapsed());
        if policy.is_none() && !left.is_zero() {
            return Ok(Some(left));
        }
        let served_otherwise = matches!(policy, Some(Ok(())));
        if !asked || served_otherwise || !self.webhook.is_on() {
            let told = (asked && !served_otherwise).then(|| Err(OFF.into()));
            self.shared.change_modes(|modes| modes.webhook = told);
            return self.withdraw(memory).await;
        }
        memory.clean = false;
        if memory.watching.is_empty() {
            if !memory.configuration.is_granted().await.map_err(told)? {
                return Err(NOT_GRANTED.to_owned());
            }
            memory.watching.spawn(memory.configuration.clone().watch(memory.seen.clone()));
        }
        let Some(standing) = memory.seen.borrow().clone() else { return Ok(None) };
        let (bundle, wait) = match self.bundle(memory, standing.as_ref()).await? {
            Some(found) => found,
            // The Secret that was written comes back by its watch.
            None => return Ok(None),
        };
        let target = Target {
            namespace: &self.namespace,
            address: &self.webhook.settings.address,
            ca_bundle: &bundle,
            on_update: self.webhook.settings.on_update,
        };
        let wanted = webhooks(enabling(&snapshot), &target);
        let ours = |standing: &&MutatingWebhookConfiguration| {
            is_labelled(*standing) && standing.webhooks.as_deref().unwrap_or_default() == wanted
        };
        if standing.as_ref().filter(ours).is_some() {
            self.shared.change_modes(|modes| modes.webhook = Some(Ok(())));
            return Ok(wait);
        }
        if let (None, Some(left)) = (&standing, self.until_all_serve()) {
            self.shared.change_modes(|modes| modes.webhook = Some(Err(NOT_ALL.into())));
            return Ok(Some(left));
        }
        let now = clock::now();
        if let Some(until) = memory.upheld.quiet_until(now) {
            self.shared.change_modes(|modes| modes.webhook = Some(Err(left_alone(standing.as_ref()).into())));
            return Ok(Some(clock::until(until, now)));
        }
        match memory.configuration.write(standing.as_ref(), &wanted).await {
            Ok(()) => {
                info!(webhooks = wanted.len(), "the API server is told what to ask the webhook");
                memory.upheld.wrote(wanted, now, names::WEBHOOK_NAME);
            }
            // The watch brings what it is now.
            Err(CallError::Conflict | CallError::NotFound) => {}
            Err(error) => return Err(told(error)),
        }
        Ok(wait)
    }

    /// For how long other replicas may still lack the certificate: where it could not be read at first, each asks for it
    /// ever more seldom. A replica that is ready is asked, and one without a certificate answers nothing.
    fn until_all_serve(&self) -> Option<Duration> {
        let granted = self.webhook.known.borrow().granted?;
        let settle = Duration::try_from(self.webhook.settings.lives.settle).unwrap_or_default();
        Some(settle.saturating_sub(granted.elapsed())).filter(|left| !left.is_zero())
    }

    /// Removes the configuration: with `Fail` it would block what nobody asks for any more.
    async fn withdraw(&self, memory: &mut Memory) -> Looked {
        if memory.clean {
            return Ok(None);
        }
        match memory.configuration.read().await {
            Ok(Some(standing)) => {
                memory.configuration.remove(&standing).await.map_err(told)?;
                info!("the API server no longer asks the webhook");
            }
            // Where nothing is granted, nothing was made.
            Ok(None) | Err(CallError::Forbidden(_)) => {}
            Err(error) => return Err(told(error)),
        }
        memory.clean = true;
        Ok(None)
    }

    /// The authorities to believe and when something is to be done about them; `None` where that is not known yet.
    async fn bundle(
        &self,
        memory: &mut Memory,
        standing: Option<&MutatingWebhookConfiguration>,
    ) -> Result<Option<(Arc<[u8]>, Option<Duration>)>, String> {
        let known = self.webhook.known.borrow().clone();
        let Some(names) = self.own_names() else {
            let overlap = files::overlap(self.webhook.settings.lives.settle);
            let left = overlap.saturating_sub(memory.began.elapsed());
            return match (known.bundle, known.fault) {
                // Other replicas may show what the leader before this one had believed.
                (Some(bundle), _) if !left.is_zero() => {
                    let believed = standing.and_then(|standing| {
                        standing.webhooks.as_ref()?.first()?.client_config.ca_bundle.as_ref()
                    });
                    let believed = believed.map_or(&[][..], |believed| &believed.0);
                    Ok(Some((files::with_standing(&bundle, believed).into(), Some(left))))
                }
                (Some(bundle), _) => Ok(Some((bundle, None))),
                (None, Some(fault)) => Err(fault.into()),
                (None, None) => Ok(None),
            };
        };
        let now = clock::now();
        let lives = &self.webhook.settings.lives;
        if let (Some(kept), false) = (&known.kept, known.absent) {
            let trust = memory.trust(kept, standing, now);
            if let Step::Keep(at) = next(&kept.without_keys(), &names, trust, lives, now) {
                return Ok(Some((kept.bundle().into(), Some(clock::until(at, now)))));
            }
        } else if !known.absent && known.fault.is_none() {
            return Ok(None);
        }
        let loaded = memory.store.load().await.map_err(told)?;
        let mut kept = match (loaded.certificates, &known.kept) {
            (Some(Ok(kept)), _) => kept,
            (Some(Err(broken)), Some(last)) => {
                warn!(error = %broken, "the webhook's certificates cannot be renewed");
                return Ok(Some((last.bundle().into(), Some(Duration::from_secs(60)))));
            }
            (Some(Err(broken)), None) => return Err(broken.to_string()),
            // What every replica serves is better than what none does.
            (None, Some(last)) => StoredCertificates::clone(last),
            (None, None) => StoredCertificates::default(),
        };
        let mut changed = loaded.resource_version.is_none();
        loop {
            let trust = memory.trust(&kept, standing, now);
            let step = next(&kept.without_keys(), &names, trust, lives, now);
            if matches!(step, Step::Keep(_)) {
                break;
            }
            info!(?step, "the webhook's certificates change");
            kept.execute(step, &names, lives, now).map_err(|error| error.to_string())?;
            changed = true;
        }
        if changed {
            match memory.store.save(&kept, loaded.resource_version.as_deref()).await {
                Ok(()) | Err(CallError::Conflict) => {}
                Err(error) => return Err(told(error)),
            }
        }
        Ok(None)
    }

    /// What our own certificates are for; `None` where they are not our own.
    fn own_names(&self) -> Option<Vec<String>> {
        let settings = &self.webhook.settings;
        settings.certificates.is_none().then(|| settings.names(&self.namespace))
    }
}

impl Memory {
    /// Whether the configuration names the newest authority.
    fn trust(
        &mut self,
        kept: &StoredCertificates,
        standing: Option<&MutatingWebhookConfiguration>,
        now: Timestamp,
    ) -> Trust {
        let mut bundles = standing
            .and_then(|standing| standing.webhooks.as_ref())
            .into_iter()
            .flatten()
            .map(|webhook| webhook.client_config.ca_bundle.as_ref().map(|bundle| bundle.0.as_slice()));
        let Some((id, certificate)) = kept.newest() else { return Trust::Unasked };
        let Some(first) = bundles.next() else { return Trust::Unasked };
        let certificate = certificate.as_bytes();
        let named = |bundle: Option<&[u8]>| {
            bundle.is_some_and(|bundle| bundle.windows(certificate.len()).any(|part| part == certificate))
        };
        if !named(first) || !bundles.all(named) {
            self.trusted = None;
            return Trust::NotYet;
        }
        match self.trusted {
            Some((trusted, since)) if trusted == id => Trust::Since(since),
            _ => {
                self.trusted = Some((id, now));
                Trust::Since(now)
            }
        }
    }
}

/// What somebody does who writes or deletes the configuration faster than it can be held.
fn left_alone(standing: Option<&MutatingWebhookConfiguration>) -> String {
    let does = match standing {
        Some(standing) => format!("written again and again by {}", writer(&standing.metadata)),
        None => "deleted again and again".to_owned(),
    };
    let name = names::WEBHOOK_NAME;
    format!(
        "the MutatingWebhookConfiguration {name} is {does}; it is left alone for a while: stop that writer"
    )
}

fn told(error: CallError) -> String {
    match error {
        CallError::Forbidden(words) => format!("{NOT_GRANTED} ({words})"),
        other => format!("the webhook {} cannot be kept: {other}", names::WEBHOOK_NAME),
    }
}
