//! The controller's loops beside the model API server, what a user does, and the promises that hold at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::cluster::{ModelKey, entries, is_ours};
use super::server::ModelServer;
use crate::api::names;
use crate::cluster::Applier;
use crate::cluster::claim::Claim;
use crate::cluster::notices::Notifier;
use crate::cluster::report::BindingWriter;
use crate::controller::binding::BindingLoop;
use crate::controller::clients::Clients;
use crate::controller::clock;
use crate::controller::namespace::NamespaceLoop;
use crate::controller::publish::PublishReason;
use crate::controller::state::SharedState;
use crate::controller::tasks::{TaskObserver, Tasks, spawn};
use crate::controller::webhook::WebhookSettings;
use crate::controller::{ControllerConfig, SourceLocations, watches};
use crate::model::Credential;
use crate::plan::Template;
use crate::plan::certificates::Lifetimes;
use crate::plan::credential_cache::MintResult;
use crate::plan::webhook::Address;
use crate::plan::withdrawal_guard::WithdrawalGuard;
use crate::server::Metrics;
use crate::server::admin::{Readiness, StartupStep};
use crate::server::heartbeats::Heartbeats;

const SECRET: &str = names::DEFAULT_SECRET_NAME;

/// Longer than any back-off: after it, all that can be done is done.
const REST: Duration = Duration::from_secs(400);

/// Namespaces of random steps.
const NAMESPACES: usize = 4;

/// The loops, the server, and what a user wants of them.
pub struct SimulatedWorld {
    pub server: ModelServer,
    rng: StdRng,
    /// The namespaces of each binding, `*` for all.
    wanted: BTreeMap<String, Vec<String>>,
    tasks: Tasks,
}

/// Runs a simulation from a seed, in virtual time.
pub fn simulate(seed: u64, run: impl AsyncFnOnce(&mut SimulatedWorld)) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    if let Ok(filter) = std::env::var("ACR_SIMULATION_LOG") {
        let logs = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer();
        // Another simulation of this process may have begun the log.
        let _ = logs.try_init();
    }
    runtime.block_on(async {
        clock::simulate();
        let mut world = SimulatedWorld::start(seed).await;
        run(&mut world).await;
        world.tasks.shutdown().await;
    });
}

fn template() -> Template {
    Template { name: SECRET.into(), labels: [].into(), annotations: [].into() }
}

fn config() -> ControllerConfig {
    let in_system = |name: &str| (Box::from("kube-system"), Box::from(name));
    ControllerConfig {
        region: "cn-hangzhou".into(),
        namespace: names::DEFAULT_NAMESPACE.into(),
        template: template(),
        config_map_namespace: None,
        config_map_grace: Duration::ZERO,
        withdrawal_grace: Duration::ZERO,
        watch_stale_after: Duration::from_secs(300),
        dry_run: false,
        replace_stuck_pods: false,
        places: SourceLocations {
            addon_token_file: names::ADDON_TOKEN_FILE.into(),
            addon_token_secret: in_system("addon"),
            oidc_token_file: None,
            rrsa_service_account: in_system("helper"),
        },
        listen_address: ([127, 0, 0, 1], 0).into(),
        replica: "replica".into(),
        lease: Duration::from_secs(15),
        webhook: WebhookSettings {
            listen: None,
            address: Address::Service("webhook".into()),
            certificates: None,
            on_update: false,
            lifetimes: Lifetimes::default(),
            shutdown_delay: Duration::ZERO,
        },
    }
}

impl SimulatedWorld {
    async fn start(seed: u64) -> Self {
        let server = ModelServer::new(seed);
        let definition = key("customresourcedefinitions", "", "acrcredentialbindings.acrcredential.dev");
        let object = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {},
            "spec": { "group": names::GROUP, "names": { "kind": "", "plural": "" }, "scope": "Cluster", "versions": [] },
        });
        server.cluster(|cluster| drop(cluster.put(&definition, object)));
        let config = config();
        let clients = Clients {
            watch: server.client(),
            write: server.client(),
            tenants: server.client(),
            watch_streams: Default::default(),
            claim: Claim::default(),
            config: kube::Config::new("http://model".parse().unwrap()),
        };
        let template = Arc::new(template());
        let shared =
            SharedState::new("cn-hangzhou", template, WithdrawalGuard::new(SignedDuration::from_secs(0)));
        let readiness = Readiness::awaiting([
            StartupStep::Namespaces,
            StartupStep::ServiceAccounts,
            StartupStep::Secrets,
            StartupStep::Bindings,
            StartupStep::AdmissionParameters,
        ]);
        let metrics = Arc::new(Metrics::default());
        let mut tasks = Tasks::new(TaskObserver::new(Heartbeats::default(), metrics.clone()));
        watches::spawn_all(&mut tasks, &config, &clients, &readiness, &shared);
        spawn(&mut tasks, "the publisher", shared.clone().keep_publishing());
        readiness.complete().await;
        shared.define(Some(clock::now() - SignedDuration::from_hours(24)));
        shared.begin(BTreeMap::new(), false);
        let worker = NamespaceLoop {
            shared: shared.clone(),
            applier: Applier::new(clients.tenants.clone(), shared.index.clone(), shared.template().clone()),
            notifier: Notifier::new(clients.tenants.clone(), SECRET),
            metrics: metrics.clone(),
            own_namespace: "acr-credential-system".into(),
            dry_run: false,
        };
        spawn(&mut tasks, "the namespace loop", worker.run());
        let reporter = BindingLoop {
            shared: shared.clone(),
            writer: BindingWriter::new(clients.write.clone()),
            metrics,
            writes: Arc::default(),
        };
        for _ in 0..4 {
            spawn(&mut tasks, "a binding worker", reporter.clone().run());
        }
        spawn(&mut tasks, "the model of the cloud", mint(shared));
        Self { server, rng: StdRng::seed_from_u64(seed), wanted: BTreeMap::new(), tasks }
    }

    /// Applies a binding of these namespaces.
    pub fn bind(&mut self, name: &str, namespaces: &[&str]) {
        let key = key("acrcredentialbindings", "", name);
        let object = json!({
            "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
            "metadata": { "name": name, "generation": 1 },
            "spec": {
                "registries": [{ "instanceId": "cri-model", "domains": ["model.example.com"] }],
                "watchNamespaces": { "names": namespaces }, "serviceAccounts": { "names": ["*"] },
            },
        });
        self.server.cluster(|cluster| {
            let mut next = cluster.objects.get(&key).cloned().unwrap_or(object.clone());
            next["spec"] = object["spec"].clone();
            next["metadata"]["generation"] = json!(next["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
            cluster.put(&key, next);
        });
        self.wanted.insert(name.to_owned(), namespaces.iter().map(|name| (*name).to_owned()).collect());
    }

    fn unbind(&mut self, name: &str) {
        self.server.cluster(|cluster| drop(cluster.delete(&key("acrcredentialbindings", "", name))));
        self.wanted.remove(name);
    }

    /// Creates a namespace with accounts.
    pub fn create_namespace(&self, name: &str, accounts: usize) {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {} });
        self.server.cluster(|cluster| drop(cluster.put(&key("namespaces", "", name), namespace)));
        for number in 0..accounts {
            self.create_account(name, &format!("account-{number}"), &["theirs"]);
        }
    }

    /// Creates an account, unless it exists.
    pub fn create_account(&self, namespace: &str, name: &str, list: &[&str]) {
        let list: Vec<Value> = list.iter().map(|name| json!({ "name": name })).collect();
        let account = json!({
            "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {}, "imagePullSecrets": list,
        });
        let key = key("serviceaccounts", namespace, name);
        self.server.cluster(|cluster| {
            if !cluster.objects.contains_key(&key) {
                cluster.put(&key, account);
            }
        });
    }

    /// Waits until an account has our entry. Returns how long that took.
    pub async fn until_attached(&self, namespace: &str, account: &str) -> Duration {
        let (begun, key) = (Instant::now(), key("serviceaccounts", namespace, account));
        let has = || {
            self.server.cluster(|cluster| entries(&cluster.objects[&key]).iter().any(|entry| entry == SECRET))
        };
        while !has() {
            assert!(begun.elapsed() < REST, "{namespace}/{account} is never served");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        begun.elapsed()
    }

    /// Takes random steps while every fourth write goes wrong.
    pub async fn random_steps(&mut self, count: usize) {
        for number in 0..NAMESPACES {
            self.create_namespace(&format!("n{number}"), 2);
        }
        self.bind("b0", &["n0", "n1", "n2"]);
        self.server.set_bad(true);
        for _ in 0..count {
            self.random_step();
            let pause = self.rng.random_range(0..3_000);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        self.server.set_bad(false);
        self.server.answer_all();
    }

    fn random_step(&mut self) {
        let namespace = format!("n{}", self.rng.random_range(0..NAMESPACES));
        let account = format!("account-{}", self.rng.random_range(0..4));
        let binding = format!("b{}", self.rng.random_range(0..2));
        match self.rng.random_range(0..10) {
            0 | 1 => {
                let all = ["n0", "n1", "n2", "n3"];
                let chosen: Vec<&str> = all.into_iter().filter(|_| self.rng.random_bool(0.6)).collect();
                let chosen = if chosen.is_empty() { vec!["n0"] } else { chosen };
                let name = key("acrcredentialbindings", "", &binding);
                let goes = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
                if !self.server.cluster(|cluster| cluster.objects.get(&name).is_some_and(goes)) {
                    self.bind(&binding, &chosen);
                }
            }
            2 => self.unbind("b1"),
            3 => self.server.hang(&namespace),
            4 => self.server.answer_all(),
            5 => self.server.cut(),
            6 => self.edit_list(&namespace, &account, |list| list.retain(|entry| entry["name"] != SECRET)),
            7 => self.edit_list(&namespace, &account, |list| list.insert(0, json!({ "name": "more" }))),
            8 => self.server.cluster(|cluster| {
                cluster.remove(&key("serviceaccounts", &namespace, &account));
            }),
            _ => self.create_account(&namespace, &account, &["theirs"]),
        }
    }

    fn edit_list(&self, namespace: &str, account: &str, edit: impl FnOnce(&mut Vec<Value>)) {
        let key = key("serviceaccounts", namespace, account);
        self.server.cluster(|cluster| {
            let Some(mut account) = cluster.objects.get(&key).cloned() else { return };
            let mut list = account["imagePullSecrets"].as_array().cloned().unwrap_or_default();
            edit(&mut list);
            account["imagePullSecrets"] = json!(list);
            cluster.put(&key, account);
        });
    }

    /// Lets so much time pass that all that can be done is done.
    pub async fn settle(&self) {
        tokio::time::sleep(REST).await;
    }

    /// Describes what happened to the bindings.
    pub fn history(&self) -> String {
        self.server.cluster(|cluster| {
            let events = cluster.log.iter().filter(|event| event.key.0 == "acrcredentialbindings");
            let line = |event: &super::cluster::ModelEvent| {
                let object = &event.object;
                format!(
                    "{} {} {} generation {} of {} finalizers {} status {} {}\n",
                    event.version,
                    event.kind,
                    event.key.2,
                    object["metadata"]["generation"],
                    object["spec"]["watchNamespaces"]["names"],
                    object["metadata"]["finalizers"],
                    object["status"]["observedGeneration"],
                    object["status"]["conditions"][0]["message"],
                )
            };
            events.map(line).collect()
        })
    }

    /// Checks the promises: what is covered is served, what is not is as it was, and then there is rest.
    pub async fn check(&self) -> Result<(), String> {
        let writes = self.server.cluster(|cluster| cluster.writes.len());
        // A refresh comes by the clock. Without one, nothing is written.
        tokio::time::sleep(Duration::from_secs(120)).await;
        self.server.cluster(|cluster| {
            if let Some(violation) = cluster.violations.first() {
                return Err(violation.clone());
            }
            let late: Vec<_> =
                cluster.writes[writes..].iter().filter(|write| write.key.0 != "secrets").collect();
            if !late.is_empty() {
                return Err(format!("no rest: {late:?}"));
            }
            let covered: BTreeSet<&str> = self.wanted.values().flatten().map(String::as_str).collect();
            for (key, object) in &cluster.objects {
                let (kind, namespace, name) = key;
                let is_covered = covered.contains(namespace.as_str()) || covered.contains("*");
                let ours = entries(object).iter().filter(|entry| *entry == SECRET).count();
                match kind.as_str() {
                    "serviceaccounts" if ours != usize::from(is_covered) => {
                        return Err(format!("{namespace}/{name} has our entry {ours} times: {is_covered}"));
                    }
                    "secrets" if !is_covered && is_ours(object) => {
                        return Err(format!("{namespace} still has our Secret"));
                    }
                    "secrets" if is_covered => {
                        let text = object["data"][names::SECRET_KEY].as_str().unwrap_or_default();
                        let config = STANDARD.decode(text).unwrap_or_default();
                        let config: Value = serde_json::from_slice(&config).unwrap_or_default();
                        if config["auths"]["model.example.com"].is_null() {
                            return Err(format!("the Secret of {namespace} has no token"));
                        }
                    }
                    "acrcredentialbindings" => {
                        let conditions =
                            object["status"]["conditions"].as_array().cloned().unwrap_or_default();
                        if !conditions.iter().any(|is| is["type"] == "Ready" && is["status"] == "True") {
                            return Err(format!("{name} is not ready: {conditions:?}"));
                        }
                    }
                    _ => {}
                }
            }
            let namespaces = cluster.objects.keys().filter(|key| key.0 == "namespaces");
            for (_, _, name) in namespaces.filter(|key| covered.contains(key.2.as_str())) {
                if !cluster.objects.contains_key(&key("secrets", name, SECRET)) {
                    return Err(format!("{name} has no Secret"));
                }
            }
            Ok(())
        })
    }
}

fn key(kind: &str, namespace: &str, name: &str) -> ModelKey {
    (kind.to_owned(), namespace.to_owned(), name.to_owned())
}

/// Mints what is asked for, as the credential loop does with a cloud that never fails.
async fn mint(shared: Arc<SharedState>) {
    let mut number = 0_u64;
    loop {
        let next = mint_due(&shared, &mut number);
        let wait = next.map_or(REST, |at| clock::until(at, clock::now()).max(Duration::from_millis(5)));
        let _ = tokio::time::timeout(wait, shared.credentials.notified()).await;
    }
}

/// Mints what is due. Returns when more is.
fn mint_due(shared: &SharedState, number: &mut u64) -> Option<Timestamp> {
    let now = clock::now();
    let mut state = shared.state();
    let totals = state.bindings.totals().clone();
    let (due, next) = state.credentials.start_due(&totals.demands, now);
    let mut ended = Vec::new();
    for request in due {
        *number += 1;
        let credential = Credential {
            username: "cr_temp_user".into(),
            token: format!("model:{number}").into(),
            minted_at: now,
            expires_at: now + SignedDuration::from_hours(1),
            origin: Default::default(),
        };
        let minted = MintResult { credential: Some(Ok(credential)), domains: None };
        state.credentials.record(&request.key, minted, now);
        ended.push(request.key);
    }
    let users = state.bindings.users(&ended);
    if !ended.is_empty() {
        shared.publish(&mut state, &users, PublishReason::CredentialsChanged);
    }
    drop(state);
    users.into_iter().for_each(|name| shared.schedule_status(name));
    // What was minted now is due again after its life.
    if ended.is_empty() { next } else { Some(now) }
}
