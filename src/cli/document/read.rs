//! From a file to its values.

use std::ops::Range;

use super::fault::blame;
use super::locate::{Located, has_ours, kinds, locate};
use super::terraform::{self, TerraformConfig};
use super::{DataValue, Document, Scalar, Source};
use crate::api::legacy::{Fault, Node, Pair, Style, Value, parse_manifest};
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};
use crate::cli::diagnostic::Diagnostic;
use crate::model::legacy::line::{Line, is_space, line_before};
use crate::model::legacy::mistakes::{Mistake, NESTED_KEYS, scan_manifest};
use crate::model::legacy::patch::PatchedText;
use crate::model::legacy::{Code, Edit, Severity, data_key};

/// The most bytes of a file: a ConfigMap may have 1 MiB, and its JSON twice that.
const MAX_BYTES: usize = 4 << 20;

/// The most findings of the outer document that are listed.
const MAX_LISTED: usize = 200;

/// The most changes that are proposed for one mistake. A mistake with more is only described.
const MAX_CHANGES: usize = 2_048;

/// Reads a file.
pub fn read(name: &str, text: &str) -> Document {
    let mut document = Document::default();
    document.sources.push(Source { name: name.to_owned(), text: text.to_owned() });
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, more than a ConfigMap can: write less", text.len());
        document.diagnostics.push(in_data(Code::NotYaml, None, message));
        return document;
    }
    if let Some(at) = template(text) {
        let message = "a template begins here: render it first, as helm template or kustomize build does, and check the output".to_owned();
        document.diagnostics.push(in_data(Code::Template, Some(at..at + 2), message));
        return document;
    }
    let (roots, fault) = parse_manifest(text);
    match locate(&roots).is_none().then(|| terraform::config(text)).flatten() {
        Some(TerraformConfig::Escaped(span)) => {
            document.addon = Some(Scalar::escaped(text, span));
            return document;
        }
        Some(TerraformConfig::Expression(span)) => {
            let message = "only Terraform can evaluate this expression: give the JSON that comes out, or the line config = \"{\\\"AcrInstanceInfo\\\": …}\"";
            document.diagnostics.push(in_data(Code::NoConfiguration, Some(span), message.to_owned()));
            return document;
        }
        None => {}
    }
    let mistakes = mistakes(text, &roots, fault.is_some());
    let patched = PatchedText::new(text, mistakes.iter().flat_map(|mistake| &mistake.edits));
    document.diagnostics.extend(mistakes.into_iter().map(diagnostic));
    let (roots, fault) = if patched.is_unchanged() { (roots, fault) } else { parse_manifest(&patched.text) };
    DocumentReader { patched: &patched, document: &mut document }.read(&roots, fault);
    bound(&mut document.diagnostics);
    document
}

/// Finds the mistakes in the lines of a manifest. JSON has no lines to speak of.
fn mistakes(text: &str, roots: &[Node], faulty: bool) -> Vec<Mistake> {
    if is_json(text) {
        return Vec::new();
    }
    let mut mistakes = scan_manifest(text);
    let located = locate(roots).filter(|_| !faulty);
    let readable = located.is_some_and(|located| match located {
        Located::Map(map) => map.without_keys().is_none(),
        Located::Addon(_) => true,
    });
    if readable {
        // It is YAML, so that only what may have another meaning counts. A text of several lines has no keys.
        let mut texts = Vec::new();
        roots.iter().for_each(|root| long_texts(root, text, &mut texts));
        mistakes.retain(|mistake| {
            let codes = [Code::NoComment, Code::TextExpected, Code::Indentation, Code::KeysBelow];
            codes.contains(&mistake.code) && !texts.iter().any(|span| span.contains(&mistake.span.start))
        });
    }
    mistakes
}

fn is_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '['])
}

fn long_texts(node: &Node, text: &str, spans: &mut Vec<Range<usize>>) {
    let span = node.span.clone().filter(|_| node.text().is_some());
    let source = span.clone().and_then(|span| text.get(span));
    spans.extend(span.filter(|_| source.is_some_and(|source| source.trim_end().contains('\n'))));
    node.items().iter().for_each(|item| long_texts(item, text, spans));
    for pair in node.pairs() {
        long_texts(&pair.key, text, spans);
        long_texts(&pair.value, text, spans);
    }
}

/// Keeps the first findings, and adds one with the count of the others.
fn bound(diagnostics: &mut Vec<Diagnostic>) {
    let more = diagnostics.len().saturating_sub(MAX_LISTED);
    if more > 0 {
        diagnostics.truncate(MAX_LISTED);
        let message = format!("{more} more findings are not listed: correct the first ones and check again");
        diagnostics.push(in_data(Code::MoreErrors, None, message));
    }
}

/// Turns a mistake into a finding. The API server refuses the file, hence an error of any code.
fn diagnostic(mut mistake: Mistake) -> Diagnostic {
    if mistake.edits.len() > MAX_CHANGES {
        mistake.edits.clear();
    }
    Diagnostic {
        code: mistake.code,
        severity: Severity::Error,
        key: mistake.key,
        source: 0,
        span: Some(mistake.span),
        message: mistake.message.to_owned(),
        edits: mistake.edits,
    }
}

fn in_data(code: Code, span: Option<Range<usize>>, message: String) -> Diagnostic {
    let key = "data".to_owned();
    Diagnostic { code, severity: code.severity(), key, source: 0, span, message, edits: Vec::new() }
}

struct DocumentReader<'a> {
    /// The file with its mistakes repaired, in which the nodes have their places.
    patched: &'a PatchedText,
    document: &'a mut Document,
}

impl DocumentReader<'_> {
    fn read(mut self, roots: &[Node], fault: Option<Fault>) {
        match locate(roots) {
            Some(Located::Map(map)) => {
                map.object.into_iter().for_each(|object| self.around(object));
                if let Some(node) = map.without_keys() {
                    let message = "data is a text or a list instead of a map: write each key on a line of its own below it, indented by spaces, with a colon and a space after it";
                    self.report(Code::DataNotMap, "data", node, message, &[]);
                    self.document.unread = true;
                }
                for pair in map.data.map(Node::pairs).unwrap_or_default() {
                    self.pair(pair);
                }
                for name in map.again {
                    let message =
                        "the file has this ConfigMap again, and only the first one is read: keep one of them";
                    self.report(Code::OutsideData, "metadata.name", name, message, &[]);
                }
                self.document.found = !self.document.unread || !self.document.values.is_empty();
            }
            Some(Located::Addon(node)) => {
                let scalar = self.text(node);
                let whole = || Scalar::bare(&self.document.sources[0].text);
                self.document.addon = Some(scalar.unwrap_or_else(whole));
            }
            None if fault.is_none() => {
                self.document.diagnostics.push(in_data(Code::NoConfiguration, None, nothing_in(roots)));
            }
            None => {}
        }
        if let Some(fault) = fault {
            let finding = self.explain(fault);
            self.document.diagnostics.push(finding);
        }
    }

    /// Makes a finding of a fault, at the line that is to blame where that is known.
    fn explain(&self, fault: Fault) -> Diagnostic {
        let text = &self.patched.text;
        let Some(blamed) = blame(text, fault.at).filter(|_| !is_json(text)) else {
            // A fault is often noticed at the beginning of a line that is right.
            let at = self.patched.origin(fault.at);
            let message =
                format!("the file is not valid YAML ({}): check this line and the one before it", fault.why);
            return in_data(Code::NotYaml, Some(at..at), message);
        };
        let span = self.patched.origin_of(&blamed.span);
        Diagnostic { key: blamed.key, ..in_data(Code::NotYaml, Some(span), blamed.message) }
    }

    fn span(&self, node: &Node) -> Range<usize> {
        self.patched.origin_of(&node.span.clone().unwrap_or_default())
    }

    /// Reads a scalar. `None`: it is a list or a map.
    fn text(&self, node: &Node) -> Option<Scalar> {
        match &node.value {
            Value::Null => Some(self.scalar("", Style::Plain, node)),
            Value::Text(text) => Some(self.scalar(text, node.style, node)),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    fn scalar(&self, value: &str, style: Style, node: &Node) -> Scalar {
        let span = node.span.clone().unwrap_or_default();
        // Its quotes or its lines are changed first: neither change would know the other.
        let changed = self.span(node).len() != span.len();
        let scalar = Scalar::read(&self.patched.text, value, style, span).moved(self.patched);
        if changed { scalar.read_only() } else { scalar }
    }

    fn report(&mut self, code: Code, key: &str, node: &Node, message: &str, edits: &[Edit]) {
        let moved = |edit: &Edit| Edit { span: self.patched.origin_of(&edit.span), text: edit.text.clone() };
        let diagnostic = Diagnostic {
            key: key.to_owned(),
            edits: edits.iter().map(moved).collect(),
            ..in_data(code, Some(self.span(node)), message.to_owned())
        };
        self.document.diagnostics.push(diagnostic);
    }

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
    fn around(&mut self, object: &Node) {
        if let Some(metadata) = object.get("metadata") {
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

    fn pair(&mut self, Pair { key, value: node }: &Pair) {
        let Some(name) = key.text() else { return };
        if self.document.values.contains_key(name) {
            let message = "the key is repeated, which the API server refuses: delete one";
            self.report(Code::KeyRepeated, name, key, message, &[]);
            if let Some(last) = self.document.diagnostics.last_mut() {
                last.severity = Severity::Error;
            }
        }
        let mut scalar = self.text(node);
        if node.style == Style::Plain && node.text().is_some_and(is_number_or_boolean) {
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

/// Returns the place of a template's `{{`, which neither YAML nor JSON needs. One in a comment does no harm.
fn template(text: &str) -> Option<usize> {
    Line::all(text, is_space).into_iter().filter(|line| !line.is_comment()).find_map(|line| {
        let found = line.text.find("{{").filter(|found| line.text[*found..].contains("}}"))?;
        Some(line.start + found)
    })
}

/// Says what a file has instead of a configuration.
fn nothing_in(roots: &[Node]) -> String {
    const NEITHER: &str = "no ConfigMap acr-configuration, no map data with one of its keys, and no configuration of the managed add-on";
    match kinds(roots).as_slice() {
        [] => format!("the file has {NEITHER}: name the right file"),
        ["AcrCredentialBinding"] => "the file has an AcrCredentialBinding, which the API server checks: run kubectl apply --server-side --dry-run=server -f on it; convert --reverse prints the equivalent ConfigMap".to_owned(),
        kinds => format!("the file has {}, but {NEITHER}: name the right file", kinds.iter().take(5).copied().collect::<Vec<_>>().join(", ")),
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
