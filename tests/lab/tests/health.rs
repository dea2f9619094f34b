//! The judges of a binding's health.

#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use acr_lab::health::{Expressions, Judges, Question, Verdict};
use serde_json::{Value, json};

fn object(stalled: &str) -> Value {
    json!({
        "metadata": { "name": "a", "generation": 2 },
        "spec": { "empty": {}, "list": [], "nested": [{ "empty": {} }] },
        "status": { "observedGeneration": 2, "conditions": [
            { "type": "Ready", "status": "True", "reason": "Why", "message": "how" },
            { "type": "Stalled", "status": stalled, "reason": "Why", "message": "how" },
        ] },
    })
}

fn run(script: &str) -> Verdict {
    let object = object("False");
    Judges::find().unwrap().ask(&[Question::Run { script, object: &object }]).unwrap().remove(0)
}

/// A script that needs more would work in Argo CD's own tests, and fail in a cluster.
#[test]
fn a_script_has_the_libraries_of_argo_cd_and_no_others() {
    for (script, error) in [
        ("return { a = string.format('x') }", "non-table object(nil)"),
        ("return { a = os.date() }", "non-table object(nil)"),
        ("return { a = require('os').getenv('HOME') }", "attempt to call a non-function object"),
        ("return { a = io.open('x') }", "non-table object(nil)"),
        ("return { a = math.floor(1) }", "non-table object(nil)"),
        ("while true do end", "context deadline exceeded"),
        ("return 'text'", "returns a string, not a table"),
        ("error('no stack', 0)", "no stack"),
    ] {
        let verdict = run(script);
        assert!(verdict.error.contains(error), "{script}: {}", verdict.error);
        assert!(!verdict.error.contains("stack traceback"), "{}", verdict.error);
    }
    let found = run("table.insert(obj.spec.list, tostring(type(require('os').time()))); return obj");
    assert_eq!(found.patch, json!({ "spec": { "list": ["number"] } }));
}

#[test]
fn an_action_that_changes_nothing_sends_nothing() {
    assert_eq!(run("return obj").patch, json!({}));
    assert_eq!(run("obj.spec.empty = nil; return obj").patch, json!({ "spec": { "empty": null } }));
}

#[test]
fn each_judge_answers_and_one_without_an_answer_says_why() {
    let expressions = |failed: &str| Expressions {
        failed: failed.to_owned(),
        current: "status.conditions.exists(e, e.type == 'Ready')".to_owned(),
        ..Expressions::default()
    };
    let stalled = "status.conditions.exists(e, e.type == 'Stalled' && e.status == 'True')";
    let (good, bad) = (object("False"), object("True"));
    let (usual, wrong) = (expressions(stalled), expressions("status.missing"));
    let yaml = json!("kind: Kustomization\nspec:\n  waits: true\n");
    let known = json!("kind: Kustomization\nspec:\n  wait: true\n");
    let script = "return { status = 'Fine' }";
    let verdicts = Judges::find()
        .unwrap()
        .ask(&[
            Question::Kstatus { object: &good },
            Question::Kstatus { object: &bad },
            Question::Cel { expressions: &usual, object: &good },
            Question::Cel { expressions: &usual, object: &bad },
            Question::Manifest { object: &known },
            Question::Health {
                script: "return { status = 'Healthy', message = obj.metadata.name }",
                object: &good,
            },
            Question::Actions { script: "return { on = {}, off = { disabled = true } }", object: &good },
            Question::Cel { expressions: &wrong, object: &good },
            Question::Manifest { object: &yaml },
            Question::Health { script, object: &good },
        ])
        .unwrap();
    let said: Vec<&str> = verdicts.iter().map(|verdict| verdict.status.as_str()).collect();
    assert_eq!(said, ["Current", "Failed", "Current", "Failed", "Kustomization", "Healthy", "", "", "", ""]);
    assert_eq!(verdicts[5].message, "a");
    assert_eq!(json!(verdicts[6].actions), json!({ "on": true, "off": false }));
    for (verdict, error) in verdicts[7..].iter().zip(["no such key: missing", "waits", "no health status"]) {
        assert!(verdict.error.contains(error), "{}", verdict.error);
    }
}
