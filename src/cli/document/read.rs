//! From a file to its values.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::draft::Draft;
use super::heal::{self, Slip, data_key, is_nested};
use super::locate::{Located, has_ours, kinds, locate};
use super::straight::straighten;
use super::terraform::{self, Config};
use super::tree::{self, Fault, Kind, Node};
use super::{Document, Scalar, Source, Value};
use crate::api::names::{LEGACY_NAME, LEGACY_NAMESPACE};
use crate::cli::diagnostic::Diagnostic;
use crate::model::legacy::{Code, Edit};

/// The most bytes of a file: a ConfigMap may have 1 MiB, and its JSON twice that.
const MAX_BYTES: usize = 4 << 20;

/// The most findings of the outer document: nobody reads on from there.
const MAX_TOLD: usize = 200;

/// The most changes that are told of one slip. What must change in more places is told in words.
const MAX_CHANGES: usize = 2_048;

/// Reads a file.
pub fn read(name: &str, text: &str) -> Document {
    let mut document = Document::default();
    document.sources.push(Source { name: name.to_owned(), text: text.to_owned() });
    if text.len() > MAX_BYTES {
        let message = format!("has {} bytes, more than a ConfigMap can: write less", text.len());
        document.diagnostics.push(whole(Code::OuterNotYaml, None, message));
        return document;
    }
    if let Some(at) = template(text) {
        let message = "begins what a template fills in: render it first, as helm template or kustomize build does, and look at what comes out".to_owned();
        document.diagnostics.push(whole(Code::OuterTemplate, Some(at..at + 2), message));
        return document;
    }
    let (roots, fault) = tree::parse(text);
    match locate(&roots).is_none().then(|| terraform::config(text)).flatten() {
        Some(Config::Escaped(span)) => {
            document.addon = Some(Scalar::escaped(text, span));
            return document;
        }
        Some(Config::Expression(span)) => {
            let message = "is worked out by Terraform alone: give the JSON that comes out, or the line config = \"{\\\"AcrInstanceInfo\\\": …}\"";
            document.diagnostics.push(whole(Code::OuterNoConfiguration, Some(span), message.to_owned()));
            return document;
        }
        None => {}
    }
    let slips = slips(text, &roots, fault.is_some());
    let edits: Vec<Edit> = slips.iter().flat_map(|slip| slip.edits.iter().cloned()).collect();
    document.diagnostics.extend(slips.into_iter().map(told));
    let mut draft = Draft::new(text, &edits);
    let (mut roots, mut fault) = if edits.is_empty() { (roots, fault) } else { tree::parse(&draft.text) };
    let faulty = fault.as_ref().filter(|_| !is_json(text));
    if let Some(straight) = faulty.and_then(|fault| straighten(text, &edits, &draft, fault)) {
        document.diagnostics.extend(straight.slips.into_iter().map(told));
        (draft, roots, fault) = (straight.draft, straight.roots, straight.fault);
    }
    Reader { draft: &draft, document: &mut document }.read(&roots, fault);
    bound(&mut document.diagnostics);
    document
}

fn slips(text: &str, roots: &[Node], faulty: bool) -> Vec<Slip> {
    if is_json(text) {
        return Vec::new();
    }
    let readable = match locate(roots) {
        Some(Located::Map(map)) => map.no_keys().is_none(),
        Some(Located::Addon(_)) => true,
        None => false,
    };
    if faulty || !readable {
        return heal::slips(text);
    }
    // What stands within a text of several lines is no key, whatever it looks like.
    let mut texts = Vec::new();
    roots.iter().for_each(|root| long_texts(root, text, &mut texts));
    let mut slips = heal::meant_otherwise(text);
    slips.retain(|slip| !texts.iter().any(|span| span.contains(&slip.span.start)));
    slips
}

/// JSON has no lines to speak of, and no slips of indentation.
fn is_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with(['{', '['])
}

fn long_texts(node: &Node, text: &str, spans: &mut Vec<Range<usize>>) {
    if node.text().is_some()
        && text.get(node.span.clone()).is_some_and(|source| source.trim_end().contains('\n'))
    {
        spans.push(node.span.clone());
    }
    node.items().iter().for_each(|item| long_texts(item, text, spans));
    for (key, value) in node.pairs() {
        long_texts(key, text, spans);
        long_texts(value, text, spans);
    }
}

/// Keeps the first findings, and says how many there were.
fn bound(diagnostics: &mut Vec<Diagnostic>) {
    let more = diagnostics.len().saturating_sub(MAX_TOLD);
    if more > 0 {
        diagnostics.truncate(MAX_TOLD);
        let message = format!("{more} more findings are not listed: mend the first ones and look again");
        diagnostics.push(whole(Code::MoreErrors, None, message));
    }
}

fn told(mut slip: Slip) -> Diagnostic {
    if slip.edits.len() > MAX_CHANGES {
        slip.edits.clear();
    }
    Diagnostic {
        code: slip.code,
        severity: slip.code.severity(),
        key: slip.key,
        source: 0,
        span: Some(slip.span),
        message: slip.message,
        edits: slip.edits,
    }
}

fn whole(code: Code, span: Option<Range<usize>>, message: String) -> Diagnostic {
    let key = "data".to_owned();
    Diagnostic { code, severity: code.severity(), key, source: 0, span, message, edits: Vec::new() }
}

struct Reader<'a> {
    draft: &'a Draft,
    document: &'a mut Document,
}

impl Reader<'_> {
    fn read(mut self, roots: &[Node], fault: Option<Fault>) {
        match locate(roots) {
            Some(Located::Map(map)) => {
                map.object.into_iter().for_each(|object| self.around(object));
                if let Some(node) = map.no_keys() {
                    let message = "is a text or a list, where the keys belong: write each key on a line of its own beneath it, indented by blanks, with a colon and a blank after it";
                    self.tell(Code::OuterDataNoMap, "data", &node.span, message, &[]);
                    self.document.unread = true;
                }
                for (key, value) in map.data.map(Node::pairs).unwrap_or_default() {
                    self.pair(key, value);
                }
                for name in map.again {
                    let message = "is that of another ConfigMap in this file, and only the first one is looked at: keep one of them";
                    self.tell(Code::OuterBesideData, "metadata.name", &name.span, message, &[]);
                }
                self.document.found = !self.document.unread || !self.document.values.is_empty();
            }
            Some(Located::Addon(node)) => {
                let scalar = match &node.kind {
                    Kind::Scalar { value, style, .. } => self.scalar(value, *style, node.span.clone()),
                    _ => Scalar::bare(&self.document.sources[0].text),
                };
                self.document.addon = Some(scalar);
            }
            None if fault.is_none() => {
                self.document.diagnostics.push(whole(Code::OuterNoConfiguration, None, nothing_in(roots)));
            }
            None => {}
        }
        if let Some(fault) = fault {
            // A fault is often noticed at the beginning of a line that is right.
            let at = self.origin(fault.at);
            let message = format!("is no YAML ({}): look at this line and the one before it", fault.why);
            self.document.diagnostics.push(whole(Code::OuterNotYaml, Some(at..at), message));
        }
    }

    fn origin(&self, at: usize) -> usize {
        self.draft.origin.get(at).or(self.draft.origin.last()).copied().unwrap_or(at)
    }

    fn span(&self, span: &Range<usize>) -> Range<usize> {
        self.origin(span.start)..self.origin(span.end)
    }

    fn scalar(&self, value: &str, style: ScalarStyle, span: Range<usize>) -> Scalar {
        // What is put in quotes, or whose lines are moved, is changed afterwards: neither change would know the other.
        let mended = self.span(&span).len() != span.len();
        let scalar = Scalar::read(&self.draft.text, value, style, span).moved(&self.draft.origin);
        if mended { scalar.left_as_it_is() } else { scalar }
    }

    fn tell(&mut self, code: Code, key: &str, span: &Range<usize>, message: &str, edits: &[Edit]) {
        let moved = |edit: &Edit| Edit { span: self.span(&edit.span), text: edit.text.clone() };
        let diagnostic = Diagnostic {
            code,
            severity: code.severity(),
            key: key.to_owned(),
            source: 0,
            span: Some(self.span(span)),
            message: message.to_owned(),
            edits: edits.iter().map(moved).collect(),
        };
        self.document.diagnostics.push(diagnostic);
    }

    /// A ConfigMap by another name, or in another namespace, is read by nobody.
    fn elsewhere(&mut self, metadata: &Node) {
        for (field, wanted) in [("name", LEGACY_NAME), ("namespace", LEGACY_NAMESPACE)] {
            let Some(node) = metadata.get(field) else { continue };
            if node.text().is_some_and(|text| text != wanted) {
                let edit = Edit { span: node.span.clone(), text: format!("{wanted:?}") };
                let message =
                    format!("is not {wanted}: the ConfigMap {LEGACY_NAMESPACE}/{LEGACY_NAME} alone is read");
                self.tell(Code::OuterElsewhere, &format!("metadata.{field}"), &node.span, &message, &[edit]);
            }
        }
    }

    /// What is wrong with a ConfigMap outside its `data`.
    fn around(&mut self, object: &Node) {
        if let Some(metadata) = object.get("metadata") {
            self.elsewhere(metadata);
            for (key, _) in metadata.pairs() {
                let ours = |name: &&str| *name == "data" || data_key(name).is_some();
                if let Some(name) = key.text().filter(ours) {
                    let message = "stands beneath metadata, where nobody reads it: write data as far to the left as metadata, and the keys beneath it";
                    self.beside(name, key, message);
                }
            }
        }
        let last = object.pairs().iter().rposition(|(key, _)| key.text() == Some("data"));
        for (index, (key, value)) in object.pairs().iter().enumerate() {
            let Some(name) = key.text() else { continue };
            let message = match name {
                "apiVersion" | "kind" | "metadata" | "immutable" => continue,
                "data" if Some(index) == last => continue,
                "data" => {
                    "is there again below, and only the last one is read: write all keys beneath one data"
                }
                // What is there for somebody else is their concern.
                "binaryData" if !has_ours(value) => continue,
                _ => "stands beside data, where nobody reads it: write it beneath data, indented by blanks",
            };
            // Blanks of another kind are part of the name, for YAML.
            let name = name.trim();
            let word = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
            let name = if word { name } else { "data" };
            self.beside(name, key, message);
        }
    }

    /// Something that was meant to be read and is not.
    fn beside(&mut self, name: &str, key: &Node, message: &str) {
        self.tell(Code::OuterBesideData, name, &key.span, message, &[]);
        self.document.unread = true;
    }

    fn pair(&mut self, key: &Node, node: &Node) {
        let Some(name) = key.text() else { return };
        if self.document.values.contains_key(name) {
            let message = "stands twice, which the API server refuses: delete one";
            self.tell(Code::OuterKeyTwice, name, &key.span, message, &[]);
        }
        let scalar = match &node.kind {
            Kind::Scalar { value, style, tagged } => {
                let plain = *style == ScalarStyle::Plain && !tagged;
                if node.is_nothing() {
                    Some(self.scalar("", ScalarStyle::Plain, node.span.clone()))
                } else {
                    let scalar = self.scalar(value, *style, node.span.clone());
                    if plain && is_no_text(value) {
                        let message = "is a number or a boolean, and the API server takes only texts here: put it in quotes";
                        self.tell(Code::OuterNotText, name, &node.span, message, &quotes(&node.span, "\""));
                        Some(scalar.left_as_it_is())
                    } else {
                        Some(scalar)
                    }
                }
            }
            Kind::List { .. } | Kind::Map { .. } => self.collection(name, key, node),
        };
        match scalar {
            Some(scalar) => {
                let value = Value { source: 0, key: Some(self.span(&key.span)), scalar };
                self.document.values.insert(name.to_owned(), value);
            }
            // The value above it, of a key that stands twice, is not the one that counts.
            None => {
                self.document.values.remove(name);
                self.document.unread = true;
            }
        }
    }

    /// A list or a map where a text belongs, and the text that was meant, where that is plain.
    fn collection(&mut self, name: &str, key: &Node, node: &Node) -> Option<Scalar> {
        let flow = matches!(node.kind, Kind::List { flow: true, .. } | Kind::Map { flow: true, .. });
        let texts: Option<Vec<&str>> = node.items().iter().map(Node::text).collect();
        let texts = texts
            .filter(|texts| !texts.is_empty() && texts.iter().all(|text| !text.contains(['"', '\\', ','])));
        if let Some(texts) = texts {
            let list = texts.join(",");
            let from = if flow { node.span.start } else { key.span.end };
            let text = if flow { format!("\"{list}\"") } else { format!(": \"{list}\"") };
            let edit = Edit { span: from..node.span.end, text };
            let message = "is a list, and the API server takes only texts here: write its items with a comma between each two";
            self.tell(Code::OuterBlockMissing, name, &key.span, message, &[edit]);
            return Some(self.scalar(&list, ScalarStyle::Plain, node.span.clone()).left_as_it_is());
        }
        if !is_nested(name) {
            let message = "is a list or a map, and the API server takes only texts here: write one text, with a comma between each two items";
            self.tell(Code::OuterBlockMissing, name, &key.span, message, &[]);
            return None;
        }
        // Its text is YAML, as this is. A block's first line is indented as the others are.
        let text = &self.draft.text;
        let begins = text.get(..node.span.start).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
        let lead = if begins.trim_start_matches([' ', '-']).is_empty() { begins.len() } else { 0 };
        let span = node.span.start - lead..node.span.end;
        let source = text.get(span.clone()).unwrap_or_default();
        let scalar = Scalar::verbatim(source, span).moved(&self.draft.origin);
        let (edits, cure) = if !flow {
            (Vec::new(), "write | after the colon, and what it says beneath")
        } else if !source.contains(['\'', '\n']) {
            (quotes(&node.span, "'"), "put it in quotes")
        } else if let Some(edit) = self.block_of(key, node) {
            (vec![edit], "write | after the colon, and what it says beneath")
        } else {
            (Vec::new(), "write it as one text in quotes")
        };
        let message = format!("is a list or a map, and the API server takes only texts here: {cure}");
        self.tell(Code::OuterBlockMissing, name, &key.span, &message, &edits);
        Some(scalar)
    }

    /// The edit that makes a block of what stands in brackets, where its other lines are indented deeper than its key.
    fn block_of(&self, key: &Node, node: &Node) -> Option<Edit> {
        let text = &self.draft.text;
        let before = text.get(..key.span.start)?.rsplit('\n').next()?;
        let depth = before.len();
        let alone = before.trim_start_matches(' ').is_empty();
        let same_line = !text.get(key.span.end..node.span.start)?.contains('\n');
        let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let lines = text.get(node.span.clone())?.lines().skip(1).filter(|line| !line.trim().is_empty());
        let indent = lines.map(indent).min().unwrap_or(depth + 2);
        let written = format!("|\n{}", " ".repeat(indent));
        let start = node.span.start;
        (alone && same_line && indent > depth).then_some(Edit { span: start..start, text: written })
    }
}

/// Where a template's `{{` stands, which neither YAML nor JSON needs. One in a comment does no harm.
fn template(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (found, comment) = (line.find("{{"), line.trim_start().starts_with('#'));
        if let Some(found) = found.filter(|found| !comment && line[*found..].contains("}}")) {
            return Some(at + found);
        }
        at += line.len();
    }
    None
}

/// What a file has in place of a configuration.
fn nothing_in(roots: &[Node]) -> String {
    const NEITHER: &str = "no ConfigMap acr-configuration, no map data with one of its keys, and no configuration of the managed add-on";
    match kinds(roots).as_slice() {
        [] => format!("has {NEITHER}: name the right file"),
        ["AcrCredentialBinding"] => "has an AcrCredentialBinding, which the API server checks: kubectl apply --server-side --dry-run=server -f; convert --reverse prints the ConfigMap that says the same".to_owned(),
        kinds => format!("has {}, but {NEITHER}: name the right file", kinds.iter().take(5).copied().collect::<Vec<_>>().join(", ")),
    }
}

fn quotes(span: &Range<usize>, quote: &str) -> Vec<Edit> {
    [span.start, span.end].map(|at| Edit { span: at..at, text: quote.to_owned() }).into()
}

/// What YAML takes for a number or a boolean. kubectl reads as YAML 1.1 does.
fn is_no_text(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let boolean = matches!(lower.as_str(), "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n");
    let number = lower.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c))
        && (lower.parse::<f64>().is_ok()
            || lower.strip_prefix("0x").is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok()));
    boolean || number
}
