//! The modules of `src/`, and which of them each one uses.
//!
//! A path is followed to the module that defines what it names: through imports, re-exports, `crate`, `self` and
//! `super`. A method call names no module and is not followed.

use std::collections::{BTreeMap, BTreeSet};

use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Meta, Token as Sign, UseTree, Visibility};

use crate::source::{Files, Token, tokens};

/// The name by which programs use the library.
const LIBRARY: &str = "acr_credential_binding";

pub struct Module {
    /// Name of the crate and of the modules inside it, such as `acr_credential_binding`, `plan`, `change`.
    pub path: Vec<String>,
    pub file: String,
    /// Compiled for tests only.
    pub is_test: bool,
    items: Vec<Item>,
    parent: Option<usize>,
    children: BTreeMap<String, usize>,
    imports: Vec<Import>,
}

/// One name that a `use` brings.
#[derive(Clone, Debug)]
struct Import {
    name: String,
    path: Vec<String>,
    is_reexport: bool,
    is_test: bool,
    line: usize,
}

/// One place where code of a module names something of another.
#[derive(Clone, Debug)]
pub struct Use {
    /// The module that defines it.
    pub defined_in: usize,
    /// The module through which the path goes, which may re-export it.
    pub named_in: usize,
    pub line: usize,
    /// The path as written.
    pub path: String,
    /// Whether it makes an arrow between modules: not in tests, not a re-export, not a bare `mod`.
    pub counts: bool,
}

pub struct Modules(pub Vec<Module>);

/// What a path names.
#[derive(Clone, Copy, Debug)]
struct Target {
    defined_in: usize,
    named_in: usize,
    /// The path ends at the module itself.
    is_module: bool,
}

impl Modules {
    /// Reads the modules of the library and of every program, from the roots of their crates.
    pub fn read(files: &Files) -> Self {
        let mut modules = Self(Vec::new());
        for path in files.keys() {
            let inside = path.strip_prefix("src/bin/").and_then(|inside| inside.strip_suffix(".rs"));
            let name = match inside {
                _ if path == "src/lib.rs" => LIBRARY,
                Some(inside) if !inside.contains('/') => inside,
                Some(inside) if inside.ends_with("/main") => inside.trim_end_matches("/main"),
                _ => continue,
            };
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            modules.read_file(files, vec![name.to_owned()], path, &folder, None, false);
        }
        modules
    }

    /// Returns the library's module or the program's, one level below the crate: the room.
    pub fn room(&self, module: usize) -> &str {
        let path = &self.0[module].path;
        if path[0] == LIBRARY { path.get(1).map_or(LIBRARY, String::as_str) } else { "bin" }
    }

    /// Returns the name of a module as a path of Rust.
    pub fn name(&self, module: usize) -> String {
        self.0[module].path.join("::").replace(&format!("{LIBRARY}::"), "")
    }

    fn read_file(
        &mut self,
        files: &Files,
        path: Vec<String>,
        file: &str,
        folder: &str,
        parent: Option<usize>,
        is_test: bool,
    ) -> usize {
        let text = files.get(file).unwrap_or_else(|| panic!("{file} is declared and does not exist"));
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.add(files, Place { path, file, folder, parent, is_test }, parsed.items)
    }

    fn add(&mut self, files: &Files, place: Place<'_>, items: Vec<Item>) -> usize {
        let index = self.0.len();
        let Place { path, file, folder, parent, is_test } = place;
        self.0.push(Module {
            path: path.clone(),
            file: file.to_owned(),
            is_test,
            items: Vec::new(),
            parent,
            children: BTreeMap::new(),
            imports: Vec::new(),
        });
        let mut kept = Vec::new();
        for item in items {
            let Item::Mod(module) = item else {
                kept.push(item);
                continue;
            };
            let name = module.ident.to_string();
            let path: Vec<String> = path.iter().cloned().chain([name.clone()]).collect();
            let (below, is_test) = (format!("{folder}/{name}"), is_test || is_for_tests(&module.attrs));
            let parent = Some(index);
            let child = match module.content {
                Some((_, items)) => {
                    self.add(files, Place { path, file, folder: &below, parent, is_test }, items)
                }
                None => self.read_file(files, path, &format!("{below}.rs"), &below, parent, is_test),
            };
            self.0[index].children.insert(name, child);
        }
        self.0[index].imports = imports(&kept);
        self.0[index].items = kept;
        index
    }

    /// Returns all uses of other modules by one, in tests too.
    pub fn uses(&self, module: usize) -> Vec<Use> {
        let this = &self.0[module];
        let mut uses = Vec::new();
        for import in &this.imports {
            let counts = !this.is_test && !import.is_test && !import.is_reexport;
            let Some(target) = self.resolve(module, &import.path, 0) else { continue };
            uses.push(Use {
                defined_in: target.defined_in,
                named_in: target.named_in,
                line: import.line,
                path: import.path.join("::"),
                // The import of a module is a shorter name: what is reached through it counts.
                counts: counts && !target.is_module,
            });
        }
        let mut reader = Reader::default();
        this.items.iter().for_each(|item| reader.visit_item(item));
        for path in reader.paths {
            let is_variable = path.segments.len() == 1 && reader.variables.contains(&path.segments[0]);
            let target = (!is_variable).then(|| self.resolve(module, &path.segments, 0)).flatten();
            uses.extend(target.map(|target| Use {
                defined_in: target.defined_in,
                named_in: target.named_in,
                line: path.line,
                path: path.segments.join("::"),
                counts: !this.is_test && !path.is_test && !path.is_visibility,
            }));
        }
        uses.retain(|found| found.defined_in != module || found.named_in != module);
        uses
    }

    /// Follows a path that is written in a module. Returns nothing for what other crates define, and for local names.
    fn resolve(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        let this = &self.0[module];
        match first.as_str() {
            "crate" => self.descend(self.root_of(module), rest, depth),
            "self" => self.descend(module, rest, depth),
            "super" => self.descend(this.parent?, rest, depth),
            LIBRARY => self.descend(self.0.iter().position(|module| module.path == [LIBRARY])?, rest, depth),
            name => match this.children.get(name) {
                Some(child) => self.descend(*child, rest, depth),
                None => {
                    let target = self.import(module, name, rest, depth)?;
                    let named_in = if rest.is_empty() { target.defined_in } else { target.named_in };
                    Some(Target { named_in, ..target })
                }
            },
        }
    }

    /// Follows the rest of a path from a module.
    fn descend(&self, module: usize, path: &[String], depth: usize) -> Option<Target> {
        let Some((first, rest)) = path.split_first() else {
            return Some(Target { defined_in: module, named_in: module, is_module: true });
        };
        let this = &self.0[module];
        match first.as_str() {
            "self" => self.descend(module, rest, depth),
            "super" => self.descend(this.parent?, rest, depth),
            name => match this.children.get(name) {
                Some(child) => self.descend(*child, rest, depth),
                None if this.imports.iter().any(|import| import.name == name) => {
                    let target = self.import(module, name, rest, depth)?;
                    Some(Target { named_in: module, ..target })
                }
                None => Some(Target { defined_in: module, named_in: module, is_module: false }),
            },
        }
    }

    /// Follows a path whose first name is an import of the module.
    fn import(&self, module: usize, name: &str, rest: &[String], depth: usize) -> Option<Target> {
        let import = self.0[module].imports.iter().find(|import| import.name == name)?;
        // `use tokio;` and `use self::x::x;` name themselves.
        if depth > 8
            || import.path.first().is_some_and(|first| first == name) && !self.has_child(module, name)
        {
            return None;
        }
        let path: Vec<String> = import.path.iter().chain(rest).cloned().collect();
        self.resolve(module, &path, depth + 1)
    }

    fn has_child(&self, module: usize, name: &str) -> bool {
        self.0[module].children.contains_key(name)
    }

    fn root_of(&self, module: usize) -> usize {
        self.0[module].parent.map_or(module, |parent| self.root_of(parent))
    }

    /// Returns the names of types that a module defines outside its tests, with their lines.
    pub fn types(&self, module: usize) -> Vec<(String, usize)> {
        if self.0[module].is_test {
            return Vec::new();
        }
        let mut reader = Reader::default();
        self.0[module].items.iter().for_each(|item| reader.visit_item(item));
        reader.types
    }
}

struct Place<'a> {
    path: Vec<String>,
    file: &'a str,
    /// The folder of the files of its children.
    folder: &'a str,
    parent: Option<usize>,
    is_test: bool,
}

/// Whether an item is compiled for tests only.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_test = |meta: &Meta| meta.path().is_ident("test");
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.parse_args().is_ok_and(|meta| is_test(&meta))
    })
}

fn imports(items: &[Item]) -> Vec<Import> {
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
struct Reader {
    paths: Vec<CodePath>,
    /// Names that patterns bind: a single name in the code may be one of them.
    variables: BTreeSet<String>,
    types: Vec<(String, usize)>,
    is_test: bool,
}

struct CodePath {
    segments: Vec<String>,
    line: usize,
    is_test: bool,
    is_visibility: bool,
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
