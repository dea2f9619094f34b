//! Each refusal gives its reason, the names that matter, and a cure.

use super::RefusedWrite;
use crate::api::Reason;
use crate::plan::fixture::snapshot;
use crate::plan::{Change, Failure, Template};

const POLICY: &str =
    "ValidatingAdmissionPolicy 'acr-credential-secrets' with binding 'acr-credential-secrets'";
const ACCOUNTS: &str = "ValidatingAdmissionPolicy 'acr-credential-serviceaccounts' with binding 'acr-credential-serviceaccounts'";
const USER: &str = "system:serviceaccount:own:acr-credential-controller";

fn template() -> Template {
    let pairs = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Template {
        name: "ours".into(),
        labels: pairs(&[("team", "web"), ("argocd.argoproj.io/instance", "x")]),
        annotations: pairs(&[("note", "two words"), ("short", "a")]),
    }
}

fn create() -> Change {
    Change::CreateSecret { content: snapshot([]).content(&[]) }
}

fn update() -> Change {
    Change::UpdateSecret {
        content: snapshot([]).content(&[]),
        resource_version: "1".into(),
        extra_keys: [].into(),
        reverts: false,
    }
}

fn attach() -> Change {
    Change::SetPullSecrets {
        service_account: "default".into(),
        resource_version: "1".into(),
        pull_secrets: vec!["theirs".into(), "ours".into()],
    }
}

fn with<T>(change: &Change, ask: impl FnOnce(RefusedWrite<'_>) -> T) -> T {
    ask(RefusedWrite { namespace: "shop", change, template: &template(), own_namespace: "own" })
}

/// Returns the failure after a denial by our policy with these words.
fn denied(change: &Change, words: &str) -> Failure {
    let policy = if change.is_of_secret() { POLICY } else { ACCOUNTS };
    let message = format!("secrets \"ours\" is forbidden: {policy} denied request: {words}");
    with(change, |write| write.by_admission(&message))
}

fn assert_says(failure: &Failure, reason: Reason, parts: &[&str], never: &[&str]) {
    assert_eq!(failure.reason, reason, "{}", failure.message);
    for part in parts {
        assert!(failure.message.contains(part), "{} lacks {part:?}", failure.message);
    }
    for part in never.iter().chain(&["this version"]) {
        assert!(!failure.message.contains(part), "{} has {part:?}", failure.message);
    }
    assert!(failure.message.len() <= 950, "{} bytes: {}", failure.message.len(), failure.message);
}

#[test]
fn what_others_add_is_named_with_both_cures_and_without_what_we_sent() {
    let lists = "kubectl get mutatingwebhookconfigurations; kubectl get mutatingadmissionpolicies";
    let exempt = format!("exempt the user {USER} there");
    for (change, words, parts) in [
        (
            create(),
            "labels outside the policy's lists: cost-center",
            vec![
                "sets the label cost-center of the Secret shop/ours",
                "the policy acr-credential-secrets",
                "(kubectl acr exceptions --secret-label cost-center --live | kubectl apply --server-side -f -)",
            ],
        ),
        (
            update(),
            "labels outside the policy's lists: a, b/c, team",
            vec![
                "sets the labels a, b/c of",
                "exceptions --secret-label a --secret-label b/c --secret-label team=web --live | kubectl apply --server-side -f -)",
            ],
        ),
        (
            create(),
            "annotations outside the policy's lists: owner, note and 2 more",
            vec![
                "the annotations owner and 2 more",
                "--secret-annotation owner --secret-annotation note --live | kubectl apply --server-side -f -)",
            ],
        ),
        (
            attach(),
            "labels outside the policy's lists: team",
            vec![
                "sets the label team of the ServiceAccount shop/default",
                "the policy acr-credential-serviceaccounts",
                "exceptions --service-account-label team --live | kubectl apply --server-side -f -)",
            ],
        ),
        (
            attach(),
            "annotations outside the policy's lists: note",
            vec!["exceptions --service-account-annotation note --live | kubectl apply --server-side -f -)"],
        ),
        (
            attach(),
            "fields outside the policy's lists: automountServiceAccountToken",
            vec![
                "sets the field automountServiceAccountToken of",
                "if it sets false",
                "exceptions --automount-false --live | kubectl apply --server-side -f -)",
            ],
        ),
        (
            attach(),
            "pull secrets outside the policy's lists: registry, theirs",
            vec![
                "adds the pull secret registry to",
                "exceptions --pull-secret registry --pull-secret theirs --live | kubectl apply --server-side -f -)",
            ],
        ),
    ] {
        let parts: Vec<&str> = parts.into_iter().chain([lists, &exempt]).collect();
        let never = if words.contains("team,") { vec!["label team "] } else { vec![] };
        assert_says(&denied(&change, words), Reason::MetadataAddedByAdmission, &parts, &never);
    }
}

#[test]
fn what_no_exception_can_allow_has_the_exemption_alone() {
    for (change, words, deed) in [
        (
            create(),
            "labels that no exception allows: helm.sh/chart",
            "sets the label helm.sh/chart of the Secret",
        ),
        (create(), "annotations that no exception allows: a", "sets the annotation a of"),
        (update(), "labels removed: team", "removes the label team of the Secret shop/ours"),
        (attach(), "annotations removed: a, b", "removes the annotations a, b of the ServiceAccount"),
        (create(), "the controller's Secrets are not immutable", "makes immutable the Secret shop/ours"),
        (
            attach(),
            "the controller does not change the metadata of ServiceAccounts",
            "changes the metadata of",
        ),
    ] {
        let failure = denied(&change, words);
        assert_says(&failure, Reason::MetadataAddedByAdmission, &[deed, USER], &["kubectl acr exceptions"]);
    }
}

#[test]
fn a_key_of_our_own_flags_accuses_no_one_else() {
    let never = ["another admission controller", "exempt"];
    let label = denied(&create(), "labels outside the policy's lists: team");
    let parts = [
        "what --secret-label sets, team",
        "exceptions --secret-label team=web --live | kubectl apply --server-side -f -)",
        "or remove the flag",
    ];
    assert_says(&label, Reason::Forbidden, &parts, &never);
    let annotations = denied(&create(), "annotations outside the policy's lists: note, short");
    let parts = [
        "--secret-annotation sets, note, short",
        "--secret-annotation note --secret-annotation short=a --live | kubectl apply --server-side -f -)",
    ];
    assert_says(&annotations, Reason::Forbidden, &parts, &never);
    let fixed = denied(&create(), "labels that no exception allows: argocd.argoproj.io/instance");
    let parts = ["remove --secret-label argocd.argoproj.io/instance from the controller's flags"];
    assert_says(&fixed, Reason::Forbidden, &parts, &["another", "kubectl acr exceptions"]);
}

#[test]
fn in_the_controllers_own_namespace_the_cure_is_to_exclude_it() {
    for (words, reason, cure) in [
        (
            "labels that no exception allows: team",
            Reason::Forbidden,
            "exclude the namespace from the binding (watchNamespaces.exclude), or remove the flag",
        ),
        (
            "labels that no exception allows: cost-center",
            Reason::MetadataAddedByAdmission,
            "or exclude the controller's own namespace from the binding (watchNamespaces.exclude)",
        ),
    ] {
        let message = format!("secrets \"ours\" is forbidden: {POLICY} denied request: {words}");
        let own =
            RefusedWrite { namespace: "own", change: &create(), template: &template(), own_namespace: "own" };
        assert_says(&own.by_admission(&message), reason, &[cure], &[]);
        let elsewhere = denied(&create(), words);
        assert_says(&elsewhere, reason, &[], &["watchNamespaces.exclude"]);
    }
}

#[test]
fn policies_of_another_version_are_named_as_such() {
    for (change, words) in [
        (create(), "annotations outside the policy's lists: acrcredential.dev/registries"),
        (update(), "annotations outside the policy's lists: acrcredential.dev/namespace"),
        (create(), "the controller writes one Secret name only"),
        (
            create(),
            "the controller does not change other labels; add each key of --secret-label to labelKeys",
        ),
        (attach(), "the controller adds its entry of imagePullSecrets once"),
    ] {
        let failure = denied(&change, words);
        assert_eq!(failure.reason, Reason::Forbidden, "{words}");
        assert!(
            failure.message.contains("apply deploy/policies.yaml of this version"),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains("another admission controller"), "{}", failure.message);
    }
}

#[test]
fn refusals_by_others_are_quoted_with_a_cure_that_fits_the_object() {
    let kyverno = "admission webhook \"validate.kyverno.svc-fail\" denied the request: \n\nresource Secret/shop/ours was \
                   blocked due to the following policies\n\nrequire-labels:\n  check: 'label team is required'\n";
    let failure = with(&create(), |write| write.by_admission(kyverno));
    let parts = [
        "the admission webhook validate.kyverno.svc-fail refuses the Secret shop/ours",
        "--secret-label KEY=VALUE",
        "kubectl acr exceptions",
        USER,
        "\"resource Secret/shop/ours was blocked due to the following policies require-labels: check: 'label team is required'\"",
    ];
    assert_says(&failure, Reason::RefusedByAdmission, &parts, &[]);
    let policy = "x is forbidden: ValidatingAdmissionPolicy 'demand' with binding 'b' denied request: owner is required";
    let failure = with(&attach(), |write| write.by_admission(policy));
    let parts =
        ["the ValidatingAdmissionPolicy demand refuses the ServiceAccount shop/default", "owner set", USER];
    assert_says(&failure, Reason::RefusedByAdmission, &parts, &["--secret-label"]);
    let delete = Change::DeleteSecret { uid: "u".into(), resource_version: "1".into() };
    let failure = with(&delete, |write| write.by_admission(policy));
    assert_says(&failure, Reason::RefusedByAdmission, &["exempt the user"], &["--secret-label", "owner set"]);
    let broken =
        "policy 'm' with binding 'b' denied request: expression 'x' resulted in error: no such key: labels";
    let failure = with(&create(), |write| write.by_admission(broken));
    let parts =
        ["the MutatingAdmissionPolicy m refuses the Secret shop/ours: correct it, or exempt the user"];
    assert_says(&failure, Reason::RefusedByAdmission, &parts, &["--secret-label"]);
    let long = format!("admission webhook \"w\" denied the request: {}", "a b ".repeat(1000));
    let failure = with(&create(), |write| write.by_admission(&long));
    assert_says(&failure, Reason::RefusedByAdmission, &["…\""], &[]);
}

#[test]
fn a_webhook_that_does_not_answer_is_named_and_other_failures_are_as_they_were() {
    let message = "the API server answered 500: Internal error occurred: failed calling webhook \"w.example.com\": failed \
                   to call webhook: Post \"https://w.ns.svc:443/v?timeout=10s\": connection refused";
    let failure = with(&attach(), |write| write.passing(message));
    let parts =
        ["the admission webhook w.example.com", "shop/default", "start its Pods", "connection refused"];
    assert_says(&failure, Reason::AdmissionUnreachable, &parts, &[]);
    let failure = with(&create(), |write| write.passing("the API server answered 500: m"));
    assert_says(
        &failure,
        Reason::WriteFailing,
        &["the API server answered 500: m; the controller retries"],
        &[],
    );
}

#[test]
fn errors_about_our_own_secret_have_a_cure_each() {
    let delete = "kubectl -n shop delete secret ours";
    let immutable = "Secret \"ours\" is invalid: data: Forbidden: field is immutable when `immutable` is set";
    let failure = with(&update(), |write| write.as_invalid(immutable));
    assert_says(&failure, Reason::SecretImmutable, &[delete, "writes it again"], &[]);
    let foreign = "Secret \"ours\" is invalid: type: Invalid value: \"Opaque\": field is immutable";
    let failure = with(&create(), |write| write.as_invalid(foreign));
    assert_says(&failure, Reason::SecretConflict, &[delete, "another type"], &[]);
    let annotated =
        "Secret \"ours\" is invalid: metadata.annotations: Too long: may not be more than 262144 bytes";
    let failure = with(&update(), |write| write.as_invalid(annotated));
    assert_says(&failure, Reason::SecretTooLarge, &[delete, "fewer registries or domains"], &[]);
    let etcd = "etcdserver: request is too large";
    let failure = with(&create(), |write| write.as_invalid(etcd));
    assert_says(&failure, Reason::SecretTooLarge, &["fewer registries or domains"], &[delete]);
    let failure = with(&attach(), |write| write.as_invalid(etcd));
    assert_says(&failure, Reason::WriteFailing, &["the ServiceAccount shop/default is too large"], &[delete]);
    let quota =
        "secrets \"ours\" is forbidden: exceeded quota: limits, requested: secrets=1, used: secrets=1";
    let failure = with(&create(), |write| write.by_quota(quota));
    assert_says(&failure, Reason::QuotaExceeded, &["kubectl -n shop edit resourcequota limits"], &[]);
    let failure = with(&update(), |write| write.as_invalid("Secret \"ours\" is invalid: odd"));
    assert_says(
        &failure,
        Reason::WriteFailing,
        &[delete, "and the controller writes it again; it says", "is invalid: odd"],
        &[],
    );
    let failure = with(&attach(), |write| write.as_invalid("ServiceAccount is invalid: odd"));
    assert_says(&failure, Reason::WriteFailing, &["as it is: correct what it names"], &[delete]);
}

#[test]
fn a_right_that_is_missing_names_the_file_that_gives_it() {
    let message =
        "serviceaccounts \"default\" is forbidden: User \"u\" cannot patch resource \"serviceaccounts\"";
    let failure = with(&attach(), |write| write.by_rights(message));
    assert_eq!(failure.reason, Reason::Forbidden);
    assert!(failure.message.ends_with("apply deploy/rbac.yaml of this version"), "{}", failure.message);
    let failure = with(&attach(), |write| write.by_rights("Unauthorized"));
    assert_says(&failure, Reason::Forbidden, &["restart the controller's Pods"], &["rbac"]);
}
