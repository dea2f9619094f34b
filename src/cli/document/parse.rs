//! From a text to its tree: JSON, HCL or YAML, or a part of one as people cut it out.

use std::ops::Range;

use super::locate::{Located, locate};
use super::{flat_state, functions};
use crate::api::legacy::{Fault, Node, Style, Value, parse_hcl, parse_json, parse_manifest};

/// The language of a text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FileLanguage {
    Yaml,
    Json,
    Hcl,
}

/// The trees of a text, up to the first fault.
pub(super) struct ParsedFile {
    pub(super) language: FileLanguage,
    pub(super) roots: Vec<Node>,
    pub(super) fault: Option<Fault>,
}

impl ParsedFile {
    /// Returns the bytes of the configuration.
    pub(super) fn config_span(&self) -> Option<Range<usize>> {
        let node = match locate(&self.roots)? {
            Located::Map(map) => map.object.or(map.data),
            Located::Manifest(text) => Some(text),
            Located::Addon(addon) => addon.config,
        };
        node?.span.clone()
    }
}

/// Reads a text that is JSON or a file of HCL as a whole. YAML is neither.
pub(super) fn whole(text: &str) -> Option<ParsedFile> {
    let parsed = |language, roots| ParsedFile { language, roots, fault: None };
    if let Some(mut roots) = parse_json(text).ok().filter(|roots| !roots.is_empty()) {
        roots.iter_mut().for_each(flat_state::unfold);
        roots.iter_mut().for_each(functions::evaluate);
        return Some(parsed(FileLanguage::Json, roots));
    }
    let body = parse_hcl(text).ok().filter(|root| root.style == Style::Block && !root.pairs().is_empty());
    body.map(|root| parsed(FileLanguage::Hcl, vec![root]))
}

/// Reads a text that is YAML.
pub(super) fn yaml(text: &str) -> (Vec<Node>, Option<Fault>) {
    let (mut roots, fault) = parse_manifest(text);
    roots.iter_mut().for_each(functions::evaluate);
    (roots, fault)
}

/// Reads a text that is YAML, or a part of JSON or HCL.
pub(super) fn part(text: &str) -> ParsedFile {
    let bare = text.trim_start_matches('\u{feff}').trim_start();
    let trimmed = bare.trim_end().trim_end_matches(',');
    let start = text.len() - bare.len();
    let read = |language, open: &str, close: &str| {
        let wrapped = format!("{open}{trimmed}{close}");
        let mut roots = match language {
            FileLanguage::Json => parse_json(&wrapped).ok()?,
            _ => vec![parse_hcl(&wrapped).ok()?],
        };
        let place = |at: usize| (start + at.saturating_sub(open.len())).min(text.len());
        let moved = |span: Range<usize>| Some(place(span.start)..place(span.end));
        roots.iter_mut().for_each(|root| root.relocate(&moved));
        locate(&roots).is_some().then_some(ParsedFile { language, roots, fault: None })
    };
    // HCL has the comments and the last commas that JSON does not have, and YAML would take for texts.
    let flow = bare.starts_with(['{', '[']).then(|| read(FileLanguage::Hcl, "", "")).flatten();
    let with_comments = flow.filter(|file| matches!(locate(&file.roots), Some(Located::Addon(_))));
    if let Some(file) = with_comments {
        return file;
    }
    let (roots, fault) = yaml(text);
    if locate(&roots).is_some() {
        return ParsedFile { language: FileLanguage::Yaml, roots, fault };
    }
    // The inside of a text in quotes, as a shell prints it.
    let span = Some(start..start + trimmed.len());
    let inside = Node { span, style: Style::Escaped, value: Value::Text(trimmed.to_owned()) };
    let inside = ParsedFile { language: FileLanguage::Json, roots: vec![inside], fault: None };
    let found = Some(inside)
        .filter(|_| trimmed.starts_with("{\\"))
        .or_else(|| read(FileLanguage::Json, "{", "}"))
        .or_else(|| read(FileLanguage::Json, "[", "]"))
        .or_else(|| read(FileLanguage::Hcl, "", ""))
        .or_else(|| read(FileLanguage::Hcl, "[", "]"));
    if let Some(found) = found {
        return found;
    }
    let json = bare.strip_prefix(['{', '[']).is_some_and(|rest| rest.trim_start().starts_with('"'));
    let (language, own) = if json {
        (FileLanguage::Json, parse_json(text).err())
    } else if is_hcl(text) {
        (FileLanguage::Hcl, parse_hcl(text).err())
    } else {
        (FileLanguage::Yaml, fault)
    };
    ParsedFile { language, roots, fault: own }
}

/// Returns whether the first line of a text with anything in it assigns a value or opens a block, as HCL does.
fn is_hcl(text: &str) -> bool {
    let lines = text.trim_start_matches('\u{feff}').lines();
    let first = lines.map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', '/']));
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let rest = first.unwrap_or_default().trim_start_matches(word);
    let sign = rest.trim_start();
    rest.len() < first.map_or(0, str::len)
        && (sign.starts_with('{') || sign.starts_with('=') || sign.starts_with('"') && rest.starts_with(' '))
}
