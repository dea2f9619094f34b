//! Masks key pairs in the lines that are shown.

use secrecy::ExposeSecret;

use crate::model::legacy::KeyPair;

/// The shortest key that is searched for in the whole text. Shorter ones are placeholders, and occur in words.
const MIN_KEY: usize = 8;

/// The common part of the names of a key pair's fields, in lower case.
const NAME: &str = "accesskey";

/// The part that a misspelt name still has, before a colon.
const SECRET: &str = "secret";

/// Returns the text with stars for every key, each byte at its place. Everything after the name of a key pair's field
/// counts as a key, up to the end of the line and of its continuation lines.
pub(super) fn masked(text: &str, pairs: &[KeyPair]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let lower = text.to_ascii_lowercase();
    let mut start = 0;
    let mut continued: Option<usize> = None;
    for line in lower.split_inclusive('\n') {
        let depth = line.len() - line.trim_start().len();
        // The items of a list may be as deep as their key.
        let item = line[depth..].starts_with(['-', '－']);
        let from = match after_name(line) {
            Some(at) => {
                continued = Some(depth);
                at
            }
            None if line.trim().is_empty() => line.len(),
            // A deeper line without a key of its own continues a text of several lines.
            None if continued.is_some_and(|of| depth > of || depth == of && item) && !is_key(line) => 0,
            None => {
                continued = None;
                line.len()
            }
        };
        mask(&mut bytes[start + from..start + line.len()]);
        start += line.len();
    }
    for pair in pairs {
        for key in [&pair.access_key_id, &pair.access_key_secret].map(ExposeSecret::expose_secret) {
            if key.len() >= MIN_KEY {
                text.match_indices(key).for_each(|(at, key)| mask(&mut bytes[at..at + key.len()]));
            }
        }
    }
    for (at, _) in lower.match_indices("ltai") {
        let length = bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if length >= 12 {
            mask(&mut bytes[at..at + length]);
        }
    }
    // ASCII characters were replaced by ASCII characters, so the text is still UTF-8.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Returns whether a text may be shown as a change: it holds no key.
pub(super) fn is_public(text: &str, pairs: &[KeyPair]) -> bool {
    masked(text, pairs) == text
}

/// Returns the end of the name of a key pair's field in a lower-case line. Without a colon behind it, a key may be attached
/// to the name, so its start is returned.
fn after_name(line: &str) -> Option<usize> {
    let mut at = 0;
    line.split_inclusive(|c: char| !is_word(c)).find_map(|piece| {
        let word = piece.trim_end_matches(|c| !is_word(c));
        let (start, end) = (at, at + word.len());
        at += piece.len();
        let ended =
            line[end..].trim_start_matches([' ', '\t', '"', '\'', '\\']).starts_with([':', '=', '：']);
        let named = word.replace(['_', '-'], "").contains(NAME) || ended && word.contains(SECRET);
        named.then_some(if ended { end } else { start })
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

fn is_key(line: &str) -> bool {
    let body = line.trim_start_matches([' ', '\t', '-']);
    body.starts_with('#')
        || body
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .is_some_and(|end| end > 0 && body[end..].starts_with(": "))
}

fn mask(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'_')) {
        *byte = b'*';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masks(text: &str) {
        let masked = masked(text, &[]);
        assert_eq!(masked.len(), text.len());
        assert!(!masked.contains("SECRET"), "{masked}");
    }

    #[test]
    fn a_key_is_masked_in_every_notation() {
        masks("  customAccessKeySecret: SECRET\n");
        masks("  customAccessKey:\"SECRET\"//SECRET\n");
        masks("  customaccesskeysecret： SECRET\n");
        masks("# customAccessKeySecret: SECRET\n");
        masks("  customAccessKeySecret: >-\n    SECRET\n    SECRET\n");
        masks("  customAccessKeySecret:\n    \"SECRET\"\n");
        masks(
            "{\"data\":{\"acr-registry-info\":\"- customAccessKey: SECRET\\n  customAccessKeySecret: SECRET\"}}",
        );
        masks("- {instanceId: \"\", customAccessKey: SECRET, customAccessKeySecret: SECRET}\n");
    }

    #[test]
    fn a_key_is_masked_under_a_misspelt_name_and_in_a_list() {
        masks("  customAcessKeySecret: SECRET\n");
        masks("  custom_access_key_secret:SECRET\n");
        masks("  custom_access_key \"SECRET:SECRET\"\n");
        masks("  {\\\"acces-key-secret\\\": \\\"SECRET\\\"}\n");
        masks("  customAccessKeySecret:\n  - SECRET\n  - SECRET\n");
        masks("  customAccessKeySecret:\n  －SECRET\n\u{3000}\u{3000}SECRET\n");
    }

    #[test]
    fn text_without_a_key_is_shown_unchanged() {
        for text in [
            "- instanceId: cri-abc\n  regionId: cn-hangzhou\n",
            "notify-email: \"c*@aliyuncs.com\" // a\r\n",
            "# the secret of it\nkind: Secret\nservice-account: secret-reader\n",
        ] {
            assert_eq!(masked(text, &[]), text);
        }
        let text = "- customAccessKey: xxxxx # 此处\n  regionId: cn-hangzhou\n";
        assert_eq!(masked(text, &[]), "- customAccessKey: ***** # 此处\n  regionId: cn-hangzhou\n");
    }

    #[test]
    fn a_key_is_masked_in_lines_that_do_not_name_it() {
        let pair = KeyPair {
            secret_name: "a".to_owned(),
            access_key_id: "LTAISECRETSECRET".to_owned().into(),
            access_key_secret: "aSECRETb".to_owned().into(),
        };
        let masked = masked("# aSECRETb\nx: LTAISECRETSECRET\n", &[pair]);
        assert_eq!(masked, "# ********\nx: ****************\n");
    }
}
