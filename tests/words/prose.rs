//! The prose of the repository: doc comments, comments, string literals and pages, each with its place.

use std::fmt::Write;
use std::fs;
use std::ops::Range;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::Lit;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Doc,
    Comment,
    Literal,
    Page,
}

/// A piece of prose and the place where it begins.
#[derive(Debug)]
pub struct Text {
    pub path: String,
    pub line: usize,
    pub kind: Kind,
    pub text: String,
}

/// Returns the files below a path of the repository, or the path itself, whose names end so.
pub fn files(path: &str, endings: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut open = vec![root.join(path)];
    while let Some(next) = open.pop() {
        if next.ends_with("target") {
            continue;
        }
        if next.is_dir() {
            let entries = fs::read_dir(&next).unwrap_or_else(|error| panic!("{}: {error}", next.display()));
            open.extend(entries.map(|entry| entry.expect("an entry").path()));
            continue;
        }
        let name = next.strip_prefix(root).expect("a path under the root").to_string_lossy().into_owned();
        if next.exists() && endings.iter().any(|ending| name.ends_with(ending)) {
            found.push((name, fs::read_to_string(&next).expect("a file in UTF-8")));
        }
    }
    found.sort();
    found
}

/// Returns the prose of a Rust file: doc comments, comments and string literals.
pub fn prose(path: &str, code: &str) -> Vec<Text> {
    let stream: TokenStream = code.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut reader = Prose { path, texts: Vec::new(), taken: Vec::new() };
    reader.read(stream);
    let Prose { mut texts, mut taken, .. } = reader;
    // What lies between two tokens is space or a comment.
    taken.push(code.len()..code.len());
    taken.sort_by_key(|range| range.start);
    let mut end = 0;
    for range in taken {
        let gap = code.get(end..range.start).unwrap_or_default();
        let line = 1 + code.get(..end).unwrap_or_default().matches('\n').count();
        for (offset, comment) in gap.lines().enumerate().filter(|(_, line)| line.trim().starts_with("//")) {
            let text = comment.trim().trim_start_matches('/').to_owned();
            push(&mut texts, Text { path: path.to_owned(), line: line + offset, kind: Kind::Comment, text });
        }
        end = end.max(range.end);
    }
    texts
}

/// Adds a text, to the one before if it goes on on the next line.
fn push(texts: &mut Vec<Text>, text: Text) {
    let is_literal = text.kind == Kind::Literal;
    match texts.last_mut() {
        Some(last)
            if !is_literal
                && last.kind == text.kind
                && last.line + last.text.matches('\n').count() + 1 == text.line =>
        {
            let _ = write!(last.text, "\n{}", text.text);
        }
        _ => texts.push(text),
    }
}

struct Prose<'a> {
    path: &'a str,
    texts: Vec<Text>,
    /// The bytes that tokens take.
    taken: Vec<Range<usize>>,
}

impl Prose<'_> {
    fn read(&mut self, stream: TokenStream) {
        for tree in stream {
            match tree {
                TokenTree::Group(group) => {
                    self.taken.extend([group.span_open().byte_range(), group.span_close().byte_range()]);
                    match doc(&group) {
                        Some(text) => self.add(Kind::Doc, group.span_open().start().line, text),
                        None => self.read(group.stream()),
                    }
                }
                TokenTree::Literal(literal) => {
                    self.taken.push(literal.span().byte_range());
                    let line = literal.span().start().line;
                    if let Lit::Str(text) = Lit::new(literal) {
                        self.add(Kind::Literal, line, text.value());
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => self.taken.push(tree.span().byte_range()),
            }
        }
    }

    fn add(&mut self, kind: Kind, line: usize, text: String) {
        push(&mut self.texts, Text { path: self.path.to_owned(), line, kind, text });
    }
}

/// Reads the group of `#[doc = "…"]`, as which a doc comment is parsed.
fn doc(group: &proc_macro2::Group) -> Option<String> {
    let mut trees = group.stream().into_iter();
    let is_doc = group.delimiter() == Delimiter::Bracket
        && matches!(trees.next(), Some(TokenTree::Ident(name)) if name == "doc")
        && matches!(trees.next(), Some(TokenTree::Punct(sign)) if sign.as_char() == '=');
    match trees.next() {
        Some(TokenTree::Literal(literal)) if is_doc => match Lit::new(literal) {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// Returns the pages that users read, and the comments of manifests.
pub fn pages() -> Vec<Text> {
    let markdown = ["README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs"];
    let mut texts = Vec::new();
    for (path, text) in markdown.iter().flat_map(|path| files(path, &[".md"])) {
        texts.push(Text { path, line: 1, kind: Kind::Page, text });
    }
    for (path, text) in files("crds", &[".yaml"]) {
        texts.push(Text { path, line: 1, kind: Kind::Page, text });
    }
    for (path, text) in ["deploy", "examples"].iter().flat_map(|path| files(path, &[".yaml", "Dockerfile"])) {
        for (offset, line) in text.lines().enumerate() {
            let comment =
                line.trim_start().strip_prefix('#').or_else(|| line.split_once(" #").map(|(_, text)| text));
            if let Some(comment) = comment {
                let text = comment.trim_start_matches('#').to_owned();
                push(&mut texts, Text { path: path.clone(), line: offset + 1, kind: Kind::Page, text });
            }
        }
    }
    texts
}

/// Splits prose in Markdown into sentences, each with the line on which it begins. Code and tables have none.
pub fn sentences(text: &str) -> Vec<(usize, String)> {
    let mut sentences: Vec<(usize, String)> = Vec::new();
    let (mut in_code, mut is_open) = (false, false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        in_code ^= line.starts_with("```");
        if in_code || line.is_empty() || line.starts_with(['|', '#']) || line.starts_with("```") {
            is_open = false;
            continue;
        }
        is_open &= !line.starts_with(['-', '*']);
        for word in line.split_whitespace() {
            match sentences.last_mut().filter(|_| is_open) {
                Some((_, sentence)) => _ = write!(sentence, " {word}"),
                None => sentences.push((number, word.to_owned())),
            }
            is_open = !word.trim_end_matches(['`', ')', '"', '*']).ends_with(['.', '!', '?'])
                || word.ends_with("e.g.");
        }
    }
    sentences
}
