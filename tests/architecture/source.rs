//! The files of `src/`, and their code as a flat list of tokens.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Texts of files by their path from the root of the repository.
pub type Files = BTreeMap<String, String>;

/// Reads every Rust file of `src/`.
pub fn files() -> Files {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Files::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text =
                    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let path = path.strip_prefix(root).expect("a path under the root");
                found.insert(path.to_string_lossy().into_owned(), text);
            }
        }
    }
    assert!(found.len() > 40, "only {} files: is this the root of the repository?", found.len());
    found
}

/// A name, a sign (`::` is one) or a delimiter of Rust code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// Returns the tokens of some code, without comments. A string is the token `""`, regardless of its content.
pub fn tokens(code: &TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten(code, &mut tokens);
    tokens
}

/// Reads the tokens of a file.
pub fn tokens_of(code: &str) -> Vec<Token> {
    tokens(&code.parse().unwrap_or_else(|error| panic!("{error}: {code}")))
}

fn flatten(code: &TokenStream, tokens: &mut Vec<Token>) {
    for tree in code.clone() {
        let line = tree.span().start().line;
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token { text: open.to_owned(), line });
                flatten(&group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            TokenTree::Ident(name) => tokens.push(Token { text: name.to_string(), line }),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let text = if text.ends_with(['"', '#']) { "\"\"".to_owned() } else { text };
                tokens.push(Token { text, line });
            }
            TokenTree::Punct(sign) => match tokens.last_mut() {
                Some(last) if last.text == ":" && sign.as_char() == ':' => last.text.push(':'),
                _ => tokens.push(Token { text: sign.to_string(), line }),
            },
        }
    }
}

/// Counts how often a phrase occurs: its tokens, separated by spaces, one after the other.
pub fn count(tokens: &[Token], phrase: &str) -> usize {
    let phrase: Vec<&str> = phrase.split(' ').collect();
    let is_phrase = |window: &&[Token]| window.iter().zip(&phrase).all(|(token, word)| token.text == *word);
    tokens.windows(phrase.len()).filter(is_phrase).count()
}

#[test]
fn tokens_hold_no_comment_and_no_string() {
    let code = "// crate::a\n/// [`x`](crate::b)\nlet text = \"crate::c \\\" crate::d\"; let a = '\"'; f(r#\"crate::e \" \"#, crate::g);";
    let tokens = tokens_of(code);
    assert_eq!(count(&tokens, "crate ::"), 1);
    assert_eq!(count(&tokens, "crate :: g ) ;"), 1);
    assert_eq!(count(&tokens, "text = \"\""), 1);
}
