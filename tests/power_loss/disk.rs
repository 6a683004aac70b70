//! A disk that loses its power: of what was not made durable each change is there or is not, and a write may be torn.
//!
//! It is less kind than any real file system: it keeps nothing that no `fsync` of the file, or of the directory, has
//! promised. What it keeps all the same is drawn by lot.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Component, Path};
use std::time::SystemTime;

use super::trace::{Deed, Step};

/// The least that a disk writes as one.
const SECTOR: usize = 512;

/// A file or a directory, by its number.
type Node = usize;
const ROOT: Node = 0;

/// What changed one node.
#[derive(Clone, Debug)]
enum Change {
    Bytes {
        file: Node,
        offset: u64,
        bytes: Vec<u8>,
    },
    Size {
        file: Node,
        size: u64,
    },
    /// Names appear and vanish in directories, together: a rename is never done by half.
    Names {
        gone: Option<(Node, OsString, Node)>,
        new: Option<(Node, OsString, Node)>,
    },
}

struct Done {
    ended: usize,
    change: Change,
    /// From when on it is durable.
    durable: Option<usize>,
}

/// A disk, and everything that was done to it.
pub(super) struct Disk {
    /// What was there before.
    before: Image,
    /// What is there now, as the program sees it.
    now: Image,
    done: Vec<Done>,
}

#[derive(Clone, Default)]
struct Image {
    directories: BTreeMap<Node, BTreeMap<OsString, Node>>,
    files: BTreeMap<Node, Vec<u8>>,
    /// Of the files that were there before: nobody changes it.
    modified: BTreeMap<Node, SystemTime>,
}

impl Disk {
    /// The disk as it is, all of it durable.
    pub(super) fn of(directory: &Path) -> Self {
        let mut image = Image::default();
        let mut next = ROOT;
        image.read(directory, &mut next);
        Self { before: image.clone(), now: image, done: Vec::new() }
    }

    /// Does what was done.
    pub(super) fn replay(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        let now = &self.now;
        let next = now.directories.len() + now.files.len() + self.done.len() + 1_000_000;
        let entry = |path: &Path| Some((now.parent(path)?, path.file_name()?.to_owned(), now.find(path)?));
        let new_entry = |path: &Path, node| Some((now.parent(path)?, path.file_name()?.to_owned(), node));
        let change = match &step.deed {
            Deed::Create { path, truncate } => match now.find(path) {
                Some(file) if *truncate => Change::Size { file, size: 0 },
                Some(_) => return,
                None => {
                    let new = new_entry(path, next);
                    self.now.files.insert(next, Vec::new());
                    self.before.files.insert(next, Vec::new());
                    Change::Names { gone: None, new }
                }
            },
            Deed::MakeDirectory { path } => {
                let new = new_entry(path, next);
                self.now.directories.insert(next, BTreeMap::new());
                self.before.directories.insert(next, BTreeMap::new());
                Change::Names { gone: None, new }
            }
            Deed::Write { path, offset, bytes } => match now.find(path) {
                Some(file) => Change::Bytes { file, offset: *offset, bytes: bytes.clone() },
                None => return,
            },
            Deed::Resize { path, size } => match now.find(path) {
                Some(file) => Change::Size { file, size: *size },
                None => return,
            },
            Deed::Rename { from, to } => {
                let gone = entry(from).expect("what is renamed is there");
                let new = new_entry(to, gone.2);
                Change::Names { gone: Some(gone), new }
            }
            Deed::Unlink { path } | Deed::RemoveDirectory { path } => Change::Names { gone: entry(path), new: None },
            Deed::Sync { path } => {
                let Some(node) = now.find(path) else { return };
                let before = |done: &&mut Done| done.ended < step.begun && done.durable.is_none();
                for done in self.done.iter_mut().filter(before).filter(|done| done.change.is_in(node)) {
                    done.durable = Some(step.ended);
                }
                return;
            }
        };
        self.now.apply(&change);
        self.done.push(Done { ended: step.ended, change, durable: None });
    }

    /// Writes into `directory`, which is emptied first, what may be there after the power failed behind line `cut`.
    pub(super) fn after_power_loss(&self, cut: usize, dice: &mut impl FnMut(usize) -> usize, directory: &Path) {
        let mut image = self.before.clone();
        for done in self.done.iter().filter(|done| done.ended <= cut) {
            if done.durable.is_some_and(|durable| durable <= cut) {
                image.apply(&done.change);
                continue;
            }
            match (&done.change, dice(3)) {
                (_, 0) => {}
                (Change::Bytes { file, offset, bytes }, 1) => {
                    let kept = dice(bytes.len().div_ceil(SECTOR) + 1) * SECTOR;
                    let bytes = bytes[..kept.min(bytes.len())].to_vec();
                    image.apply(&Change::Bytes { file: *file, offset: *offset, bytes });
                }
                (change, _) => image.apply(change),
            }
        }
        std::fs::remove_dir_all(directory).expect("empty the directory");
        std::fs::create_dir(directory).expect("make the directory");
        image.write(ROOT, directory);
    }
}

impl Change {
    /// Does an `fsync` of that file or directory make it durable?
    fn is_in(&self, node: Node) -> bool {
        match self {
            Self::Bytes { file, .. } | Self::Size { file, .. } => *file == node,
            Self::Names { gone, new } => [gone, new].into_iter().flatten().any(|(directory, ..)| *directory == node),
        }
    }
}

impl Image {
    fn read(&mut self, directory: &Path, next: &mut Node) -> Node {
        let this = *next;
        *next += 1;
        let mut names = BTreeMap::new();
        for entry in std::fs::read_dir(directory).expect("list a directory") {
            let entry = entry.expect("list a directory");
            let node = if entry.file_type().expect("its kind").is_dir() {
                self.read(&entry.path(), next)
            } else {
                *next += 1;
                self.files.insert(*next - 1, std::fs::read(entry.path()).expect("read a file"));
                let modified = entry.metadata().and_then(|metadata| metadata.modified());
                self.modified.insert(*next - 1, modified.expect("when it was written"));
                *next - 1
            };
            names.insert(entry.file_name(), node);
        }
        self.directories.insert(this, names);
        this
    }

    fn write(&self, node: Node, directory: &Path) {
        for (name, node) in &self.directories[&node] {
            let path = directory.join(name);
            if self.directories.contains_key(node) {
                std::fs::create_dir(&path).expect("make a directory");
                self.write(*node, &path);
            } else {
                let mut file = File::create(&path).expect("create a file");
                file.write_all(&self.files[node]).expect("write a file");
                if let Some(modified) = self.modified.get(node) {
                    file.set_modified(*modified).expect("say when it was written");
                }
            }
        }
    }

    fn find(&self, path: &Path) -> Option<Node> {
        let mut node = ROOT;
        for component in path.components() {
            let Component::Normal(name) = component else { return None };
            node = *self.directories.get(&node)?.get(name)?;
        }
        Some(node)
    }

    fn parent(&self, path: &Path) -> Option<Node> {
        self.find(path.parent()?)
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Bytes { file, offset, bytes } => {
                let content = self.files.get_mut(file).expect("a file");
                let (from, to) = (*offset as usize, *offset as usize + bytes.len());
                if content.len() < to {
                    content.resize(to, 0);
                }
                content[from..to].copy_from_slice(bytes);
            }
            Change::Size { file, size } => self.files.get_mut(file).expect("a file").resize(*size as usize, 0),
            Change::Names { gone, new } => {
                if let Some((directory, name, node)) = gone {
                    let names = self.directories.get_mut(directory).expect("a directory");
                    if names.get(name) == Some(node) {
                        names.remove(name);
                    }
                }
                if let Some((directory, name, node)) = new {
                    self.directories.get_mut(directory).expect("a directory").insert(name.clone(), *node);
                }
            }
        }
    }
}
