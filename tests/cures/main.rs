//! The table of cures: every reason of a condition and every message that asks its reader to do something, and the
//! test that makes the fault, does what is said, and sees the fault gone.
//!
//! # A new reason
//! One row in [`REASONS`](reasons::REASONS): how it ends, the tests that see it end, and the files that give it with the
//! number of places in each. A new place of an old reason changes that number: look whether the message there has a
//! cure of its own.
//!
//! # A new message with a cure
//! One row in [`MESSAGES`](messages::MESSAGES): its file, the words that ask, and the tests that follow them. A test
//! that follows a cure holds its words as a text, such as the argument of `acr_lab::message::after`, so that a changed
//! message fails here until the test is changed too. A message of two cures (`a, or b`) has a row for each.
//!
//! What [`verbs`] takes for a cure and is none has a row in [`STATEMENTS`](messages::STATEMENTS).
//!
//! # A new message without a cure
//! One line in `statements.yaml`. Each text has a row or a line, so that a cure with a rare verb is not missed: the author
//! of a message decides which one it is.

#![expect(clippy::panic, clippy::expect_used, reason = "what cannot be read fails the test")]

mod flags;
mod messages;
mod reasons;
mod sources;
mod verbs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use acr_credential_binding::api::Reason;

use crate::messages::{MESSAGES, STATEMENTS};
use crate::reasons::{End, REASONS};
use crate::sources::{Code, Message, TestFile};

/// The rooms whose messages reach a user of the controller. Findings of the ConfigMap have codes and a table of their
/// own, and so has the plugin.
const ROOMS: [&str; 11] = [
    "src/api/binding",
    "src/args",
    "src/bin/acr-credential-controller",
    "src/bin/acr-credential-provider",
    "src/cloud",
    "src/cluster",
    "src/controller",
    "src/model",
    "src/plan",
    "src/provider",
    "src/server",
];

/// The rooms as read, once for all tests.
static CODE: LazyLock<Code> = LazyLock::new(|| {
    let mut code = sources::code(&ROOMS);
    code.messages.retain(|message| !message.file.starts_with("src/model/legacy"));
    code
});

/// Returns the modules of all tests that rows name.
fn modules() -> BTreeMap<&'static str, TestFile> {
    let named = REASONS.iter().map(|row| row.tests).chain(MESSAGES.iter().map(|row| row.tests)).flatten();
    let modules: BTreeSet<&str> =
        named.filter_map(|test| test.rsplit_once("::")).map(|(module, _)| module).collect();
    modules.into_iter().filter_map(|module| Some((module, sources::tests(module)?))).collect()
}

/// Returns the file of a test, if the test exists: `integration::conflict::name` is `name` in that module.
fn file_of<'a>(modules: &'a BTreeMap<&str, TestFile>, test: &str) -> Option<&'a TestFile> {
    let (module, name) = test.rsplit_once("::")?;
    modules.get(module).filter(|file| file.tests.contains(name))
}

#[test]
fn every_reason_has_a_row() {
    let rows: Vec<Reason> = REASONS.iter().map(|row| row.reason).collect();
    assert_eq!(rows, Reason::ALL, "one row for each reason, in the order of `Reason::ALL`");
}

/// A reason that ends by itself must not ask for anything, and one that must be followed must.
#[test]
fn a_reason_ends_as_its_cure_says() {
    for row in REASONS {
        let cure = row.reason.cure();
        let nothing = ["Nothing to do.", "Wait."].iter().any(|words| cure.starts_with(words));
        let by_itself = matches!(row.end, End::Healthy | End::ByItself);
        assert_eq!(nothing, by_itself, "{}: {cure}", row.reason);
    }
}

#[test]
fn every_place_that_gives_a_reason_is_counted() {
    let found = &CODE.reasons;
    let mut wrong = Vec::new();
    for row in REASONS {
        let name = row.reason.to_string();
        let listed: BTreeMap<&str, usize> = row.places.iter().copied().collect();
        let counted = found.iter().filter(|((reason, _), _)| *reason == name);
        let counted: BTreeMap<&str, usize> =
            counted.map(|((_, file), count)| (file.as_str(), *count)).collect();
        if listed != counted {
            wrong.push(format!("{name} is given in {counted:?}, and its row has {listed:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the messages that ask for something and have no row.
fn without_row<'a>(messages: &'a [Message], rows: &[(&str, &str)]) -> Vec<&'a Message> {
    let has_row = |message: &Message| {
        rows.iter().any(|(file, words)| *file == message.file && message.text.contains(words))
    };
    messages.iter().filter(|message| verbs::asks(&message.text) && !has_row(message)).collect()
}

#[test]
fn every_message_with_a_cure_has_a_row() {
    let code = &*CODE;
    let rows: Vec<(&str, &str)> = MESSAGES.iter().map(|row| (row.file, row.words)).collect();
    let all: Vec<(&str, &str)> = rows.iter().chain(STATEMENTS).copied().collect();
    let missing: Vec<String> = without_row(&code.messages, &all)
        .into_iter()
        .map(|message| format!("{}:{}: {}", message.file, message.line, message.text))
        .collect();
    assert!(missing.is_empty(), "cures without a row, and so without a test: {missing:#?}");
    let stale: Vec<_> = all
        .iter()
        .filter(|(file, words)| !code.messages.iter().any(|m| m.file == *file && m.text.contains(words)))
        .collect();
    assert!(stale.is_empty(), "no message has these words: {stale:#?}");
    let unique: BTreeSet<_> = all.iter().collect();
    assert_eq!(unique.len(), all.len(), "a row exists twice");
}

#[test]
fn every_test_of_a_row_exists_and_holds_the_words_that_it_follows() {
    let modules = modules();
    let mut wrong = Vec::new();
    let of_reasons = REASONS.iter().map(|row| (row.reason.to_string(), row.tests));
    let of_messages = MESSAGES.iter().map(|row| (row.words.to_owned(), row.tests));
    for (name, named) in of_reasons.chain(of_messages) {
        if named.is_empty() {
            wrong.push(format!("{name} has no test"));
        }
        for test in named.iter().filter(|test| file_of(&modules, test).is_none()) {
            wrong.push(format!("{name}: the test {test} does not exist"));
        }
    }
    for row in MESSAGES {
        let mut files = row.tests.iter().filter_map(|test| file_of(&modules, test));
        if !files.any(|file| file.texts.iter().any(|text| text.contains(row.words))) {
            wrong.push(format!("no test of {:?} holds these words", row.words));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns the alternatives that no row has in its words, of messages that have a row.
fn alternatives_without_row(messages: &[Message], rows: &[(&str, &str)]) -> Vec<String> {
    let mut without = Vec::new();
    for Message { file, line, text } in messages {
        let of_text = rows.iter().filter(|(of, words)| of == file && text.contains(words));
        let spans: Vec<_> = of_text
            .flat_map(|(_, words)| text.match_indices(words).map(|(at, found)| at..at + found.len()))
            .collect();
        let missing = verbs::alternatives(text);
        let missing = missing.into_iter().filter(|at| !spans.iter().any(|span| span.contains(at)));
        let words = |at: usize| text[at..].chars().take(50).collect::<String>();
        without.extend(
            missing.filter(|_| !spans.is_empty()).map(|at| format!("{file}:{line}: or {}", words(at))),
        );
    }
    without
}

/// A message of two cures is followed in both.
#[test]
fn each_alternative_of_a_message_is_in_the_words_of_a_row() {
    let rows = MESSAGES.iter().map(|row| (row.file, row.words)).chain(STATEMENTS.iter().copied());
    let rows: Vec<(&str, &str)> = rows.collect();
    let missing = alternatives_without_row(&CODE.messages, &rows);
    assert!(missing.is_empty(), "a row for each: {missing:#?}");
    let text = "delete it, or restart the controller".to_owned();
    let two = [Message { file: "a".to_owned(), line: 1, text }];
    assert_eq!(alternatives_without_row(&two, &[("a", "delete it")]), ["a:1: or restart the controller"]);
    assert!(alternatives_without_row(&two, &[("a", "delete it"), ("a", "or restart")]).is_empty());
}

/// The fewest words of a text that can be a message. A shorter one is a name, or a part of another text.
const WORDS: usize = 3;

/// Returns the texts of messages that have neither a row nor a line, by their files.
fn undecided<'a>(
    messages: &'a [Message],
    rows: &[(&str, &str)],
    lines: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<(&'a str, &'a str)> {
    let is_word = |word: &str| word.contains(|c: char| c.is_alphabetic());
    // The comment of an item within a macro, which is documentation.
    let is_comment =
        |text: &str| text.starts_with(' ') && text[1..].starts_with(|c: char| c.is_uppercase() || c == '`');
    let mut undecided: Vec<(&str, &str)> = messages
        .iter()
        .filter(|message| message.text.split_whitespace().filter(|word| is_word(word)).count() >= WORDS)
        .filter(|message| !is_comment(&message.text))
        .filter(|message| {
            let row = |(file, words): &(&str, &str)| *file == message.file && message.text.contains(words);
            let line = lines.get(&message.file).is_some_and(|texts| texts.contains(&message.text));
            !line && !rows.iter().any(row)
        })
        .map(|message| (message.file.as_str(), message.text.as_str()))
        .collect();
    undecided.sort_unstable();
    undecided.dedup();
    undecided
}

/// A message whose verb no list has is a cure or a statement, and its author says which.
#[test]
fn every_message_has_a_row_or_is_listed_as_one_without_a_cure() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cures/statements.yaml");
    let text = std::fs::read_to_string(path).expect("the list");
    let lines: BTreeMap<String, BTreeSet<String>> = serde_saphyr::from_str(&text).expect("YAML");
    let rows = MESSAGES.iter().map(|row| (row.file, row.words)).chain(STATEMENTS.iter().copied());
    let rows: Vec<(&str, &str)> = rows.collect();
    let mut missing = String::new();
    let mut last = "";
    for (file, text) in undecided(&CODE.messages, &rows, &lines) {
        if file != last {
            missing.push_str(&format!("{file}:\n"));
        }
        missing.push_str(&format!("- {}\n", serde_json::Value::from(text)));
        last = file;
    }
    assert!(missing.is_empty(), "a row for each with a cure, or these lines in {path}:\n{missing}");
    let exists = |file: &str, text: &str| CODE.messages.iter().any(|m| m.file == file && m.text == text);
    let has_row = |file: &str, text: &str| rows.iter().any(|(f, words)| *f == file && text.contains(words));
    let wrong: Vec<(&str, &str)> = lines
        .iter()
        .flat_map(|(file, texts)| texts.iter().map(|text| (file.as_str(), text.as_str())))
        .filter(|(file, text)| !exists(file, text) || has_row(file, text) || verbs::asks(text))
        .collect();
    assert!(wrong.is_empty(), "no message has these words, or they have a row, or they ask: {wrong:#?}");
}

/// The rules themselves, on code that breaks them.
#[test]
fn a_new_message_and_a_new_place_are_found() {
    let mut code = Code::default();
    let text = r#"
        fn refuse(found: Reason) -> Failure {
            if found == Reason::Forbidden { return Failure::new(Reason::KeyInvalid, "the key is old") }
            warn!("{found}; restart the controller");
            Failure::new(Reason::KeyInvalid, format!("{found}: rotate the key, and wait"))
        }
        #[cfg(test)]
        mod tests { const TEXT: &str = "delete it"; }
    "#;
    code.add("src/plan/new.rs", &syn::parse_file(text).expect("Rust"));
    let missing = without_row(&code.messages, &[("src/plan/new.rs", "restart the controller")]);
    let missing: Vec<&str> = missing.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(missing, ["{found}: rotate the key, and wait"]);
    let lines =
        BTreeMap::from([("src/plan/new.rs".to_owned(), BTreeSet::from(["the key is old".to_owned()]))]);
    let rows = [("src/plan/new.rs", "restart the controller"), ("src/plan/new.rs", "rotate the key")];
    assert_eq!(undecided(&code.messages, &rows, &BTreeMap::new()), [("src/plan/new.rs", "the key is old")]);
    assert_eq!(undecided(&code.messages, &rows, &lines), []);
    let counts: Vec<_> = code.reasons.into_iter().collect();
    assert_eq!(counts, [(("KeyInvalid".to_owned(), "src/plan/new.rs".to_owned()), 2)]);
}
