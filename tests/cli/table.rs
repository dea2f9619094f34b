//! The documentation's table of samples matches their results.

use serde_json::Value;

use crate::acr::{acr, findings, root, sample, text};
use crate::samples::{SAMPLES, cured};

const MARKS: (&str, &str) = ("<!-- samples:begin -->\n", "<!-- samples:end -->");

fn fields(object: &Value) -> String {
    let names: Vec<String> = object.as_object().unwrap().keys().map(|key| format!("`{key}`")).collect();
    names.join(" ")
}

/// Returns the registries of the binding by their fields, and the other settings.
fn becomes(name: &str) -> String {
    let converted = acr(&["convert", "-"], &cured(name)).out;
    let documents: Vec<Value> = serde_saphyr::from_multiple(&converted).unwrap();
    let spec = &documents[0]["spec"];
    let registries: Vec<String> = spec["registries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|registry| if registry == &serde_json::json!({}) { "`{}`".to_owned() } else { fields(registry) })
        .collect();
    let mut cell = registries.join("<br>");
    if let Some(webhook) = spec.get("webhook") {
        cell.push_str(&format!("<br>`webhook`: {}", fields(webhook)));
    }
    if documents.len() > 1 {
        cell.push_str(&format!("<br>`Secret/{}`", text(&documents[1]["metadata"], "name")));
    }
    cell
}

/// Returns the rows of the table on a page so many folders below the root.
fn rows(up: &str) -> String {
    let row = |name: &&str| {
        let codes: Vec<String> = findings(&sample(name))
            .iter()
            .map(|f| {
                let region = &f["region"];
                let place = region.get("startLine").map(|line| format!("{line}:{} ", region["startColumn"]));
                format!("{}`{}` {}", place.unwrap_or_default(), text(f, "key"), text(f, "code"))
            })
            .collect();
        format!(
            "| [{name}]({up}tests/cli/samples/{name}.yaml) | {} | {} |\n",
            codes.join("<br>"),
            becomes(name)
        )
    };
    SAMPLES.iter().map(row).collect()
}

#[test]
fn the_documentation_shows_the_samples_results() {
    let pages = [("docs/reference/findings.md", "../../"), ("docs/zh-CN/reference/findings.md", "../../../")];
    for (file, up) in pages {
        let path = root().join(file);
        let page = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = page.split_once(MARKS.0).unwrap();
        let (table, after) = rest.split_once(MARKS.1).unwrap();
        let head: String = table.split_inclusive('\n').take(2).collect();
        let actual = format!("{before}{}{head}{}{}{after}", MARKS.0, rows(up), MARKS.1);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &actual).unwrap();
        } else {
            assert_eq!(page, actual, "{file}: UPDATE_GOLDEN=1 cargo test --test cli writes the table");
        }
    }
}
