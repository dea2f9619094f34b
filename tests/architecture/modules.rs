//! The modules of `src/`, and which of them each one uses.
//!
//! A path is followed to the module that defines what it names: through imports, re-exports, `crate`, `self` and
//! `super`. A method call names no module and is not followed.

use std::collections::BTreeMap;

use syn::Item;
use syn::visit::Visit;

use crate::reader::{Import, Reader, imports, is_for_tests};
use crate::source::Files;

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
