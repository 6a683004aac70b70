//! What a process did to the files below a directory: its system calls, as strace saw them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The calls by which files and directories change, or are made durable; and those that move a place to write at.
const CALLS: &str = "openat,creat,close,lseek,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,\
                     fdatasync,sync_file_range,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,\
                     symlink,symlinkat,copy_file_range,sendfile,splice";

/// A change, or a promise that changes are durable. Paths are below the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// The file is there from now on; emptied, if it was there.
    Create {
        path: PathBuf,
        truncate: bool,
    },
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    Resize {
        path: PathBuf,
        size: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    MakeDirectory {
        path: PathBuf,
    },
    RemoveDirectory {
        path: PathBuf,
    },
    /// What was done to the file or directory before is durable.
    Sync {
        path: PathBuf,
    },
}

/// A deed, and between which lines of the trace it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) begun: usize,
    pub(super) ended: usize,
    pub(super) deed: Deed,
}

/// Makes `command` run under strace, which writes to `trace`.
pub(super) fn traced(command: &Command, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    // Every byte that is written, in hexadecimal; every descriptor with its path.
    strace.args(["-f", "-y", "-xx", "-s", "100000000", "-e", &format!("trace={CALLS}"), "-e", "signal=none", "-o"]);
    strace.arg(trace).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    strace
}

/// Everything that was done below `root`, in the order in which it ended; the trace's lines count from `first`.
pub(super) fn read(trace: &Path, root: &Path, first: usize) -> Vec<Step> {
    let text = std::fs::read_to_string(trace).expect("a trace");
    let (mut unfinished, mut steps) = (HashMap::<&str, (usize, &str)>::new(), Vec::new());
    let mut reader = Reader { root, at: HashMap::new() };
    for (number, line) in (first..).zip(text.lines()) {
        let (pid, rest) = line.split_once(' ').expect("a process id");
        let rest = rest.trim_start();
        if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(pid, (number, head));
        } else if let Some(tail) = rest.strip_prefix("<... ") {
            let (begun, head) = unfinished.remove(pid).expect("a call that began");
            let tail = tail.split_once(" resumed>").expect("how it went on").1;
            steps.extend(reader.deeds(&format!("{head}{tail}")).map(|deed| Step { begun, ended: number, deed }));
        } else {
            steps.extend(reader.deeds(rest).map(|deed| Step { begun: number, ended: number, deed }));
        }
    }
    steps
}

struct Reader<'a> {
    root: &'a Path,
    /// Where the next write through a descriptor goes.
    at: HashMap<u32, u64>,
}

impl Reader<'_> {
    fn deeds(&mut self, call: &str) -> impl Iterator<Item = Deed> + use<> {
        self.deed(call).into_iter()
    }

    /// What a call did, if it did anything below the root.
    fn deed(&mut self, call: &str) -> Option<Deed> {
        let (name, rest) = call.split_once('(')?;
        let (arguments, result) = rest.rsplit_once(" = ")?;
        let arguments = split(arguments.trim_end().strip_suffix(')')?);
        let argument = |n: usize| arguments.get(n).map_or("", |text| text.as_str());
        let result: i64 = result.split([' ', '<']).next()?.parse().ok()?;
        if result < 0 {
            return None;
        }
        match name {
            "openat" => {
                // Open files are named by the descriptor that came back: the path may be relative to another one.
                let path = self.below(&self.named(argument(0), argument(1)))?;
                let flags = argument(2);
                self.at.insert(result as u32, 0);
                assert!(!flags.contains("O_APPEND"), "the model knows no appending: {call}");
                let truncate = flags.contains("O_TRUNC");
                (truncate || flags.contains("O_CREAT")).then_some(Deed::Create { path, truncate })
            }
            "lseek" => {
                self.at.insert(descriptor(argument(0))?.0, result as u64);
                None
            }
            "write" => {
                let (number, path) = descriptor(argument(0))?;
                let path = self.below(&path)?;
                let offset = self.at.entry(number).or_default();
                let bytes = unhex(argument(1))[..result as usize].to_vec();
                *offset += bytes.len() as u64;
                Some(Deed::Write { path, offset: *offset - bytes.len() as u64, bytes })
            }
            "pwrite64" => {
                let path = self.below(&descriptor(argument(0))?.1)?;
                let bytes = unhex(argument(1))[..result as usize].to_vec();
                Some(Deed::Write { path, offset: argument(3).parse().expect("an offset"), bytes })
            }
            "ftruncate" => {
                let path = self.below(&descriptor(argument(0))?.1)?;
                Some(Deed::Resize { path, size: argument(1).parse().expect("a size") })
            }
            "fsync" | "fdatasync" => Some(Deed::Sync { path: self.below(&descriptor(argument(0))?.1)? }),
            "rename" => self.rename(&text(argument(0)), &text(argument(1))),
            "renameat" | "renameat2" => {
                self.rename(&self.named(argument(0), argument(1)), &self.named(argument(2), argument(3)))
            }
            "unlink" => Some(Deed::Unlink { path: self.below(&text(argument(0)))? }),
            "unlinkat" => {
                let path = self.below(&self.named(argument(0), argument(1)))?;
                let directory = argument(2).contains("AT_REMOVEDIR");
                Some(if directory { Deed::RemoveDirectory { path } } else { Deed::Unlink { path } })
            }
            "rmdir" => Some(Deed::RemoveDirectory { path: self.below(&text(argument(0)))? }),
            "mkdir" => Some(Deed::MakeDirectory { path: self.below(&text(argument(0)))? }),
            "mkdirat" => Some(Deed::MakeDirectory { path: self.below(&self.named(argument(0), argument(1)))? }),
            "close" => None,
            _ => {
                let touches = arguments.iter().any(|argument| {
                    let path = descriptor(argument).map_or_else(|| text(argument), |(_, path)| path);
                    self.below(&path).is_some()
                });
                assert!(!touches, "the model does not know what this call does to the disk: {}", short(call));
                None
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Option<Deed> {
        match (self.below(from), self.below(to)) {
            (Some(from), Some(to)) => Some(Deed::Rename { from, to }),
            (None, None) => None,
            _ => panic!("renamed across the edge of the model: {} to {}", from.display(), to.display()),
        }
    }

    /// A path that may be relative to a directory's descriptor.
    fn named(&self, directory: &str, path: &str) -> PathBuf {
        let (_, named) = directory.split_once('<').expect("a directory with its path");
        Path::new(&text_of(named.trim_end_matches('>'))).join(text(path))
    }

    fn below(&self, path: &Path) -> Option<PathBuf> {
        let path = path.strip_prefix(self.root).ok()?;
        // What was removed while it was open changes nothing any more.
        (!path.to_string_lossy().ends_with(" (deleted)")).then(|| path.to_owned())
    }
}

/// A descriptor and its path: `12<\x2f\x74>`.
fn descriptor(argument: &str) -> Option<(u32, PathBuf)> {
    let (number, path) = argument.split_once('<')?;
    Some((number.parse().ok()?, text_of(path.trim_end_matches('>').trim_end_matches("(deleted)")).into()))
}

/// The arguments of a call: commas inside strings, braces and brackets do not part them.
fn split(arguments: &str) -> Vec<String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0, false);
    for c in arguments.chars() {
        match c {
            '"' => quoted = !quoted,
            '{' | '[' if !quoted => depth += 1,
            '}' | ']' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().expect("a part").push(c);
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}

fn text(argument: &str) -> PathBuf {
    text_of(argument.trim_matches('"')).into()
}

fn text_of(escaped: &str) -> String {
    if !escaped.contains("\\x") {
        return escaped.to_owned();
    }
    String::from_utf8_lossy(&unhex(escaped)).into_owned()
}

fn unhex(escaped: &str) -> Vec<u8> {
    let digits = escaped.trim_matches('"').split("\\x").skip(1);
    digits.map(|pair| u8::from_str_radix(&pair[..2], 16).expect("two digits")).collect()
}

fn short(call: &str) -> String {
    call.chars().take(300).collect()
}
