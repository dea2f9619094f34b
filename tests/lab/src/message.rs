//! Messages of the product as instructions: a test takes the words of a cure from the message, and follows them.
//!
//! Each function panics if the message lacks the words: then the test would follow a cure that no message has.

#![expect(clippy::panic, reason = "only tests use it, and a message without the words fails them")]

/// Returns the rest of a message after some words.
pub fn after<'m>(message: &'m str, words: &str) -> &'m str {
    match message.split_once(words) {
        Some((_, rest)) => rest,
        None => panic!("{words:?} is not in {message}"),
    }
}

/// Returns the text of a message between some words and the next occurrence of others.
pub fn between<'m>(message: &'m str, before: &str, next: &str) -> &'m str {
    let rest = after(message, before);
    match rest.split_once(next) {
        Some((found, _)) => found,
        None => panic!("{next:?} is not after {before:?} in {message}"),
    }
}

/// Returns the arguments of the kubectl command that a message ends with or names in its middle, up to a `;`.
pub fn kubectl(message: &str) -> Vec<&str> {
    let command = after(message, "kubectl ");
    command.split(';').next().unwrap_or(command).split_whitespace().collect()
}

/// Returns the key and the value of the annotation that a message asks for: `annotate the binding with KEY: "VALUE"`.
pub fn annotation<'m>(message: &'m str, words: &str) -> (&'m str, &'m str) {
    let (key, rest) = match after(message, words).split_once(": \"") {
        Some(split) => split,
        None => panic!("no annotation is after {words:?} in {message}"),
    };
    (key.trim(), rest.split('"').next().unwrap_or(rest))
}

/// Returns the files of `deploy/` that a message asks to apply, in their order.
pub fn files(message: &str) -> Vec<&str> {
    let words = message.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '`' | '?' | ')'));
    words.filter(|word| word.starts_with("deploy/")).map(|word| word.trim_end_matches('.')).collect()
}

#[test]
fn instructions_are_taken_from_a_message() {
    let message = "none; create it: kubectl -n a create serviceaccount b; or annotate it with c/d: \"true\", and apply deploy/x.yaml.";
    assert_eq!(kubectl(message), ["-n", "a", "create", "serviceaccount", "b"]);
    assert_eq!(annotation(message, "annotate it with"), ("c/d", "true"));
    assert_eq!(files(message), ["deploy/x.yaml"]);
    assert_eq!(between(message, "create it: ", " -n"), "kubectl");
    assert_eq!(between(message, "or ", " "), "annotate", "up to the next occurrence");
}
