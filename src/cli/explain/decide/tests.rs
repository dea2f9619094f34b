//! Each cause from the facts that make it, and mixtures of two: the first to correct is named.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::decide;
use crate::cli::explain::facts::{
    AccountFacts, ContainerFacts, ImageProgress, ObjectFacts, PodFacts, PullFacts, SecretMetadata,
    StoredSpec, TemplateFacts,
};
use crate::cli::explain::verdict::{ExplainResult, Verdict};
use crate::cli::explain::{PullCause, PullError, recognise};
use crate::cli::fact::Fact;

const HOST: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com";
const IMAGE: &str = "demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/team/app:1";
const SECRET: &str = "acr-credential-secret-aggregation";
const REFUSED: &str = "failed to pull and unpack image \"…\": failed to resolve reference \"…\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed";
const NO_TAG: &str = "rpc error: code = NotFound desc = failed to pull and unpack image \"demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/team/app:1\": failed to resolve reference \"demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/team/app:1\": demo-registry-vpc.cn-hangzhou.cr.aliyuncs.com/team/app:1: not found";
const NO_HOST: &str =
    "failed to do request: Head \"https://x/v2/team/app/manifests/1\": dial tcp: lookup x: no such host";

fn now() -> Timestamp {
    "2026-12-01T10:00:00Z".parse().unwrap()
}

fn binding(change: impl FnOnce(&mut Value)) -> StoredSpec {
    let ready = json!({ "type": "Ready", "status": "True", "reason": "Succeeded", "message": "", "lastTransitionTime": now().to_string() });
    let mut issued = ready.clone();
    issued["type"] = json!("Issued");
    let mut object = json!({
        "apiVersion": "acrcredential.dev/v1alpha1",
        "kind": "AcrCredentialBinding",
        "metadata": { "name": "team", "generation": 1 },
        "spec": {
            "registries": [{ "instanceId": "cri-demo0001", "regionId": "cn-hangzhou" }],
            "watchNamespaces": { "names": ["team"] },
        },
        "status": {
            "observedGeneration": 1,
            "conditions": [ready.clone()],
            "registries": [{
                "registry": "cri-demo0001", "regionId": "cn-hangzhou", "identity": "worker-role",
                "domains": [HOST, "demo-registry.cn-hangzhou.cr.aliyuncs.com"], "conditions": [issued],
            }],
            "pairs": [{ "registry": "cri-demo0001", "namespace": "team", "conditions": [ready] }],
        },
    });
    change(&mut object);
    StoredSpec::new(serde_json::from_value(object).unwrap())
}

/// Returns a Pod that has everything, and that the registry refuses all the same.
fn facts() -> PullFacts {
    PullFacts {
        subject: "pod/app".to_owned(),
        namespace: "team".to_owned(),
        secret_name: SECRET.to_owned(),
        now: now(),
        container: Some(ContainerFacts {
            name: "app".to_owned(),
            image: IMAGE.to_owned(),
            reason: "ErrImagePull".to_owned(),
            message: REFUSED.to_owned(),
        }),
        pod: Some(PodFacts {
            name: "app".to_owned(),
            pull_secrets: vec![SECRET.to_owned()],
            created_at: Some(now()),
            owner: None,
            node: Some("node-1".to_owned()),
            progress: ImageProgress::Failing,
        }),
        template: None,
        namespace_object: Fact::Known(Some(ObjectFacts::default())),
        account_name: "default".to_owned(),
        kubelet_may_request: None,
        account: Fact::Known(Some(AccountFacts {
            pull_secrets: vec![SECRET.to_owned()],
            last_writer: "the field manager kubectl".to_owned(),
            ..AccountFacts::default()
        })),
        secret: Fact::Known(Some(SecretMetadata {
            is_ours: true,
            managed_by: "acr-credential-controller".to_owned(),
            domains: vec![(HOST.to_owned(), now() + SignedDuration::from_hours(1))],
        })),
        bindings: Fact::Known(vec![binding(|_| ())]),
    }
}

fn bind(facts: &mut PullFacts, change: impl FnOnce(&mut Value)) {
    let Fact::Known(bindings) = &facts.bindings else { panic!("no binding") };
    let mut object = serde_json::to_value(&bindings[0].object).unwrap();
    change(&mut object);
    facts.bindings = Fact::Known(vec![StoredSpec::new(serde_json::from_value(object).unwrap())]);
}

fn account(facts: &mut PullFacts) -> &mut AccountFacts {
    match &mut facts.account {
        Fact::Known(Some(account)) => account,
        _ => panic!("no account"),
    }
}

fn pod(facts: &mut PullFacts) -> &mut PodFacts {
    facts.pod.as_mut().unwrap()
}

fn pair(facts: &mut PullFacts, reason: &str) {
    bind(facts, |object| {
        let condition = &mut object["status"]["pairs"][0]["conditions"][0];
        condition["status"] = json!("False");
        condition["reason"] = json!(reason);
        condition["message"] = json!(format!("words on {reason}"));
    });
}

fn issued(facts: &mut PullFacts, reason: &str) {
    bind(facts, |object| {
        let condition = &mut object["status"]["registries"][0]["conditions"][0];
        condition["status"] = json!("False");
        condition["reason"] = json!(reason);
        condition["message"] = json!("Code NoPermission, RequestId 1");
    });
}

fn says(facts: &mut PullFacts, message: &str) {
    facts.container.as_mut().unwrap().message = message.to_owned();
}

/// Makes one cause.
fn make(facts: &mut PullFacts, cause: PullCause) {
    match cause {
        PullCause::NotAPullFailure => {
            pod(facts).progress = ImageProgress::Other("status.phase".to_owned(), "Failed".to_owned());
        }
        PullCause::HostOfNoBinding => {
            facts.container.as_mut().unwrap().image = IMAGE.replace("hangzhou", "beijing");
        }
        PullCause::NamespaceNotCovered => {
            bind(facts, |object| object["spec"]["watchNamespaces"]["names"] = json!(["other"]));
        }
        PullCause::NamespaceSkipped => {
            let object = ObjectFacts { label_skips: true, ..ObjectFacts::default() };
            facts.namespace_object = Fact::Known(Some(object));
        }
        PullCause::BindingHeld => bind(facts, |object| object["spec"]["suspend"] = json!(true)),
        PullCause::ServiceAccountNotCovered => {
            bind(facts, |object| object["spec"]["serviceAccounts"] = json!({ "names": ["builder"] }));
        }
        PullCause::PodOlderThanEntry => pod(facts).pull_secrets.clear(),
        PullCause::OwnPullSecrets => pod(facts).pull_secrets = vec!["own".to_owned()],
        PullCause::EntryMissing => {
            pod(facts).pull_secrets.clear();
            account(facts).pull_secrets.clear();
        }
        PullCause::SecretMissing => facts.secret = Fact::Known(None),
        PullCause::SecretForeign => facts.secret = Fact::Known(Some(SecretMetadata::default())),
        PullCause::SecretTooLarge => pair(facts, "SecretTooLarge"),
        PullCause::QuotaExceeded => {
            facts.secret = Fact::Known(None);
            pair(facts, "QuotaExceeded");
        }
        PullCause::SecretWithoutHost => {
            if let Fact::Known(Some(secret)) = &mut facts.secret {
                secret.domains.clear();
            }
        }
        PullCause::SecretNotWritten => pair(facts, "RefusedByAdmission"),
        PullCause::NotIssued => {
            if let Fact::Known(Some(secret)) = &mut facts.secret {
                secret.domains.clear();
            }
            issued(facts, "AccessDenied");
            pair(facts, "AccessDenied");
        }
        PullCause::CredentialExpired => {
            if let Fact::Known(Some(secret)) = &mut facts.secret {
                secret.domains.iter_mut().for_each(|(_, expires)| *expires = now());
            }
        }
        PullCause::PullDenied => says(facts, REFUSED),
        PullCause::NoSuchTag => says(facts, NO_TAG),
        PullCause::HostUnreachable => says(facts, NO_HOST),
        PullCause::CertificateInvalid => {
            says(facts, "tls: failed to verify certificate: x509: certificate signed by unknown authority")
        }
        PullCause::WrongArchitecture => says(facts, "no match for platform in manifest: not found"),
        PullCause::RateLimited => says(facts, "unexpected status code: 429 Too Many Requests"),
        PullCause::CachedImageNotAllowed => {
            facts.container.as_mut().unwrap().reason = "ErrImageNeverPull".to_owned();
            says(facts, "Container image \"x\" is not present with pull policy of Never");
        }
        PullCause::KubeletMayNotRequestToken => {
            facts.bindings = Fact::Known(Vec::new());
            account(facts).role = Some("acr-pull".to_owned());
            facts.kubelet_may_request = Some(Fact::Known(false));
        }
    }
}

fn of(causes: &[PullCause]) -> Verdict {
    let mut facts = facts();
    causes.iter().for_each(|cause| make(&mut facts, *cause));
    decide(&facts)
}

#[test]
fn each_cause_alone_is_the_one_named_with_evidence_and_a_cure() {
    for cause in PullCause::ALL {
        let verdict = of(&[*cause]);
        assert_eq!(verdict.code.as_deref(), Some(cause.as_str()), "{cause:?}: {verdict:?}");
        assert_eq!(verdict.result, ExplainResult::Cause, "{cause:?}");
        assert!(!verdict.evidence.is_empty() && verdict.cure.is_some(), "{verdict:?}");
        assert!(verdict.command.is_some(), "{cause:?}: {verdict:?}");
        assert_eq!(verdict.not_read, [""; 0]);
    }
}

#[test]
fn of_two_causes_the_first_to_correct_is_named() {
    use PullCause::*;
    for (first, second) in [
        (NotAPullFailure, HostOfNoBinding),
        (NotAPullFailure, NamespaceNotCovered),
        (HostOfNoBinding, NamespaceNotCovered),
        (HostOfNoBinding, HostUnreachable),
        (HostOfNoBinding, OwnPullSecrets),
        (NamespaceNotCovered, NamespaceSkipped),
        (NamespaceNotCovered, ServiceAccountNotCovered),
        (NamespaceSkipped, BindingHeld),
        (NamespaceSkipped, PodOlderThanEntry),
        (BindingHeld, ServiceAccountNotCovered),
        (BindingHeld, SecretMissing),
        (ServiceAccountNotCovered, EntryMissing),
        (ServiceAccountNotCovered, PodOlderThanEntry),
        (PodOlderThanEntry, SecretForeign),
        (OwnPullSecrets, HostUnreachable),
        // The controller adds no entry while it cannot write the Secret.
        (QuotaExceeded, EntryMissing),
        (SecretForeign, EntryMissing),
        (EntryMissing, RateLimited),
        (SecretForeign, CertificateInvalid),
        (SecretMissing, RateLimited),
        (QuotaExceeded, RateLimited),
        (NotIssued, HostUnreachable),
        (CredentialExpired, PullDenied),
        (SecretTooLarge, CertificateInvalid),
        // The login was accepted, so the credential is not the cause.
        (NoSuchTag, PodOlderThanEntry),
        (WrongArchitecture, NamespaceNotCovered),
    ] {
        for causes in [[first, second], [second, first]] {
            let verdict = of(&causes);
            assert_eq!(verdict.code.as_deref(), Some(first.as_str()), "{causes:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_healthy_pull_is_nothing_and_an_unknown_message_is_not_guessed() {
    let mut healthy = facts();
    pod(&mut healthy).progress = ImageProgress::Running;
    assert_eq!(decide(&healthy).exit_code(), 0);
    let mut starting = facts();
    pod(&mut starting).progress = ImageProgress::Starting;
    says(&mut starting, "");
    assert_eq!(decide(&starting).exit_code(), 0);
    let mut account = facts();
    (account.pod, account.container) = (None, None);
    assert_eq!(decide(&account).exit_code(), 0);
    let mut odd = facts();
    says(&mut odd, "disk is on fire");
    let verdict = decide(&odd);
    assert_eq!((verdict.exit_code(), verdict.code.as_deref()), (2, None));
    assert!(verdict.evidence.iter().any(|found| found.value.ends_with("disk is on fire")), "{verdict:?}");
}

#[test]
fn what_may_not_be_read_is_named_and_the_status_of_the_binding_decides_instead() {
    let forbidden = || "secrets is forbidden".to_owned();
    let mut unread = facts();
    unread.secret = Fact::Unknown(forbidden());
    let verdict = decide(&unread);
    assert_eq!(verdict.code.as_deref(), Some("ACR818"));
    assert_eq!(verdict.not_read, ["the metadata of the pull Secret: secrets is forbidden"]);
    pair(&mut unread, "QuotaExceeded");
    assert_eq!(decide(&unread).code.as_deref(), Some("ACR813"));
    // Names decide without labels; a selector needs them.
    let mut unread = facts();
    unread.namespace_object = Fact::Unknown(forbidden());
    assert_eq!(decide(&unread).code.as_deref(), Some("ACR818"));
    bind(&mut unread, |object| {
        object["spec"]["watchNamespaces"] = json!({ "selector": { "matchLabels": { "a": "b" } } });
    });
    assert_eq!(decide(&unread).exit_code(), 2);
    let mut unread = facts();
    unread.bindings = Fact::Unknown(forbidden());
    assert_eq!(decide(&unread).exit_code(), 2);
    says(&mut unread, NO_HOST);
    assert_eq!(decide(&unread).code.as_deref(), Some("ACR820"));
}

#[test]
fn a_kubelet_is_blamed_only_for_a_refusal_where_no_binding_serves_and_its_right_is_known() {
    let code = |change: &dyn Fn(&mut PullFacts)| {
        let mut facts = facts();
        make(&mut facts, PullCause::KubeletMayNotRequestToken);
        change(&mut facts);
        decide(&facts)
    };
    assert_eq!(code(&|_| ()).code.as_deref(), Some("ACR825"));
    assert_eq!(code(&|facts| says(facts, NO_HOST)).code.as_deref(), Some("ACR802"));
    assert_eq!(code(&|facts| account(facts).role = None).code.as_deref(), Some("ACR802"));
    assert_eq!(
        code(&|facts| facts.bindings = Fact::Known(vec![binding(|_| ())])).code.as_deref(),
        Some("ACR818")
    );
    let unread = code(&|facts| facts.kubelet_may_request = Some(Fact::Unknown("forbidden".to_owned())));
    assert_eq!(unread.code.as_deref(), Some("ACR802"));
    assert_eq!(unread.not_read, ["the rights of the kubelet: forbidden"]);
}

#[test]
fn the_nearest_host_is_named_by_its_difference() {
    for (host, words) in [
        ("demo-registry-vpc.cn-beijing.cr.aliyuncs.com", "another region"),
        ("demo-registry-vpc.cn-hangzou.cr.aliyuncs.com", "another region"),
        ("demo-regisrty.cn-hangzhou.cr.aliyuncs.com", "a spelling"),
        ("partner-registry.cn-hangzhou.cr.aliyuncs.com", "another instance"),
    ] {
        let mut other = facts();
        other.container.as_mut().unwrap().image = format!("{host}/team/app:1");
        let verdict = decide(&other);
        assert_eq!(verdict.code.as_deref(), Some("ACR802"), "{host}");
        assert!(verdict.cure.as_ref().unwrap().contains(words), "{host}: {verdict:?}");
    }
    // The public host alone is known.
    let mut vpc = facts();
    bind(&mut vpc, |object| {
        object["status"]["registries"][0]["domains"] = json!(["demo-registry.cn-hangzhou.cr.aliyuncs.com"]);
    });
    assert!(decide(&vpc).cure.unwrap().contains("the other network"));
    // A registry of others is not the binding's.
    let mut other = facts();
    other.container.as_mut().unwrap().image = "registry.example.com/app:1".to_owned();
    says(&mut other, NO_HOST);
    assert_eq!(decide(&other).code.as_deref(), Some("ACR820"));
    other.container.as_mut().unwrap().image = "nginx".to_owned();
    says(&mut other, REFUSED);
    let verdict = decide(&other);
    assert!(verdict.message.contains("Docker Hub"), "{verdict:?}");
}

#[test]
fn a_registry_without_a_credential_yet_is_the_cause_and_not_its_host() {
    let mut early = facts();
    early.secret = Fact::Known(None);
    bind(&mut early, |object| object["status"]["registries"][0]["domains"] = json!([]));
    issued(&mut early, "InstanceNotFound");
    let verdict = decide(&early);
    assert_eq!(verdict.code.as_deref(), Some("ACR816"), "{verdict:?}");
    assert_eq!(verdict.cure.as_deref(), Some("Correct `instanceId` or `regionId`."));
}

#[test]
fn a_list_of_its_own_is_removed_where_it_is_written() {
    for (owner, in_template, command) in [
        (None, false, "kubectl -n team get pod/app -o yaml | kubectl patch -f - --local"),
        (Some("deployment/app"), false, "kubectl -n team patch deployment/app --type=json"),
        (Some("job/app"), false, "kubectl -n team delete job/app &&"),
        (
            Some("cronjob/app"),
            false,
            r#"kubectl -n team patch cronjob/app --type=json -p '[{"op":"remove","path":"/spec/jobTemplate/spec/template/spec/imagePullSecrets"}]'"#,
        ),
        (Some("deployment/app"), true, "kubectl -n team patch deployment/app --type=json"),
    ] {
        let mut own = facts();
        make(&mut own, PullCause::OwnPullSecrets);
        pod(&mut own).owner = owner.map(str::to_owned);
        own.template = in_template.then(|| TemplateFacts {
            workload: "deployment/app".to_owned(),
            pull_secrets: vec!["own".to_owned()],
        });
        let verdict = decide(&own);
        assert_eq!(verdict.code.as_deref(), Some("ACR808"));
        assert!(verdict.command.as_ref().unwrap().starts_with(command), "{verdict:?}");
    }
    // A Pod that copied the ServiceAccount's list too early has no list of its own.
    let mut copied = facts();
    pod(&mut copied).pull_secrets = vec!["others".to_owned()];
    account(&mut copied).pull_secrets = vec!["others".to_owned(), SECRET.to_owned()];
    assert_eq!(decide(&copied).code.as_deref(), Some("ACR807"));
}

#[test]
fn an_object_of_the_cluster_is_read_without_data() {
    let metadata: ObjectMeta = serde_json::from_value(json!({
        "labels": { "app.kubernetes.io/managed-by": "acr-credential-controller" },
        "annotations": { "acrcredential.dev/registries": format!(r#"[{{"domains":["a.com"],"expires":"{}"}}]"#, now()) },
    }))
    .unwrap();
    let secret = SecretMetadata::from(&metadata);
    assert_eq!((secret.is_ours, secret.domains), (true, vec![("a.com".to_owned(), now())]));
    let object: ServiceAccount = serde_json::from_value(json!({
        "metadata": { "annotations": { "acrcredential.dev/skip": "yes" } },
        "imagePullSecrets": [{ "name": "a" }],
    }))
    .unwrap();
    let account = AccountFacts::from(&object);
    assert_eq!((account.pull_secrets, account.object.annotation_skips), (vec!["a".to_owned()], true));
    assert!(!account.object.label_skips);
}

/// Messages as they were reported of real clusters, with the source of each.
#[test]
fn messages_of_each_runtime_are_recognised() {
    const A: &str = "registry.example.com/team/app:v1";
    for (message, means) in [
        // containerd 1.6 and 1.7: kubernetes 1.2x, containerd/containerd#4386.
        (format!("rpc error: code = Unknown desc = failed to pull and unpack image \"{A}\": failed to resolve reference \"{A}\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed"), PullError::Refused),
        // containerd/containerd#11103.
        (format!("failed to resolve reference \"{A}\": pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials"), PullError::Refused),
        // containerd 1.6: fetching a token with an expired password.
        (format!("failed to resolve reference \"{A}\": failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized"), PullError::Refused),
        // containerd 2.x, core/remotes/errors/errors.go.
        (format!("failed to resolve reference \"{A}\": unexpected status from HEAD request to https://registry.example.com/v2/team/app/manifests/v1: 403 Forbidden"), PullError::Refused),
        (format!("failed to resolve reference \"{A}\": unexpected status from HEAD request to https://registry.example.com/v2/team/app/manifests/v1: 429 Too Many Requests"), PullError::RateLimited),
        (format!("rpc error: code = NotFound desc = failed to pull and unpack image \"{A}\": failed to resolve reference \"{A}\": {A}: not found"), PullError::NotFound),
        // kubewarden/adm-controller#1378.
        (format!("rpc error: code = NotFound desc = failed to pull and unpack image \"{A}\": no match for platform in manifest: not found"), PullError::Platform),
        (format!("failed to resolve reference \"{A}\": failed to do request: Head \"https://registry.example.com/v2/team/app/manifests/v1\": dial tcp: lookup registry.example.com on 10.0.0.2:53: no such host"), PullError::Unreachable),
        (format!("failed to resolve reference \"{A}\": failed to do request: Head \"https://registry.example.com/v2/team/app/manifests/v1\": dial tcp 10.0.0.9:443: i/o timeout"), PullError::Unreachable),
        // rancher-sandbox/rancher-desktop#305: the token service has the wrong certificate.
        (format!("failed to resolve reference \"{A}\": failed to authorize: failed to fetch anonymous token: Get \"https://auth.example.com/token\": x509: certificate signed by unknown authority"), PullError::Certificate),
        // CRI-O: cri-o/cri-o#7007, #8780, #4388, #8283.
        ("rpc error: code = Unknown desc = Requesting bearer token: invalid status code from registry 403 (Forbidden)".to_owned(), PullError::Refused),
        (format!("initializing source docker://{A}: reading manifest v1 in registry.example.com/team/app: unauthorized: access to the requested resource is not authorized"), PullError::Refused),
        ("rpc error: code = Unknown desc = Error reading manifest latest in registry.mydomain/image: manifest unknown: manifest unknown".to_owned(), PullError::NotFound),
        ("choosing image instance: no image found in manifest list for architecture arm64, variant \"v8\", OS linux".to_owned(), PullError::Platform),
        ("copying system image from manifest list: reading blob: too many requests to registry".to_owned(), PullError::RateLimited),
        (format!("initializing source docker://{A}: pinging container registry registry.example.com: Get \"https://registry.example.com/v2/\": dial tcp: lookup registry.example.com: no such host"), PullError::Unreachable),
        // Docker: lachie83/k8s-kubectl#157, kubernetes/kubernetes#43924, moby/moby#39201, docker/cli#4833, koderover/zadig#1704.
        ("rpc error: code = Unknown desc = Error response from daemon: manifest for team/app:v1 not found: manifest unknown: manifest unknown".to_owned(), PullError::NotFound),
        ("Error response from daemon: {\"message\":\"Get https://10.78.0.228:5000/v1/_ping: x509: certificate signed by unknown authority\"}".to_owned(), PullError::Certificate),
        ("rpc error: code = Unknown desc = no matching manifest for linux/arm64/v8 in the manifest list entries".to_owned(), PullError::Platform),
        ("Error response from daemon: pull access denied for team/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied".to_owned(), PullError::Refused),
        ("Error response from daemon: Head \"https://registry.example.com/v2/team/app/manifests/v1\": unauthorized: authentication required".to_owned(), PullError::Refused),
        ("Error response from daemon: toomanyrequests: You have reached your pull rate limit.".to_owned(), PullError::RateLimited),
        // The kubelet itself.
        (format!("Container image \"{A}\" is not present with pull policy of Never"), PullError::NeverPulled),
        (format!("Back-off pulling image \"{A}\": ErrImagePull: pull QPS exceeded"), PullError::RateLimited),
    ] {
        assert_eq!(recognise(&message, A), Some(means), "{message}");
    }
    assert_eq!(recognise("no space left on device", A), None);
    // The name of an image says nothing.
    let named = "example.com/manifest-unknown/insufficient_scope:1";
    assert_eq!(recognise(&format!("{named}: no space left on device"), named), None);
}
