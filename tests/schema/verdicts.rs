//! The table's cases on the API server and on the validator.

use std::collections::BTreeSet;

use acr_credential_binding::model::Binding;
use futures::StreamExt;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::constraints;
use crate::server::{Refusal, Server, parse, plane, root, valid};
use crate::table::{Case, Verdict, table};

/// Returns the API server's answer to each case, requested once.
async fn answers() -> &'static [(Case, Result<Value, Refusal>)] {
    static ANSWERS: OnceCell<Vec<(Case, Result<Value, Refusal>)>> = OnceCell::const_new();
    ANSWERS
        .get_or_init(async || {
            let server = &Server::get().await;
            let ask = |case: Case| async move {
                let answer = server.dry_run(&case.object()).await;
                (case, answer)
            };
            futures::stream::iter(table()).map(ask).buffered(8).collect().await
        })
        .await
}

#[tokio::test]
async fn each_rule_is_passed_and_broken_on_the_api_server() {
    let mut wrong = Vec::new();
    for (case, answer) in answers().await {
        let as_expected = match (answer, case.verdict) {
            (Ok(_), Verdict::Accepted) => true,
            (Err(refusal), Verdict::Refused(part)) => refusal.message.contains(part),
            _ => false,
        };
        if !as_expected {
            wrong.push(format!(
                "{case:?}: {}",
                answer.as_ref().map_or_else(|e| e.message.as_str(), |_| "accepted")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn the_validator_agrees_with_the_api_server_on_each_case() {
    let mut wrong = Vec::new();
    for (case, answer) in answers().await {
        match (answer, parse(&case.object())) {
            // Its stored form with all defaults means the same.
            (Ok(stored), Ok(binding)) => {
                let again = parse(stored).map(|again| Binding { created_at: Timestamp::UNIX_EPOCH, ..again });
                assert_eq!(again, Ok(binding), "{case:?}");
            }
            (Err(_), Err(_)) => {}
            (server, validator) => {
                wrong.push(format!("{case:?}: server {server:?}, validator {validator:?}"))
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_constraint_of_the_schema_has_a_case_that_passes_it_and_one_that_breaks_it() {
    let constraints = constraints::of(&constraints::spec_schema());
    assert!(constraints.len() > 50, "{constraints:?}");
    let mut untested: BTreeSet<(&str, bool)> =
        constraints.iter().flat_map(|c| [(c.as_str(), true), (c.as_str(), false)]).collect();
    for case in table() {
        // A CEL rule is named by the beginning of its message.
        let named: Vec<&String> = constraints
            .iter()
            .filter(|c| *c == case.rule || c.contains(" cel ") && c.starts_with(case.rule))
            .collect();
        assert_eq!(named.len(), 1, "the schema has no such rule, or several: {case:?}");
        untested.remove(&(named[0], matches!(case.verdict, Verdict::Accepted)));
    }
    assert!(untested.is_empty(), "without a case (true: passed, false: broken): {untested:#?}");
}

#[tokio::test]
async fn a_binding_at_all_limits_is_within_the_cost_budget() {
    let full = |head: &str, most: usize| format!("{head}{}", "a".repeat(most - head.len()));
    let names = |most: usize| (0..256).map(|i| full(&format!("n{i}-"), most)).collect::<Vec<_>>();
    let selector = json!({
        "matchLabels": { "a": "b" },
        "matchExpressions": (0..64).map(|i| json!({
            "key": format!("k{i}"), "operator": "NotIn", "values": (0..64).map(|v| format!("v{v}")).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    });
    let registry = |i: usize| {
        json!({
            "instanceId": full(&format!("cri-{i}"), 64),
            "regionId": full("cn-", 32),
            "domains": (0..32).map(|d| full(&format!("d{i}-{d}-"), 253)).collect::<Vec<_>>(),
            "assumeRoleARN": full("acs:ram::1:role/", 128),
            "expireDuration": 43200,
            "rrsaRoleARN": full("acs:ram::1:role/", 128),
            "rrsaOIDCProviderRoleARN": full("acs:ram::1:oidc-provider/", 192),
        })
    };
    let mut object = valid();
    object["spec"] = json!({
        "registries": (0..64).map(registry).collect::<Vec<_>>(),
        "watchNamespaces": { "names": names(63), "exclude": names(63), "selector": selector },
        "serviceAccounts": { "names": names(253), "selector": selector },
        "expiringThreshold": "1h1m1s1h1m1s1h1m1s1h1m1s1h1m1s1s",
        "notifyEmail": full("", 320),
    });
    let stored = Server::get().await.dry_run(&object).await.unwrap();
    assert_eq!(stored["spec"]["registries"], object["spec"]["registries"]);
    parse(&object).unwrap();
}

#[tokio::test]
async fn a_misspelt_field_is_refused_by_kubectl() {
    let plane = plane().await;
    for pointer in ["/spec/registries/0/instanceID", "/spec/watchNamespaces/name", "/spec/deletePolicy"] {
        let mut object = valid();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        object.pointer_mut(parent).unwrap()[field] = json!("x");
        let file = plane.dir().join("misspelt.json");
        std::fs::write(&file, object.to_string()).unwrap();
        let output =
            plane.kubectl(&["apply", "--dry-run=server", "-f", file.to_str().unwrap()]).await.unwrap();
        assert!(output.stderr.contains(&format!("unknown field \"{}", &pointer[1..5])), "{output:?}");
    }
}

#[tokio::test]
async fn the_examples_are_accepted() {
    let plane = plane().await;
    let mut bindings = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.to_str().unwrap();
        plane.kubectl_ok(&["apply", "--dry-run=server", "-f", file]).await.unwrap();
        let printed =
            plane.kubectl_ok(&["create", "--dry-run=client", "-o", "json", "-f", file]).await.unwrap();
        // Several documents are printed as several objects.
        for object in serde_json::Deserializer::from_str(&printed).into_iter::<Value>() {
            let object = object.unwrap();
            if object["kind"] == "AcrCredentialBinding" {
                bindings += 1;
                parse(&object).unwrap_or_else(|e| panic!("{file}: {e:?}"));
            }
        }
    }
    assert!(bindings >= 3, "only {bindings} bindings among the examples");
}
