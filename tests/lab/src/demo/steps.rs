//! The steps that follow the controller's start.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::{
    api::core::v1::{Secret, ServiceAccount},
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams},
};

use super::{
    Demo, NAMESPACE, SERVICE_ACCOUNT, STEP_TIMEOUT, apply,
    view::{SECRET, bindings, is_bound, is_ready, milliseconds, pull_secret, registries, until},
};

/// Number of ServiceAccounts that are created to measure how fast a new one is served.
const NEWCOMERS: usize = 5;

impl Demo {
    pub(super) async fn play(&mut self) -> anyhow::Result<()> {
        self.controller.until_ready(STEP_TIMEOUT).await?;
        println!("   $ acr-credential-controller --region=cn-hangzhou …");
        println!("   It is ready: {}/readyz answers 200.", self.controller.address());

        self.script.step("Ask for credentials, once by the typed API and once by the legacy ConfigMap");
        for namespace in ["team-a-web", "team-a-api", "other"] {
            self.show(&["create", "namespace", namespace]).await?;
        }
        for example in ["examples/same-account.yaml", "examples/acr-configuration.yaml"] {
            apply(&self.plane, example).await?;
        }
        self.bindings_are_ready().await?;

        self.script.step("One pull Secret a namespace, with a token that the registry accepts");
        for namespace in ["team-a-web", "team-a-api", "default"] {
            self.secret_is_good(namespace).await?;
        }
        let accounts =
            ["get", "secrets", "--field-selector", "metadata.name=acr-credential-secret-aggregation"];
        self.show(&[&accounts[..], &["--all-namespaces"]].concat()).await?;

        self.script.step("Only the selected ServiceAccounts pull with it");
        self.service_accounts_are_bound().await?;

        self.script.step("Every documented source of credentials, side by side");
        self.every_way().await?;

        self.script.step("A new ServiceAccount is served before a Pod can miss it");
        self.newcomers_are_served().await?;

        self.script.step("Refresh the tokens now: the Secret changes in place");
        self.refresh_changes_the_secret_in_place().await?;

        self.script.step("The cost: cloud calls and writes");
        self.sum_up()
    }

    async fn bindings_are_ready(&self) -> anyhow::Result<()> {
        for name in ["team-a", "acr-configuration"] {
            let what = format!("the binding {name} is ready");
            let binding = until(bindings(self.plane.client()), name, &what, is_ready).await?;
            for registry in registries(&binding) {
                let expires: Timestamp = registry.expires_at.parse().context("the expiry time is missing")?;
                ensure!(expires > now(), "the credential of {} has expired already", registry.registry);
                let identity = registry.identity;
                println!("   {name}: {} as {identity}, valid until {expires:.0}", registry.registry);
            }
        }
        self.show(&["get", "acrcredentialbindings"]).await
    }

    pub(super) async fn secret_is_good(&self, namespace: &str) -> anyhow::Result<Secret> {
        let what = format!("{namespace} has its pull Secret");
        let secrets: Api<Secret> = Api::namespaced(self.plane.client(), namespace);
        let secret = until(secrets, SECRET, &what, |secret| pull_secret(secret).is_some()).await?;
        self.registry_takes(namespace, &secret)?;
        Ok(secret)
    }

    /// Asks the cloud, not the product, whether a Secret's credentials open a registry.
    fn registry_takes(&self, namespace: &str, secret: &Secret) -> anyhow::Result<()> {
        let content = pull_secret(secret).context("the Secret is incomplete")?;
        ensure!(!content.auths.is_empty(), "the Secret in {namespace} names no registry");
        let instances = self.cloud.world(|world| world.instances.keys().cloned().collect::<Vec<String>>());
        for (domain, login) in content.auths {
            let (user, token) = (login.username.as_str(), login.password.as_str());
            let opened = instances.iter().find(|id| self.cloud.token_may_pull(user, token, id));
            let personal = self.cloud.personal_token_may_pull(user, token, "1", "cn-hangzhou");
            match opened {
                Some(instance) => println!("   {namespace}: {domain} opens {instance}"),
                None if personal => println!("   {namespace}: {domain} opens account 1's Personal Edition"),
                None => bail!("no registry takes what the Secret in {namespace} has for {domain}"),
            }
        }
        Ok(())
    }

    async fn service_accounts_are_bound(&self) -> anyhow::Result<()> {
        for namespace in ["team-a-web", "team-a-api", "default"] {
            let accounts: Api<ServiceAccount> = Api::namespaced(self.plane.client(), namespace);
            until(accounts, "default", &format!("{namespace}/default has its entry"), is_bound).await?;
        }
        let columns = "-o=custom-columns=NAMESPACE:.metadata.namespace,NAME:.metadata.name,\
                       PULLS-WITH:.imagePullSecrets[*].name";
        let only = "--field-selector=metadata.name=default";
        self.show(&["get", "serviceaccounts", "--all-namespaces", only, columns]).await?;
        let other: Api<ServiceAccount> = Api::namespaced(self.plane.client(), "other");
        let account =
            other.get_opt("default").await?.context("the namespace `other` has no ServiceAccount yet")?;
        ensure!(account.image_pull_secrets.is_none(), "other/default is not selected, but has an entry");
        let secrets: Api<Secret> = Api::namespaced(self.plane.client(), "other");
        ensure!(
            secrets.get_opt(SECRET).await?.is_none(),
            "the namespace `other` is not selected, but has a Secret"
        );
        Ok(())
    }

    async fn newcomers_are_served(&self) -> anyhow::Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.plane.client(), "team-a-web");
        let version = accounts.list(&ListParams::default()).await?.metadata.resource_version;
        let version = version.context("the list has no resource version")?;
        let mut watch = accounts.watch(&WatchParams::default(), &version).await?.boxed();
        let mut spans = Vec::new();
        for number in 1..=NEWCOMERS {
            let name = format!("newcomer-{number}");
            let account = ServiceAccount {
                metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
                ..ServiceAccount::default()
            };
            // Awaited side by side: the entry may be there before the create call has returned.
            let creating = async {
                accounts.create(&PostParams::default(), &account).await?;
                anyhow::Ok(Instant::now())
            };
            let seeing = async {
                while let Some(event) = watch.try_next().await? {
                    let (WatchEvent::Added(seen) | WatchEvent::Modified(seen)) = event else { continue };
                    if seen.metadata.name.as_deref() == Some(&name) && is_bound(&seen) {
                        return Ok(Instant::now());
                    }
                }
                bail!("the watch of ServiceAccounts ended")
            };
            let both = async { tokio::try_join!(creating, seeing) };
            let (created, seen) = tokio::time::timeout(STEP_TIMEOUT, both)
                .await
                .with_context(|| format!("the ServiceAccount {name} was not served"))??;
            spans.push(seen.saturating_duration_since(created));
        }
        let each: Vec<String> = spans.iter().copied().map(milliseconds).collect();
        println!(
            "   {NEWCOMERS} ServiceAccounts created in team-a-web, one by one; from the return of the create"
        );
        println!("   call until a watcher sees the entry: {}.", each.join(", "));
        let slowest = spans.into_iter().max().unwrap_or_default();
        ensure!(slowest < Duration::from_secs(1), "a ServiceAccount waited {}", milliseconds(slowest));
        Ok(())
    }

    async fn refresh_changes_the_secret_in_place(&self) -> anyhow::Result<()> {
        let before = self.secret_now("team-a-web").await?;
        let at = format!("acrcredential.dev/refresh-at={:.0}", now());
        self.show(&["annotate", "--overwrite", "acrcredentialbinding", "team-a", &at]).await?;
        let asked = Instant::now();
        let secrets: Api<Secret> = Api::namespaced(self.plane.client(), "team-a-web");
        let after =
            until(secrets, SECRET, "the Secret has a new token", |now| now.data != before.data).await?;
        let took = milliseconds(asked.elapsed());
        ensure!(after.metadata.uid == before.metadata.uid, "the Secret was recreated");
        let uid = after.metadata.uid.as_deref().unwrap_or_default();
        println!("   New content after {took}, in the same object: uid {uid}.");
        self.registry_takes("team-a-web", &after)
    }

    async fn secret_now(&self, namespace: &str) -> anyhow::Result<Secret> {
        Ok(Api::namespaced(self.plane.client(), namespace).get(SECRET).await?)
    }

    fn sum_up(&self) -> anyhow::Result<()> {
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        for call in self.cloud.calls() {
            *calls.entry(call.action).or_default() += 1;
        }
        println!("   Calls to the cloud:    {}", counts(&calls));
        let audit = self.plane.audit().since(Default::default())?;
        let writes = audit.by_service_account(NAMESPACE, SERVICE_ACCOUNT).writes().counts();
        println!("   Writes to the cluster: {}", counts(&writes));
        self.keeps_its_secrets()
    }

    /// Searches the controller's log for everything that the cloud ever issued.
    fn keeps_its_secrets(&self) -> anyhow::Result<()> {
        let log = self.controller.log();
        let leaked = self.cloud.secrets().iter().filter(|secret| log.contains(secret.as_str())).count();
        ensure!(leaked == 0, "the controller's log holds secrets: {leaked}");
        println!("   None of the keys and tokens is in the controller's log.");
        Ok(())
    }
}

fn counts(counts: &BTreeMap<String, usize>) -> String {
    let each: Vec<String> = counts.iter().map(|(what, count)| format!("{what} × {count}")).collect();
    each.join(", ")
}

#[allow(clippy::disallowed_methods, reason = "the demonstration compares expiry times with the wall clock")]
fn now() -> Timestamp {
    Timestamp::now()
}
