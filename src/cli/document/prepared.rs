//! A file, prepared for its reader: without the signs that are there by accident, and with what is not rendered
//! hidden. What is read has its places in the file as written.

use std::ops::Range;

use super::locate::{Located, locate};
use super::parse::{FileLanguage, ParsedFile};
use super::unrendered::{generator, shell_name, whole};
use super::{Document, Scalar, Source, is_stack};
use crate::api::legacy::Node;
use crate::cli::diagnostic::Diagnostic;
use crate::model::legacy::patch::PatchedText;
use crate::model::legacy::sign::{self, FoundSign, Signs};
use crate::model::legacy::unrendered::{self, HIDDEN, Kind, Unrendered};
use crate::model::legacy::wrapper::{self, Wrapper};
use crate::model::legacy::{Code, Edit, Severity};

/// The most bytes of a file that is prepared. A longer one is refused.
const MAX_BYTES: usize = 4 << 20;

/// The most findings of one kind.
const MAX_LISTED: usize = 100;

/// Reads a file.
pub fn read(name: &str, text: &str) -> Document {
    if text.len() > MAX_BYTES {
        return super::read::read(name, text).0;
    }
    if let Some(diagnostic) = whole(name, text).filter(|found| concerns_config(found, text)) {
        let sources = vec![Source { name: name.to_owned(), text: text.to_owned() }];
        return Document { sources, diagnostics: vec![diagnostic], ..Document::default() };
    }
    let mut file = PreparedFile::of(text);
    let (document, parsed) = super::read::read(name, &file.read);
    file.parsed = parsed;
    file.in_place(document, name, text)
}

/// Returns whether a finding is about the configuration. Other parts of a file in JSON or HCL are the concern of
/// others.
fn concerns_config(found: &Diagnostic, text: &str) -> bool {
    let span = super::parse::whole(text).and_then(|file| file.config_span());
    span.zip(found.span.as_ref()).is_none_or(|(config, found)| config.contains(&found.start))
}

struct PreparedFile {
    cleaned: PatchedText,
    signs: Vec<FoundSign>,
    wrappers: Vec<Wrapper>,
    hidden: Vec<Unrendered>,
    /// What the reader reads.
    read: String,
    /// The trees of that, once it was read.
    parsed: Option<ParsedFile>,
}

impl PreparedFile {
    fn of(text: &str) -> Self {
        let signs = sign::find(text, Signs::Manifest);
        let wrappers = wrapper::around(text);
        let edits = wrappers.iter().map(|wrapper| &wrapper.edit).chain(&signs.edits);
        let cleaned = PatchedText::new(text, edits);
        let mut hidden = if is_hcl(text) { Vec::new() } else { unrendered::find(&cleaned.text) };
        if is_stack(text) {
            let variables =
                hidden.iter_mut().filter(|hidden| cleaned.text[hidden.span.start..].starts_with("${"));
            variables.for_each(|hidden| hidden.kind = Kind::Stack);
        }
        let read = unrendered::hide(&cleaned.text, &hidden);
        Self { cleaned, signs: signs.found, wrappers, hidden, read, parsed: None }
    }

    /// Returns the trees of YAML or JSON. HCL generates no manifest.
    fn manifests(&self) -> &[Node] {
        let manifests = self.parsed.as_ref().filter(|file| file.language != FileLanguage::Hcl);
        manifests.map_or(&[], |file| &file.roots)
    }

    /// Gives a document that was read its places in the file, and adds the findings of the preparation.
    fn in_place(&self, mut document: Document, name: &str, text: &str) -> Document {
        if let Some(source) = document.sources.first_mut() {
            source.text = text.to_owned();
        }
        let lost = self.restore(&mut document);
        let found = std::mem::take(&mut document.diagnostics);
        for diagnostic in found {
            self.diagnostic(diagnostic, &mut document, name);
        }
        for (key, span) in lost {
            self.report_hidden(&key, &span, &mut document, name);
        }
        let ours = self.ours();
        self.report_lines(&ours, &mut document, name);
        self.report_signs(&ours, &mut document, text);
        document.diagnostics.extend(self.wrappers.iter().map(|Wrapper { span, edit, message }| Diagnostic {
            edits: vec![edit.clone()],
            ..finding(Code::ManifestSign, "data", span.clone(), message.clone())
        }));
        document
    }

    /// Gives the values what was hidden in them. Returns the keys and the places of those that cannot have it.
    fn restore(&self, document: &mut Document) -> Vec<(String, Range<usize>)> {
        let mut lost = Vec::new();
        let restored =
            |scalar: Scalar| Some(scalar.restored(&self.cleaned.text, &self.hidden)?.moved(&self.cleaned));
        for (key, mut value) in std::mem::take(&mut document.values) {
            let whole = value.scalar.whole();
            match restored(value.scalar).filter(|_| !key.contains(HIDDEN)) {
                Some(scalar) => {
                    value.scalar = scalar;
                    value.key = value.key.map(|span| self.cleaned.origin_of(&span));
                    document.values.insert(key, value);
                }
                None => {
                    let place = value.key.filter(|_| key.contains(HIDDEN)).unwrap_or(whole);
                    let key = if key.contains(HIDDEN) { "data".to_owned() } else { key };
                    lost.push((key, place));
                }
            }
        }
        document.addon = document.addon.take().and_then(restored);
        document.unread |= !lost.is_empty();
        lost
    }

    /// Adds a finding of the reader, or those about what is not rendered in its place.
    fn diagnostic(&self, mut diagnostic: Diagnostic, document: &mut Document, name: &str) {
        if diagnostic.code == Code::NoConfiguration && diagnostic.span.is_none() {
            let roots = self.manifests();
            if let Some(message) = generator(name, roots) {
                document.diagnostics.push(Diagnostic { code: Code::Generator, message, ..diagnostic });
                return;
            }
            if roots.iter().all(|root| root.pairs().is_empty()) && !self.hidden.is_empty() {
                return self.report_hidden("data", &(0..self.read.len()), document, name);
            }
        }
        if let Some(span) = diagnostic.span.clone()
            && self.hidden_in(&span).next().is_some()
        {
            return self.report_hidden(&diagnostic.key, &span, document, name);
        }
        if diagnostic.message.contains(HIDDEN)
            || diagnostic.edits.iter().any(|edit| edit.text.contains(HIDDEN))
        {
            diagnostic.edits.clear();
            diagnostic.message = diagnostic.message.replace(HIDDEN, "…");
        }
        diagnostic.span = diagnostic.span.map(|span| self.cleaned.origin_of(&span));
        for Edit { span, .. } in &mut diagnostic.edits {
            *span = self.cleaned.origin_of(span);
        }
        document.diagnostics.push(diagnostic);
    }

    /// Returns what is hidden in some bytes of the text that was read.
    fn hidden_in<'a>(&'a self, span: &Range<usize>) -> impl Iterator<Item = &'a Unrendered> {
        let first = self.hidden.partition_point(|hidden| hidden.span.end <= span.start);
        let end = span.end;
        self.hidden[first..].iter().take_while(move |hidden| hidden.span.start < end)
    }

    /// Reports what is not rendered in some bytes.
    fn report_hidden(&self, key: &str, span: &Range<usize>, document: &mut Document, name: &str) {
        for hidden in self.hidden_in(span).take(MAX_LISTED) {
            let place = self.cleaned.origin_of(&hidden.span);
            if document.diagnostics.iter().any(|diagnostic| diagnostic.span.as_ref() == Some(&place)) {
                continue;
            }
            let message = unrendered::with_file(&hidden.message(&self.cleaned.text), shell_name(name));
            document.diagnostics.push(finding(hidden.code(), key, place, message));
        }
        document.unread = true;
    }

    /// Returns where the configuration is.
    fn ours(&self) -> Ours {
        let mut ours = Ours { object: 0..self.read.len(), foreign: Vec::new() };
        if self.signs.is_empty() && !self.hidden.iter().any(|hidden| hidden.alone) {
            return ours;
        }
        let whole = self.parsed.as_ref().filter(|file| file.fault.is_none());
        if let Some(Located::Map(map)) = whole.and_then(|file| locate(&file.roots))
            && let Some(object) = map.object
        {
            let span = object.span.clone().unwrap_or_default();
            // The spaces before its first key belong to it, and so do the lines up to the next document.
            let begins = self.read[..span.start].rfind('\n').map_or(0, |at| at + 1);
            let ends = self.read[span.end..].find("\n---").map_or(self.read.len(), |at| span.end + at);
            ours.object = begins..ends;
            let metadata = object.get("metadata").map_or(&[][..], |metadata| metadata.pairs());
            let others = metadata.iter().filter(|pair| !["name", "namespace"].contains(&pair.name()));
            ours.foreign.extend(others.filter_map(|pair| pair.value.span.clone()));
        }
        ours
    }

    /// Reports lines of nothing but what is not rendered, outside the values.
    fn report_lines(&self, ours: &Ours, document: &mut Document, name: &str) {
        let within = |document: &Document, at: usize| {
            document.values.values().any(|value| value.scalar.whole().contains(&at))
                || document.addon.as_ref().is_some_and(|addon| addon.whole().contains(&at))
        };
        let lines = self.hidden.iter().filter(|hidden| hidden.alone && ours.has(hidden.span.start));
        for Unrendered { span, .. } in lines.take(MAX_LISTED) {
            if document.found && !within(document, self.cleaned.origin(span.start)) {
                self.report_hidden("data", span, document, name);
            }
        }
    }

    /// Reports the signs that are in the configuration or in the lines around it. What other objects or annotations
    /// have is their concern.
    fn report_signs(&self, ours: &Ours, document: &mut Document, text: &str) {
        let places = |span: &Range<usize>| self.cleaned.origin(span.start)..self.cleaned.origin(span.end);
        let foreign: Vec<Range<usize>> = ours.foreign.iter().map(places).collect();
        let object = places(&ours.object);
        let mut listed = 0;
        for FoundSign { code, span, message, edits } in &self.signs {
            // A mark where files were joined breaks all of them.
            let joined = text[span.clone()].starts_with('\u{feff}') && text[..span.start].ends_with('\n');
            let ours =
                object.contains(&span.start) && !foreign.iter().any(|foreign| foreign.contains(&span.start));
            if !ours && !joined {
                continue;
            }
            listed += 1;
            if listed > MAX_LISTED {
                break;
            }
            let value = document.values.iter().find(|(_, value)| value.scalar.whole().contains(&span.start));
            let addon = document.addon.as_ref().is_some_and(|addon| addon.whole().contains(&span.start));
            let (key, severity) = match value {
                Some((key, _)) => (key.as_str(), code.severity()),
                None if addon => ("config", code.severity()),
                // YAML takes no such sign for a space.
                None => ("data", Severity::Error),
            };
            let found = finding(*code, key, span.clone(), message.clone());
            document.diagnostics.push(Diagnostic { severity, edits: edits.clone(), ..found });
        }
    }
}

/// Returns whether a text is HCL, or Terraform's JSON of it, whose expressions have signs of their own. Its reader
/// names them.
fn is_hcl(text: &str) -> bool {
    let blocks = ["\"resource\":", "\"module\":", "\"locals\":"];
    if super::read::is_json(text) && blocks.iter().any(|block| text.contains(block)) {
        return true;
    }
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let first = lines.into_iter().find(|line| !line.is_empty() && !line.starts_with(['#', '/', '*']));
    first.is_some_and(|line| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        rest.len() < line.len() && rest.trim_start().starts_with(['=', '{', '"'])
    })
}

/// The part of the text that was read in which the configuration is.
struct Ours {
    object: Range<usize>,
    /// Labels and annotations of the object.
    foreign: Vec<Range<usize>>,
}

impl Ours {
    fn has(&self, at: usize) -> bool {
        self.object.contains(&at) && !is_within(&self.foreign, at)
    }
}

/// Returns whether a byte is in one of some places, which are in their order.
fn is_within(places: &[Range<usize>], at: usize) -> bool {
    let next = places.partition_point(|place| place.end <= at);
    places.get(next).is_some_and(|place| place.contains(&at))
}

fn finding(code: Code, key: &str, span: Range<usize>, message: String) -> Diagnostic {
    let (key, severity) = (key.to_owned(), code.severity());
    Diagnostic { code, severity, key, source: 0, span: Some(span), message, edits: Vec::new() }
}
