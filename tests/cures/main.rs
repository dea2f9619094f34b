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
const ROOMS: [&str; 9] = [
    "src/api/binding",
    "src/args",
    "src/bin/acr-credential-controller",
    "src/cloud",
    "src/cluster",
    "src/controller",
    "src/model",
    "src/plan",
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
    let counts: Vec<_> = code.reasons.into_iter().collect();
    assert_eq!(counts, [(("KeyInvalid".to_owned(), "src/plan/new.rs".to_owned()), 2)]);
}
