//! The paths and types in the items of one module.

use std::collections::BTreeSet;

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Meta, Token as Sign, UseTree, Visibility};

use crate::source::{Token, tokens};

/// One name that a `use` brings.
#[derive(Clone, Debug)]
pub struct Import {
    pub name: String,
    pub path: Vec<String>,
    pub is_reexport: bool,
    pub is_test: bool,
    pub line: usize,
}

/// Returns whether an item is compiled for tests only.
pub fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = |meta: &Meta| meta.path().is_ident("test");
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(|meta| is_test(&meta))
    })
}

pub fn imports(items: &[Item]) -> Vec<Import> {
    let mut found = Vec::new();
    for item in items {
        if let Item::Use(item) = item {
            found.extend(imports_of(item, is_for_tests(&item.attrs)));
        }
    }
    found
}

fn imports_of(item: &ItemUse, is_test: bool) -> Vec<Import> {
    let mut leaves = Vec::new();
    leaves_of(&item.tree, &mut Vec::new(), &mut leaves);
    let is_reexport = !matches!(item.vis, Visibility::Inherited);
    let import = |(name, path, line)| Import { name, path, is_reexport, is_test, line };
    leaves.into_iter().map(import).collect()
}

fn leaves_of(tree: &UseTree, above: &mut Vec<String>, leaves: &mut Vec<(String, Vec<String>, usize)>) {
    let path = |above: &[String], name: Option<String>| above.iter().cloned().chain(name).collect::<Vec<_>>();
    match tree {
        UseTree::Path(inner) => {
            above.push(inner.ident.to_string());
            leaves_of(&inner.tree, above, leaves);
            above.pop();
        }
        UseTree::Name(inner) if inner.ident == "self" => {
            let name = above.last().cloned().unwrap_or_default();
            leaves.push((name, path(above, None), inner.ident.span().start().line));
        }
        UseTree::Name(inner) => {
            let name = inner.ident.to_string();
            leaves.push((name.clone(), path(above, Some(name)), inner.ident.span().start().line));
        }
        UseTree::Rename(inner) => {
            let named = Some(inner.ident.to_string()).filter(|name| name != "self");
            leaves.push((inner.rename.to_string(), path(above, named), inner.ident.span().start().line));
        }
        UseTree::Glob(inner) => {
            leaves.push(("*".to_owned(), path(above, None), inner.star_token.spans[0].start().line));
        }
        UseTree::Group(inner) => {
            inner.items.iter().for_each(|tree| leaves_of(tree, above, leaves));
        }
    }
}

/// Collects the paths and the types of a module's items.
#[derive(Default)]
pub struct Reader {
    pub paths: Vec<CodePath>,
    /// Names that patterns bind: a single name in the code may be one of them.
    pub variables: BTreeSet<String>,
    pub types: Vec<(String, usize)>,
    is_test: bool,
}

pub struct CodePath {
    pub segments: Vec<String>,
    pub line: usize,
    pub is_test: bool,
    pub is_visibility: bool,
}

impl Reader {
    fn add(&mut self, segments: Vec<String>, line: usize, is_visibility: bool) {
        self.paths.push(CodePath { segments, line, is_test: self.is_test, is_visibility });
    }

    fn add_path(&mut self, path: &syn::Path, is_visibility: bool) {
        let Some(first) = path.segments.first().filter(|_| path.leading_colon.is_none()) else { return };
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(segments, first.ident.span().start().line, is_visibility);
    }

    fn add_type(&mut self, name: &syn::Ident) {
        if !self.is_test {
            self.types.push((name.to_string(), name.span().start().line));
        }
    }

    /// Adds the paths and types of a macro's input, which may be any tokens.
    fn add_tokens(&mut self, tokens: &[Token]) {
        let is_name = |token: &Token| token.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
        let mut at = 0;
        while at < tokens.len() {
            let start = at;
            at += 1;
            if !is_name(&tokens[start]) || start > 0 && matches!(text(start - 1), "." | "$" | "::") {
                continue;
            }
            let mut segments = vec![tokens[start].text.clone()];
            while text(at) == "::" && tokens.get(at + 1).is_some_and(is_name) {
                segments.push(tokens[at + 1].text.clone());
                at += 2;
            }
            // A single lower-case name is a variable or a field, unless it is called.
            let is_item =
                segments.len() > 1 || text(at) == "(" || segments[0].starts_with(char::is_uppercase);
            if is_item {
                self.add(segments.clone(), tokens[start].line, false);
            }
            let defines = matches!(segments[0].as_str(), "struct" | "enum" | "trait" | "type" | "union");
            if defines && !self.is_test && tokens.get(at).is_some_and(is_name) && text(at + 1) != "=>" {
                self.types.push((tokens[at].text.clone(), tokens[at].line));
            }
        }
    }

    /// Runs a visit of something with attributes, as test code if they say so.
    fn within(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let outer = self.is_test;
        self.is_test |= is_for_tests(attributes);
        visit(self);
        self.is_test = outer;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        self.within(attributes_of(item), |reader| visit::visit_item(reader, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(&item.attrs, |reader| visit::visit_impl_item_fn(reader, item));
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        self.within(&field.attrs, |reader| visit::visit_field(reader, field));
    }

    /// Reads a `use` inside a function; those of modules are read before.
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        visit::visit_visibility(self, &item.vis);
        for import in imports_of(item, self.is_test) {
            if import.path.len() > 1 {
                self.add(import.path, import.line, import.is_reexport);
            }
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add_type(&item.ident);
        visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add_type(&item.ident);
        visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add_type(&item.ident);
        visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add_type(&item.ident);
        visit::visit_item_type(self, item);
    }

    fn visit_item_union(&mut self, item: &'ast syn::ItemUnion) {
        self.add_type(&item.ident);
        visit::visit_item_union(self, item);
    }

    fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
        self.variables.insert(pattern.ident.to_string());
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add_path(path, false);
        visit::visit_path(self, path);
    }

    fn visit_vis_restricted(&mut self, visibility: &'ast syn::VisRestricted) {
        self.add_path(&visibility.path, true);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.add_tokens(&tokens(&call.tokens));
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        match &attribute.meta {
            Meta::List(list) => {
                self.add_tokens(&tokens(&list.tokens));
                // serde and schemars name functions and modules in strings.
                let metas = attribute.parse_args_with(Punctuated::<Meta, Sign![,]>::parse_terminated);
                for meta in metas.into_iter().flatten() {
                    if let Meta::NameValue(pair) = meta
                        && let syn::Expr::Lit(literal) = pair.value
                        && let syn::Lit::Str(text) = literal.lit
                        && let Ok(path) = text.parse::<syn::Path>()
                    {
                        self.add_path(&path, false);
                    }
                }
            }
            Meta::Path(_) | Meta::NameValue(_) => {}
        }
    }
}

fn attributes_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
