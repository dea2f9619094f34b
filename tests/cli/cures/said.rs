//! The texts of the sources that users may read.

use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use regex::Regex;
use syn::visit::{self, Visit};
use syn::{Attribute, Lit, LitStr};

use super::{folder, table};
use crate::acr::root;

/// The sources whose texts reach the users of `kubectl acr`.
const SOURCES: [&str; 4] = ["src/model", "src/model.rs", "src/cli", "src/bin/kubectl-acr"];

/// The fewest words of a text that counts. Shorter ones are names and parts of others.
const WORDS: usize = 3;

pub struct SourceText {
    pub place: String,
    pub value: String,
}

/// Returns every text of some words, by its place.
pub fn texts() -> Vec<SourceText> {
    let mut found = Vec::new();
    SOURCES.iter().for_each(|source| read(&root().join(source), &mut found));
    assert!(found.len() > 150, "only {} texts: is a folder missing?", found.len());
    found
}

fn read(path: &Path, found: &mut Vec<SourceText>) {
    let name = path.file_name().unwrap_or_default();
    if path.is_dir() && name != "tests" {
        let mut entries: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|entry| read(entry, found));
    } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
        let file = syn::parse_file(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut reader = TextReader { found: Vec::new() };
        reader.visit_file(&file);
        let inside = path.strip_prefix(root()).unwrap().display();
        found.extend(reader.found.into_iter().filter(|text| is_for_people(&text.value())).map(|text| {
            SourceText { place: format!("{inside}:{}", text.span().start().line), value: text.value() }
        }));
    }
}

fn is_for_people(text: &str) -> bool {
    let words = text.split_whitespace().filter(|word| word.chars().filter(|c| c.is_alphabetic()).count() > 0);
    words.count() >= WORDS
}

struct TextReader {
    found: Vec<LitStr>,
}

impl TextReader {
    fn tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Lit::Str(text) = Lit::new(literal) {
                        self.found.push(text);
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let test = || attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"));
        attribute.path().is_ident("test") || attribute.path().is_ident("cfg") && test()
    })
}

impl<'ast> Visit<'ast> for TextReader {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_lit_str(&mut self, text: &'ast LitStr) {
        self.found.push(text.clone());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        // The titles of codes are not messages, nor are the words of other programs.
        const OTHERS: [&str; 4] = ["codes", "causes", "runtime_messages", "macro_rules"];
        if !OTHERS.iter().any(|name| call.path.is_ident(name)) {
            self.tokens(call.tokens.clone());
        }
    }

    /// Reads the words of errors. Other attributes are documentation and names.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Ok(list) = attribute.meta.require_list()
            && attribute.path().is_ident("error")
        {
            self.tokens(list.tokens.clone());
        }
    }
}

/// Returns the texts that report no fault.
pub fn other_texts() -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Others {
        why: String,
        texts: Vec<String>,
    }
    let groups: Vec<Others> = table(&folder().join("other_texts.yaml"));
    assert!(groups.iter().all(|group| group.why.split(' ').count() > 2));
    groups.into_iter().flat_map(|group| group.texts).collect()
}

/// Returns the texts that no message has in it, by their places.
pub fn missing(messages: &[String]) -> Vec<String> {
    let others = other_texts();
    let mut missing = texts();
    missing.retain(|text| {
        let pattern = pattern(&text.value);
        !others.contains(&text.value) && !messages.iter().any(|message| pattern.is_match(message))
    });
    missing.into_iter().map(|text| format!("{}: {}", text.place, text.value)).collect()
}

/// Returns what finds a text in a message. Braces match anything, and doubled ones match braces. A command has the name
/// of the file in the place of the word FILE.
fn pattern(text: &str) -> Regex {
    let part = Regex::new(r"\{\{|\}\}|\{[^{}]*\}|\bFILE\b").unwrap();
    let mut pattern = String::from("(?s)");
    let mut at = 0;
    for found in part.find_iter(text) {
        pattern.push_str(&regex::escape(&text[at..found.start()]));
        pattern.push_str(match found.as_str() {
            "{{" => r"\{",
            "}}" => r"\}",
            "FILE" => r"\S+",
            _ => ".*",
        });
        at = found.end();
    }
    pattern.push_str(&regex::escape(&text[at..]));
    Regex::new(&pattern).unwrap()
}

#[test]
fn braces_match_anything() {
    assert!(
        pattern("the {} of {name:?}: write {{a: {0:?}}}").is_match("the end of \"a\": write {a: 0}, now")
    );
    assert!(!pattern("the {} of it").is_match("the end"));
    assert!(pattern("sops -d FILE | kubectl").is_match("with sops -d a.yaml | kubectl acr lint -"));
    assert!(is_for_people("write it so") && !is_for_people("cri-a1b2c3 x") && !is_for_people("a - : b"));
}
