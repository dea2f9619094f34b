//! Findings for programs.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use serde_json::{Value, json};

use super::report::LintReport;
use crate::cli::diagnostic::Diagnostic;
use crate::model::legacy::{Code, Severity};

/// Returns one object: the findings in their order, and how many of each severity.
pub(super) fn json(report: &LintReport, to: &mut dyn io::Write) -> io::Result<()> {
    let finding = |diagnostic: &Diagnostic| {
        let edits = diagnostic.edits.iter().map(|edit| {
            let mut region = region(report, diagnostic.source, &edit.span);
            region["text"] = json!(edit.text);
            region
        });
        let mut finding = json!({
            "code": diagnostic.code.as_str(),
            "severity": diagnostic.severity.as_str(),
            "title": diagnostic.code.title(),
            "key": diagnostic.key,
            "message": diagnostic.message,
            "file": name(report, diagnostic),
            "edits": edits.collect::<Vec<_>>(),
        });
        if let Some(span) = &diagnostic.span {
            finding["region"] = region(report, diagnostic.source, span);
        }
        finding
    };
    let findings: Vec<Value> = report.diagnostics.iter().map(finding).collect();
    let whole = json!({
        "errors": report.count(Severity::Error),
        "warnings": report.count(Severity::Warning),
        "notes": report.count(Severity::Note),
        "findings": findings,
    });
    line(&whole, to)
}

/// Writes SARIF 2.1.0: <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>
pub(super) fn sarif(report: &LintReport, to: &mut dyn io::Write) -> io::Result<()> {
    let used: BTreeMap<&str, Code> = report.diagnostics.iter().map(|d| (d.code.as_str(), d.code)).collect();
    let rule = |(id, code): (&&str, &Code)| {
        let level = json!({ "level": code.severity().as_str() });
        json!({ "id": id, "shortDescription": { "text": code.title() }, "defaultConfiguration": level })
    };
    let rules: Vec<Value> = used.iter().map(rule).collect();
    let result = |diagnostic: &Diagnostic| {
        let artifact = json!({ "uri": uri(name(report, diagnostic)) });
        let mut place = json!({ "artifactLocation": artifact });
        if let Some(span) = &diagnostic.span {
            place["region"] = region(report, diagnostic.source, span);
        }
        let mut result = json!({
            "ruleId": diagnostic.code.as_str(),
            "level": diagnostic.severity.as_str(),
            "message": { "text": format!("{}: {}", diagnostic.key, diagnostic.message) },
            "locations": [{ "physicalLocation": place }],
        });
        if !diagnostic.edits.is_empty() {
            let replacements = diagnostic.edits.iter().map(|edit| {
                json!({
                    "deletedRegion": region(report, diagnostic.source, &edit.span),
                    "insertedContent": { "text": edit.text },
                })
            });
            result["fixes"] = json!([{ "artifactChanges": [{
                "artifactLocation": artifact,
                "replacements": replacements.collect::<Vec<_>>(),
            }] }]);
        }
        result
    };
    let results: Vec<Value> = report.diagnostics.iter().map(result).collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "kubectl-acr",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": env!("CARGO_PKG_REPOSITORY"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    line(&log, to)
}

fn line(value: &Value, to: &mut dyn io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *to, value)?;
    writeln!(to)
}

fn name<'a>(report: &'a LintReport, diagnostic: &Diagnostic) -> &'a str {
    report.sources.get(diagnostic.source).map_or("", |(source, _)| source.name.as_str())
}

fn region(report: &LintReport, source: usize, span: &Range<usize>) -> Value {
    let (start, end) = (report.position(source, span.start), report.position(source, span.end));
    json!({ "startLine": start.line, "startColumn": start.column, "endLine": end.line, "endColumn": end.column })
}

/// Returns a path as a relative reference: what has a meaning of its own in one is written by its number.
fn uri(name: &str) -> String {
    let mut uri = String::new();
    for byte in name.bytes() {
        match byte {
            b'\\' => uri.push('/'),
            byte if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) => uri.push(char::from(byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}
