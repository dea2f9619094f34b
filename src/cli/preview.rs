//! `kubectl acr plan`: what the controller would write, found out with the user's own rights and written nowhere.

use std::io;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{Pod, PodSpec, Secret};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, ListParams, ObjectList, PartialObjectMeta};
use kube::{Api, Client, Resource, ResourceExt};
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::api::binding::{AcrCredentialBinding, AcrCredentialBindingSpec};
use crate::api::names;
use crate::cluster::Index;
use crate::cluster::objects::{WatchedNamespace, WatchedSecret, WatchedServiceAccount};
use crate::model::credential::Origin;
use crate::model::{Binding, Credential, Edition};
use crate::plan::{self, Bound, Issue, Phase, Snapshot, Template, change};

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

/// What would be written, and what was found beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Namespaces in which something would be written, and what.
    pub namespaces: Vec<(String, String)>,
    /// Namespaces that are covered and stand as they should, but for the token itself.
    pub unchanged: usize,
    /// Why a covered namespace would not be served.
    pub refused: Vec<(String, String)>,
    /// Pods and templates that name the Secret, as `Kind namespace/name`: they lose it if the Secret is withdrawn.
    pub named_by: Vec<String>,
    /// Secrets that the documented component left, as `namespace/name`.
    pub leavings: Vec<String>,
}

/// What bindings would do to a cluster.
///
/// # Errors
/// [`Error`]
pub async fn preview(
    client: &Client,
    bindings: &[AcrCredentialBinding],
    region: &str,
) -> Result<Preview, Error> {
    let template = Template {
        name: names::DEFAULT_SECRET_NAME.into(),
        labels: Default::default(),
        annotations: Default::default(),
    };
    let bounds = bindings.iter().map(|object| bound(object, region)).collect::<Result<Vec<_>, _>>()?;
    let index = read(client, &template).await?;
    let snapshot = Snapshot::new(Arc::new(template), bounds, false);
    let mut found = Preview::default();
    let mut all = index.matching(|_, _| true);
    all.sort();
    for namespace in all {
        let planned = index.read(&namespace, |view| plan::namespace(view, &snapshot)).unwrap_or_default();
        let failure = planned.standings.iter().find_map(|standing| standing.secret.as_ref().err());
        let refused = failure.filter(|failure| failure.reason.needs_human());
        match (planned.changes.as_slice(), refused) {
            (_, Some(failure)) => found.refused.push((namespace.to_string(), failure.message.to_string())),
            ([], None) => found.unchanged += usize::from(!planned.standings.is_empty()),
            (changes, None) => found.namespaces.push((namespace.to_string(), change::describe(changes))),
        }
    }
    found.named_by = named_by(client).await?;
    found.leavings = leavings(client).await?;
    Ok(found)
}

/// The binding that a converted spec would become. It takes over the Secrets of the documented component.
pub fn converted(spec: AcrCredentialBindingSpec) -> AcrCredentialBinding {
    let mut object = AcrCredentialBinding::new(names::LEGACY_NAME, spec);
    object.labels_mut().insert(names::LABEL_CONVERTED.to_owned(), "true".to_owned());
    object
}

/// Deletes what the documented component left, those named and no others.
///
/// # Errors
/// [`Error`]
pub async fn remove_leavings(client: &Client, found: &[String]) -> Result<(), Error> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), "default");
    for name in LEAVINGS.iter().filter(|name| found.contains(&format!("default/{name}"))) {
        secrets.delete(name, &DeleteParams::default()).await.map_err(unreadable("a Secret"))?;
    }
    Ok(())
}

/// A binding with a token that nobody minted: a plan says that a token would be written, and never which.
fn bound(object: &AcrCredentialBinding, region: &str) -> Result<Bound, Error> {
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
        Issue::Held { credential: Arc::new(credential), domains: domains.into() }
    });
    let (registries, phase) =
        (registries.collect(), if binding.suspend { Phase::Suspended } else { Phase::Active });
    Ok(Bound { binding: Arc::new(binding), phase, registries, keeps_entries: false })
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

async fn list<K>(
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

/// Pods, and the templates of what makes Pods.
async fn named_by(client: &Client) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    named(client, "the Pods", &mut found, |pod: &Pod| pod.spec.as_ref()).await?;
    named(client, "the Deployments", &mut found, |d: &Deployment| d.spec.template.spec.as_ref()).await?;
    named(client, "the StatefulSets", &mut found, |s: &StatefulSet| s.spec.template.spec.as_ref()).await?;
    named(client, "the DaemonSets", &mut found, |d: &DaemonSet| d.spec.template.spec.as_ref()).await?;
    named(client, "the CronJobs", &mut found, |c: &CronJob| {
        c.spec.job_template.spec.as_ref()?.template.spec.as_ref()
    })
    .await?;
    Ok(found)
}

/// One that copied the ServiceAccount's list at its creation is not told from one whose template says so, and needs
/// the Secret just as much.
async fn named<K>(
    client: &Client,
    what: &'static str,
    found: &mut Vec<String>,
    spec: impl Fn(&K) -> Option<&PodSpec>,
) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    list(&Api::<K>::all(client.clone()), None, what, |object: K| {
        let pulls = spec(&object).and_then(|spec| spec.image_pull_secrets.as_deref()).unwrap_or_default();
        if pulls.iter().any(|entry| entry.name == names::DEFAULT_SECRET_NAME) {
            let kind = K::kind(&());
            found.push(format!("{kind} {}/{}", object.namespace().unwrap_or_default(), object.name_any()));
        }
    })
    .await
}

async fn leavings(client: &Client) -> Result<Vec<String>, Error> {
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

impl Preview {
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
        writeln!(
            to,
            "{} namespaces would be written to, {} stand already, {} would not be served; nothing was written",
            self.namespaces.len(),
            self.unchanged,
            self.refused.len()
        )?;
        if !self.named_by.is_empty() {
            writeln!(
                to,
                "these name the Secret {}, and need it for as long as their Pods may be started again: {}",
                names::DEFAULT_SECRET_NAME,
                self.named_by.join(", ")
            )?;
        }
        if !self.leavings.is_empty() {
            writeln!(
                to,
                "left by the documented component, not written any more (--remove-leavings deletes them): {}",
                self.leavings.join(", ")
            )?;
        }
        Ok(())
    }
}
