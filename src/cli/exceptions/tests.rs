use serde_json::json;

use super::{PolicyLists, SHIPPED, commands, kustomization, values};
use crate::model::exceptions::{ExceptionList, Exceptions};

/// Returns one exception for each list, with what quotations must survive.
fn one_of_each() -> Exceptions {
    let mut exceptions = Exceptions::default();
    for (list, item) in [
        (ExceptionList::SecretLabels, "cost-center=retail"),
        (ExceptionList::SecretAnnotations, "note=it's \"quoted\" \\ twice"),
        (ExceptionList::ServiceAccountLabels, "example.com/*"),
        (ExceptionList::ServiceAccountAnnotations, "team"),
        (ExceptionList::ServiceAccountFields, "automountServiceAccountToken=false"),
        (ExceptionList::PullSecrets, "harbor"),
    ] {
        exceptions.add(list, item);
    }
    exceptions
}

fn fill(text: &str, exceptions: &Exceptions) -> String {
    PolicyLists::read(text).unwrap().fill(text, exceptions).unwrap()
}

fn error(text: &str, more: &Exceptions) -> String {
    let filled = PolicyLists::read(text).and_then(|lists| lists.fill(text, &lists.with(more)?));
    filled.unwrap_err().to_string()
}

#[test]
fn the_shipped_file_takes_exceptions_and_nothing_else_in_it_changes() {
    let filled = fill(SHIPPED, &one_of_each());
    assert_eq!(PolicyLists::read(&filled).unwrap().exceptions(), one_of_each());
    assert!(
        filled.contains("  - name: allowedLabels\n    expression: \"['cost-center=retail']\"\n"),
        "{filled}"
    );
    let differences = SHIPPED.lines().zip(filled.lines()).filter(|(before, after)| before != after);
    assert_eq!((differences.count(), filled.lines().count()), (6, SHIPPED.lines().count()));
    assert_eq!(fill(&filled, &Exceptions::default()), SHIPPED);
}

/// The chart refuses a value that it does not have.
#[test]
fn values_are_those_of_the_chart_and_hold_each_list() {
    let read = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    let (printed, chart) =
        (read(&values(&one_of_each())), read(include_str!("../../../deploy/helm/values.yaml")));
    let (printed, chart) = (&printed["policies"]["exceptions"], &chart["policies"]["exceptions"]);
    for list in ExceptionList::ALL {
        let (of, name) = list.chart_value();
        assert_eq!(printed[of][name], json!(one_of_each().of(list)), "{name} of {of}");
        assert_eq!(chart[of][name], json!([]), "{name} of {of}");
    }
    assert_eq!(read(&values(&Exceptions::default()))["policies"]["exceptions"], *chart);
}

#[test]
fn exceptions_that_a_manifest_has_are_kept() {
    let first = fill(SHIPPED, &one_of_each());
    let mut more = Exceptions::default();
    more.add(ExceptionList::SecretLabels, "team=a");
    more.add(ExceptionList::SecretLabels, "cost-center=retail");
    let all = PolicyLists::read(&first).unwrap().with(&more).unwrap();
    assert_eq!(all.of(ExceptionList::SecretLabels), ["cost-center=retail", "team=a"]);
    assert_eq!(all.of(ExceptionList::PullSecrets), ["harbor"]);
}

/// As kustomize and `kubectl get` write it: keys in their order, other quotes, JSON, a List.
#[test]
fn policies_are_read_in_each_layout() {
    let policy = |name: &str, variables: &[&str]| {
        let variables: Vec<_> =
            variables.iter().map(|name| json!({ "expression": "['a']", "name": name })).collect();
        json!({ "kind": "ValidatingAdmissionPolicy", "metadata": { "name": name }, "spec": { "variables": variables } })
    };
    let list = json!({ "kind": "List", "items": [
        policy("acr-credential-secrets", &["other", "allowedAnnotations", "allowedLabels"]),
        policy("acr-credential-serviceaccounts",
            &["allowedLabels", "allowedAnnotations", "allowedFields", "allowedPullSecrets"]),
    ] });
    let text = serde_json::to_string_pretty(&list).unwrap().replacen("\"['a']\"", "'[''a'']'", 1);
    let lists = PolicyLists::read(&text).unwrap();
    assert_eq!(lists.exceptions().of(ExceptionList::PullSecrets), ["a"]);
    let filled = fill(&text, &one_of_each());
    assert_eq!(PolicyLists::read(&filled).unwrap().exceptions(), one_of_each());
    let mut one = lists.exceptions();
    one.add(ExceptionList::SecretLabels, "b");
    let patch = json!([
        { "op": "test", "path": "/spec/variables/2/name", "value": "allowedLabels" },
        { "op": "replace", "path": "/spec/variables/2/expression", "value": "[\"a\", \"b\"]" },
    ]);
    assert_eq!(lists.patches(&one), [("acr-credential-secrets", patch)]);
}

#[test]
fn policies_with_other_names_are_recognized() {
    assert!(!super::is_customized(SHIPPED));
    for name in
        ["acr-credential-secret-aggregation'", "acr-credential-system:", ":acr-credential-controller'"]
    {
        assert!(super::is_customized(&SHIPPED.replace(name, "x")), "{name}");
    }
}

#[test]
fn patches_are_written_for_a_kustomization_and_for_a_shell() {
    let patches = PolicyLists::read(SHIPPED).unwrap().patches(&one_of_each());
    assert_eq!(patches.iter().map(|(_, patch)| patch.as_array().unwrap().len()).collect::<Vec<_>>(), [4, 8]);
    let (documents, fault) = crate::api::legacy::parse_manifest(&kustomization(&patches));
    assert!(fault.is_none());
    let items = documents[0].get("patches").unwrap().items();
    for (item, (policy, patch)) in items.iter().zip(&patches) {
        assert_eq!(item.get("target").unwrap().get("name").unwrap().text(), Some(*policy));
        let text = item.get("patch").unwrap().text().unwrap();
        let operations: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line.strip_prefix("- ").unwrap()).unwrap())
            .collect();
        assert_eq!(&json!(operations), patch);
    }
    for line in commands(&patches).lines() {
        let quoted = line.split('\'').collect::<Vec<_>>();
        assert_eq!((quoted.len(), quoted[2]), (3, ""), "{line}");
        assert!(quoted[0].starts_with("kubectl patch validatingadmissionpolicy acr-credential-"), "{line}");
    }
}

#[test]
fn what_cannot_take_exceptions_is_named_with_its_cure() {
    let none = Exceptions::default();
    assert!(error("a: [", &none).starts_with("is not valid YAML: line 1: "));
    let missing = "has no policy acr-credential-secrets with the variable allowedLabels: begin with \
                   deploy/policies.yaml of this version";
    assert_eq!(error("", &none), missing);
    assert_eq!(error(&SHIPPED.replacen("allowedLabels", "labelKeys", 1), &none), missing);
    let plain = "allowedLabels of the policy acr-credential-secrets is not a plain list such as \"['a', 'b']\": \
                 write it as one, on one line";
    assert_eq!(error(&SHIPPED.replacen("\"[]\"", "\"['a'] + ['b']\"", 1), &none), plain);
    assert_eq!(error(&SHIPPED.replacen("\"[]\"", "[]", 1), &none), plain);
    assert_eq!(error(&SHIPPED.replacen("\"[]\"", ">-\n      ['a']", 1), &one_of_each()), plain);
    let refused = error(&SHIPPED.replacen("\"[]\"", "\"['helm.sh/*']\"", 1), &none);
    assert!(
        refused.starts_with(
            "allowedLabels of the policy acr-credential-secrets has \"helm.sh/*\": no exception"
        )
    );
}
