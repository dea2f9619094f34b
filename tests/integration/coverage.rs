//! Coverage as three readers decide it: the controller's own answer, our MutatingAdmissionPolicy, and the selectors and
//! conditions of our webhook. The API server evaluates the last two.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use acr_credential_binding::api::{AcrCredentialBinding, names};
use acr_credential_binding::model::coverage::NamedLabels;
use acr_credential_binding::model::skip::OptOut;
use acr_credential_binding::model::{Binding, Labels};
use acr_credential_binding::plan::webhook::{Address, Target, webhooks};
use acr_lab::plane::{Options, Plane};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::harness::{NAMESPACE, root};

const BINDINGS: usize = 40;
const NAMESPACES: [&str; 9] = ["a", "b", "ab", "a-b", "b-a", "aa", "team-a", "kube-x", "b1"];
const ACCOUNTS: [&str; 6] = ["a", "b", "a.b", "ab", "a-b", "b1"];
/// Covers everything. Written last, so that all the others are in force when it is.
const LAST: &str = "last";

/// Generates one side of a binding: names and globs, or labels, or both.
fn side() -> impl Strategy<Value = Value> {
    let names = ["a", "b", "a*", "*b", "*", "?", "a-?", "a-b", "?1", "team-*", "kube-*"];
    let names = prop::collection::vec(prop::sample::select(names.to_vec()), 0..3);
    (names, prop::option::of(selector())).prop_map(|(names, selector)| match selector {
        Some(selector) => json!({ "names": names, "selector": selector }),
        None => json!({ "names": names }),
    })
}

/// Generates selectors, also with keys and values that no label can have.
fn selector() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec!["k", "x.y/l", "not a key", "no,key in"]);
    let value = prop::sample::select(vec!["v", "V.1", "", "no value", "a, k in b"]);
    let operator = prop::sample::select(vec!["In", "NotIn", "Exists", "DoesNotExist"]);
    let expression = (key, operator, prop::collection::vec(value, 1..3)).prop_map(
        |(key, operator, values)| match operator {
            "In" | "NotIn" => json!({ "key": key, "operator": operator, "values": values }),
            _ => json!({ "key": key, "operator": operator }),
        },
    );
    let expressions = prop::collection::vec(expression, 1..3);
    (expressions, prop::option::of(Just(json!({ "k": "v" })))).prop_map(
        |(expressions, labels)| match labels {
            Some(labels) => json!({ "matchExpressions": expressions, "matchLabels": labels }),
            None => json!({ "matchExpressions": expressions }),
        },
    )
}

fn spec() -> impl Strategy<Value = Value> {
    let exclude =
        prop::option::of(prop::collection::vec(prop::sample::select(vec!["a", "b*", "kube-*", "?"]), 0..2));
    (side(), exclude, side()).prop_map(|(mut namespaces, exclude, accounts)| {
        if let Some(exclude) = exclude {
            namespaces["exclude"] = json!(exclude);
        }
        json!({
            "registries": [{ "instanceId": "cri-a" }],
            "watchNamespaces": namespaces,
            "serviceAccounts": accounts,
            "webhook": { "enable": true },
        })
    })
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = || prop::option::of(prop::sample::select(vec!["v", "V.1", "", "v2"]));
    (value(), value()).prop_map(|(k, l)| {
        let labels = [("k", k), ("x.y/l", l)].into_iter();
        labels.filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect()
    })
}

fn binding(name: &str, spec: &Value) -> Binding {
    let object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": name },
        "spec": spec,
    });
    let object: AcrCredentialBinding = serde_json::from_value(object).unwrap();
    Binding::parse(&object, "cn-hangzhou").unwrap()
}

/// Applies our policy, with one parameter and one entry for each binding.
async fn apply_policies(plane: &Plane, bindings: &[Binding]) {
    let shipped = std::fs::read_to_string(root().join("deploy/admission.yaml")).unwrap();
    let policy = shipped.split("\n---\n").next().unwrap();
    let policy = policy
        .replace("'acr-credential-secret-aggregation'", "params.metadata.name")
        .replace("failurePolicy: Ignore", "failurePolicy: Fail");
    plane.apply(&policy).await.unwrap();
    let items = bindings.iter().flat_map(|binding| {
        let name = &*binding.name;
        let parameter = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": NAMESPACE },
            "data": { name: binding.coverage().parameter().text },
        });
        let policy_binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": { "name": name },
            "spec": {
                "policyName": "acr-credential-admission",
                "paramRef": { "name": name, "namespace": NAMESPACE, "parameterNotFoundAction": "Deny" },
            },
        });
        [parameter, policy_binding]
    });
    apply_all(plane, items).await;
}

/// Applies our webhooks, one configuration for each binding. Nothing listens at their address: the audit log names those
/// that the API server tried to call.
async fn apply_webhooks(plane: &Plane, bindings: &[Binding]) {
    let address = Address::Url("https://127.0.0.1:1/mutate".into());
    let target = Target { namespace: NAMESPACE, address: &address, ca_bundle: b"", on_update: false };
    let items = bindings.iter().map(|binding| {
        let name = &*binding.name;
        let mut rendered = serde_json::to_value(webhooks([binding], &target)).unwrap();
        for (number, webhook) in rendered.as_array_mut().unwrap().iter_mut().enumerate() {
            webhook["name"] = json!(format!("n{number}.{name}.test"));
            webhook["clientConfig"].as_object_mut().unwrap().remove("caBundle");
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": { "name": name },
            "webhooks": rendered,
        })
    });
    apply_all(plane, items).await;
}

async fn apply_all(plane: &Plane, items: impl Iterator<Item = Value>) {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items.collect::<Vec<_>>() });
    plane.apply(&list.to_string()).await.unwrap();
}

/// The bindings that a ServiceAccount gets an entry of, and those whose webhook is called for it.
struct Decisions {
    entries: BTreeSet<String>,
    webhooks: BTreeSet<String>,
}

/// Labels and annotations of an object.
#[derive(Clone, Debug, Default)]
struct Marks {
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

impl Marks {
    /// Generates labels, and sometimes an opt-out of this kind with any value.
    fn any(runner: &mut TestRunner) -> Self {
        let values = ["true", "True", "yes", "Y", "on", "ON", "false", "no", "1", "tRue", "", "On"];
        let skip = prop::option::weighted(0.4, (any::<bool>(), prop::sample::select(values.to_vec())));
        let skip = skip.new_tree(runner).unwrap().current();
        let labels = labels().new_tree(runner).unwrap().current();
        let mut marks = Self { labels, ..Self::default() };
        if let Some((as_label, value)) = skip {
            let map = if as_label { &mut marks.labels } else { &mut marks.annotations };
            map.insert(names::SKIP.to_owned(), value.to_owned());
        }
        marks
    }

    /// Returns whether it opts out by its labels, and by its annotations.
    fn skips(&self) -> (bool, bool) {
        let of = |map: &BTreeMap<String, String>| OptOut::of([map.get(names::SKIP).map(String::as_str)]).skip;
        (of(&self.labels), of(&self.annotations))
    }
}

/// Creates a ServiceAccount in a dry run, and returns the API server's decisions.
async fn decide(plane: &Plane, namespace: &str, name: &str, marks: &Marks) -> Decisions {
    let mark = plane.audit().mark().unwrap();
    let account =
        json!({ "metadata": { "name": name, "labels": marks.labels, "annotations": marks.annotations } });
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), namespace);
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let created = accounts.create(&params, &serde_json::from_value(account).unwrap()).await.unwrap();
    let entries = created.image_pull_secrets.into_iter().flatten().map(|entry| entry.name).collect();
    let is_creation = |event: &&acr_lab::plane::AuditEvent| {
        event.verb == "create" && event.resource == "serviceaccounts" && event.namespace == namespace
    };
    let end = Instant::now() + Duration::from_secs(10);
    let event = loop {
        let events = plane.audit().since(mark).unwrap();
        if let Some(event) = events.iter().find(is_creation) {
            break event.clone();
        }
        assert!(Instant::now() < end, "{namespace}/{name} is not in the audit log");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let called = event.annotations.iter().filter(|(key, _)| key.starts_with("failed-open."));
    let webhooks = called.filter_map(|(_, webhook)| Some(webhook.split('.').nth(1)?.to_owned())).collect();
    Decisions { entries, webhooks }
}

#[tokio::test(flavor = "multi_thread")]
async fn controller_policy_and_webhook_cover_the_same_service_accounts() {
    let plane = Plane::start(Options::default()).await.unwrap();
    plane.apply_file(root().join("deploy/namespace.yaml")).await.unwrap();
    let mut runner = TestRunner::default();
    let mut specs: Vec<Value> =
        (0..BINDINGS).map(|_| spec().new_tree(&mut runner).unwrap().current()).collect();
    let every = json!({ "names": ["*"], "exclude": [] });
    specs.push(json!({
        "registries": [{ "instanceId": "cri-a" }],
        "watchNamespaces": every,
        "serviceAccounts": { "names": ["*"] },
        "webhook": { "enable": true },
    }));
    let name = |i: usize| if i == BINDINGS { LAST.to_owned() } else { format!("case-{i:02}") };
    let bindings: Vec<Binding> = specs.iter().enumerate().map(|(i, spec)| binding(&name(i), spec)).collect();
    let mut namespaces: Vec<(&str, Marks)> = NAMESPACES.map(|name| (name, Marks::any(&mut runner))).into();
    // The first question is about a namespace that does not opt out.
    namespaces.retain(|(name, _)| *name != "b1");
    namespaces.push(("b1", Marks::default()));
    let items = namespaces.iter().map(|(name, marks)| {
        let metadata = json!({ "name": name, "labels": marks.labels, "annotations": marks.annotations });
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata })
    });
    apply_all(&plane, items).await;
    apply_policies(&plane, &bindings).await;
    apply_webhooks(&plane, &bindings).await;

    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let decisions = decide(&plane, "b1", "first", &Marks::default()).await;
        if decisions.entries.contains(LAST) && decisions.webhooks.contains(LAST) {
            break;
        }
        assert!(Instant::now() < end, "policies {:?}, webhooks {:?}", decisions.entries, decisions.webhooks);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    let (mut covering, mut sparing) = (BTreeSet::new(), BTreeSet::new());
    let mut opted_out = BTreeSet::new();
    for (namespace, namespace_marks) in &namespaces {
        for account in ACCOUNTS {
            for _ in 0..2 {
                let account_marks = Marks::any(&mut runner);
                let decisions = decide(&plane, namespace, account, &account_marks).await;
                let (by_label, by_annotation) = namespace_marks.skips();
                let account_skips = account_marks.skips().0 || account_marks.skips().1;
                opted_out.insert((by_label, by_annotation, account_skips));
                for (binding, spec) in bindings.iter().zip(&specs) {
                    let of_namespace = Labels::from(namespace_marks.labels.clone());
                    let of_account = Labels::from(account_marks.labels.clone());
                    let covers = binding.coverage().covers(
                        NamedLabels { name: namespace, labels: &of_namespace },
                        NamedLabels { name: account, labels: &of_account },
                    );
                    let expected = covers && !by_label && !by_annotation && !account_skips;
                    // No selector of a webhook sees a namespace's annotations: our answer decides on them.
                    let called = covers && !by_label && !account_skips;
                    let found = (
                        decisions.entries.contains(&*binding.name),
                        decisions.webhooks.contains(&*binding.name),
                    );
                    assert_eq!(
                        found,
                        (expected, called),
                        "(policy, webhook) for {namespace} {namespace_marks:?}, {account} {account_marks:?}: {spec}"
                    );
                    let answers = if expected { &mut covering } else { &mut sparing };
                    answers.insert(binding.name.clone());
                }
            }
        }
    }
    assert!(opted_out.len() >= 2, "{opted_out:?}");
    // Bindings of both answers, without which the comparison would prove little.
    let both = covering.intersection(&sparing).count();
    assert!(both >= 5, "{both} of {BINDINGS} bindings cover some accounts and spare others");
}

/// Returns the parameters of bindings of one kind, up to a total cost by our estimate.
fn parameters_of(limit: usize, spec: impl Fn(usize) -> Value) -> BTreeMap<String, String> {
    let mut cost = 0;
    let parameters = (0..).map(|i| (format!("b{i}"), binding("any", &spec(i)).coverage().parameter()));
    let within = parameters.take_while(|(_, parameter)| {
        cost += parameter.cost;
        cost <= limit
    });
    within.map(|(name, parameter)| (name, parameter.text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_estimated_cost_of_parameters_is_an_upper_bound() {
    // The API server gives up at 1,000,000 by its own measure.
    let limit = 950_000;
    let spec = |namespaces: Value, accounts: Value| {
        json!({
            "registries": [{ "instanceId": "cri-a" }],
            "watchNamespaces": namespaces,
            "serviceAccounts": accounts,
            "webhook": { "enable": true },
        })
    };
    let small = parameters_of(limit, |i| spec(json!({ "names": [format!("n{i}")] }), json!({})));
    let labelled = parameters_of(limit, |i| {
        let expression =
            |operator: &str| json!({ "key": "k", "operator": operator, "values": [format!("v{i}"), "w"] });
        let expressions: Vec<Value> = ["NotIn"; 9].iter().chain(&["In"]).map(|o| expression(o)).collect();
        let selector = json!({ "matchExpressions": expressions });
        spec(json!({ "names": ["x"], "selector": selector }), json!({ "names": ["x"], "selector": selector }))
    });
    let long = parameters_of(limit, |i| {
        let names: Vec<String> = (0..100).map(|j| format!("account-{i}-{j}-*-of-many")).collect();
        spec(json!({ "names": ["*"] }), json!({ "names": names }))
    });
    let plane = Plane::start(Options::default()).await.unwrap();
    plane.apply_file(root().join("deploy/namespace.yaml")).await.unwrap();
    let shipped = std::fs::read_to_string(root().join("deploy/admission.yaml")).unwrap();
    plane.apply(&shipped.replace("failurePolicy: Ignore", "failurePolicy: Fail")).await.unwrap();
    let namespace = "n".repeat(63);
    let labels = json!({ "k": "v".repeat(63) });
    let object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace, "labels": labels } });
    plane.apply(&object.to_string()).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client(), &namespace);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let created = async |name: &str| {
        let account = json!({ "metadata": { "name": name, "labels": labels } });
        let created = accounts.create(&dry, &serde_json::from_value(account).unwrap()).await?;
        Ok::<_, kube::Error>(created.image_pull_secrets.into_iter().flatten().count())
    };
    for (kind, mut data) in [("small", small), ("labelled", labelled), ("long", long)] {
        let last = binding("any", &spec(json!({ "names": ["*"] }), json!({ "names": [kind] })));
        data.insert("z-last".to_owned(), last.coverage().parameter().text);
        let count = data.len();
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": { "name": "acr-credential-admission", "namespace": NAMESPACE },
            "data": data,
        });
        plane.apply(&map.to_string()).await.unwrap();
        let end = Instant::now() + Duration::from_secs(30);
        while !created(kind).await.is_ok_and(|entries| entries == 1) {
            assert!(Instant::now() < end, "{kind}: {count} bindings: {:?}", created(kind).await);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // No name matches, so everything is evaluated, for the longest names.
        assert_eq!(created(&"a".repeat(253)).await.unwrap(), 0, "{kind}: {count} bindings");
    }
}
