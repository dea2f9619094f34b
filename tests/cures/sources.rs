//! The code and the tests as they are written: messages, the places of reasons, and functions of tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Expr, Item, Lit, Meta, Pat};

/// One text of the code.
pub struct Message {
    pub file: String,
    pub line: usize,
    pub text: String,
}

/// The texts of the code, and how often each file gives a reason to a condition or an error.
#[derive(Default)]
pub struct Code {
    pub messages: Vec<Message>,
    /// Counts by reason and file.
    pub reasons: BTreeMap<(String, String), usize>,
}

/// A file of tests: its functions that are tests, and its texts.
#[derive(Default)]
pub struct TestFile {
    pub tests: BTreeSet<String>,
    pub texts: Vec<String>,
}

/// Macros whose texts no user reads: `debug!` and `trace!` are off, and an assertion is not a message.
const SILENT: [&str; 8] =
    ["debug", "trace", "assert", "assert_eq", "debug_assert", "matches", "json", "unreachable"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads every Rust file of a folder, by its path from the root of the repository.
fn files(folder: &str) -> BTreeMap<String, syn::File> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            let name = path.strip_prefix(root()).expect("a path under the root").display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
                let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
                found.insert(name, file);
            }
        }
    }
    found
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.ends_with("/fixture.rs")
}

/// Reads the code of some rooms.
pub fn code(rooms: &[&str]) -> Code {
    let mut code = Code::default();
    let mut all = BTreeMap::new();
    for room in rooms {
        if root().join(room).is_dir() {
            all.extend(files(room));
        }
        let module = format!("{room}.rs");
        if let Ok(text) = fs::read_to_string(root().join(&module)) {
            let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{module}: {error}"));
            all.insert(module, file);
        }
    }
    for (path, file) in all.iter().filter(|(path, _)| !is_test_file(path)) {
        code.add(path, file);
    }
    assert!(
        code.messages.len() > 100,
        "only {} texts: is this the root of the repository?",
        code.messages.len()
    );
    code
}

impl Code {
    /// Adds what a file says.
    pub fn add(&mut self, path: &str, file: &syn::File) {
        CodeReader { code: self, path }.visit_file(file);
    }
}

/// Reads the tests of a module: `integration::conflict`, `lab::plane`, `src::plan::desired`.
pub fn tests(module: &str) -> Option<TestFile> {
    let path = module.replace("::", "/");
    let folder = if path.starts_with("src/") { "" } else { "tests/" };
    let names = [format!("{folder}{path}.rs"), format!("{folder}{path}/main.rs")];
    let text = names.iter().find_map(|name| fs::read_to_string(root().join(name)).ok())?;
    let mut reader = TestReader(TestFile::default());
    reader.visit_file(&syn::parse_file(&text).unwrap_or_else(|error| panic!("{module}: {error}")));
    Some(reader.0)
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let test = |meta: &Meta| meta.path().is_ident("test");
    attributes.iter().any(|a| a.path().is_ident("cfg") && a.parse_args().is_ok_and(|meta| test(&meta)))
}

/// Returns the text of a literal, if it is one.
fn text_of(literal: &proc_macro2::Literal) -> Option<String> {
    match Lit::new(literal.clone()) {
        Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}

struct CodeReader<'a> {
    code: &'a mut Code,
    path: &'a str,
}

impl CodeReader<'_> {
    fn add_text(&mut self, text: String, line: usize) {
        self.code.messages.push(Message { file: self.path.to_owned(), line, text });
    }

    fn add_reason(&mut self, reason: String) {
        *self.code.reasons.entry((reason, self.path.to_owned())).or_default() += 1;
    }

    fn add_tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (at, tree) in tokens.iter().enumerate() {
            match tree {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    if let Some(text) = text_of(literal) {
                        self.add_text(text, literal.span().start().line);
                    }
                }
                TokenTree::Ident(name) if name == "Reason" => {
                    if let Some(TokenTree::Ident(reason)) = tokens.get(at + 3) {
                        self.add_reason(reason.to_string());
                    }
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for CodeReader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    /// Reads the message of an error, `#[error("…")]`, and of a rule of the schema, `#[x_kube(…)]`.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let says = attribute.path().is_ident("error") || attribute.path().is_ident("x_kube");
        if let (true, Meta::List(list)) = (says, &attribute.meta) {
            self.add_tokens(list.tokens.clone());
        }
    }

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.add_text(literal.value(), literal.span().start().line);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if !SILENT.contains(&name.as_str()) {
            self.add_tokens(call.tokens.clone());
        }
    }

    /// Skips a comparison: it gives no reason to anything.
    fn visit_expr(&mut self, expression: &'ast Expr) {
        match expression {
            Expr::Binary(binary) if matches!(binary.op, BinOp::Eq(_) | BinOp::Ne(_)) => {}
            Expr::Path(path) => {
                let names: Vec<String> = path.path.segments.iter().map(|s| s.ident.to_string()).collect();
                if let [.., kind, reason] = &names[..]
                    && kind == "Reason"
                    && reason.starts_with(char::is_uppercase)
                    && reason != "ALL"
                {
                    self.add_reason(reason.clone());
                }
            }
            _ => visit::visit_expr(self, expression),
        }
    }

    /// Skips a pattern for the same reason.
    fn visit_pat(&mut self, _: &'ast Pat) {}
}

struct TestReader(TestFile);

impl TestReader {
    fn add_function(&mut self, attributes: &[Attribute], name: &syn::Ident) {
        let is_test = |a: &Attribute| a.path().segments.last().is_some_and(|segment| segment.ident == "test");
        if attributes.iter().any(is_test) {
            self.0.tests.insert(name.to_string());
        }
    }

    fn add_tokens(&mut self, tokens: TokenStream) {
        for tree in tokens {
            match tree {
                TokenTree::Group(group) => self.add_tokens(group.stream()),
                TokenTree::Literal(literal) => self.0.texts.extend(text_of(&literal)),
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for TestReader {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add_function(&function.attrs, &function.sig.ident);
        visit::visit_item_fn(self, function);
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_lit_str(&mut self, literal: &'ast syn::LitStr) {
        self.0.texts.push(literal.value());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.add_tokens(call.tokens.clone());
    }
}
