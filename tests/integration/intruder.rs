//! What an intruder who has the controller's token would try. Each attack names the fence that stops it, and is proved
//! to be one: where that fence is taken away, it succeeds.

mod objects;
mod rights;
mod secrets;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::caller::{Body, Call, Caller};
use crate::harness::{CONTROLLER, Lab, NAMESPACE, SECRET, root, spec};

/// What refuses an attack.
#[derive(Clone, Debug)]
enum Fence {
    /// No rule grants it.
    Rbac,
    /// This policy denies it, in these words.
    Policy(&'static str, &'static str),
}

struct Attack {
    what: &'static str,
    call: Call,
    fence: Fence,
}

const SECRETS: &str = "acr-credential-secrets";
const ACCOUNTS: &str = "acr-credential-serviceaccounts";
const BINDINGS: &str = "acr-credential-bindings";
const EVENTS: &str = "acr-credential-events";
const OBJECTS: &str = "acr-credential-objects";
const WEBHOOK: &str = "acr-credential-webhook";

fn attack(what: &'static str, fence: Fence, method: &'static str, path: &str, body: Body) -> Attack {
    Attack { what, call: Call::new(method, path, body), fence }
}

fn rbac(what: &'static str, method: &'static str, path: &str, body: Body) -> Attack {
    attack(what, Fence::Rbac, method, path, body)
}

fn ours(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{SECRET}")
}

/// Returns a Secret as the controller would make it, with something changed.
fn secret(name: &str, change: Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "labels": { "app.kubernetes.io/managed-by": CONTROLLER } },
        "type": "kubernetes.io/dockerconfigjson",
        "data": { ".dockerconfigjson": "e30=" },
    });
    merge(&mut object, change);
    object
}

/// Returns a JSON merge patch.
fn merge(target: &mut Value, change: Value) {
    let Value::Object(change) = change else {
        *target = change;
        return;
    };
    for (key, value) in change {
        merge(&mut target[key], value);
    }
}

fn pod(volumes: Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "spy" },
        "spec": {
            "containers": [{ "name": "c", "image": "i", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } } }],
            "volumes": volumes,
        },
    })
}

fn attacks() -> Vec<Attack> {
    [
        rights::reads(),
        rights::identities(),
        rights::control(),
        secrets::other_secrets(),
        secrets::made_secrets(),
        secrets::standing_secrets(),
        secrets::if_rbac_were_wide(),
        objects::accounts(),
        rights::tokens(),
        objects::bindings(),
        objects::others(),
        objects::webhooks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Objects that the attacks are aimed at, and rights beyond `deploy/rbac.yaml` that show what the policies hold back.
const TARGETS: &str = include_str!("intruder/targets.yaml");

async fn seed(lab: &Lab) {
    for namespace in ["victim", "elsewhere", "owner", "wide"] {
        lab.create_namespace(namespace).await;
    }
    lab.create_account("victim", "rich", &["a", "b"]).await;
    let quiet = json!({ "automountServiceAccountToken": false, "metadata": { "labels": { "team": "a" } } });
    let accounts: Api<ServiceAccount> = lab.namespaced("victim");
    accounts.patch("rich", &PatchParams::default(), &Patch::Merge(&quiet)).await.unwrap();
    lab.plane.apply(TARGETS).await.unwrap();
    lab.plane.apply_file(root().join("deploy/webhook.yaml")).await.unwrap();
    lab.bind("victim", spec(&["victim"])).await;
    let mut other = spec(&["nowhere"]);
    other["suspend"] = json!(true);
    lab.bind("acr-configuration", other).await;
    lab.until_served("victim", crate::harness::DOMAIN).await;
    lab.until("the rich account has our entry", async || {
        lab.pull_secrets("victim", "rich").await == ["a", "b", SECRET]
    })
    .await;
    lab.until("the tokens are kept", async || {
        lab.namespaced::<Secret>(NAMESPACE).get_opt("acr-credential-cache").await.unwrap().is_some()
    })
    .await;
    lab.until_fenced().await;
    lab.until_settled().await;
    lab.controller.terminate(std::time::Duration::from_secs(20)).await.unwrap();
    let marks = json!({ "metadata": { "labels": { "team": "a" }, "annotations": { "note": "theirs" } } });
    let secrets: Api<Secret> = lab.namespaced("victim");
    secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&marks)).await.unwrap();
    let held = json!({ "metadata": { "finalizers": ["acrcredential.dev/withdraw", "example.com/theirs"] } });
    lab.bindings().patch("victim", &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
}

/// What stopped a request, if it was the fence that should.
fn misses(attack: &Attack, (code, said): &(u16, String)) -> bool {
    match attack.fence {
        Fence::Rbac => *code != 403 || !(said.contains("cannot") && said.contains(CONTROLLER)),
        Fence::Policy(policy, words) => {
            !matches!(code, 403 | 422)
                || !said.contains(&format!("ValidatingAdmissionPolicy '{policy}'"))
                || !said.contains(words)
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_token_is_stopped_at_each_attack_by_the_fence_that_should_stop_it() {
    let lab = Lab::start().await;
    seed(&lab).await;
    let thief = Caller::new(&lab.plane.service_account_kubeconfig(NAMESPACE, CONTROLLER).await.unwrap());
    let admin = Caller::new(&lab.plane.service_account_kubeconfig("default", "administrator").await.unwrap());
    let attacks = attacks();
    let last = attacks.last().unwrap();
    lab.until("the policy of the webhook is in force", async || {
        !misses(last, &thief.send(&last.call, true).await)
    })
    .await;

    let mut failures = Vec::new();
    for attack in &attacks {
        let answer = thief.send(&attack.call, false).await;
        if misses(attack, &answer) {
            failures.push(format!(
                "{}: should be stopped by {:?}, was answered {answer:?}",
                attack.what, attack.fence
            ));
        }
    }

    // What RBAC stops, an administrator may do; nobody else is fenced.
    for attack in attacks.iter().filter(|attack| matches!(attack.fence, Fence::Rbac)) {
        let (code, said) = admin.send(&attack.call, true).await;
        // There are no nodes, so a Pod has no host yet and a node is not there; and a replacement names what it replaces.
        let reaches = code < 300
            || attack.call.path.contains("/exec?")
            || attack.call.path.contains("/proxy/")
            || said.contains("metadata.resourceVersion");
        if !reaches || code == 403 {
            failures
                .push(format!("{}: is no attack, an administrator was answered {code} {said}", attack.what));
        }
    }
    // What a policy stops would succeed without it, and what RBAC stops would not.
    for file in ["deploy/policies.yaml", "deploy/webhook.yaml"] {
        lab.plane.kubectl_ok(&["delete", "-f", root().join(file).to_str().unwrap()]).await.unwrap();
    }
    let policies = [SECRETS, ACCOUNTS, BINDINGS, EVENTS, OBJECTS, WEBHOOK];
    for policy in policies {
        let of = |attack: &&Attack| matches!(attack.fence, Fence::Policy(name, _) if name == policy);
        let first = attacks.iter().find(of).unwrap();
        lab.until("the policies are gone", async || thief.send(&first.call, true).await.0 < 300).await;
    }
    let (mut by_policy, mut by_rbac) = (0, 0);
    for attack in &attacks {
        let answer = thief.send(&attack.call, true).await;
        match attack.fence {
            Fence::Rbac if misses(attack, &answer) => {
                failures.push(format!("{}: RBAC alone does not stop it: {answer:?}", attack.what));
            }
            Fence::Rbac => by_rbac += 1,
            Fence::Policy(..) if answer.0 >= 300 => {
                failures.push(format!(
                    "{}: is no attack, without policies it was answered {answer:?}",
                    attack.what
                ));
            }
            Fence::Policy(..) => by_policy += 1,
        }
    }
    assert!(failures.is_empty(), "of {} attacks: {failures:#?}", attacks.len());
    // The READMEs tell these figures.
    assert_eq!((by_rbac, by_policy), (60, 88));
}
