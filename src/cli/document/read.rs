//! From a file to its values.

mod addon;
mod config_map;

use std::collections::BTreeSet;
use std::ops::Range;

use super::fault::blame;
use super::locate::{Located, locate};
use super::parse::{FileLanguage, ParsedFile, part, whole, yaml};
use super::unevaluated::variables_with_default;
use super::{Document, Scalar, Source};
use crate::api::legacy::{Fault, FaultKind, Node, Style, Value, parse_manifest};
use crate::cli::diagnostic::Diagnostic;
use crate::model::legacy::line::{Line, is_space};
use crate::model::legacy::mistakes::{Mistake, scan_manifest};
use crate::model::legacy::patch::PatchedText;
use crate::model::legacy::{Code, Edit, Severity};

/// The most bytes of a file: a ConfigMap may have 1 MiB, and its JSON twice that. A state of Terraform has everything.
const MAX_BYTES: usize = 4 << 20;
const MAX_JSON_BYTES: usize = 16 << 20;

/// The most findings of the outer document that are listed.
const MAX_LISTED: usize = 200;

/// The most changes that are proposed for one mistake. A mistake with more is only described.
const MAX_CHANGES: usize = 2_048;

/// Reads a file. Returns its trees, too, as far as they were read.
pub fn read(name: &str, text: &str) -> (Document, Option<ParsedFile>) {
    let mut document = Document::default();
    document.sources.push(Source { name: name.to_owned(), text: text.to_owned() });
    let most = if is_json(text) { MAX_JSON_BYTES } else { MAX_BYTES };
    if text.len() > most {
        let message = format!("the file has {} bytes, more than a ConfigMap can: write less", text.len());
        document.diagnostics.push(in_data(Code::NotYaml, None, message));
        return (document, None);
    }
    let whole = whole(text);
    let template = template(text).filter(|at| match &whole {
        // Other parts of such a file are the concern of others.
        Some(file) => file.config_span().is_some_and(|span| span.contains(at)),
        None => true,
    });
    if let Some(at) = template {
        let message = "a template begins here: render it first, as helm template or kustomize build does, and check the output".to_owned();
        document.diagnostics.push(in_data(Code::Template, Some(at..at + 2), message));
        return (document, whole);
    }
    let file = whole.unwrap_or_else(|| part(text));
    read_file(&file, text, &mut document);
    (document, Some(file))
}

/// Reads a manifest that is the text of another document.
fn read_manifest(text: &str) -> Document {
    let mut document = Document::default();
    document.sources.push(Source { name: String::new(), text: text.to_owned() });
    let (roots, fault) = parse_manifest(text);
    read_file(&ParsedFile { language: FileLanguage::Yaml, roots, fault }, text, &mut document);
    document
}

fn read_file(file: &ParsedFile, text: &str, document: &mut Document) {
    let language = file.language;
    let mistakes = match language {
        FileLanguage::Yaml => mistakes(text, &file.roots, file.fault.is_some()),
        FileLanguage::Json | FileLanguage::Hcl => Vec::new(),
    };
    let patched = PatchedText::new(text, mistakes.iter().flat_map(|mistake| &mistake.edits));
    document.diagnostics.extend(mistakes.into_iter().map(diagnostic));
    let repaired = (!patched.is_unchanged()).then(|| yaml(&patched.text));
    let (roots, fault) =
        repaired.as_ref().map_or((&file.roots, &file.fault), |(roots, fault)| (roots, fault));
    let own = |root: &Node| ["resource", "module", "locals"].iter().any(|key| root.get(key).is_some());
    let terraform = language == FileLanguage::Hcl || roots.iter().any(own) || text.contains("resource \"");
    let defaults = variables_with_default(roots);
    DocumentReader { patched: &patched, language, terraform, defaults, document }.read(roots, fault.clone());
    bound(&mut document.diagnostics);
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
        Located::Addon(_) | Located::Manifest(_) => true,
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

pub(super) fn is_json(text: &str) -> bool {
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
    language: FileLanguage,
    /// Whether it is written for Terraform, or by Terraform for people.
    terraform: bool,
    /// The variables of Terraform that have a default in the file.
    defaults: BTreeSet<String>,
    document: &'a mut Document,
}

impl DocumentReader<'_> {
    fn read(mut self, roots: &[Node], fault: Option<Fault>) {
        match locate(roots) {
            Some(Located::Map(map)) => {
                map.object.into_iter().for_each(|object| self.around(object));
                if let Some(data) = map.data.filter(|data| data.style == Style::Expression) {
                    self.unevaluated("data", data, false);
                    return;
                }
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
            Some(Located::Manifest(node)) => {
                if let Some(outer) = self.text(node) {
                    self.take_over(read_manifest(outer.value()), &outer);
                }
            }
            Some(Located::Addon(addon)) => self.addon(&addon),
            None if fault.is_none() => {
                self.document.diagnostics.push(in_data(Code::NoConfiguration, None, self.nothing_in(roots)));
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
        let yaml = self.language == FileLanguage::Yaml;
        let Some(blamed) = blame(text, fault.at).filter(|_| yaml && !is_json(text)) else {
            // A fault is often noticed at the beginning of a line that is right.
            let at = self.patched.origin(fault.at);
            let (name, more) = match self.language {
                FileLanguage::Yaml => ("YAML", ""),
                FileLanguage::Json => ("JSON", ""),
                FileLanguage::Hcl => {
                    ("HCL", ". Of a plan or a state, give the output of terraform show -json")
                }
            };
            let message = match fault.kind {
                FaultKind::Excessive => format!(
                    "the file cannot be read ({}): give only the part with the add-on or the ConfigMap",
                    fault.why
                ),
                FaultKind::Syntax | FaultKind::Documents => format!(
                    "the file is not valid {name} ({}): check this line and the one before it{more}",
                    fault.why
                ),
            };
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
            _ if node.style == Style::Encoded => Some(Scalar::rendered(&self.patched.text, node)),
            Value::Null => Some(self.scalar("", Style::Plain, node)),
            Value::Text(text) => Some(self.scalar(text, node.style, node)),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    fn scalar(&self, value: &str, style: Style, node: &Node) -> Scalar {
        let span = node.span.clone().unwrap_or_default();
        let source = self.patched.text.get(span.clone()).unwrap_or_default();
        if style == Style::Escaped && !source.starts_with(['"', '\'']) {
            return Scalar::escaped(&self.patched.text, span);
        }
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
}

/// Returns the place of a template's `{{`, which neither YAML nor JSON needs. One in a comment does no harm.
fn template(text: &str) -> Option<usize> {
    Line::all(text, is_space).into_iter().filter(|line| !line.is_comment()).find_map(|line| {
        let found = line.text.find("{{").filter(|found| line.text[*found..].contains("}}"))?;
        Some(line.start + found)
    })
}
