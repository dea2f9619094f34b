use super::{ExceptionList, Exceptions, InvalidException, REFUSED_DOMAINS, REFUSED_KEYS, from_cel, refused};

use crate::api::names;

const POLICIES: &str = include_str!("../../../deploy/policies.yaml");

fn refusal(list: ExceptionList, exception: &str) -> Option<InvalidException> {
    list.check(exception).err()
}

#[test]
fn the_three_forms_of_a_key_are_accepted() {
    use ExceptionList::{SecretAnnotations, SecretLabels, ServiceAccountAnnotations, ServiceAccountLabels};
    for list in [SecretLabels, SecretAnnotations, ServiceAccountLabels, ServiceAccountAnnotations] {
        for exception in
            ["cost-center=retail", "cost-center", "example.com/*", "example.com/team=a_B.c", "a="]
        {
            assert_eq!(refusal(list, exception), None, "{list:?} {exception}");
        }
        for exception in ["", "=", "=a", "/", "a/", "/a", "a/b/c", "a b", "é", "-a", "a..b/c", "Ünï/*"] {
            assert_eq!(refusal(list, exception), Some(InvalidException::Form), "{list:?} {exception}");
        }
        for exception in
            ["*", "*/*", "/*", "*.example.com/*", "a/*/*", "a*", "example.com/a*", "example.com/*=a"]
        {
            assert_eq!(refusal(list, exception), Some(InvalidException::Wildcard), "{list:?} {exception}");
        }
    }
    assert_eq!(refusal(SecretLabels, "a=b c"), Some(InvalidException::LabelValue));
    assert_eq!(refusal(SecretLabels, "A.example.com/b"), Some(InvalidException::Form));
    assert_eq!(refusal(SecretAnnotations, "A.example.com/b"), None);
    assert_eq!(refusal(SecretAnnotations, "a=b c = \"d\" 'e' {\"f\": 1}"), None);
    assert_eq!(refusal(SecretAnnotations, "a=b\nc"), Some(InvalidException::AnnotationValue));
}

#[test]
fn keys_of_the_fixed_list_are_refused_in_each_form_and_case() {
    use ExceptionList::{SecretAnnotations, SecretLabels};
    for domain in REFUSED_DOMAINS {
        for exception in [format!("{domain}/*"), format!("{domain}/a"), format!("x.{domain}/a=b")] {
            let expected = Some(InvalidException::Refused((*domain).to_owned()));
            assert_eq!(refusal(SecretLabels, &exception), expected, "{exception}");
            assert_eq!(refusal(SecretAnnotations, &exception.to_uppercase()), expected, "{exception}");
        }
        // Another domain that ends alike.
        assert_eq!(refusal(SecretLabels, &format!("x{domain}/a")), None, "{domain}");
    }
    for key in REFUSED_KEYS {
        assert_eq!(
            refusal(SecretLabels, &format!("{key}=a")),
            Some(InvalidException::Refused((*key).to_owned()))
        );
    }
    assert_eq!(refused("app.kubernetes.io/part-of"), None);
    assert_eq!(refused("argoproj.io"), None, "a name is not a domain");
}

#[test]
fn of_fields_and_pull_secrets_only_what_can_be_allowed_is_accepted() {
    use ExceptionList::{PullSecrets, ServiceAccountFields};
    assert_eq!(refusal(ServiceAccountFields, "automountServiceAccountToken=false"), None);
    for field in ["automountServiceAccountToken=true", "automountServiceAccountToken", "secrets", ""] {
        assert_eq!(refusal(ServiceAccountFields, field), Some(InvalidException::Field), "{field}");
    }
    for name in ["harbor", "a.b-c", &"a".repeat(253)] {
        assert_eq!(refusal(PullSecrets, name), None, "{name}");
    }
    for name in ["", "*", "a/b", "A", "a b", &"a".repeat(254)] {
        assert_eq!(refusal(PullSecrets, name), Some(InvalidException::PullSecret), "{name}");
    }
    let own = "acr-credential-secret-aggregation";
    assert_eq!(refusal(PullSecrets, own), Some(InvalidException::OwnPullSecret));
}

#[test]
fn the_first_invalid_exception_is_named_and_none_is_kept_twice() {
    let mut exceptions = Exceptions::default();
    exceptions.add(ExceptionList::SecretLabels, "a");
    exceptions.add(ExceptionList::SecretLabels, "a");
    assert_eq!((exceptions.of(ExceptionList::SecretLabels).len(), exceptions.invalid()), (1, None));
    exceptions.add(ExceptionList::PullSecrets, "*");
    let why = InvalidException::PullSecret;
    assert_eq!(exceptions.invalid(), Some((ExceptionList::PullSecrets, "*", why)));
}

/// Returns the list of a variable of a policy, as the file writes it.
fn shipped(policy: &str, variable: &str) -> Vec<String> {
    let document = POLICIES
        .split("\n---\n")
        .find(|text| {
            text.contains("kind: ValidatingAdmissionPolicy\n")
                && text.contains(&format!("\n  name: {policy}\n"))
        })
        .unwrap();
    let (_, after) = document.split_once(&format!("  - name: {variable}\n    expression: ")).unwrap();
    let expression =
        after.split("\n  #").next().unwrap().split("\n  - name:").next().unwrap().trim_start_matches(">-");
    let expression = expression.trim().trim_matches('"');
    from_cel(&expression.lines().map(str::trim).collect::<Vec<_>>().join(" ")).unwrap()
}

#[test]
fn the_policies_hold_the_same_fixed_lists_and_every_list_of_exceptions_is_empty() {
    for policy in ["acr-credential-secrets", "acr-credential-serviceaccounts"] {
        assert_eq!(shipped(policy, "refusedDomains"), REFUSED_DOMAINS, "{policy}");
        assert_eq!(shipped(policy, "refusedKeys"), REFUSED_KEYS, "{policy}");
    }
    for entry in REFUSED_DOMAINS.iter().chain(REFUSED_KEYS) {
        assert_eq!(*entry, entry.to_ascii_lowercase(), "the policies compare in lower case");
    }
    for list in ExceptionList::ALL {
        assert_eq!(shipped(list.policy(), list.variable()), Vec::<String>::new(), "{list:?}");
    }
}

/// What the controller writes without a flag needs no exception, and nothing else does not.
#[test]
fn the_policy_of_secrets_lists_what_the_controller_itself_writes() {
    let policy = "acr-credential-secrets";
    let labels: Vec<&str> = names::OWN_LABELS.into_iter().chain([names::ACCELERATED]).collect();
    assert_eq!(shipped(policy, "ownLabels"), labels);
    assert_eq!(shipped(policy, "ownAnnotations"), names::OWN_ANNOTATIONS);
}

/// Each message asks for something that is accepted, or that needs no exception.
#[test]
fn a_refused_exception_is_accepted_once_it_is_written_as_the_message_says() {
    use ExceptionList::{PullSecrets, SecretLabels};
    for (list, refused, words, accepted) in [
        (SecretLabels, "a b", "write key=value, key or domain/*", &["a=b", "a", "example.com/*"] as &[&str]),
        (SecretLabels, "*/*", "name each domain", &["example.com/*", "example.org/*"]),
        (PullSecrets, "shop/harbor", "write the name of a Secret, without its namespace", &["harbor"]),
        // An exemption in the other policy is the cure, and no exception.
        (
            SecretLabels,
            "helm.sh/chart",
            "Exempt the controller's user in the policy or webhook that adds it",
            &[],
        ),
    ] {
        let message = refusal(list, refused).unwrap().to_string();
        assert!(message.contains(words), "{refused}: {message}");
        for exception in accepted {
            assert_eq!(refusal(list, exception), None, "{exception}");
        }
    }
}
