//! A ConfigMap: its metadata, the keys of its `data`, and what is beside them.

use std::ops::Range;

use super::{DocumentReader, FileLanguage, is_json};
use crate::api::legacy::{Node, Pair, Style};
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};
use crate::cli::document::locate::{has_ours, metadata};
use crate::cli::document::unevaluated::depends;
use crate::cli::document::{DataValue, Scalar};
use crate::model::legacy::line::line_before;
use crate::model::legacy::mistakes::NESTED_KEYS;
use crate::model::legacy::{Code, Edit, Severity, data_key};

impl DocumentReader<'_> {
    /// Reports a ConfigMap of another name or in another namespace, which is not read.
    fn elsewhere(&mut self, metadata: &Node) {
        for (field, wanted) in [("name", LEGACY_NAME), ("namespace", LEGACY_NAMESPACE)] {
            let Some(node) = metadata.get(field) else { continue };
            if node.text().is_some_and(|text| text != wanted) {
                let span = node.span.clone().unwrap_or_default();
                let edit = Edit { span, text: format!("{wanted:?}") };
                let message = format!(
                    "the {field} is not {wanted}, and only the ConfigMap {LEGACY_NAMESPACE}/{LEGACY_NAME} is read: write {wanted}"
                );
                self.report(Code::OtherConfigMap, &format!("metadata.{field}"), node, &message, &[edit]);
            }
        }
    }

    /// Reports the faults of a ConfigMap outside its `data`.
    pub(super) fn around(&mut self, object: &Node) {
        if let Some(metadata) = metadata(object) {
            self.elsewhere(metadata);
            for Pair { key, .. } in metadata.pairs() {
                let ours = |name: &&str| *name == "data" || data_key(name).is_some();
                if let Some(name) = key.text().filter(ours) {
                    let message = "the key is below metadata, where it is not read: write data as far to the left as metadata, and the keys below it";
                    self.outside(name, key, message);
                }
            }
        }
        let last = object.pairs().iter().rposition(|pair| pair.key.text() == Some("data"));
        for (index, Pair { key, value }) in object.pairs().iter().enumerate() {
            let Some(name) = key.text() else { continue };
            let message = match name {
                "apiVersion" | "kind" | "metadata" | "immutable" => continue,
                "data" if Some(index) == last => continue,
                "data" => {
                    "the file has data again below, and only the last one is read: write all keys below one data"
                }
                // Keys of others are their concern.
                "binaryData" if !has_ours(value) => continue,
                name if self.language != FileLanguage::Yaml
                    && object.get("kind").is_none()
                    && data_key(name).is_none() =>
                {
                    continue;
                }
                _ => "the key is beside data, where it is not read: write it below data, indented by spaces",
            };
            // Spaces of another kind are part of the name, for YAML.
            let name = name.trim();
            let word = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            let name = if word { name } else { "data" };
            self.outside(name, key, message);
        }
    }

    /// Reports a key that was meant to be read and is not.
    fn outside(&mut self, name: &str, key: &Node, message: &str) {
        self.report(Code::OutsideData, name, key, message, &[]);
        self.document.unread = true;
    }

    pub(super) fn pair(&mut self, Pair { key, value: node }: &Pair) {
        let Some(name) = key.text() else { return };
        if self.document.values.contains_key(name) {
            let message = "the key is repeated, which the API server refuses: delete one";
            self.report(Code::KeyRepeated, name, key, message, &[]);
            if let Some(last) = self.document.diagnostics.last_mut() {
                last.severity = Severity::Error;
            }
        }
        if depends(node) {
            return self.unevaluated(name, node, false);
        }
        let mut scalar = self.text(node);
        // Terraform makes a text of a number.
        let strict = self.language != FileLanguage::Hcl && node.style == Style::Plain;
        if strict && node.text().is_some_and(is_number_or_boolean) {
            let message = "the value is a number or a boolean, and the API server takes only texts here: put it in quotes";
            self.report(Code::NumberForText, name, node, message, &quotes(node, "\""));
            scalar = scalar.map(Scalar::read_only);
        }
        match scalar.or_else(|| self.collection(name, key, node)) {
            Some(scalar) => {
                let value = DataValue { source: 0, key: Some(self.span(key)), scalar };
                self.document.values.insert(name.to_owned(), value);
            }
            // The earlier value of a repeated key does not count.
            None => {
                self.document.values.remove(name);
                self.document.unread = true;
            }
        }
    }

    /// Reports a list or a map in the place of a text. Returns the text that was meant, where that is plain.
    fn collection(&mut self, name: &str, key: &Node, node: &Node) -> Option<Scalar> {
        const TAKEN: &str = "the value is a list or a map, and the API server takes only texts here";
        if self.language == FileLanguage::Hcl {
            self.report(Code::TextExpected, name, key, &format!("{TAKEN}: put yamlencode(…) around it"), &[]);
            return Some(Scalar::rendered(&self.patched.text, node).read_only());
        }
        let flow = node.style == Style::Flow;
        let (span, key_span) = (node.span.clone()?, key.span.clone()?);
        let texts: Option<Vec<&str>> = node.items().iter().map(Node::text).collect();
        let texts = texts
            .filter(|texts| !texts.is_empty() && texts.iter().all(|text| !text.contains(['"', '\\', ','])));
        if let Some(texts) = texts {
            let list = texts.join(",");
            let from = if flow { span.start } else { key_span.end };
            let text = if flow { format!("\"{list}\"") } else { format!(": \"{list}\"") };
            let edit = Edit { span: from..span.end, text };
            let message = format!("{TAKEN}: write its items with a comma between each two");
            self.report(Code::TextExpected, name, key, &message, &[edit]);
            return Some(self.scalar(&list, Style::Plain, node).read_only());
        }
        if !NESTED_KEYS.iter().any(|nested| nested.eq_ignore_ascii_case(name)) {
            let message = format!("{TAKEN}: write one text, with a comma between each two items");
            self.report(Code::TextExpected, name, key, &message, &[]);
            return None;
        }
        // Its text is YAML, as this is. A block's first line is indented as the others are.
        let text = &self.patched.text;
        let begins = line_before(text, span.start).unwrap_or_default();
        let lead = if begins.trim_start_matches([' ', '-']).is_empty() { begins.len() } else { 0 };
        let whole = span.start - lead..span.end;
        let source = text.get(whole.clone()).unwrap_or_default();
        let scalar = Scalar::verbatim(source, whole).moved(self.patched);
        let (edits, cure) = if !flow {
            (Vec::new(), "write | after the colon, and the same text below it")
        } else if is_json(text) {
            let written = serde_json::to_string(source).ok()?;
            (
                vec![Edit { span: span.clone(), text: written }],
                "write it as one text in quotes, with a \\ before each quote in it",
            )
        } else if !source.contains(['\'', '\n']) {
            (quotes(node, "'"), "put it in quotes")
        } else if let Some(edit) = self.block_of(&key_span, &span) {
            (vec![edit], "write | after the colon, and the same text below it")
        } else {
            (Vec::new(), "write it as one text in quotes")
        };
        self.report(Code::TextExpected, name, key, &format!("{TAKEN}: {cure}"), &edits);
        Some(scalar)
    }

    /// Makes a block of a list or map in brackets whose other lines are indented deeper than its key.
    fn block_of(&self, key: &Range<usize>, node: &Range<usize>) -> Option<Edit> {
        let text = &self.patched.text;
        let before = line_before(text, key.start)?;
        let depth = before.len();
        let alone = before.trim_start_matches(' ').is_empty();
        let same_line = !text.get(key.end..node.start)?.contains('\n');
        let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let lines = text.get(node.clone())?.lines().skip(1).filter(|line| !line.trim().is_empty());
        let indent = lines.map(indent).min().unwrap_or(depth + 2);
        let written = format!("|\n{}", " ".repeat(indent));
        (alone && same_line && indent > depth).then_some(Edit { span: node.start..node.start, text: written })
    }
}

fn quotes(node: &Node, quote: &str) -> Vec<Edit> {
    let span = node.span.clone().unwrap_or_default();
    [span.start, span.end].map(|at| Edit { span: at..at, text: quote.to_owned() }).into()
}

/// Returns whether YAML takes a plain text for a number or a boolean. kubectl reads as YAML 1.1 does.
fn is_number_or_boolean(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let boolean = matches!(lower.as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n");
    let number = lower.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && (lower.parse::<f64>().is_ok()
            || lower.strip_prefix("0x").is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok()));
    boolean || number
}
