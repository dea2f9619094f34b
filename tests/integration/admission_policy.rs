//! ServiceAccounts that get their entry during admission, by our MutatingAdmissionPolicy.

mod parameters;

use std::time::Duration;

use acr_lab::plane::Options;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{CONTROLLER, Lab, NAMESPACE, SECRET, root, spec};

const POLICY: &str = "deploy/admission.yaml";
const MAP: &str = "acr-credential-admission";
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns a spec whose new ServiceAccounts are to be served during their creation.
fn enabled(mut spec: Value) -> Value {
    spec["webhook"] = json!({ "enable": true });
    spec
}

/// Starts everything, with our policy.
async fn lab() -> Lab {
    let lab = Lab::start().await;
    lab.plane.apply_file(root().join(POLICY)).await.unwrap();
    lab
}

impl Lab {
    async fn until_admission_is(&self, binding: &str, status: &str, words: &str) {
        self.until(&format!("{binding} has AdmissionConfigured={status} {words:?}"), async || {
            let said = self.condition(binding, "AdmissionConfigured").await;
            said.is_some_and(|(s, _, message)| s == status && message.contains(words))
        })
        .await;
    }

    async fn bind_and_serve(&self, binding: &str, spec: Value) {
        self.bind(binding, enabled(spec)).await;
        self.until_admission_is(binding, "True", "MutatingAdmissionPolicy").await;
    }

    /// Creates a ServiceAccount, and returns the entries that the API server's answer has.
    async fn created(&self, namespace: &str, metadata: Value, secrets: &[&str]) -> Vec<String> {
        self.created_with(namespace, metadata, secrets, &PostParams::default()).await
    }

    async fn created_with(
        &self,
        namespace: &str,
        metadata: Value,
        secrets: &[&str],
        params: &PostParams,
    ) -> Vec<String> {
        let secrets: Vec<Value> = secrets.iter().map(|name| json!({ "name": name })).collect();
        let object = json!({ "metadata": metadata, "imagePullSecrets": secrets });
        let object = serde_json::from_value(object).unwrap();
        entries(&self.namespaced(namespace).create(params, &object).await.unwrap())
    }

    async fn parameters(&self) -> Option<ConfigMap> {
        self.namespaced::<ConfigMap>(NAMESPACE).get_opt(MAP).await.unwrap()
    }

    async fn set_parameters(&self, data: Value) {
        let maps = self.namespaced::<ConfigMap>(NAMESPACE);
        maps.patch(MAP, &PatchParams::default(), &Patch::Merge(&json!({ "data": data }))).await.unwrap();
    }

    async fn annotate_namespace(&self, name: &str, patch: Value) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let patch = json!({ "metadata": patch });
        namespaces.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }
}

fn entries(account: &ServiceAccount) -> Vec<String> {
    account.image_pull_secrets.iter().flatten().map(|entry| entry.name.clone()).collect()
}

fn named(name: &str) -> Value {
    json!({ "name": name })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_covered_account_has_the_entry_in_the_answer_to_its_creation_and_no_other_has() {
    let lab = lab().await;
    for name in ["served-a", "served-skipped", "elsewhere"] {
        lab.create_namespace(name).await;
    }
    lab.annotate_namespace("served-skipped", json!({ "annotations": { "acrcredential.dev/skip": "true" } }))
        .await;
    let mut covered = spec(&["served-*"]);
    covered["serviceAccounts"] = json!({ "names": ["app-*"] });
    lab.bind_and_serve("served", covered).await;
    let mark = lab.mark();
    assert_eq!(lab.created("served-a", named("app-1"), &[]).await, [SECRET]);
    assert_eq!(lab.created("served-a", named("app-2"), &["b", "a"]).await, ["b", "a", SECRET]);
    assert_eq!(lab.created("served-a", named("app-3"), &[SECRET, "a"]).await, [SECRET, "a"]);
    assert_eq!(lab.created("served-a", json!({ "generateName": "app-" }), &[]).await, [SECRET]);
    let skip = json!({ "name": "app-4", "annotations": { "acrcredential.dev/skip": "true" } });
    assert_eq!(lab.created("served-a", skip, &["x"]).await, ["x"]);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    assert_eq!(lab.created_with("served-a", named("app-5"), &[], &dry).await, [SECRET]);
    for (namespace, name) in
        [("served-a", "other"), ("served-skipped", "app-1"), ("elsewhere", "app-1"), ("kube-system", "app-1")]
    {
        assert_eq!(lab.created(namespace, named(name), &["x"]).await, ["x"], "{namespace}/{name}");
    }
    lab.until_settled().await;
    let written = lab.requests(mark).writes().of("serviceaccounts");
    assert_eq!(written.len(), 0, "the loop finds nothing to attach: {:?}", written.counts());
    assert!(lab.namespaced::<ServiceAccount>("served-a").get_opt("app-5").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_declares_the_list_without_our_entry_changes_nothing() {
    let lab = lab().await;
    lab.create_namespace("gitops").await;
    lab.bind_and_serve("gitops", spec(&["gitops"])).await;
    lab.until_attached("gitops", "default").await;
    let accounts = lab.namespaced::<ServiceAccount>("gitops");
    let declared = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": "deployer" },
        "imagePullSecrets": [{ "name": "mine" }],
    });
    let apply = PatchParams::apply("gitops-tool").force();
    let first = accounts.patch("deployer", &apply, &Patch::Apply(&declared)).await.unwrap();
    assert_eq!(entries(&first), ["mine", SECRET]);
    let mark = lab.mark();
    for _ in 0..5 {
        let again = accounts.patch("deployer", &apply, &Patch::Apply(&declared)).await.unwrap();
        assert_eq!(again.metadata.resource_version, first.metadata.resource_version);
        assert_eq!(again.metadata.managed_fields, first.metadata.managed_fields);
        assert_eq!(entries(&again), ["mine", SECRET]);
    }
    // Tools that write the whole object, or patch the list, become known as its writers, and change nothing more.
    let merge = Patch::Merge(json!({ "imagePullSecrets": [{ "name": "mine" }] }));
    let params = PatchParams { field_manager: Some("patcher".to_owned()), ..PatchParams::default() };
    let known = accounts.patch("deployer", &params, &merge).await.unwrap();
    assert_eq!(entries(&known), ["mine", SECRET]);
    let again = accounts.patch("deployer", &params, &merge).await.unwrap();
    assert_eq!(again.metadata.resource_version, known.metadata.resource_version);
    let replace = async |mut whole: ServiceAccount| {
        whole.image_pull_secrets = Some(vec![serde_json::from_value(named("mine")).unwrap()]);
        let params = PostParams { field_manager: Some("writer".to_owned()), ..PostParams::default() };
        accounts.replace("deployer", &params, &whole).await.unwrap()
    };
    let known = replace(again).await;
    assert_eq!(entries(&known), ["mine", SECRET]);
    let again = replace(known.clone()).await;
    assert_eq!(again.metadata.resource_version, known.metadata.resource_version);
    // Another change of the list takes effect, with our entry added.
    let merge = json!({ "imagePullSecrets": [{ "name": "new" }] });
    let changed = accounts.patch("deployer", &PatchParams::default(), &Patch::Merge(&merge)).await.unwrap();
    assert_eq!(entries(&changed), ["new", SECRET]);
    lab.until_settled().await;
    assert_eq!(lab.requests(mark).writes().of("serviceaccounts").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_binding_covers_by_itself_and_labels_count() {
    let lab = lab().await;
    for (name, labels) in [
        ("pair-a", json!({})),
        ("pair-b", json!({})),
        ("labelled", json!({ "tier": "app", "env": "prod" })),
        ("banned", json!({ "tier": "app", "env": "prod", "off": "1" })),
        ("poor", json!({ "tier": "app" })),
        ("tests", json!({ "tier": "app", "env": "test" })),
        ("kube-like", json!({ "tier": "app", "env": "prod" })),
    ] {
        lab.create_namespace_with(name, labels).await;
    }
    let pair = |namespace: &str, account: &str| {
        let mut pair = spec(&[namespace]);
        pair["serviceAccounts"] = json!({ "names": [account] });
        pair
    };
    let mut labelled = spec(&[]);
    let expressions = |key: &str| {
        json!([
            { "key": "tier", "operator": "In", "values": ["web", "app"] },
            { "key": "env", "operator": "Exists" },
            { "key": "env", "operator": "NotIn", "values": ["dev", "test"] },
            { "key": key, "operator": "DoesNotExist" },
        ])
    };
    labelled["watchNamespaces"] = json!({ "selector": { "matchExpressions": expressions("off") } });
    labelled["serviceAccounts"] = json!({ "names": ["by-name"], "selector": { "matchLabels": { "tier": "web" }, "matchExpressions": expressions("no/no") } });
    lab.bind("a", enabled(pair("pair-a", "of-a"))).await;
    lab.bind("b", enabled(pair("pair-b", "of-b"))).await;
    lab.bind_and_serve("labelled", labelled).await;
    for binding in ["a", "b"] {
        lab.until_admission_is(binding, "True", "").await;
    }
    let served = async |namespace: &str, metadata: Value| {
        lab.created_with(namespace, metadata, &[], &PostParams { dry_run: true, ..PostParams::default() })
            .await
            == [SECRET]
    };
    for (namespace, account, expected) in [
        ("pair-a", "of-a", true),
        ("pair-a", "of-b", false),
        ("pair-b", "of-b", true),
        ("pair-b", "of-a", false),
        ("labelled", "by-name", true),
        ("labelled", "of-a", false),
        ("banned", "by-name", false),
        ("poor", "by-name", false),
        ("tests", "by-name", false),
        ("kube-like", "by-name", false),
    ] {
        assert_eq!(served(namespace, named(account)).await, expected, "{namespace}/{account}");
    }
    for (labels, expected) in [
        (json!({ "tier": "web", "env": "prod" }), true),
        (json!({ "tier": "app", "env": "prod" }), false),
        (json!({ "tier": "web", "env": "" }), true),
        (json!({ "tier": "web", "env": "dev" }), false),
        (json!({ "tier": "web" }), false),
        (json!({ "tier": "web", "env": "prod", "no/no": "" }), false),
        (json!({}), false),
    ] {
        let metadata = json!({ "name": "by-label", "labels": labels });
        assert_eq!(served("labelled", metadata).await, expected, "{labels}");
    }
    lab.annotate_namespace("labelled", json!({ "labels": { "off": "1" } })).await;
    lab.until("a new label of the namespace counts", async || !served("labelled", named("by-name")).await)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_stops_adding_an_entry_before_the_controller_removes_it() {
    let lab = lab().await;
    for name in ["narrow-a", "narrow-b"] {
        lab.create_namespace(name).await;
        for i in 0..4 {
            lab.create_account(name, &format!("app-{i}"), &["mine"]).await;
        }
    }
    lab.bind_and_serve("narrow", spec(&["narrow-*"])).await;
    lab.until_ready_is("narrow", "True", "Succeeded").await;
    lab.until_settled().await;
    // Another client writes the accounts all the time, like a tool that reconciles.
    let client = lab.client.clone();
    let writer = tokio::spawn(async move {
        for round in 0_u64.. {
            for namespace in ["narrow-a", "narrow-b"] {
                let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
                let touch = json!({ "metadata": { "annotations": { "round": round.to_string() } } });
                for i in 0..4 {
                    let _ = accounts
                        .patch(&format!("app-{i}"), &PatchParams::default(), &Patch::Merge(&touch))
                        .await;
                }
            }
        }
    });
    let clean = async |namespace: &str| {
        let mut clean = lab.secret(namespace).await.is_none();
        for i in 0..4 {
            clean &= lab.pull_secrets(namespace, &format!("app-{i}")).await == ["mine"];
        }
        clean
    };
    for (namespace, what) in [("narrow-a", "narrowed"), ("narrow-b", "deleted")] {
        let mark = lab.mark();
        match what {
            "narrowed" => drop(lab.bind("narrow", enabled(spec(&["narrow-b"]))).await),
            _ => drop(lab.bindings().delete("narrow", &DeleteParams::default()).await.unwrap()),
        }
        lab.until(&format!("{namespace} is clean after the binding was {what}"), async || {
            clean(namespace).await
        })
        .await;
        let writes = lab.requests(mark).writes();
        let stopped = writes.of("configmaps").iter().map(|e| e.completed).next();
        let stopped = stopped.expect("the parameters are updated");
        let detached = writes.filter(|e| e.namespace == namespace).of("serviceaccounts");
        assert!(
            detached.len() >= 4 && detached.iter().all(|e| e.timestamp >= stopped),
            "{what}: updated at {stopped}, {detached:?}"
        );
        // Every account was detached once: none came back.
        let succeeded = detached.filter(|e| e.code == 200);
        assert_eq!(succeeded.iter().filter(|e| e.name != "default").count(), 4, "{what}: {succeeded:?}");
    }
    lab.until("the binding is gone", async || lab.bindings().get_opt("narrow").await.unwrap().is_none())
        .await;
    writer.abort();
    assert!(clean("narrow-a").await && clean("narrow-b").await, "and none comes back");
    assert_eq!(
        lab.parameters().await.unwrap().data.unwrap_or_default(),
        Default::default(),
        "no binding enables it any more"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controller_can_remove_its_entry_and_others_cannot() {
    let lab = lab().await;
    lab.create_namespace("exempt").await;
    lab.bind_and_serve("exempt", spec(&["exempt"])).await;
    lab.until_attached("exempt", "default").await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    let detach = async |client: kube::Client| {
        let accounts: Api<ServiceAccount> = Api::namespaced(client, "exempt");
        let patch = Patch::Merge(json!({ "imagePullSecrets": [] }));
        entries(&accounts.patch("default", &PatchParams::default(), &patch).await.unwrap())
    };
    assert_eq!(detach(lab.client.clone()).await, [SECRET]);
    let controller = lab.plane.service_account_client(NAMESPACE, CONTROLLER).await.unwrap();
    assert_eq!(detach(controller).await, Vec::<String>::new());
    assert!(lab.pull_secrets("exempt", "default").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_binding_gets_no_new_entries_and_keeps_its_old_ones() {
    let lab = lab().await;
    lab.create_namespace("rests").await;
    lab.bind_and_serve("rests", spec(&["rests"])).await;
    lab.until_attached("rests", "default").await;
    let mut suspended = enabled(spec(&["rests"]));
    suspended["suspend"] = json!(true);
    lab.bind("rests", suspended).await;
    lab.until_ready_is("rests", "False", "Suspended").await;
    lab.until("the API server adds nothing", async || {
        lab.created("rests", json!({ "generateName": "a-" }), &[]).await.is_empty()
    })
    .await;
    assert_eq!(lab.condition("rests", "AdmissionConfigured").await, None);
    assert_eq!(lab.pull_secrets("rests", "default").await, [SECRET]);
    lab.bind_and_serve("rests", spec(&["rests"])).await;
    assert_eq!(lab.created("rests", named("again"), &[]).await, [SECRET]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_applied_or_deleted_is_reported_without_a_restart() {
    let lab = Lab::start().await;
    lab.create_namespace("comes").await;
    lab.bind("comes", enabled(spec(&["comes"]))).await;
    lab.until_admission_is("comes", "False", "apply deploy/admission.yaml").await;
    lab.create_account("comes", "late", &[]).await;
    lab.until_attached("comes", "late").await;
    lab.plane.apply_file(root().join(POLICY)).await.unwrap();
    lab.until_admission_is("comes", "True", "MutatingAdmissionPolicy").await;
    assert_eq!(lab.created("comes", named("early"), &[]).await, [SECRET]);
    lab.plane.kubectl_ok(&["delete", "mutatingadmissionpolicybindings", MAP]).await.unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    lab.until("the API server has dropped the policy", async || {
        lab.created_with("comes", named("dry"), &[], &dry).await.is_empty()
    })
    .await;
    // The controller checks within a minute, and at once when it writes new parameters.
    lab.bind("comes", enabled(spec(&["comes", "other"]))).await;
    lab.until_admission_is("comes", "False", "is not in force").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_policys_api_the_condition_reports_it_and_the_loop_attaches() {
    let lab = Lab::start_without(&[], Options::default().without_mutating_policies()).await;
    lab.create_namespace("older").await;
    lab.bind("older", enabled(spec(&["older"]))).await;
    lab.until_admission_is("older", "False", "deploy/webhook.yaml").await;
    lab.until_ready_is("older", "True", "Succeeded").await;
    lab.create_account("older", "late", &[]).await;
    lab.until_attached("older", "late").await;
    lab.bindings().delete("older", &DeleteParams::default()).await.unwrap();
    lab.until("the binding is gone", async || lab.bindings().get_opt("older").await.unwrap().is_none()).await;
    assert!(lab.pull_secrets("older", "late").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_validating_policies_new_accounts_get_their_entry() {
    let off = "--disable-admission-plugins=ValidatingAdmissionPolicy".to_owned();
    let options = Options { extra_api_server_args: vec![off], ..Options::default() };
    let lab = Lab::start_without(&[], options).await;
    lab.plane.apply_file(root().join(POLICY)).await.unwrap();
    lab.create_namespace("unfenced").await;
    lab.bind_and_serve("unfenced", spec(&["unfenced"])).await;
    assert_eq!(lab.created("unfenced", named("new"), &[]).await, [SECRET]);
    assert!(
        lab.condition("unfenced", "PoliciesEnforced").await.is_some_and(|(status, ..)| status == "False")
    );
}
