//! A list of texts as CEL writes it: `['a', 'b']`.

use std::fmt::Write as _;

/// Reason why an expression is not a plain list of texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a plain list of texts such as ['a', 'b']")]
pub struct InvalidLiteral;

/// Writes a list with a quotation mark. No item can end its own quotation.
pub fn to_cel<'a>(items: impl IntoIterator<Item = &'a String>, quote: char) -> String {
    let items: Vec<String> = items.into_iter().map(|item| quoted(item, quote)).collect();
    format!("[{}]", items.join(", "))
}

fn quoted(item: &str, quote: char) -> String {
    let mut text = String::from(quote);
    for c in item.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '\'' | '"' | '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push(quote);
    text
}

/// Reads a list.
///
/// # Errors
/// [`InvalidLiteral`]: it is another expression.
pub fn from_cel(expression: &str) -> Result<Vec<String>, InvalidLiteral> {
    let inner = expression.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let mut rest = inner.ok_or(InvalidLiteral)?.trim();
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (item, after) = text(rest)?;
        items.push(item);
        rest = match after.trim_start().strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.trim().is_empty() => "",
            None => return Err(InvalidLiteral),
        };
    }
    Ok(items)
}

/// Reads the quoted text at the beginning, and returns it with what follows.
fn text(from: &str) -> Result<(String, &str), InvalidLiteral> {
    let mut chars = from.chars();
    let quote = chars.next().filter(|c| matches!(c, '\'' | '"')).ok_or(InvalidLiteral)?;
    let mut item = String::new();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Ok((item, chars.as_str())),
            '\\' => item.push(match chars.next() {
                Some(c @ ('\\' | '\'' | '"')) => c,
                Some('n') => '\n',
                Some('t') => '\t',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4);
                    code.and_then(char::from_u32).ok_or(InvalidLiteral)?
                }
                _ => return Err(InvalidLiteral),
            }),
            c => item.push(c),
        }
    }
    Err(InvalidLiteral)
}

#[cfg(test)]
mod tests {
    use super::{from_cel, to_cel};
    use proptest::prelude::*;

    #[test]
    fn a_list_is_read_in_each_way_in_which_people_write_it() {
        let list = |items: &[&str]| Ok(items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
        for (text, expected) in [
            ("[]", list(&[])),
            (" [ ] ", list(&[])),
            ("['a']", list(&["a"])),
            ("[\"a=b\" ,'c/*',]", list(&["a=b", "c/*"])),
            (r"['it\'s', 'a\\b', 'd\u0027e']", list(&["it's", r"a\b", "d'e"])),
        ] {
            assert_eq!(from_cel(text), expected, "{text}");
        }
        for text in ["", "a", "['a'", "['a' 'b']", "[a]", "['a'] + ['b']", "['a', 1]", r"['\x']", r"['\u00']"]
        {
            assert!(from_cel(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_written_list_is_read_again(items: Vec<String>, single: bool) {
            let text = to_cel(&items, if single { '\'' } else { '"' });
            prop_assert!(!text.contains(char::is_control));
            prop_assert_eq!(from_cel(&text), Ok(items));
        }
    }
}
