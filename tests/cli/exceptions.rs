//! `kubectl acr exceptions`: what it prints, keeps and refuses.

use crate::acr::{acr, root};

fn policies() -> String {
    std::fs::read_to_string(root().join("deploy/policies.yaml")).unwrap()
}

#[test]
fn the_policies_are_printed_with_exceptions_and_a_note_of_what_they_replace() {
    let done = acr(&["exceptions", "--secret-label", "cost-center=retail"], "");
    assert_eq!(done.code, Some(0), "{}", done.err);
    let filled = "  - name: allowedLabels\n    expression: \"['cost-center=retail']\"\n";
    assert_eq!(done.out, policies().replacen("  - name: allowedLabels\n    expression: \"[]\"\n", filled, 1));
    assert!(done.err.contains("add --live or the name of the file"), "{}", done.err);
}

#[test]
fn exceptions_of_a_file_are_kept_and_the_rest_of_the_file_too() {
    let own = policies().replace("acr-credential-system", "elsewhere");
    let first = acr(&["exceptions", "-", "--service-account-label", "team"], &own);
    let second = acr(
        &["exceptions", "-", "--service-account-label", "example.com/*", "--automount-false"],
        &first.out,
    );
    assert_eq!((second.code, second.err.as_str()), (Some(0), ""));
    assert!(second.out.contains("expression: \"['team', 'example.com/*']\""), "{}", second.out);
    assert!(second.out.contains("expression: \"['automountServiceAccountToken=false']\""), "{}", second.out);
    assert!(!second.out.contains("acr-credential-system"));
    let again = acr(&["exceptions", "-", "--service-account-label", "team"], &second.out);
    assert_eq!(again.out, second.out);
    assert_eq!(again.err, "<stdin> has these exceptions already\n");
    let patch = acr(&["exceptions", "-", "-o", "commands", "--pull-secret", "harbor"], &second.out);
    assert_eq!(patch.out.lines().count(), 1, "{}", patch.out);
    assert!(patch.out.contains("/spec/variables/3/") && !patch.out.contains("team"), "{}", patch.out);
}

#[test]
fn what_no_policy_would_heed_is_refused() {
    for (flag, value, words) in [
        ("--secret-label", "helm.sh/chart", "helm.sh is in the policies' fixed list"),
        ("--secret-annotation", "reflector.v1.k8s.emberstack.com/*", "in the policies' fixed list"),
        ("--service-account-annotation", "EKS.amazonaws.com/role-arn", "Exempt the controller's user"),
        ("--service-account-label", "*/*", "name each domain"),
        ("--service-account-label", "a b", "write key=value, key or domain/*"),
        ("--secret-label", "a=b c", "a label cannot have this value"),
        ("--pull-secret", "shop/harbor", "write the name of a Secret"),
    ] {
        let done = acr(&["exceptions", flag, value], "");
        assert_eq!((done.code, done.out.as_str()), (Some(2), ""), "{flag} {value}");
        assert!(done.err.contains(words) && done.err.contains(flag), "{flag} {value}: {}", done.err);
    }
    let none = acr(&["exceptions"], "");
    assert_eq!((none.code, none.out.as_str()), (Some(2), ""));
    assert_eq!(
        none.err,
        "error: no exception is given: name one, or print those of the cluster with --live\n"
    );
    let other = acr(&["exceptions", "-", "--secret-label", "a"], "kind: ConfigMap\n");
    assert_eq!(other.code, Some(2));
    let words =
        "error: <stdin>: has no policy acr-credential-secrets with the variable allowedLabels: begin with";
    assert!(other.err.starts_with(words), "{}", other.err);
}
