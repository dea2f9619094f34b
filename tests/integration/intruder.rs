//! The attacks of an intruder who has the controller's token. Each names the barrier that stops it. Each is
//! proved to be an attack: without that barrier it succeeds.

mod chart;
mod objects;
mod rights;
mod secrets;

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::caller::{Body, Call, Caller};
use crate::exceptions::set_exceptions;
use crate::harness::{CONTROLLER, Lab, NAMESPACE, SECRET, root, spec};

/// The barrier that refuses an attack.
#[derive(Clone, Debug)]
enum Barrier {
    /// No rule grants it.
    Rbac,
    /// This policy denies it, in these words.
    Policy(&'static str, &'static str),
}

struct Attack {
    what: &'static str,
    call: Call,
    barrier: Barrier,
}

const SECRETS: &str = "acr-credential-secrets";
const ACCOUNTS: &str = "acr-credential-serviceaccounts";
const BINDINGS: &str = "acr-credential-bindings";
const EVENTS: &str = "acr-credential-events";
const OBJECTS: &str = "acr-credential-objects";
const WEBHOOK: &str = "acr-credential-webhook";

fn attack(what: &'static str, barrier: Barrier, method: &'static str, path: &str, body: Body) -> Attack {
    Attack { what, call: Call::new(method, path, body), barrier }
}

fn rbac(what: &'static str, method: &'static str, path: &str, body: Body) -> Attack {
    attack(what, Barrier::Rbac, method, path, body)
}

fn ours(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/secrets/{SECRET}")
}

/// Returns a Secret as the controller would create it, with a change.
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

/// Applies a JSON merge patch.
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
        secrets::existing_secrets(),
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

/// The namespace and the ServiceAccount of a controller.
#[derive(Clone, Copy)]
struct Place {
    namespace: &'static str,
    account: &'static str,
}

/// The controller of the plain manifests. The attacks are written for it.
const PLAIN: Place = Place { namespace: NAMESPACE, account: CONTROLLER };

impl Place {
    /// Returns a text about the plain controller as one about this. Its account has the name of other objects.
    fn translate(self, text: &str) -> String {
        let subjects = [
            ("{kind: ServiceAccount, name: ", ", namespace: ", "}"),
            (r#""kind":"ServiceAccount","name":""#, r#"","namespace":""#, r#"""#),
        ];
        let mut text = text.to_owned();
        for (before, between, after) in subjects {
            let subject =
                |place: Place| format!("{before}{}{between}{}{after}", place.account, place.namespace);
            text = text.replace(&subject(PLAIN), &subject(self));
        }
        let account = |place: Place| format!("{}/serviceaccounts/{}", place.namespace, place.account);
        text.replace(&account(PLAIN), &account(self)).replace(PLAIN.namespace, self.namespace)
    }

    fn call(self, call: &Call) -> Call {
        let body = |body: &Value| serde_json::from_str(&self.translate(&body.to_string())).unwrap();
        let body = match &call.body {
            Body::None => Body::None,
            Body::Json(object) => Body::Json(body(object)),
            Body::Merge(change) => Body::Merge(body(change)),
            Body::Strategic(change) => Body::Strategic(body(change)),
            Body::JsonPatch(change) => Body::JsonPatch(body(change)),
            Body::Apply(object) => Body::Apply(body(object)),
        };
        Call { path: self.translate(&call.path), body, ..call.clone() }
    }
}

/// An intruder with a token of a controller's account.
struct Thief {
    caller: Caller,
    place: Place,
}

impl Thief {
    async fn new(lab: &Lab, place: Place) -> Self {
        let token = lab.plane.service_account_kubeconfig(place.namespace, place.account).await.unwrap();
        Self { caller: Caller::new(&token), place }
    }

    async fn send(&self, call: &Call, dry_run: bool) -> (u16, String) {
        self.caller.send(&self.place.call(call), dry_run).await
    }
}

/// The targets of the attacks, and rights beyond `deploy/rbac.yaml` that show what the policies hold back.
const TARGETS: &str = include_str!("intruder/targets.yaml");

async fn seed(lab: &Lab, place: Place) {
    for namespace in ["victim", "elsewhere", "owner", "wide"] {
        lab.create_namespace(namespace).await;
    }
    lab.create_account("victim", "rich", &["a", "b"]).await;
    let quiet = json!({ "automountServiceAccountToken": false, "metadata": { "labels": { "team": "a" } } });
    let accounts: Api<ServiceAccount> = lab.namespaced("victim");
    accounts.patch("rich", &PatchParams::default(), &Patch::Merge(&quiet)).await.unwrap();
    lab.plane.apply(&place.translate(TARGETS)).await.unwrap();
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
        lab.namespaced::<Secret>(place.namespace).get_opt("acr-credential-cache").await.unwrap().is_some()
    })
    .await;
    lab.until_policies_enforced().await;
    lab.until_settled().await;
    lab.controller.terminate(std::time::Duration::from_secs(20)).await.unwrap();
    let marks = json!({ "metadata": { "labels": { "team": "a" }, "annotations": { "note": "theirs" } } });
    let secrets: Api<Secret> = lab.namespaced("victim");
    secrets.patch(SECRET, &PatchParams::default(), &Patch::Merge(&marks)).await.unwrap();
    let held = json!({ "metadata": { "finalizers": ["acrcredential.dev/withdraw", "example.com/theirs"] } });
    lab.bindings().patch("victim", &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
}

/// Returns whether a request was not stopped by its barrier.
fn misses(attack: &Attack, (code, said): &(u16, String)) -> bool {
    match attack.barrier {
        Barrier::Rbac => *code != 403 || !(said.contains("cannot") && said.contains(CONTROLLER)),
        Barrier::Policy(policy, words) => {
            !matches!(code, 403 | 422)
                || !said.contains(&format!("ValidatingAdmissionPolicy '{policy}'"))
                || !said.contains(words)
        }
    }
}

/// Returns the attacks that their barrier does not stop.
async fn admitted(thief: &Thief, attacks: &[Attack]) -> Vec<String> {
    let mut failures = Vec::new();
    for attack in attacks {
        let answer = thief.send(&attack.call, false).await;
        if misses(attack, &answer) {
            failures.push(format!(
                "{}: should be stopped by {:?}, was answered {answer:?}",
                attack.what, attack.barrier
            ));
        }
    }
    failures
}

/// Exceptions as platforms need them, and those that an installer must not get: they have no effect.
const EXCEPTIONS: [&str; 20] = [
    "cost-center=retail",
    "team",
    "platform.example.com/*",
    "a=c",
    "note=theirs",
    "*",
    "*/*",
    "acrcredential.dev/*",
    "acrcredential.dev/skip",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/*",
    "eks.amazonaws.com/role-arn",
    "pod-identity.alibabacloud.com/*",
    "reflector.v1.k8s.emberstack.com/*",
    "replicator.v1.mittwald.de/replicate-from",
    "kubed.appscode.com/sync=",
    "helm.sh/*",
    "metadata.finalizers",
    "secrets",
    "a.example.com/*",
];

/// An exception opens what it names, and none of the attacks.
#[tokio::test(flavor = "multi_thread")]
async fn exceptions_open_none_of_the_attacks() {
    let lab = Lab::start().await;
    lab.plane.apply_file(root().join("deploy/webhook.yaml")).await.unwrap();
    seed(&lab, PLAIN).await;
    let keys: [(&str, &[&str]); 2] = [("allowedLabels", &EXCEPTIONS), ("allowedAnnotations", &EXCEPTIONS)];
    let fields =
        ["automountServiceAccountToken=false", "automountServiceAccountToken=true", "finalizers", "secrets"];
    let accounts: [(&str, &[&str]); 4] =
        [keys[0], keys[1], ("allowedFields", &fields), ("allowedPullSecrets", &["harbor", "*", SECRET])];
    set_exceptions(&lab.plane, SECRETS, &keys).await;
    set_exceptions(&lab.plane, ACCOUNTS, &accounts).await;
    let thief = Thief::new(&lab, PLAIN).await;
    let team = Body::Merge(json!({ "metadata": { "labels": { "team": "b" } } }));
    for path in [ours("victim"), "/api/v1/namespaces/victim/serviceaccounts/rich".to_owned()] {
        let permitted = Call::new("PATCH", path, team.clone());
        lab.until("the exceptions are in force", async || thief.send(&permitted, true).await.0 < 300).await;
    }
    let attacks = attacks();
    let last = attacks.last().unwrap();
    lab.until("the policy of the webhook is in force", async || {
        !misses(last, &thief.send(&last.call, true).await)
    })
    .await;
    let failures = admitted(&thief, &attacks).await;
    assert!(failures.is_empty(), "of {} attacks: {failures:#?}", attacks.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attack_with_a_stolen_token_is_stopped_by_its_barrier() {
    let lab = Lab::start().await;
    lab.plane.apply_file(root().join("deploy/webhook.yaml")).await.unwrap();
    seed(&lab, PLAIN).await;
    let thief = Thief::new(&lab, PLAIN).await;
    let admin = Caller::new(&lab.plane.service_account_kubeconfig("default", "administrator").await.unwrap());
    let attacks = attacks();
    let last = attacks.last().unwrap();
    lab.until("the policy of the webhook is in force", async || {
        !misses(last, &thief.send(&last.call, true).await)
    })
    .await;

    let mut failures = admitted(&thief, &attacks).await;

    // An administrator may do what RBAC denies the intruder: the barriers confine only the controller.
    for attack in attacks.iter().filter(|attack| matches!(attack.barrier, Barrier::Rbac)) {
        let (code, said) = admin.send(&attack.call, true).await;
        // The plane has no nodes: a Pod has no host, and a node does not exist. A replacement names the
        // object that it replaces.
        let reaches = code < 300
            || attack.call.path.contains("/exec?")
            || attack.call.path.contains("/proxy/")
            || said.contains("metadata.resourceVersion");
        if !reaches || code == 403 {
            failures.push(format!(
                "{}: is not an attack, an administrator was answered {code} {said}",
                attack.what
            ));
        }
    }
    // Without the policies, what a policy stops would succeed, and what RBAC stops would not.
    for file in ["deploy/policies.yaml", "deploy/webhook.yaml"] {
        lab.plane.kubectl_ok(&["delete", "-f", root().join(file).to_str().unwrap()]).await.unwrap();
    }
    let policies = [SECRETS, ACCOUNTS, BINDINGS, EVENTS, OBJECTS, WEBHOOK];
    for policy in policies {
        let of = |attack: &&Attack| matches!(attack.barrier, Barrier::Policy(name, _) if name == policy);
        let first = attacks.iter().find(of).unwrap();
        lab.until("the policies are gone", async || thief.send(&first.call, true).await.0 < 300).await;
    }
    let (mut by_policy, mut by_rbac) = (0, 0);
    for attack in &attacks {
        let answer = thief.send(&attack.call, true).await;
        match attack.barrier {
            Barrier::Rbac if misses(attack, &answer) => {
                failures.push(format!("{}: RBAC alone does not stop it: {answer:?}", attack.what));
            }
            Barrier::Rbac => by_rbac += 1,
            Barrier::Policy(..) if answer.0 >= 300 => {
                failures.push(format!(
                    "{}: is not an attack, without policies it was answered {answer:?}",
                    attack.what
                ));
            }
            Barrier::Policy(..) => by_policy += 1,
        }
    }
    assert!(failures.is_empty(), "of {} attacks: {failures:#?}", attacks.len());
    // The documentation states these figures.
    assert_eq!((by_rbac, by_policy), (62, 89));
}
