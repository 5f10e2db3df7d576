//! The modules of a crate, and what each of them names.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use syn::{
    Expr, ExprLit, ItemMod, ItemUse, Lit, Macro, Meta, MetaList, UseTree,
    buffer::{Cursor, TokenBuffer},
    visit::{self, Visit},
};

use super::spelled;

/// The words of a path: where a module is, or what is named.
pub(super) type Place = Vec<String>;

/// How often a name may stand for another before it is given up.
const MOST_ALIASES: usize = 16;

/// One module, in a file of its own or within one.
#[derive(Debug)]
struct Module {
    file: PathBuf,
    /// Every path in it, as it stands there.
    paths: BTreeSet<Place>,
    /// The names that its `use` lines make, with what they stand for.
    aliases: HashMap<String, Place>,
}

/// All modules of a crate; the root's place is empty.
#[derive(Debug)]
pub(super) struct Tree {
    modules: BTreeMap<Place, Module>,
}

/// Something in `from` names something in `to`; both are in the same folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    /// The folder.
    pub(super) folder: Place,
    /// The file or folder that uses.
    pub(super) from: String,
    /// The one that is used.
    pub(super) to: String,
    /// Where.
    pub(super) file: PathBuf,
    /// As it is spelled there.
    pub(super) path: String,
}

impl Tree {
    /// Reads a crate from `lib.rs` on. `read` gives the text of a file, by its path below the crate's `src`.
    pub(super) fn read(read: &dyn Fn(&Path) -> Option<String>) -> Result<Self> {
        let mut modules = BTreeMap::new();
        let mut files = vec![(Place::new(), vec![PathBuf::from("lib.rs")])];
        while let Some((place, candidates)) = files.pop() {
            let found = candidates.iter().find_map(|file| Some((file, read(file)?)));
            let (file, text) = found.with_context(|| format!("no file of the module {}", spelled(&place)))?;
            let parsed =
                syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))?;
            let mut reader = Reader { modules, files: Vec::new(), file, at: place };
            reader.begin();
            reader.visit_file(&parsed);
            files.extend(reader.files);
            modules = reader.modules;
        }
        Ok(Self { modules })
    }

    /// The names of the crate's parts: its modules' topmost.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.modules.keys().filter_map(|place| match place.as_slice() {
            [part] => Some(part.as_str()),
            _ => None,
        })
    }

    /// The arrows between neighbours; of several from one to another, one.
    pub(super) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = BTreeMap::new();
        for (place, module) in &self.modules {
            for path in &module.paths {
                let Some(target) = self.absolute(place, path).map(|path| self.module_of(&path)) else {
                    continue;
                };
                let common = place.iter().zip(&target).take_while(|(one, other)| one == other).count();
                // Above or below is no neighbour: a folder's own file lists what is in the folder.
                if let (Some(from), Some(to)) = (place.get(common), target.get(common)) {
                    let folder = place[..common].to_vec();
                    arrows.entry((folder.clone(), from.clone(), to.clone())).or_insert_with(|| Arrow {
                        folder,
                        from: from.clone(),
                        to: to.clone(),
                        file: module.file.clone(),
                        path: spelled(path),
                    });
                }
            }
        }
        arrows.into_values().collect()
    }

    /// A path that stands in the module `at`, from the crate's root; `None`: it leads out of the crate.
    fn absolute(&self, at: &[String], path: &[String]) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([at, rest].concat()),
            "super" => {
                let above = path.iter().take_while(|word| *word == "super").count();
                Some([&at[..at.len().checked_sub(above)?], &path[above..]].concat())
            }
            _ => {
                let whole = [at, path].concat();
                self.modules.contains_key(&whole[..=at.len()]).then_some(whole)
            }
        }
    }

    /// The module in which what `path` names is. A name that a folder passes on from within is followed to the file that
    /// it is in; one from elsewhere is the folder's own.
    fn module_of(&self, path: &[String]) -> Place {
        let mut path = path.to_vec();
        let mut at = 0;
        let mut aliases = 0;
        while at < path.len() {
            if self.modules.contains_key(&path[..=at]) {
                at += 1;
                continue;
            }
            let place = path[..at].to_vec();
            let alias = self.modules.get(&place).and_then(|module| module.aliases.get(&path[at]));
            let whole = alias.and_then(|alias| self.absolute(&place, alias));
            let Some(whole) = whole.filter(|whole| whole.starts_with(&place)) else { break };
            aliases += 1;
            if aliases > MOST_ALIASES {
                break;
            }
            path.splice(..=at, whole);
            at = 0;
        }
        path.truncate(at);
        path
    }
}

/// Walks one file.
struct Reader<'a> {
    modules: BTreeMap<Place, Module>,
    /// Modules in files of their own, and where these may be.
    files: Vec<(Place, Vec<PathBuf>)>,
    file: &'a Path,
    at: Place,
}

impl Reader<'_> {
    /// A module begins at `at`.
    fn begin(&mut self) {
        let module = Module { file: self.file.to_owned(), paths: BTreeSet::new(), aliases: HashMap::new() };
        self.modules.insert(self.at.clone(), module);
    }

    fn module(&mut self) -> &mut Module {
        self.modules.get_mut(&self.at).expect("begun before it is walked")
    }

    fn name(&mut self, path: Place) {
        if path.len() > 1 {
            self.module().paths.insert(path);
        }
    }

    /// What a `use` names, and the names that it makes.
    fn tree(&mut self, tree: &UseTree, before: &[String]) {
        let with = |word: &syn::Ident| match word.to_string().as_str() {
            "self" if !before.is_empty() => before.to_vec(),
            word => [before, &[word.to_owned()]].concat(),
        };
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => {
                let path = with(&name.ident);
                self.alias(path.last().cloned().unwrap_or_default(), path);
            }
            UseTree::Rename(name) => self.alias(name.rename.to_string(), with(&name.ident)),
            UseTree::Glob(_) => self.name(before.to_vec()),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before);
                }
            }
        }
    }

    fn alias(&mut self, name: String, path: Place) {
        self.name(path.clone());
        self.module().aliases.insert(name, path);
    }

    /// The paths among the tokens of a macro, which are no syntax yet.
    fn tokens(&mut self, mut cursor: Cursor<'_>) {
        while !cursor.eof() {
            if let Some((word, mut behind)) = cursor.ident() {
                let mut path = vec![word.to_string()];
                while let Some((word, next)) = double_colon(behind).and_then(Cursor::ident) {
                    path.push(word.to_string());
                    behind = next;
                }
                self.name(path);
                cursor = behind;
            } else if let Some((within, _, _, behind)) = cursor.any_group() {
                self.tokens(within);
                cursor = behind;
            } else if let Some((_, behind)) = cursor.token_tree() {
                cursor = behind;
            }
        }
    }

    /// Where the file of a module may be.
    fn candidates(&self, module: &ItemMod) -> Vec<PathBuf> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        if let Some(path) = path_attribute(module) {
            return vec![folder.join(path)];
        }
        let name = module.ident.to_string();
        let stem = self.file.file_stem().unwrap_or_default();
        let folder = if stem == "lib" || stem == "mod" { folder.to_owned() } else { folder.join(stem) };
        vec![folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")]
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.at.push(module.ident.to_string());
        if module.content.is_some() {
            self.begin();
            visit::visit_item_mod(self, module);
        } else {
            self.files.push((self.at.clone(), self.candidates(module)));
        }
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.name(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.tokens(TokenBuffer::new2(item.tokens.clone()).begin());
    }

    fn visit_meta_list(&mut self, list: &'ast MetaList) {
        self.tokens(TokenBuffer::new2(list.tokens.clone()).begin());
    }
}

/// What is behind a `::`.
fn double_colon(cursor: Cursor<'_>) -> Option<Cursor<'_>> {
    let (first, cursor) = cursor.punct()?;
    let (second, cursor) = cursor.punct()?;
    (first.as_char() == ':' && second.as_char() == ':').then_some(cursor)
}

/// The file that `#[path = "..."]` names.
fn path_attribute(module: &ItemMod) -> Option<String> {
    module.attrs.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}
