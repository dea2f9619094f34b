//! `kubectl acr plan`: what the controller would write, found out with the user's own rights and written nowhere.

use std::io;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, ObjectList, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use super::preview::preview;
use super::secret_references::{SecretReferences, find_references};
use crate::api::binding::{AcrCredentialBinding, AcrCredentialBindingSpec, DeletionPolicy};
use crate::api::names;
use crate::cluster::Index;
use crate::cluster::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::model::credential::Origin;
use crate::model::{Binding, Credential, Edition};
use crate::plan::duty::filled_by;
use crate::plan::{
    NamespaceRecord, NamespaceView, Phase, RegistryCredential, ResolvedBinding, ServiceAccountView, Snapshot,
    Template, change,
};

/// Objects of one list call.
const PAGE: u32 = 500;

/// What the documented component left in `default` in 2018, by exact names: others share their beginning.
const LEAVINGS: [&str; 2] = ["aliyun-acr-credential-a", "aliyun-acr-credential-b"];

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses, or cannot be asked.
    #[error("{what} cannot be read")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// The binding is not valid.
    #[error("the binding {name} is not valid: {faults}")]
    Invalid {
        /// Its name.
        name: String,
        /// Each field with its fault.
        faults: String,
    },
}

/// What is not in the cluster to be read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Region of the cluster, for entries that name none.
    pub region: Box<str>,
    /// Name of the Secret in every covered namespace.
    pub secret_name: Box<str>,
}

/// What would be written, and what was found beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanReport {
    /// Namespaces in which something would be written, and what.
    pub namespaces: Vec<(String, String)>,
    /// Namespaces that the binding covers and that stand as they should, but for the token itself.
    pub unchanged: usize,
    /// Why a namespace that it covers would not be served.
    pub refused: Vec<(String, String)>,
    /// What keeps some of it from being done, or put off.
    pub notes: Vec<String>,
    /// Who names the Secret where it would go, and what the documented component left.
    pub find_references: SecretReferences,
    /// Secrets that the documented component left, as `namespace/name`.
    pub leftovers: Vec<String>,
}

/// What would change in a cluster if the binding of the ConfigMap said this. Other bindings say what they say.
///
/// # Errors
/// [`Error`]
pub async fn plan(
    client: &Client,
    spec: AcrCredentialBindingSpec,
    options: &Options,
) -> Result<PlanReport, Error> {
    let template = Arc::new(Template {
        name: options.secret_name.clone(),
        labels: Default::default(),
        annotations: Default::default(),
    });
    let mut objects = bindings(client).await?;
    let index = read(client, &template).await?;
    let (now, _) = snapshot(&template, &objects, &options.region);
    let result = objects.iter().position(|object| object.name_any() == names::LEGACY_NAME);
    let planned = planned(spec, result.map(|at| objects.swap_remove(at)));
    resolved(&planned, &options.region)?;
    objects.push(planned);
    let (then, notes) = snapshot(&template, &objects, &options.region);

    let mut found = PlanReport { notes, ..PlanReport::default() };
    found.notes.extend(held_first(&index, &now, &then));
    let mut losing = Vec::new();
    let mut all = index.matching(|_, _| true);
    all.sort();
    for view in all.iter().filter_map(|namespace| index.read(namespace, NamespaceView::clone)) {
        let namespace = view.name.to_string();
        let preview = preview(as_served(view, &now, &then), &then);
        let ours = preview.results.iter().find(|result| *result.binding == *names::LEGACY_NAME);
        let failure = ours.and_then(|result| result.secret.as_ref().err());
        match failure.filter(|failure| failure.reason.needs_human()) {
            Some(failure) => found.refused.push((namespace.clone(), failure.message.to_string())),
            None => found.unchanged += usize::from(ours.is_some() && preview.changes.is_empty()),
        }
        if preview.loses_secret() {
            losing.push(namespace.clone());
        }
        if !preview.changes.is_empty() {
            found.namespaces.push((namespace, change::describe(&preview.changes, &template.name)));
        }
    }
    let losing: Vec<&str> = losing.iter().map(String::as_str).collect();
    found.find_references = find_references(client, &[&template.name], &losing).await;
    found.leftovers = leftovers(client).await?;
    if !found.leftovers.is_empty() {
        found.find_references.extend(find_references(client, &LEAVINGS, &["default"]).await);
    }
    Ok(found)
}

/// All bindings; none where the CustomResourceDefinition is not there.
pub(super) async fn bindings(client: &Client) -> Result<Vec<AcrCredentialBinding>, Error> {
    let mut found = Vec::new();
    let api: Api<AcrCredentialBinding> = Api::all(client.clone());
    match list(&api, None, "the bindings", |object| found.push(object)).await {
        Err(Error::Unreadable { source, .. }) if matches!(&*source, kube::Error::Api(s) if s.code == 404) => {
        }
        listed => listed?,
    }
    Ok(found)
}

/// The binding of the ConfigMap with this spec. Made anew it is the youngest, and takes over the Secrets of the documented
/// component.
fn planned(spec: AcrCredentialBindingSpec, result: Option<AcrCredentialBinding>) -> AcrCredentialBinding {
    let mut object = result.unwrap_or_else(|| {
        let mut object = AcrCredentialBinding::new(names::LEGACY_NAME, AcrCredentialBindingSpec::default());
        object.labels_mut().insert(names::LABEL_CONVERTED.to_owned(), "true".to_owned());
        object.metadata.creation_timestamp = Some(Time(Timestamp::MAX));
        object
    });
    object.metadata.deletion_timestamp = None;
    object.spec = spec;
    object
}

/// What bindings ask for, and which of them nobody can tell that of: while one is not valid nothing is taken back.
fn snapshot(
    template: &Arc<Template>,
    objects: &[AcrCredentialBinding],
    region: &str,
) -> (Snapshot, Vec<String>) {
    let (mut resolved_bindings, mut unclear) = (Vec::new(), Vec::new());
    for object in objects {
        match resolved(object, region) {
            Ok(resolved) => resolved_bindings.push(resolved),
            Err(error) => unclear.push(format!("{error}; until it is, nothing is taken back")),
        }
    }
    (Snapshot::new(template.clone(), resolved_bindings, !unclear.is_empty()), unclear)
}

/// What bindings keep up to date already, and would go on to, is no news: neither the token that stands there nor when
/// it expires is known here.
fn as_served(view: NamespaceView, now: &Snapshot, then: &Snapshot) -> NamespaceRecord {
    let content = |view: &NamespaceView, snapshot: &Snapshot| {
        let set = filled_by(view, snapshot, &[]).filter(|set| !set.is_empty());
        set.map(|set| snapshot.content(&set))
    };
    let (before, after) = (content(&view, now), content(&view, then));
    // An entry of our name is ours then, even with no Secret beside it.
    let mut record = NamespaceRecord::new(view);
    record.served = before.is_some();
    if let (Some(before), Some(after), Some(secret)) = (before, after, &mut record.view.secret)
        && before.fingerprint == after.fingerprint
        && secret.ours
    {
        secret.fingerprint = after.fingerprint;
    }
    record
}

/// A binding that suddenly covers nothing takes nothing back at first.
fn held_first(index: &Index, now: &Snapshot, then: &Snapshot) -> Option<String> {
    let covers = |snapshot: &Snapshot| {
        let binding = &snapshot.resolved(snapshot.index_of(names::LEGACY_NAME)?).binding;
        let namespaces =
            index.matching(|name, facts| facts.is_open() && binding.namespaces.covers(name, &facts.labels));
        let covered = |account: &ServiceAccountView| {
            !account.skip && binding.service_accounts.covers(&account.name, &account.labels)
        };
        let accounts = namespaces
            .iter()
            .any(|name| index.read(name, |view| view.service_accounts.iter().any(covered)) == Some(true));
        Some((!namespaces.is_empty(), accounts))
    };
    let held = match (covers(now)?, covers(then)?) {
        ((true, _), (false, _)) => "namespace any more: what it made stays",
        ((_, true), (_, false)) => "ServiceAccount any more: its entries stay",
        _ => return None,
    };
    Some(format!("the binding {} would cover no {held} for --withdrawal-grace first", names::LEGACY_NAME))
}

/// Deletes what the documented component left, those named and no others.
///
/// # Errors
/// [`Error`]
pub async fn remove_leftovers(client: &Client, found: &[String]) -> Result<(), Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    for name in LEAVINGS.iter().filter(|name| found.contains(&format!("default/{name}"))) {
        secrets.delete(name, &DeleteParams::default()).await.map_err(unreadable("a Secret"))?;
    }
    Ok(())
}

/// A binding with a token that nobody minted: a plan says that a token would be written, and never which.
fn resolved(object: &AcrCredentialBinding, region: &str) -> Result<ResolvedBinding, Error> {
    let binding = Binding::parse(object, region).map_err(|faults| Error::Invalid {
        name: object.name_any(),
        faults: faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    })?;
    let registries = binding.registries.iter().map(|registry| {
        let domains: Vec<String> = match (registry.domains.is_empty(), &registry.key.edition) {
            (false, _) => registry.domains.clone(),
            (true, Edition::Enterprise(id)) => vec![format!("{}.{}", id, registry.key.region)],
            (true, Edition::Personal) => vec![format!("registry.{}.aliyuncs.com", registry.key.region)],
        };
        let credential = Credential {
            username: String::new(),
            token: SecretString::from(""),
            minted_at: Timestamp::UNIX_EPOCH,
            expires_at: Timestamp::MAX,
            origin: Origin::default(),
        };
        RegistryCredential::Held { credential: Arc::new(credential), domains: domains.into() }
    });
    let registries = registries.collect();
    let phase = match (object.metadata.deletion_timestamp.is_some(), binding.deletion_policy) {
        (true, DeletionPolicy::Retain) => Phase::Retaining,
        (true, DeletionPolicy::Delete) => Phase::Withdrawing,
        (false, _) if binding.suspend => Phase::Suspended,
        (false, _) => Phase::Active,
    };
    Ok(ResolvedBinding { binding: Arc::new(binding), phase, registries, keeps_entries: false })
}

/// What stands in a cluster, as the controller's watches would tell it.
///
/// # Errors
/// [`Error`]
pub(super) async fn read(client: &Client, template: &Template) -> Result<Index, Error> {
    let index = Index::default();
    let named = format!("metadata.name={}", template.name);
    let namespaces: Api<WatchedNamespace> = Api::all(client.clone());
    list(&namespaces, None, "the namespaces", |object| {
        index.put_namespace(&object.name_any(), object.facts());
    })
    .await?;
    let accounts: Api<WatchedServiceAccount> = Api::all(client.clone());
    list(&accounts, None, "the ServiceAccounts", |object| {
        index.put_service_account(&object.namespace().unwrap_or_default(), object.view());
    })
    .await?;
    let secrets: Api<WatchedSecret> = Api::all(client.clone());
    list(&secrets, Some(&named), "the Secrets of that name", |object| {
        index.put_secret(&object.namespace().unwrap_or_default(), object.view(template));
    })
    .await?;
    Ok(index)
}

pub(super) async fn list<K>(
    api: &Api<K>,
    fields: Option<&str>,
    what: &'static str,
    mut put: impl FnMut(K),
) -> Result<(), Error>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut params = ListParams::default().limit(PAGE);
    if let Some(fields) = fields {
        params = params.fields(fields);
    }
    loop {
        let page: ObjectList<K> = api.list(&params).await.map_err(unreadable(what))?;
        page.items.into_iter().for_each(&mut put);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(()),
        }
    }
}

async fn leftovers(client: &Client) -> Result<Vec<String>, Error> {
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), "default");
    let mut found = Vec::new();
    for name in LEAVINGS {
        if secrets.get_opt(name).await.map_err(unreadable("a Secret"))?.is_some() {
            found.push(format!("default/{name}"));
        }
    }
    Ok(found)
}

fn unreadable(what: &'static str) -> impl Fn(kube::Error) -> Error {
    move |source| Error::Unreadable { what, source: Box::new(source) }
}

impl PlanReport {
    /// Writes the plan for people.
    ///
    /// # Errors
    /// What is written to cannot be.
    pub fn write(&self, to: &mut dyn io::Write) -> io::Result<()> {
        for (namespace, what) in &self.namespaces {
            writeln!(to, "{namespace}: {what}")?;
        }
        for (namespace, why) in &self.refused {
            writeln!(to, "{namespace}: would not be served: {why}")?;
        }
        self.notes.iter().try_for_each(|note| writeln!(to, "{note}"))?;
        writeln!(
            to,
            "{} namespaces would be written to, {} stand already, {} would not be served; nothing was written",
            self.namespaces.len(),
            self.unchanged,
            self.refused.len()
        )?;
        self.find_references.write(to)?;
        if !self.leftovers.is_empty() {
            writeln!(
                to,
                "left by the documented component, not written any more (--remove-leftovers deletes them): {}",
                self.leftovers.join(", ")
            )?;
        }
        Ok(())
    }
}
