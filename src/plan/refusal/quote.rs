//! Words of others in a message: bounded, on one line, and without anything secret.

/// Bytes of a quote at most.
const MAX_BYTES: usize = 512;

/// Bytes of a list of keys at most, but always one key.
const MAX_LISTED: usize = 200;

/// Letters and digits in a row that may be part of a credential. Names have a hyphen, a dot or a colon before so many.
const CREDENTIAL: usize = 32;

/// The digits of a token that is an identifier by its length alone.
const IDENTIFIER: usize = 16;

/// Quotes the words of a policy, a webhook or the API server: on one line, cut at 512 bytes. A policy may quote the object
/// that it denies, so that anything that may be part of a credential is left out.
pub fn quote(words: &str) -> String {
    let line = words.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.map(without_credentials).collect::<Vec<_>>().join(" ");
    let cut = (0..=MAX_BYTES).rev().find(|&end| line.is_char_boundary(end)).unwrap_or_default();
    match line.get(..cut) {
        Some(head) if line.len() > MAX_BYTES => format!("\"{head}…\""),
        _ => format!("\"{line}\""),
    }
}

/// Returns a word with each long run of letters and digits left out.
fn without_credentials(word: &str) -> String {
    let in_run = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_');
    let (mut out, mut rest) = (String::with_capacity(word.len()), word);
    while !rest.is_empty() {
        let run = rest.find(|c| !in_run(c)).unwrap_or(rest.len());
        let (head, tail) = rest.split_at(run);
        out.push_str(if run >= CREDENTIAL { "[…]" } else { head });
        let other = tail.find(in_run).unwrap_or(tail.len());
        let (head, tail) = tail.split_at(other);
        out.push_str(head);
        rest = tail;
    }
    out
}

/// Returns whether two messages say the same, apart from times, addresses, numbers and identifiers.
pub fn says_the_same(one: &str, other: &str) -> bool {
    fn steady(message: &str) -> impl Iterator<Item = &str> {
        let between = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_' | '+'));
        message.split(between).filter(|token| !token.is_empty()).filter(|token| !varies(token))
    }
    one == other || steady(one).eq(steady(other))
}

/// Returns whether a token is a time, an address, a number or an identifier, which may differ in each message.
fn varies(token: &str) -> bool {
    let letters = |c: char| !c.is_ascii_alphabetic() || c.is_ascii_hexdigit() || "TZmnsuh".contains(c);
    let has_digit = token.contains(|c: char| c.is_ascii_digit());
    let plain = token.chars().all(|c| c.is_ascii_alphanumeric());
    has_digit && (token.chars().all(letters) || (plain && token.len() >= IDENTIFIER))
}

/// Returns as many of the keys as have room in a message, and how many have none.
pub fn fitting<'a>(keys: &[&'a str]) -> (Vec<&'a str>, usize) {
    let mut room = MAX_LISTED;
    let fits = |key: &&&str| {
        let fits = room == MAX_LISTED || key.len() <= room;
        room = room.saturating_sub(key.len() + 2).min(MAX_LISTED - 1);
        fits
    };
    let listed: Vec<&str> = keys.iter().take_while(fits).copied().collect();
    let more = keys.len() - listed.len();
    (listed, more)
}

#[cfg(test)]
mod tests {
    use super::{fitting, quote, says_the_same};

    #[test]
    fn a_quote_is_one_line_of_at_most_512_bytes_and_ends_between_characters() {
        assert_eq!(quote("\n\nblocked:\n  check: 'no\tlabel'\r\n"), "\"blocked: check: 'no label'\"");
        for c in ["a ", "标", "é", "🦀"] {
            let long = quote(&c.repeat(2000));
            let inner = long.trim_matches('"').trim_end_matches('…');
            assert!(long.ends_with("…\"") && inner.len() <= 512 && inner.len() > 508, "{long}");
        }
        assert_eq!(quote(""), "\"\"");
    }

    #[test]
    fn nothing_that_could_be_a_credential_is_quoted() {
        let token = "eyJhdXRocyI6eyJkZW1vLXJlZ2lzdHJ5LmNuLWhhbmd6aG91";
        let quoted = quote(&format!("data is {{\".dockerconfigjson\":\"{token}\"}} in s"));
        assert_eq!(quoted, "\"data is {\".dockerconfigjson\":\"[…]\"} in s\"");
        let names = "Secret/shop/acr-credential-secret-aggregation by validate.kyverno.svc-fail at https://a.svc:443/x?timeout=10s";
        assert_eq!(quote(names), format!("\"{names}\""));
    }

    #[test]
    fn messages_that_differ_by_times_addresses_and_identifiers_say_the_same() {
        let at = |time: &str, id: &str, port: &str, took: &str| {
            format!("request {id} at {time}: dial tcp 10.0.0.1:{port}: refused after {took}")
        };
        let first = at("2026-11-30T12:01:02.123Z", "8f3a0b1c-0000-4abc-9def-0123456789ab", "41234", "1.2s");
        let second = at("2026-11-30T12:06:09.9Z", "01HXYZ8M3Q4V5W6K7N", "50001", "900ms");
        assert!(says_the_same(&first, &second), "{first} / {second}");
        for (one, other) in [
            ("the label team-1 is required", "the label team-2 is required"),
            ("the label team is required", "the label owner is required"),
            ("a", ""),
        ] {
            assert!(!says_the_same(one, other), "{one} / {other}");
        }
    }

    #[test]
    fn keys_are_listed_while_they_have_room_and_one_always() {
        assert_eq!(fitting(&["a", "b"]), (vec!["a", "b"], 0));
        let long = "k".repeat(317);
        assert_eq!(fitting(&[&long, "b"]), (vec![&*long], 1));
        let some = "k".repeat(90);
        assert_eq!(fitting(&[&some, &some, &some, "b"]).1, 2);
        assert_eq!(fitting(&[]), (vec![], 0));
    }
}
