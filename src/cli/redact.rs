//! Lines that hold a key pair are shown without it.

use secrecy::ExposeSecret;

use crate::model::legacy::KeyPair;

/// The least characters of a key that is looked for in the whole text: shorter ones are placeholders, and would be
/// found in words.
const MIN_KEY: usize = 8;

/// What the names of a key pair's fields have in common, in lower case.
const NAME: &str = "accesskey";

/// What a misspelt one still says, before a colon.
const SECRET: &str = "secret";

/// The text with stars for every key, each byte where it was. After the name of a key pair's field, everything up
/// to the end of its line, and of lines that carry it on, counts as one.
pub(super) fn masked(text: &str, pairs: &[KeyPair]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let lower = text.to_ascii_lowercase();
    let mut start = 0;
    let mut carried: Option<usize> = None;
    for line in lower.split_inclusive('\n') {
        let depth = line.len() - line.trim_start().len();
        // The items of a list may be as deep as their key.
        let item = line[depth..].starts_with(['-', '－']);
        let from = match after_name(line) {
            Some(at) => {
                carried = Some(depth);
                at
            }
            None if line.trim().is_empty() => line.len(),
            // A deeper line that is no key of its own carries on a text of several lines.
            None if carried.is_some_and(|of| depth > of || depth == of && item) && !is_key(line) => 0,
            None => {
                carried = None;
                line.len()
            }
        };
        hide(&mut bytes[start + from..start + line.len()]);
        start += line.len();
    }
    for pair in pairs {
        for key in [&pair.access_key_id, &pair.access_key_secret].map(ExposeSecret::expose_secret) {
            if key.len() >= MIN_KEY {
                text.match_indices(key).for_each(|(at, key)| hide(&mut bytes[at..at + key.len()]));
            }
        }
    }
    for (at, _) in lower.match_indices("ltai") {
        let length = bytes[at..].iter().take_while(|b| b.is_ascii_alphanumeric()).count();
        if length >= 12 {
            hide(&mut bytes[at..at + length]);
        }
    }
    // Only signs of ASCII were replaced by signs of ASCII.
    String::from_utf8(bytes).unwrap_or_default()
}

/// Whether a text may be shown as a change: one that holds a key may not.
pub(super) fn tellable(text: &str, pairs: &[KeyPair]) -> bool {
    masked(text, pairs) == text
}

/// Where the name of a key pair's field ends in a line of lower case. One that no colon ends has perhaps a key
/// stuck to it, and counts from where it begins.
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

fn hide(bytes: &mut [u8]) {
    for byte in bytes.iter_mut().filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'_')) {
        *byte = b'*';
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hides(text: &str) {
        let masked = masked(text, &[]);
        assert_eq!(masked.len(), text.len());
        assert!(!masked.contains("SECRET"), "{masked}");
    }

    #[test]
    fn a_key_is_hidden_however_it_is_written() {
        hides("  customAccessKeySecret: SECRET\n");
        hides("  customAccessKey:\"SECRET\"//SECRET\n");
        hides("  customaccesskeysecret： SECRET\n");
        hides("# customAccessKeySecret: SECRET\n");
        hides("  customAccessKeySecret: >-\n    SECRET\n    SECRET\n");
        hides("  customAccessKeySecret:\n    \"SECRET\"\n");
        hides(
            "{\"data\":{\"acr-registry-info\":\"- customAccessKey: SECRET\\n  customAccessKeySecret: SECRET\"}}",
        );
        hides("- {instanceId: \"\", customAccessKey: SECRET, customAccessKeySecret: SECRET}\n");
    }

    #[test]
    fn a_key_is_hidden_under_a_misspelt_name_and_in_a_list() {
        hides("  customAcessKeySecret: SECRET\n");
        hides("  custom_access_key_secret:SECRET\n");
        hides("  custom_access_key \"SECRET:SECRET\"\n");
        hides("  {\\\"acces-key-secret\\\": \\\"SECRET\\\"}\n");
        hides("  customAccessKeySecret:\n  - SECRET\n  - SECRET\n");
        hides("  customAccessKeySecret:\n  －SECRET\n\u{3000}\u{3000}SECRET\n");
    }

    #[test]
    fn what_is_no_key_is_shown() {
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
    fn a_key_is_hidden_where_its_line_does_not_name_it() {
        let pair = KeyPair {
            secret_name: "a".to_owned(),
            access_key_id: "LTAISECRETSECRET".to_owned().into(),
            access_key_secret: "aSECRETb".to_owned().into(),
        };
        let masked = masked("# aSECRETb\nx: LTAISECRETSECRET\n", &[pair]);
        assert_eq!(masked, "# ********\nx: ****************\n");
    }
}
