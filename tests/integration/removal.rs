//! Removal takes what this controller wrote, and nothing that a user copied. What goes outside the ordinary is announced
//! where users look.

use std::time::Duration;

use acr_credential_binding::cli::plan::{PlanOptions, plan};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::harness::{DOMAIN, Lab, SECRET, spec};
use crate::uninstall::acr;

const PATIENCE: Duration = Duration::from_secs(20);
const MARK: &str = "acrcredential.dev/namespace";

/// Starts everything without a grace period: what no binding covers is withdrawn at once, after a start too.
async fn without_grace() -> Lab {
    Lab::start_with(|options| options.arg("--withdrawal-grace=0s")).await
}

async fn restart(lab: &Lab) {
    lab.controller.restart().unwrap();
    lab.controller.until_ready(PATIENCE).await.unwrap();
    lab.until_settled().await;
}

/// Copies the Secret of `shop` as public runbooks do, by `sed` over its YAML.
async fn copy_by_hand(lab: &Lab, to: &str, sed: impl Fn(&str) -> Option<String>) {
    let text = lab.plane.kubectl_ok(&["-n", "shop", "get", "secret", SECRET, "-o", "yaml"]).await.unwrap();
    let volatile = |line: &str| {
        ["uid:", "resourceVersion:", "creationTimestamp:"].iter().any(|field| line.contains(field))
    };
    let lines = text.lines().filter(|line| !volatile(line)).filter_map(sed);
    let path = lab.plane.kubeconfig().with_file_name(format!("{to}.yaml"));
    std::fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    lab.plane.kubectl_ok(&["apply", "-f", path.to_str().unwrap()]).await.unwrap();
}

async fn attach_by_hand(lab: &Lab, namespace: &str) {
    let list = json!({ "imagePullSecrets": [{ "name": SECRET }] });
    let accounts = lab.namespaced::<ServiceAccount>(namespace);
    accounts.patch("default", &PatchParams::default(), &Patch::Merge(&list)).await.unwrap();
}

async fn version(lab: &Lab, namespace: &str) -> Option<String> {
    lab.secret(namespace).await.and_then(|secret| secret.metadata.resource_version)
}

async fn patch_secret(lab: &Lab, namespace: &str, patch: Value) {
    let secrets = lab.namespaced::<Secret>(namespace);
    secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
}

/// Returns the Events of this controller with a reason, in all namespaces: kind, namespace and name of their object, and
/// the note.
async fn events(lab: &Lab, reason: &str) -> Vec<(String, String)> {
    let all: Api<Event> = Api::all(lab.client.clone());
    let all = all.list(&ListParams::default()).await.unwrap().items;
    let ours = all.into_iter().filter(|event| event.reason.as_deref() == Some(reason));
    let about = |event: Event| {
        let about = event.regarding.unwrap();
        let part = |text: Option<String>| text.unwrap_or_default();
        let place = format!("{} {}/{}", part(about.kind), part(about.namespace), part(about.name));
        (place, event.note.unwrap_or_default())
    };
    ours.map(about).collect()
}

async fn until_gone(lab: &Lab, binding: &str) {
    lab.until(&format!("{binding} is gone"), async || {
        lab.bindings().get_opt(binding).await.unwrap().is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_by_hand_stays_with_its_entry_and_our_own_secret_goes() {
    let lab = without_grace().await;
    let copies = ["tools", "tools-plain", "tools-old"];
    for name in ["shop"].iter().chain(&copies) {
        lab.create_namespace(name).await;
    }
    lab.bind("shop", spec(&["shop*"])).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
    let marked = lab.secret("shop").await.unwrap().metadata.annotations.unwrap();
    assert_eq!(marked[MARK], "shop");
    // The runbook's own words rewrite the mark too.
    copy_by_hand(&lab, "tools", |line| Some(line.replacen("namespace: shop", "namespace: tools", 1))).await;
    let copied = lab.secret("tools").await.unwrap().metadata.annotations.unwrap();
    assert_eq!(copied[MARK], "tools");
    let own_line = |line: &str| match line {
        "  namespace: shop" => "  namespace: tools-plain".to_owned(),
        _ => line.to_owned(),
    };
    copy_by_hand(&lab, "tools-plain", |line| Some(own_line(line))).await;
    let before_the_mark = |line: &str| {
        let line = own_line(line).replace("tools-plain", "tools-old");
        (!line.contains(MARK)).then_some(line)
    };
    copy_by_hand(&lab, "tools-old", before_the_mark).await;
    for name in copies {
        attach_by_hand(&lab, name).await;
    }
    let mut before = Vec::new();
    for name in copies {
        before.push(version(&lab, name).await);
    }
    let intact = async |when: &str| {
        for (name, before) in copies.iter().zip(&before) {
            assert_eq!(version(&lab, name).await, *before, "{name} {when}");
            assert_eq!(lab.pull_secrets(name, "default").await, [SECRET], "{name} {when}");
        }
    };
    lab.until_settled().await;
    intact("at once").await;
    restart(&lab).await;
    intact("after a restart").await;
    assert!(lab.secret("shop").await.is_some());
    lab.bindings().delete("shop", &DeleteParams::default()).await.unwrap();
    until_gone(&lab, "shop").await;
    lab.until_settled().await;
    assert!(lab.secret("shop").await.is_none() && lab.pull_secrets("shop", "default").await.is_empty());
    intact("after the binding's deletion").await;
    restart(&lab).await;
    intact("after another restart").await;
    assert_eq!(events(&lab, "LeftoverRemoved").await, []);
    // The plugin follows the same rule, and reports what it leaves.
    lab.controller.terminate(PATIENCE).await.unwrap();
    let (code, out, err) = acr(&lab, &["withdraw", "--yes"]);
    assert_eq!(code, Some(0), "{out}{err}");
    intact("after kubectl acr withdraw").await;
    assert!(out.contains("tools-plain: left as it is, with its entries: the Secret is a copy"), "{out}");
    for name in ["tools", "tools-old"] {
        let words = format!("{name}: left as it is, with its entries: the Secret does not show");
        assert!(out.contains(&words), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_without_a_mark_get_none_at_rest_and_are_withdrawn_where_they_were_served() {
    let lab = without_grace().await;
    let served = ["old-a", "old-b", "old-c", "old-d"];
    for name in served {
        lab.create_namespace(name).await;
    }
    lab.bind("old", spec(&served)).await;
    lab.until_ready_says("old", "True", "Succeeded", "4 namespaces").await;
    lab.until_settled().await;
    lab.controller.terminate(PATIENCE).await.unwrap();
    // As an earlier version wrote them; and as a restore writes them, without a trace of our own writes.
    for name in served {
        if name == "old-a" {
            patch_secret(&lab, name, json!({ "metadata": { "annotations": { MARK: null } } })).await;
            continue;
        }
        let mut object = lab.secret(name).await.unwrap();
        object.metadata.annotations.as_mut().unwrap().remove(MARK);
        (object.metadata.resource_version, object.metadata.uid) = (None, None);
        object.metadata.managed_fields = None;
        lab.delete_secret(name).await;
        lab.namespaced::<Secret>(name).create(&PostParams::default(), &object).await.unwrap();
    }
    let mark = lab.mark();
    restart(&lab).await;
    let written = lab.requests(mark).writes().filter(|e| e.resource != "selfsubjectaccessreviews");
    assert_eq!(written.counts(), Default::default(), "an upgrade at rest is silent");
    let marked =
        async |name: &str| lab.secret(name).await.unwrap().metadata.annotations.unwrap().get(MARK).cloned();
    assert_eq!(marked("old-a").await, None);
    // Coverage that shrinks while the process is down: the status names the namespace.
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.bind("old", spec(&["old-b", "old-c", "old-d"])).await;
    restart(&lab).await;
    assert!(lab.secret("old-a").await.is_none());
    lab.controller.terminate(PATIENCE).await.unwrap();
    lab.bind("old", spec(&["old-c", "old-d"])).await;
    restart(&lab).await;
    assert!(lab.secret("old-b").await.is_none() && lab.pull_secrets("old-b", "default").await.is_empty());
    // Coverage that shrinks while it runs.
    lab.bind("old", spec(&["old-d"])).await;
    lab.until("old-c is withdrawn", async || lab.secret("old-c").await.is_none()).await;
    // The next refresh adds the mark.
    lab.refresh("old", "now").await;
    lab.until("the mark is there", async || marked("old-d").await.as_deref() == Some("old-d")).await;
    patch_secret(&lab, "old-d", json!({ "metadata": { "annotations": { MARK: "elsewhere" } } })).await;
    lab.until("a wrong mark is corrected", async || marked("old-d").await.as_deref() == Some("old-d")).await;
    patch_secret(&lab, "old-d", json!({ "metadata": { "annotations": { MARK: null } } })).await;
    lab.bindings().delete("old", &DeleteParams::default()).await.unwrap();
    until_gone(&lab, "old").await;
    assert!(lab.secret("old-d").await.is_none() && lab.pull_secrets("old-d", "default").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_is_announced_in_its_namespace_and_then_removed() {
    let lab = without_grace().await;
    for name in ["left", "kept"] {
        lab.create_namespace(name).await;
    }
    lab.bind("left", spec(&["left", "kept"])).await;
    lab.until_ready_says("left", "True", "Succeeded", "2 namespaces").await;
    lab.controller.kill();
    lab.bind("left", spec(&["kept"])).await;
    lab.controller.restart().unwrap();
    lab.until("it is removed", async || {
        lab.secret("left").await.is_none() && lab.pull_secrets("left", "default").await.is_empty()
    })
    .await;
    let events = events(&lab, "LeftoverRemoved").await;
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].0, format!("Secret left/{SECRET}"));
    assert!(events[0].1.contains("No binding covers the namespace left"), "{events:?}");
    assert!(lab.token("kept", DOMAIN).await.is_some());
    assert!(events[0].1.ends_with("cover the namespace by a binding"), "{events:?}");
    lab.bind("left", spec(&["left", "kept"])).await;
    lab.until_served("left", DOMAIN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_names_the_hosts_and_keys_that_it_removes_and_never_a_credential() {
    let lab = Lab::start().await;
    lab.create_namespace("taken").await;
    let config = json!({ "auths": {
        "https://quay.io/v2/": { "username": "robot", "password": "hunter2-a", "auth": "aHVudGVyMi1h" },
        "user:hunter2-b@registry.example.com": { "auth": "aHVudGVyMi1i" },
        DOMAIN: { "auth": "aHVudGVyMi1j" },
    } });
    let object = json!({
        "metadata": { "name": SECRET }, "type": "kubernetes.io/dockerconfigjson",
        "stringData": { ".dockerconfigjson": config.to_string(), "more": "hunter2-c" },
    });
    let object = serde_json::from_value(object).unwrap();
    lab.namespaced::<Secret>("taken").create(&PostParams::default(), &object).await.unwrap();
    lab.bind("taken", spec(&["taken"])).await;
    let loss = "removes its entries for quay.io and 1 more and its data keys more";
    let before = lab.until_ready_says("taken", "False", "SecretConflict", loss).await;
    // The plan of a migration names it too.
    let planned = serde_json::from_value(spec(&["taken"])).unwrap();
    let options =
        PlanOptions { region: "cn-hangzhou".into(), secret_name: SECRET.into(), with_objects: false };
    let notes = plan(&lab.client, planned, &options).await.unwrap().notes;
    let words = "is taken over for the binding acr-configuration. This removes its entries for";
    assert!(notes.iter().any(|note| note.contains(words) && note.contains("quay.io")), "{notes:?}");
    lab.annotate("taken", "acrcredential.dev/adopt", "true").await;
    lab.until_ready_is("taken", "True", "Succeeded").await;
    let auths = lab.auths("taken").await.unwrap();
    assert!(auths.contains_key(DOMAIN) && !auths.contains_key("quay.io"), "{:?}", auths.keys());
    let events = events(&lab, "ContentReplaced").await;
    let mut about: Vec<&str> = events.iter().map(|(about, _)| about.as_str()).collect();
    about.sort_unstable();
    assert_eq!(about, ["AcrCredentialBinding /taken", &format!("Secret taken/{SECRET}")]);
    for (_, note) in &events {
        assert!(note.contains("is taken over for the binding taken") && note.contains(loss), "{note}");
    }
    let said = format!("{before} {events:?} {}", lab.controller.log());
    for credential in ["hunter2", "aHVudGVyMi1", "robot"] {
        assert!(!said.contains(credential), "{credential}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_names_the_rule_by_which_something_written_is_not_covered() {
    let lab = Lab::start().await;
    for name in ["asleep", "open"] {
        lab.create_namespace(name).await;
    }
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let label = async |name: &str, value: Option<&str>| {
        let patch = json!({ "metadata": { "labels": { "acrcredential.dev/skip": value } } });
        namespaces.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    };
    label("asleep", Some("true")).await;
    let excluded = "spec.watchNamespaces.names has kube-system, but spec.watchNamespaces.exclude has kube-*, which has \
                    precedence: take it out of exclude to cover them";
    lab.bind("system", spec(&["kube-system"])).await;
    lab.until_ready_says("system", "True", "NothingCovered", excluded).await;
    lab.bind("both", spec(&["kube-system", "open"])).await;
    lab.until_ready_says("both", "True", "Succeeded", excluded).await;
    assert!(lab.secret("kube-system").await.is_none());
    lab.bind("asleep", spec(&["asleep", "gone-*"])).await;
    let message = lab.until_ready_is("asleep", "True", "NothingCovered").await;
    assert!(message.contains("asleep opts out by acrcredential.dev/skip"), "{message}");
    assert!(message.contains("no namespace matches gone-*"), "{message}");
    // It is always the present rule, though no edit of the binding is made.
    lab.create_namespace_with("gone-1", json!({ "acrcredential.dev/skip": "on" })).await;
    lab.until_ready_says("asleep", "True", "NothingCovered", "asleep, gone-1 opt out").await;
    label("gone-1", None).await;
    lab.until_ready_says("asleep", "True", "Succeeded", "1 namespace").await;
    // The cure, followed literally.
    let mut cured = spec(&["kube-system"]);
    cured["watchNamespaces"]["exclude"] = json!([]);
    lab.bind("system", cured).await;
    lab.until_served("kube-system", DOMAIN).await;
    // After a restart the messages are the same: nothing is written.
    lab.until_settled().await;
    let mark = lab.mark();
    restart(&lab).await;
    let written = lab.requests(mark).writes().filter(|e| e.resource != "selfsubjectaccessreviews");
    assert_eq!(written.counts(), Default::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn skip_is_a_label_or_an_annotation_and_a_value_that_is_not_understood_gives_one_event() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.create_account("shop", "web", &[]).await;
    lab.bind("shop", spec(&["shop*"])).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
    let namespaces: Api<Namespace> = Api::all(lab.client.clone());
    let accounts = lab.namespaced::<ServiceAccount>("shop");
    let patch = |kind: &str, value: Option<&str>| {
        let mut patch = json!({ "metadata": {} });
        patch["metadata"][kind] = json!({ "acrcredential.dev/skip": value });
        Patch::Merge(patch)
    };
    let set = async |kind: &str, value: Option<&str>| {
        namespaces.patch("shop", &PatchParams::default(), &patch(kind, value)).await.unwrap();
    };
    for (kind, value) in
        [("labels", "true"), ("annotations", "true"), ("labels", "Yes"), ("annotations", "on")]
    {
        set(kind, Some(value)).await;
        lab.until(&format!("{kind} {value} opt out"), async || {
            lab.secret("shop").await.is_none() && lab.pull_secrets("shop", "web").await.is_empty()
        })
        .await;
        set(kind, Some("false")).await;
        lab.until_served("shop", DOMAIN).await;
        lab.until_attached("shop", "web").await;
        set(kind, None).await;
    }
    for kind in ["labels", "annotations"] {
        accounts.patch("web", &PatchParams::default(), &patch(kind, Some("True"))).await.unwrap();
        lab.until("the account opts out", async || lab.pull_secrets("shop", "web").await.is_empty()).await;
        assert_eq!(lab.pull_secrets("shop", "default").await, [SECRET]);
        accounts.patch("web", &PatchParams::default(), &patch(kind, None)).await.unwrap();
        lab.until_attached("shop", "web").await;
    }
    assert_eq!(events(&lab, "SkipNotUnderstood").await, []);
    set("labels", Some("ture")).await;
    accounts.patch("web", &PatchParams::default(), &patch("annotations", Some("1"))).await.unwrap();
    lab.until("both are reported", async || events(&lab, "SkipNotUnderstood").await.len() == 2).await;
    // Other changes give no further Event.
    for number in 0..3 {
        let other = json!({ "metadata": { "labels": { "n": number.to_string() } } });
        accounts.patch("web", &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();
        namespaces.patch("shop", &PatchParams::default(), &Patch::Merge(&other)).await.unwrap();
    }
    lab.until_settled().await;
    let mut found = events(&lab, "SkipNotUnderstood").await;
    found.sort_unstable();
    let about: Vec<&str> = found.iter().map(|(about, _)| about.as_str()).collect();
    assert_eq!(about, ["Namespace /shop", "ServiceAccount shop/web"]);
    assert!(found[0].1.contains("\"ture\"") && found[1].1.contains("\"1\""), "{found:?}");
    assert!(lab.token("shop", DOMAIN).await.is_some(), "nothing is opted out");
    let words = "Write \"true\" or \"false\"";
    assert!(found.iter().all(|(_, note)| note.ends_with(words)), "{found:?}");
    accounts.patch("web", &PatchParams::default(), &patch("annotations", Some("false"))).await.unwrap();
    set("labels", Some("true")).await;
    lab.until("the namespace opts out", async || lab.secret("shop").await.is_none()).await;
    set("labels", Some("false")).await;
    lab.until_attached("shop", "web").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_is_restored_from_a_backup_has_the_live_token_and_one_entry() {
    let lab = Lab::start().await;
    lab.create_namespace("shop").await;
    lab.bind("shop", spec(&["shop*"])).await;
    lab.until_ready_is("shop", "True", "Succeeded").await;
    lab.until_attached("shop", "default").await;
    let stored = async |kind: &str, name: &str| {
        let text = lab.plane.kubectl_ok(&["-n", "shop", "get", kind, name, "-o", "json"]).await.unwrap();
        let mut object: Value = serde_json::from_str(&text).unwrap();
        let metadata = object["metadata"].as_object_mut().unwrap();
        for volatile in ["uid", "resourceVersion", "creationTimestamp", "managedFields"] {
            metadata.remove(volatile);
        }
        object["metadata"]["labels"]["velero.io/restore-name"] = json!("r1");
        object.to_string()
    };
    let (secret, account) = (stored("secret", SECRET).await, stored("serviceaccount", "default").await);
    let dead = lab.token("shop", DOMAIN).await.unwrap();
    for request in ["one", "two"] {
        lab.refresh("shop", request).await;
    }
    lab.until("the backup's token is old", async || lab.token("shop", DOMAIN).await.as_ref() != Some(&dead))
        .await;
    for round in 0..3 {
        lab.plane.kubectl_ok(&["delete", "namespace", "shop", "--timeout=30s"]).await.unwrap();
        lab.plane.kubectl_ok(&["create", "namespace", "shop"]).await.unwrap();
        for (name, text) in [("secret", &secret), ("account", &account)] {
            let path = lab.plane.kubeconfig().with_file_name(format!("{name}-{round}.json"));
            std::fs::write(&path, text).unwrap();
            lab.plane.kubectl_ok(&["apply", "-f", path.to_str().unwrap()]).await.unwrap();
        }
        lab.until("the Secret holds the live token", async || {
            lab.token("shop", DOMAIN).await.is_some_and(|token| token != dead)
        })
        .await;
        lab.until_attached("shop", "default").await;
        lab.until_ready_says("shop", "True", "Succeeded", "1 namespace and 1 ServiceAccount").await;
    }
    lab.until_settled().await;
    assert_ne!(lab.token("shop", DOMAIN).await.unwrap(), dead);
    assert_eq!(lab.pull_secrets("shop", "default").await, [SECRET]);
    assert_eq!(lab.condition("shop", "Contended").await, None);
    let marks = lab.secret("shop").await.unwrap().metadata.annotations.unwrap();
    assert_eq!(marks[MARK], "shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_of_the_secret_are_reported_as_such() {
    let lab = Lab::start().await;
    lab.create_namespace("pruned").await;
    lab.bind("pruned", spec(&["pruned"])).await;
    lab.until_ready_is("pruned", "True", "Succeeded").await;
    lab.until_settled().await;
    for _ in 0..4 {
        lab.delete_secret("pruned").await;
        lab.until_served("pruned", DOMAIN).await;
    }
    let mut message = String::new();
    lab.until("the condition counts the deletions", async || {
        message = lab.condition("pruned", "Contended").await.map(|(_, _, words)| words).unwrap_or_default();
        message.contains(&format!("the Secret pruned/{SECRET} was deleted 4 times"))
    })
    .await;
    assert!(!message.contains("written again"), "{message}");
    lab.until_ready_is("pruned", "True", "Succeeded").await;
}
