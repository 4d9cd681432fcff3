//! The layers of DESIGN, held by the imports themselves: every import points down, and none closes a circle.
//!
//! A file imports another if it names something that the other one defines, in a `use` or by its path. A parent that
//! re-exports a child's item does not define it. A module and the modules inside of it are one thing, as they are to
//! Rust, and may name each other. Code of tests is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use crossfade_tests::paths;
use syn::{
    Attribute, Item, ItemMod, Meta, UseTree, Visibility,
    visit::{self, Visit},
};

/// The layers of the library, lowest first. A layer is a file or a folder; the longest one that fits counts.
const LAYERS: [&[&str]; 9] = [
    &["display"],
    &["parse"],
    &["domain"],
    &["error", "metrics"],
    &["wire", "notice", "run"],
    &["admission", "freeze"],
    &["ports", "fake"],
    &["protocol"],
    &["aws", "admission/observe", "to_version", "lib"],
];

type Module = Vec<String>;

/// A crate's modules, what each defines as seen from outside, and what each names.
#[derive(Default)]
struct Crate {
    modules: BTreeSet<Module>,
    /// What a module re-exports: a name, and the path that it stands for.
    exports: BTreeMap<(Module, String), Module>,
    named: BTreeMap<Module, BTreeSet<Module>>,
}

struct Reader<'a> {
    of: &'a mut Crate,
    module: Module,
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<Meta>()
                .is_ok_and(|condition| match condition {
                    Meta::Path(name) => name.is_ident("test"),
                    Meta::List(any) => {
                        any.path.is_ident("any") && any.tokens.to_string().starts_with("test")
                    }
                    Meta::NameValue(_) => false,
                })
    })
}

fn flatten(tree: &UseTree, path: &mut Module, all: &mut Vec<(Module, String)>) {
    match tree {
        UseTree::Path(next) => {
            path.push(next.ident.to_string());
            flatten(&next.tree, path, all);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|one| flatten(one, path, all)),
        UseTree::Name(name) => push(path, &name.ident.to_string(), &name.ident.to_string(), all),
        UseTree::Rename(name) => push(path, &name.ident.to_string(), &name.rename.to_string(), all),
        UseTree::Glob(_) => all.push((path.clone(), "*".to_owned())),
    }
}

fn push(path: &[String], name: &str, here: &str, all: &mut Vec<(Module, String)>) {
    let mut whole = path.to_vec();
    if name != "self" {
        whole.push(name.to_owned());
    }
    all.push((whole, here.to_owned()));
}

impl Reader<'_> {
    /// Makes a path absolute within its crate, if it is one of this crate's.
    fn absolute(&self, path: &[String]) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => vec![],
            "self" => self.module.clone(),
            "super" => self.module[..self.module.len().checked_sub(1)?].to_vec(),
            child => {
                let mut child_module = self.module.clone();
                child_module.push(child.to_owned());
                if !self.of.modules.contains(&child_module) {
                    return None;
                }
                child_module
            }
        };
        for part in rest {
            if part == "super" {
                at.pop()?;
            } else {
                at.push(part.clone());
            }
        }
        Some(at)
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Fn(it) => &it.attrs,
            Item::Impl(it) => &it.attrs,
            Item::Mod(it) => &it.attrs,
            Item::Use(it) => &it.attrs,
            Item::Const(it) => &it.attrs,
            Item::Struct(it) => &it.attrs,
            _ => &[],
        };
        if is_test(attributes) {
            return;
        }
        if let Item::Use(import) = item {
            let mut all = vec![];
            flatten(&import.tree, &mut vec![], &mut all);
            for (path, here) in all {
                let Some(path) = self.absolute(&path) else {
                    continue;
                };
                if matches!(import.vis, Visibility::Inherited) {
                    self.of
                        .named
                        .entry(self.module.clone())
                        .or_default()
                        .insert(path);
                } else {
                    self.of.exports.insert((self.module.clone(), here), path);
                }
            }
            return;
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, inline: &'ast ItemMod) {
        if inline.content.is_some() {
            visit::visit_item_mod(self, inline);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Module = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if parts.len() > 1
            && let Some(path) = self.absolute(&parts)
        {
            self.of
                .named
                .entry(self.module.clone())
                .or_default()
                .insert(path);
        }
        visit::visit_path(self, path);
    }
}

fn files(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            files(&path, all);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            all.push(path);
        }
    }
}

/// The module that a file is.
fn module(source: &Path, file: &Path) -> Module {
    let path = file
        .strip_prefix(source)
        .expect("it is in the folder")
        .with_extension("");
    let mut module: Module = path
        .iter()
        .map(|part| part.to_str().expect("it is text").to_owned())
        .collect();
    if module
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        module.pop();
    }
    module
}

impl Crate {
    fn read(source: &Path) -> Self {
        let mut all = vec![];
        files(source, &mut all);
        let mut this = Self {
            modules: all.iter().map(|file| module(source, file)).collect(),
            ..Self::default()
        };
        let mut texts = BTreeMap::new();
        for file in &all {
            let text = fs::read_to_string(file).expect("it is text");
            texts.insert(file, syn::parse_file(&text).expect("it is Rust"));
        }
        let tests = Self::tests(&texts, source);
        this.modules
            .retain(|module| !tests.iter().any(|test| module.starts_with(test)));
        for (file, text) in &texts {
            let module = module(source, file);
            if this.modules.contains(&module) {
                Reader {
                    of: &mut this,
                    module,
                }
                .visit_file(text);
            }
        }
        this
    }

    /// The modules that are compiled for tests only.
    fn tests(texts: &BTreeMap<&PathBuf, syn::File>, source: &Path) -> Vec<Module> {
        let mut tests = vec![];
        for (file, text) in texts {
            for item in &text.items {
                if let Item::Mod(child) = item
                    && child.content.is_none()
                    && is_test(&child.attrs)
                {
                    let mut path = module(source, file);
                    path.push(child.ident.to_string());
                    tests.push(path);
                }
            }
        }
        tests
    }

    /// The module that defines what a path names.
    fn home(&self, path: &[String]) -> Module {
        let mut path = path.to_vec();
        for _ in 0..8 {
            let at = (0..=path.len())
                .rev()
                .find(|at| self.modules.contains(&path[..*at]));
            let at = at.unwrap_or_default();
            let (module, rest) = path.split_at(at);
            let Some(target) = rest
                .first()
                .and_then(|name| self.exports.get(&(module.to_vec(), name.clone())))
            else {
                return module.to_vec();
            };
            let mut next = target.clone();
            next.extend_from_slice(&rest[1..]);
            path = next;
        }
        panic!("{path:?} is exported in a circle");
    }

    fn imports(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let mut imports: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
        for (from, paths) in &self.named {
            let apart = |to: &Module| !to.starts_with(from) && !from.starts_with(to);
            let to = paths.iter().map(|path| self.home(path)).filter(apart);
            imports.entry(from.clone()).or_default().extend(to);
        }
        imports
    }
}

/// The modules that import each other in a circle, with each of its imports.
fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let reach = |from: &Module| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = todo.pop() {
            for next in imports.get(&module).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    todo.push(next.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = imports.keys().map(|from| (from, reach(from))).collect();
    let back = |from: &Module, to: &Module| reached.get(to).is_some_and(|seen| seen.contains(from));
    imports
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)))
        .filter(|(from, to)| back(from, to))
        .map(|(from, to)| format!("{} imports {}", from.join("::"), to.join("::")))
        .collect()
}

fn crates() -> Vec<PathBuf> {
    let mut all = vec![
        paths::repository().join("shared"),
        paths::repository().join("cli"),
    ];
    let functions = paths::repository().join("functions");
    for entry in fs::read_dir(functions).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.join("Cargo.toml").exists() {
            all.push(path);
        }
    }
    all
}

#[test]
fn imports_close_no_circle() {
    let mut found = vec![];
    for folder in crates() {
        let circles = circles(&Crate::read(&folder.join("src")).imports());
        found.extend(
            circles
                .into_iter()
                .map(|circle| format!("{}: {circle}", folder.display())),
        );
    }
    assert!(
        found.is_empty(),
        "{} imports close a circle:\n{}",
        found.len(),
        found.join("\n")
    );
}

fn layer(module: &Module) -> usize {
    let path = if module.is_empty() {
        "lib".to_owned()
    } else {
        module.join("/")
    };
    let fits = |layer: &&str| path == **layer || path.starts_with(&format!("{layer}/"));
    let longest = |layers: &[&str]| {
        layers
            .iter()
            .filter(|one| fits(one))
            .map(|one| one.len())
            .max()
    };
    let best = (0..LAYERS.len())
        .filter_map(|at| Some((longest(LAYERS[at])?, at)))
        .max();
    best.unwrap_or_else(|| panic!("{path} is in no layer")).1
}

#[test]
fn imports_point_down() {
    let imports = Crate::read(&paths::repository().join("shared/src")).imports();
    let up = imports
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
    let up: Vec<_> = up
        .filter(|(from, to)| layer(from) < layer(to))
        .map(|(from, to)| format!("{} imports {}", from.join("::"), to.join("::")))
        .collect();
    assert!(
        up.is_empty(),
        "{} imports point up:\n{}",
        up.len(),
        up.join("\n")
    );
}

#[test]
fn finds_what_is_wrong() {
    let modules = ["a", "b", "c"].map(|name| vec![name.to_owned()]);
    let [a, b, c] = modules.clone();
    let mut this = Crate {
        modules: modules.into_iter().chain([vec![]]).collect(),
        ..Crate::default()
    };
    let text = "pub use crate::c::Thing;\nuse super::b::Other;\n#[cfg(test)]\nmod tests { use super::super::c::X; }";
    let text = syn::parse_file(text).expect("it is Rust");
    Reader {
        of: &mut this,
        module: a.clone(),
    }
    .visit_file(&text);
    let text =
        syn::parse_file("fn f(x: crate::a::Thing) -> super::a::Own { g() }").expect("it is Rust");
    Reader {
        of: &mut this,
        module: b.clone(),
    }
    .visit_file(&text);
    let imports = this.imports();
    assert_eq!(imports[&a], BTreeSet::from([b.clone()]));
    assert_eq!(imports[&b], BTreeSet::from([a, c]));
    assert_eq!(circles(&imports), ["a imports b", "b imports a"]);
}
