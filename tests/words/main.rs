//! The words of the code and of the documentation: plain ones, and one for each thing.
//!
//! Tests are held to the same words as the code. Every failure names its place and the replacement. `cargo
//! test --test words` prints them all.

#![expect(clippy::panic, clippy::expect_used, reason = "what cannot be read fails the test")]

mod prose;

use std::ops::Range;

use proc_macro2::{TokenStream, TokenTree};
use regex::{Regex, RegexBuilder};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Lit, Meta};

use crate::prose::{Kind, Text, files, pages, prose, sentences};

/// Patterns that no text holds, without regard to case and between the boundaries of words, and what to write instead.
const BANNED: [(&str, &str); 28] = [
    ("tells?|told|telling", "report, record, log, say, pass"),
    ("stands?|stood|standing", "exist, be ready, be there"),
    ("nobody|no one", "\"no\" with the noun, or negate the verb"),
    ("somebody|whoever", "name who it is: a caller, a user, another controller"),
    ("whatever", "any, regardless of"),
    ("(?:is|are|was|were) no", "negate the verb: \"is not a valid region\", \"does not have\""),
    ("blanks?", "space, empty"),
    ("mend(?:s|ed|ing)?", "fix"),
    ("for ever", "always, never expires"),
    ("look(?:s|ed|ing)? at", "inspect, read, check, reconcile"),
    ("lives|lived|live (?:for|until|as long|longer|on)", "is valid until, exists, is in"),
    ("wish(?:es|ed)?", "want, desired, intent"),
    ("straight", "directly, in order"),
    ("shall", "must, will, should"),
    ("in vain", "without success"),
    ("anew", "again"),
    ("beneath", "below, under"),
    ("boards?", "shared state"),
    ("ledgers?", "credential cache"),
    ("tall(?:y|ies)", "rollup"),
    ("rivals?|rivalry", "conflict, another writer"),
    ("namers?", "secret references"),
    ("rehears(?:e|es|ed|al|als|ing)", "preview"),
    ("leavings", "leftovers"),
    ("stray(?:s|ed|ing)?", "recently lost, misplaced"),
    ("fenced?|fences", "policy probe, enforced, protected"),
    ("heal(?:s|ed|ing)?", "repair, replace (stuck Pods)"),
    ("take(?:s|n)? in|took in", "observe"),
];

/// Phrases that may hold a banned word, and why.
const ALLOWED: [(&str, &str); 8] = [
    ("there (?:is|are|was|were) no", "English for the absence of something"),
    (
        "(?:is|are|was|were) no (?:longer|more than|less than|later than|older than)",
        "the verb is negated already",
    ),
    ("code fences?|fenced (?:code )?blocks?|codeblockkind::fenced", "Markdown's own words"),
    ("(?:condition|flag|file) `[^`]+`(?: of `[^`]+`)? is now", "an old name in the changelog"),
    ("(?:long|short)[- ]lived", "the field's word"),
    ("stand[- ]?alone", "the field's word"),
    ("acr-credential-heal", "the name of a ClusterRole, which is not renamed"),
    ("look(?:s|ed|ing)? at(?:tached|tempt\\w*)", "not the preposition"),
];

/// Words that no name in the code holds, between underscores or capitals.
const BANNED_IN_NAMES: [&str; 24] = [
    "told",
    "tells",
    "stands",
    "stood",
    "nobody",
    "somebody",
    "whoever",
    "whatever",
    "blank",
    "mend",
    "mended",
    "wish",
    "wished",
    "anew",
    "beneath",
    "vain",
    "tally",
    "tallies",
    "rivals",
    "namers",
    "rehearse",
    "rehearsal",
    "leavings",
    "strays",
];

/// First words of a function's doc comment that end in "s" and are not a verb in the third person.
const NOT_VERBS: [&str; 16] = [
    "This",
    "These",
    "Its",
    "Whose",
    "As",
    "Always",
    "Sometimes",
    "Others",
    "Secrets",
    "Bindings",
    "Namespaces",
    "Names",
    "Hours",
    "Seconds",
    "Words",
    "Towards",
];

/// First words of a function's doc comment that are neither a verb nor wrong.
const OTHER_OPENINGS: [&str; 2] = ["See", "Deprecated"];

/// Words that a sentence of a doc comment may have. The rule for writers is 25.
const MAX_WORDS: usize = 40;

/// Returns every Rust file but those of this test, which name the words.
fn sources() -> Vec<(String, String)> {
    let all = ["src", "tests"].iter().flat_map(|path| files(path, &[".rs"]));
    let found: Vec<_> = all.filter(|(path, _)| !path.starts_with("tests/words/")).collect();
    assert!(found.len() > 40, "only {} files: is this the root of the repository?", found.len());
    found
}

fn pattern(alternatives: &str) -> Regex {
    let alternatives = alternatives.replace(' ', r"\s+");
    let regex = format!(r"\b(?:{alternatives})\b");
    RegexBuilder::new(&regex).case_insensitive(true).build().unwrap_or_else(|error| panic!("{error}"))
}

/// Returns the banned words of some texts, one a line with its place.
fn banned(texts: &[Text]) -> Vec<String> {
    let banned = BANNED.map(|(words, instead)| (pattern(words), instead));
    let allowed = ALLOWED.map(|(phrase, _)| pattern(phrase));
    let mut found = Vec::new();
    for text in texts {
        let allowed: Vec<Range<usize>> = allowed
            .iter()
            .flat_map(|phrase| phrase.find_iter(&text.text).map(|found| found.range()))
            .collect();
        let is_allowed = |word: &Range<usize>| {
            allowed.iter().any(|phrase| phrase.start <= word.start && word.end <= phrase.end)
        };
        for (words, instead) in &banned {
            for word in words.find_iter(&text.text).filter(|word| !is_allowed(&word.range())) {
                let line = text.line + text.text[..word.start()].matches('\n').count();
                let word = word.as_str().split_whitespace().collect::<Vec<_>>().join(" ");
                found.push((text.path.clone(), line, format!("\"{word}\": write {instead}")));
            }
        }
    }
    report(found)
}

fn report(mut found: Vec<(String, usize, String)>) -> Vec<String> {
    found.sort();
    found.into_iter().map(|(path, line, what)| format!("{path}:{line}: {what}")).collect()
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "{} places:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_code_is_written_in_plain_words() {
    let texts: Vec<Text> = sources().iter().flat_map(|(path, code)| prose(path, code)).collect();
    assert_none(&banned(&texts));
}

#[test]
fn the_documentation_is_written_in_plain_words() {
    assert_none(&banned(&pages()));
}

#[test]
fn names_are_plain_words() {
    let name = Regex::new("[A-Z]?[a-z]+|[A-Z]+").expect("a pattern");
    let mut found = Vec::new();
    for (path, code) in sources() {
        let mut names = Vec::new();
        idents(code.parse().unwrap_or_else(|error| panic!("{path}: {error}")), &mut names);
        for (ident, line) in names {
            let is_banned =
                |word: regex::Match<'_>| BANNED_IN_NAMES.contains(&&*word.as_str().to_lowercase());
            if name.find_iter(&ident).any(is_banned) {
                found.push((path.clone(), line, format!("the name `{ident}`")));
            }
        }
    }
    assert_none(&report(found));
}

fn idents(stream: TokenStream, names: &mut Vec<(String, usize)>) {
    for tree in stream {
        match tree {
            TokenTree::Group(group) => idents(group.stream(), names),
            TokenTree::Ident(name) => names.push((name.to_string(), name.span().start().line)),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

#[test]
fn doc_comments_of_functions_begin_with_a_verb() {
    let mut found = Vec::new();
    for (path, code) in sources() {
        let file = syn::parse_file(&code).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut reader = Functions::default();
        reader.visit_file(&file);
        for (doc, line) in reader.docs {
            if !begins_with_a_verb(&doc) {
                let opening: Vec<_> = doc.split_whitespace().take(4).collect();
                let what = format!("\"{} …\": begin with a verb, as in \"Returns\"", opening.join(" "));
                found.push((path.clone(), line, what));
            }
        }
    }
    assert_none(&report(found));
}

fn begins_with_a_verb(doc: &str) -> bool {
    let first = doc.split_whitespace().next().unwrap_or_default().trim_end_matches([',', '.', ':']);
    let is_verb = first.ends_with('s') && !first.ends_with("ss") && first.starts_with(char::is_uppercase);
    is_verb && !NOT_VERBS.contains(&first) || OTHER_OPENINGS.contains(&first)
}

/// Collects the doc comments of functions, without those of tests.
#[derive(Default)]
struct Functions {
    docs: Vec<(String, usize)>,
}

impl Functions {
    fn add(&mut self, attributes: &[Attribute]) {
        let lines: Vec<_> = attributes.iter().filter_map(doc_of).collect();
        if let Some((_, line)) = lines.first() {
            let text: Vec<_> = lines.iter().map(|(text, _)| text.as_str()).collect();
            self.docs.push((text.join("\n"), *line));
        }
    }
}

fn doc_of(attribute: &Attribute) -> Option<(String, usize)> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    match &pair.value {
        Expr::Lit(literal) if pair.path.is_ident("doc") => match &literal.lit {
            Lit::Str(text) => Some((text.value(), attribute.pound_token.spans[0].start().line)),
            _ => None,
        },
        _ => None,
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let is_test =
            |attribute: &Attribute| attribute.path().segments.last().is_some_and(|name| name.ident == "test");
        if !function.attrs.iter().any(is_test) {
            self.add(&function.attrs);
        }
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.attrs);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        self.add(&function.attrs);
        visit::visit_trait_item_fn(self, function);
    }
}

#[test]
fn sentences_of_doc_comments_are_short() {
    let mut found = Vec::new();
    for (path, code) in sources() {
        for text in prose(&path, &code).into_iter().filter(|text| text.kind == Kind::Doc) {
            for (line, sentence) in sentences(&text.text) {
                let words =
                    sentence.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count();
                if words > MAX_WORDS {
                    let opening: Vec<_> = sentence.split_whitespace().take(6).collect();
                    let what = format!("a sentence of {words} words: \"{} …\"", opening.join(" "));
                    found.push((path.clone(), text.line + line, what));
                }
            }
        }
    }
    assert_none(&report(found));
}

#[test]
fn a_planted_word_is_found_in_every_kind_of_text() {
    let code = r##"//! The page stands.
/// Where nobody
/// is told.
fn f() {
    // Look
    // at this.
    warn!("it is no list", x = r#"anew"#);
    let standard = "/livez understood, there is no Secret, is no longer";
}"##;
    let found = banned(&prose("src/x.rs", code)).join("\n");
    let expected = [
        "src/x.rs:1: \"stands\": write exist, be ready, be there",
        "src/x.rs:2: \"nobody\": write \"no\" with the noun, or negate the verb",
        "src/x.rs:3: \"told\": write report, record, log, say, pass",
        "src/x.rs:5: \"Look at\": write inspect, read, check, reconcile",
        "src/x.rs:7: \"anew\": write again",
        "src/x.rs:7: \"is no\": write negate the verb: \"is not a valid region\", \"does not have\"",
    ];
    assert_eq!(found, expected.join("\n"));
    assert!(
        begins_with_a_verb(" Returns it.")
            && !begins_with_a_verb(" What it is.")
            && !begins_with_a_verb(" The same.")
    );
    let text = "One two. Three\nfour.\n\n- five six\n- seven\n```\ncode\n```\nEight.";
    let lines: Vec<usize> = sentences(text).into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [0, 0, 3, 4, 8]);
}
