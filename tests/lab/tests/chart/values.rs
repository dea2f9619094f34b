//! Each value of the chart: set once, the API server accepts what is rendered; and three bad ones are refused by name.

mod table;

use std::collections::BTreeSet;

use acr_lab::docs::root;
use acr_lab::helm::Helm;
use acr_lab::plane::Plane;
use serde_json::Value;

use self::table::{ROWS, Row};
use crate::{Document, NAMESPACE, refused, render};

/// The kinds of other projects that the chart can render, with the fields that it writes.
const OTHERS: &str = include_str!("values/others.yaml");

impl Row {
    /// Returns the argument that sets the value.
    fn set(&self, json: &str) -> String {
        format!("--set-json={}={json}", self.path)
    }
}

/// Returns the path of each value in `values.yaml`. A list, an empty object and the contexts of Kubernetes are values.
fn paths(values: &Value, path: &str, into: &mut BTreeSet<String>) {
    let whole = ["resources", "securityContext", "containerSecurityContext"];
    match values {
        Value::Object(fields) if !fields.is_empty() && !whole.contains(&path) => {
            for (key, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{key}"), into);
            }
        }
        _ => drop(into.insert(path.to_owned())),
    }
}

#[test]
fn the_table_has_each_value_once() {
    let values = std::fs::read_to_string(root().join("deploy/helm/values.yaml")).unwrap();
    let mut all = BTreeSet::new();
    paths(&serde_saphyr::from_str(&values).unwrap(), "", &mut all);
    let rows: Vec<&str> = ROWS.iter().map(|row| row.path).collect();
    let once: BTreeSet<String> = rows.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(once, all);
    assert_eq!(once.len(), rows.len(), "a value has two rows");
}

/// A value that changes nothing is read by no template.
#[tokio::test(flavor = "multi_thread")]
async fn each_value_changes_what_is_rendered_and_the_api_server_accepts_it() {
    let plane = Plane::shared().await.unwrap();
    let helm = Helm::alone().await.unwrap();
    let namespace = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {NAMESPACE}, labels: \
         {{pod-security.kubernetes.io/enforce: restricted}}}}}}"
    );
    plane.apply(&namespace).await.unwrap();
    plane.apply(OTHERS).await.unwrap();
    plane
        .kubectl_ok(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"])
        .await
        .unwrap();
    let mut changed = render(&helm, &[]).await;
    for row in &ROWS {
        let before = render(&helm, row.with).await;
        let after = render(&helm, &[row.with, &[&row.set(row.good)]].concat()).await;
        let is_in = |documents: &[Document], document: &Document| {
            documents.iter().any(|other| other.key() == document.key() && other.text == document.text)
        };
        let gone = before.iter().any(|document| !is_in(&after, document));
        let (_, new): (Vec<_>, Vec<_>) = after.into_iter().partition(|document| is_in(&before, document));
        assert!(gone || !new.is_empty(), "{} changes nothing", row.path);
        changed.extend(new);
    }
    // The API server looks up the account of a Pod.
    for account in changed.iter().filter(|document| document.object["kind"] == "ServiceAccount") {
        plane.apply(&account.text).await.unwrap();
    }
    let file = helm.folder().join("changed.yaml");
    let texts: Vec<&str> = changed.iter().map(|document| document.text.as_str()).collect();
    std::fs::write(&file, texts.join("---\n")).unwrap();
    let file = file.to_str().unwrap();
    plane.kubectl_ok(&["apply", "--dry-run=server", "--validate=strict", "-f", file]).await.unwrap();
}

/// Helm reports all that is wrong at once.
#[tokio::test]
async fn three_bad_ones_of_each_value_are_refused_by_its_name() {
    let helm = Helm::alone().await.unwrap();
    for number in 0..3 {
        let bad: Vec<String> = ROWS.iter().map(|row| row.set(row.bad[number])).collect();
        let message = refused(&helm, &bad.iter().map(String::as_str).collect::<Vec<_>>()).await;
        for row in &ROWS {
            let pointer = format!("- at '/{}", row.path.replace('.', "/"));
            let named = ["'", "/"].iter().any(|end| message.contains(&format!("{pointer}{end}")));
            assert!(named, "{}={} is accepted: {message}", row.path, row.bad[number]);
        }
    }
}

/// Returns the line of a message about the fields of the object that holds a value, and the value's name in it.
fn line_about<'a>(message: &'a str, path: &'static str, words: &str) -> (&'a str, &'static str) {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = if parent.is_empty() { String::new() } else { format!("/{}", parent.replace('.', "/")) };
    let beginning = format!("- at '{parent}': {words}");
    let line = message.lines().find(|line| line.trim_start().starts_with(&beginning));
    (line.unwrap_or_else(|| panic!("{path} is accepted: {message}")), name)
}

#[tokio::test]
async fn a_misspelt_value_is_refused_by_its_name() {
    let helm = Helm::alone().await.unwrap();
    let misspelt: Vec<String> =
        ROWS.iter().map(|row| format!("--set-json={}x={}", row.path, row.good)).collect();
    let message = refused(&helm, &misspelt.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for row in &ROWS {
        let (line, name) = line_about(&message, row.path, "additional properties ");
        assert!(line.contains(&format!("'{name}x'")), "{}x is accepted: {line}", row.path);
    }
}

/// Helm takes `null` for a value that is not there: a switch of the policies would be off.
#[tokio::test]
async fn a_value_of_null_is_refused_by_its_name() {
    let helm = Helm::alone().await.unwrap();
    let may_be_null = ["resources", "securityContext", "containerSecurityContext"];
    let rows = || ROWS.iter().filter(|row| !may_be_null.contains(&row.path));
    let null: Vec<String> = rows().map(|row| row.set("null")).collect();
    let message = refused(&helm, &null.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for row in rows() {
        let (line, name) = line_about(&message, row.path, "missing propert");
        assert!(line.contains(&format!("'{name}'")), "{}=null is accepted: {line}", row.path);
    }
    let none: Vec<String> = may_be_null.iter().map(|path| format!("--set-json={path}=null")).collect();
    render(&helm, &none.iter().map(String::as_str).collect::<Vec<_>>()).await;
}
