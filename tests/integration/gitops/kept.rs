//! The kept dumps, without a cluster.

use std::collections::BTreeSet;

use acr_lab::docs::{page, root};
use acr_lab::health::{Judges, Question};
use serde_json::{Value, json};

use super::{Checks, STATES, assert_kept, customization, dump, verdicts};

/// Returns a dump as JSON, as the judges parse it.
fn parsed(dumps: &[Value]) -> Vec<Value> {
    let questions: Vec<_> =
        dumps.iter().map(|object| Question::Run { script: "return obj", object }).collect();
    Judges::find().unwrap().ask(&questions).unwrap().into_iter().map(|verdict| verdict.object).collect()
}

#[test]
fn every_kept_dump_has_the_verdicts_of_the_table() {
    let checks = Checks::read();
    let dumps: Vec<Value> = STATES.iter().map(|state| dump(state.name)).collect();
    let questions: Vec<_> = dumps.iter().flat_map(|object| checks.questions(object)).collect();
    let answers = Judges::find().unwrap().ask(&questions).unwrap();
    let mut health_test = String::from("tests:\n");
    for (state, answers) in STATES.iter().zip(answers.chunks(3)) {
        assert_eq!(verdicts(state.name, answers), [state.argo, state.kstatus, state.cel], "{}", state.name);
        // A string of JSON is one of YAML too.
        let message = json!(answers[0].message);
        health_test += &format!(
            "- healthStatus:\n    status: {}\n    message: {message}\n  inputPath: testdata/{}.yaml\n",
            state.argo, state.name
        );
    }
    // Argo CD's own tests read this file.
    assert_kept(customization("health_test.yaml"), &health_test);
    for (state, object) in STATES.iter().zip(parsed(&dumps)) {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.iter().find(|condition| condition["type"] == "Ready");
        let said = |field| ready.map_or("", |ready| ready[field].as_str().unwrap());
        assert_eq!(format!("{} {}", said("status"), said("reason")).trim(), state.ready, "{}", state.name);
    }
}

/// Git has a new spec, and the controller has not seen it yet.
#[test]
fn no_tool_takes_a_status_of_an_older_generation_for_the_present_one() {
    let checks = Checks::read();
    let dumps: Vec<Value> = STATES.iter().map(|state| dump(state.name)).collect();
    let mut newer = parsed(&dumps);
    for object in &mut newer {
        object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap() + 1);
    }
    let questions: Vec<_> = newer.iter().flat_map(|object| checks.questions(object)).collect();
    let answers = Judges::find().unwrap().ask(&questions).unwrap();
    for (state, answers) in STATES.iter().zip(answers.chunks(3)) {
        let [argo, kstatus, cel] = verdicts(state.name, answers);
        let pending = if state.name == "withdrawing" { "Terminating" } else { "InProgress" };
        assert_eq!([&*argo, &*kstatus, &*cel], ["Progressing", pending, "InProgress"], "{}", state.name);
    }
}

#[test]
fn each_dump_belongs_to_a_state() {
    let files: BTreeSet<String> = std::fs::read_dir(customization("testdata"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, STATES.iter().map(|state| format!("{}.yaml", state.name)).collect());
}

/// The columns of the pages are: the state, `Ready`, Argo CD, kstatus and the expressions.
#[test]
fn the_pages_have_the_same_table() {
    for path in ["docs/gitops.md", "docs/zh-CN/gitops.md"] {
        let page = page(path).unwrap();
        let rows = page.text.lines().filter(|line| line.contains("/testdata/") && line.starts_with('|'));
        let rows: Vec<Vec<&str>> = rows
            .map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect())
            .collect();
        assert_eq!(rows.len(), STATES.len(), "{path}");
        for (row, state) in rows.iter().zip(&STATES) {
            assert!(row[0].contains(&format!("/testdata/{}.yaml)", state.name)), "{path}: {}", row[0]);
            assert_eq!(
                row[1..],
                [state.ready, state.argo, state.kstatus, state.cel],
                "{path}: {}",
                state.name
            );
        }
        // Both name the entry to ignore as the example does.
        let example = std::fs::read_to_string(root().join("deploy/argocd/application.yaml")).unwrap();
        let rule = ".imagePullSecrets[]? | select(.name == \"acr-credential-secret-aggregation\")";
        assert!(page.text.contains(rule) && example.contains(rule), "{path}");
    }
}
