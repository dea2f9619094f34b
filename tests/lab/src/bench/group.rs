//! Sets of namespaces with some ServiceAccounts each, and the bare writes that fill, refresh and repair them.

use std::{collections::HashMap, ops::Range, time::Duration};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::{
    call::{Call, send_all},
    transport::Transport,
    watch::Watch,
};

/// The ServiceAccounts of a namespace; the cluster creates the first. Further ones have numbers.
const ACCOUNTS: [&str; 3] = ["default", "web", "worker"];

/// As long as the product's own name for it.
const FLOOR_SECRET: &str = "acr-credential-secret-floor-bench";

/// Namespaces with a common prefix.
pub(super) struct Group {
    places: Vec<Place>,
    /// The names of each namespace's ServiceAccounts.
    accounts: Vec<String>,
    /// Index of the next namespace to refresh.
    cursor: usize,
}

struct Place {
    namespace: String,
    /// The version of each ServiceAccount.
    accounts: Vec<String>,
    secret: String,
    /// Whether the Secret holds the second of the template's two contents.
    turned: bool,
}

/// The shape of the product's Secret, as read from the cluster.
pub(super) struct Template {
    labels: Value,
    annotations: Value,
    kind: String,
    key: String,
    data: [String; 2],
}

impl Group {
    /// Creates a number of namespaces with so many ServiceAccounts each, and returns when the cluster has created its
    /// own.
    pub(super) async fn create(
        transport: &Transport,
        accounts: &mut Watch,
        (prefix, count, accounts_each): (&str, usize, usize),
    ) -> anyhow::Result<Group> {
        let account_names = account_names(accounts_each);
        let names: Vec<String> = (0..count).map(|index| format!("{prefix}-{index:05}")).collect();
        let namespaces = names.iter().map(|name| create_namespace(name)).collect();
        send_all(transport, namespaces).await?;
        let ours = names
            .iter()
            .flat_map(|namespace| account_names[1..].iter().map(move |name| create_account(namespace, name)));
        send_all(transport, ours.collect()).await?;

        let places = names.iter().map(|name| Place {
            namespace: name.clone(),
            accounts: vec![String::new(); account_names.len()],
            secret: String::new(),
            turned: false,
        });
        let mut group = Group { places: places.collect(), accounts: account_names, cursor: 0 };
        let indices: HashMap<String, usize> = names.into_iter().zip(0..).collect();
        let mut missing = count * accounts_each;
        while missing > 0 {
            let seen = accounts.next().await?;
            let Some(place) = indices.get(&seen.namespace) else { continue };
            let Some(account) = group.accounts.iter().position(|name| *name == seen.name) else { continue };
            let version = &mut group.places[*place].accounts[account];
            missing -= usize::from(version.is_empty());
            *version = seen.version;
        }
        Ok(group)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns the number of ServiceAccounts in each namespace.
    pub(super) fn accounts_each(&self) -> usize {
        self.accounts.len()
    }

    /// Returns the number of writes that fill one namespace.
    pub(super) fn writes_each(&self) -> usize {
        1 + self.accounts.len()
    }

    /// Returns the name of a namespace; indexes beyond the last wrap around.
    pub(super) fn namespace(&self, index: usize) -> &str {
        &self.places[index % self.places.len()].namespace
    }

    /// Fills namespaces by bare requests as the product does: a Secret by server-side apply, and an entry in
    /// each ServiceAccount by merge patch with its resource version.
    pub(super) async fn fill(
        &mut self,
        transport: &Transport,
        template: &Template,
        range: Range<usize>,
    ) -> anyhow::Result<Duration> {
        self.fill_as(transport, template, FLOOR_SECRET, range).await
    }

    /// Fills namespaces under another Secret name, so that one group can be filled repeatedly.
    pub(super) async fn fill_as(
        &mut self,
        transport: &Transport,
        template: &Template,
        secret: &str,
        range: Range<usize>,
    ) -> anyhow::Result<Duration> {
        let mut calls = Vec::with_capacity(range.len() * self.writes_each());
        for place in &self.places[range.clone()] {
            let namespace = &place.namespace;
            calls.push(Call::apply(&secret_path(namespace, secret), &template.object(namespace, secret)));
            for (name, version) in self.accounts.iter().zip(&place.accounts) {
                let patch = json!({
                    "metadata": { "resourceVersion": version },
                    "imagePullSecrets": [{ "name": secret }],
                });
                calls.push(Call::merge(&account_path(namespace, name), &patch));
            }
        }
        let (took, versions) = send_all(transport, calls).await?;
        let mut versions = versions.into_iter();
        for place in &mut self.places[range] {
            place.secret = versions.next().unwrap_or_default();
            place.turned = false;
            for account in &mut place.accounts {
                *account = versions.next().unwrap_or_default();
            }
        }
        Ok(took)
    }

    /// Refreshes this many Secrets by bare requests as the product does: a merge patch with its resource
    /// version for each. Continues at the first Secret after the last; never patches one Secret twice at
    /// once.
    pub(super) async fn refresh(
        &mut self,
        transport: &Transport,
        template: &Template,
        count: usize,
    ) -> anyhow::Result<Duration> {
        let (mut left, mut took) = (count, Duration::ZERO);
        while left > 0 {
            let end = self.places.len().min(self.cursor + left);
            let range = self.cursor..end;
            let calls = self.places[range.clone()].iter().map(|place| {
                let patch = template.refresh(&place.secret, !place.turned);
                Call::merge(&secret_path(&place.namespace, FLOOR_SECRET), &patch)
            });
            let (round, versions) = send_all(transport, calls.collect()).await?;
            for (place, version) in self.places[range].iter_mut().zip(versions) {
                place.secret = version;
                place.turned = !place.turned;
            }
            took += round;
            left -= end - self.cursor;
            self.cursor = end % self.places.len();
        }
        Ok(took)
    }
}

impl Group {
    /// Deletes the Secrets of this many namespaces and clears as many lists, and makes all of it again, by bare requests.
    /// Returns the time for both. The next fill or refresh of these namespaces would find other versions.
    pub(super) async fn repair(
        &self,
        transport: &Transport,
        template: &Template,
        range: Range<usize>,
    ) -> anyhow::Result<Duration> {
        let places = || range.clone().map(|index| &self.places[index % self.places.len()].namespace);
        let lists = || places().map(|namespace| account_path(namespace, repaired_account()));
        let deletes = places().map(|namespace| Call::delete(secret_path(namespace, FLOOR_SECRET)));
        let clears = lists().map(|path| Call::merge(&path, &json!({ "imagePullSecrets": null })));
        let (removal, _) = send_all(transport, deletes.chain(clears).collect()).await?;
        let secrets = places().map(|namespace| {
            Call::apply(&secret_path(namespace, FLOOR_SECRET), &template.object(namespace, FLOOR_SECRET))
        });
        let list = json!({ "imagePullSecrets": [{ "name": FLOOR_SECRET }] });
        let attached = lists().map(|path| Call::merge(&path, &list));
        let (repair, _) = send_all(transport, secrets.chain(attached).collect()).await?;
        Ok(removal + repair)
    }
}

/// Returns the ServiceAccount whose list is cleared.
pub(super) fn repaired_account() -> &'static str {
    ACCOUNTS[1]
}

fn account_names(count: usize) -> Vec<String> {
    let name = |number: usize| match ACCOUNTS.get(number) {
        Some(name) => (*name).to_owned(),
        None => format!("account-{number}"),
    };
    (0..count).map(name).collect()
}

impl Template {
    /// Reads the floor's template from the product's Secret.
    pub(super) fn of(secret: &Secret) -> anyhow::Result<Template> {
        let data = secret.data.as_ref().and_then(|data| data.iter().next());
        let (key, data) = data.context("the Secret has no data")?;
        let second = reversed(&data.0)?;
        Ok(Template {
            labels: json!(secret.metadata.labels),
            annotations: json!(secret.metadata.annotations),
            kind: secret.type_.clone().unwrap_or_default(),
            key: key.clone(),
            data: [STANDARD.encode(&data.0), STANDARD.encode(second)],
        })
    }

    /// Returns the size of the data in base64.
    pub(super) fn size(&self) -> usize {
        self.data[0].len()
    }

    fn object(&self, namespace: &str, name: &str) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": self.labels,
                "annotations": self.annotations,
            },
            "type": self.kind,
            "data": { &self.key: self.data[0] },
        })
    }

    fn refresh(&self, version: &str, turned: bool) -> Value {
        json!({
            "metadata": {
                "resourceVersion": version,
                "labels": self.labels,
                "annotations": self.annotations,
            },
            "data": { &self.key: self.data[usize::from(turned)] },
        })
    }
}

/// Returns the same `config.json` with its passwords reversed: another content of the same size.
fn reversed(config: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut config: Value = serde_json::from_slice(config).context("the Secret holds no JSON")?;
    let logins = config["auths"].as_object_mut().context("the Secret has no auths")?;
    for login in logins.values_mut() {
        let password = login["password"].as_str().unwrap_or_default();
        login["password"] = password.chars().rev().collect::<String>().into();
    }
    Ok(serde_json::to_vec(&config)?)
}

pub(super) fn secret_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{name}")
}

pub(super) fn account_path(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
}

pub(crate) fn create_namespace(name: &str) -> Call {
    Call::create("/api/v1/namespaces", &json!({ "metadata": { "name": name } }))
}

pub(crate) fn create_account(namespace: &str, name: &str) -> Call {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
    Call::create(path, &json!({ "metadata": { "name": name } }))
}
