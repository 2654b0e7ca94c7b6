//! Runs commands under strace and turns what they did to files into operations, in the order in which they were done.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What happened to a file system, or was said on standard output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A file was made, if it was not there.
    Create(PathBuf),
    MakeDir(PathBuf),
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    Truncate(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    /// A second name of a file.
    Link(PathBuf, PathBuf),
    Unlink(PathBuf),
    /// A file or a directory is durable as it was when operation `since` was next.
    Sync {
        path: PathBuf,
        since: usize,
    },
    /// A line was printed.
    Said(String),
}

const CALLS: &str = "openat,open,creat,close,dup,dup2,dup3,write,pwrite64,writev,pwritev,read,lseek,ftruncate,truncate,fsync,fdatasync,\
                     rename,renameat,renameat2,unlink,unlinkat,link,linkat,mkdir,mkdirat,rmdir,fallocate,copy_file_range,sendfile,sync_file_range";

/// Runs `script` with a shell in `dir` and returns what it did below `dir`.
pub fn record(dir: &Path, script: &str, config: &Path) -> Result<Vec<Op>, String> {
    let log = dir.with_extension("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-xx", "-s", "16777216", "-e", &format!("trace={CALLS}"), "-e", "signal=none", "-o"]).arg(&log);
    command.args(["sh", "-e", "-c", script]).current_dir(dir).env("LOWLIGHT_CONFIG", config);
    let done = command.output().map_err(|error| format!("strace: {error}"))?;
    if !done.status.success() {
        return Err(format!("the workload failed: {}\n{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr)));
    }
    let text = std::fs::read_to_string(&log).map_err(|error| error.to_string())?;
    std::fs::remove_file(&log).map_err(|error| error.to_string())?;
    Parser { root: dir, ops: Vec::new(), offsets: HashMap::new(), open: HashMap::new(), line: Vec::new() }.parse(&text)
}

struct Parser<'r> {
    root: &'r Path,
    ops: Vec<Op>,
    /// Place in each open file, by process and descriptor, and whether writes go to the end.
    offsets: HashMap<(u32, u32), Place>,
    /// Calls that have begun: their text, and how many operations there were.
    open: HashMap<u32, (String, usize)>,
    /// What was printed and is no whole line yet.
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    at: u64,
    appends: bool,
}

/// A call: its name, its arguments and what it returned.
struct Call<'t> {
    name: &'t str,
    arguments: Vec<&'t str>,
    result: i64,
    process: u32,
    since: usize,
}

impl Parser<'_> {
    fn parse(mut self, text: &str) -> Result<Vec<Op>, String> {
        // Threads of one process share descriptors; strace names them by their own ids.
        for line in text.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let thread: u32 = thread.parse().map_err(|_| format!("not a line of strace: {:.80}", line))?;
            let rest = rest.trim_start();
            if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
                self.open.insert(thread, (begun.to_owned(), self.ops.len()));
            } else if let Some(resumed) = rest.strip_prefix("<... ") {
                let Some((begun, since)) = self.open.remove(&thread) else { continue };
                let behind = resumed.split_once(" resumed>").map_or("", |(_, behind)| behind);
                self.call(thread, &format!("{begun}{behind}"), since)?;
            } else {
                self.call(thread, rest, self.ops.len())?;
            }
        }
        Ok(self.ops)
    }

    fn call(&mut self, process: u32, text: &str, since: usize) -> Result<(), String> {
        let Some((name, rest)) = text.split_once('(') else { return Ok(()) };
        let Some((inside, result)) = rest.rsplit_once(" = ") else { return Ok(()) };
        let result = result.split(['<', ' ']).next().unwrap_or_default().parse().unwrap_or(-1);
        if result < 0 {
            return Ok(());
        }
        let inside = inside.trim_end().strip_suffix(')').unwrap_or(inside);
        let call = Call { name, arguments: split(inside), result, process, since };
        self.interpret(&call).ok_or_else(|| format!("not understood: {:.200}", text))
    }

    fn interpret(&mut self, call: &Call<'_>) -> Option<()> {
        let argument = |place: usize| call.arguments.get(place).copied().unwrap_or_default();
        match call.name {
            "open" | "openat" | "creat" => self.opened(call)?,
            "read" => self.place(call, 0)?.at += u64::try_from(call.result).ok()?,
            "lseek" => self.place(call, 0)?.at = u64::try_from(call.result).ok()?,
            "write" => {
                let bytes = unquote(argument(1))?;
                let bytes = bytes.get(..usize::try_from(call.result).ok()?)?;
                let Some(path) = self.file(argument(0)) else {
                    if argument(0).starts_with("1<") {
                        self.said(bytes);
                    }
                    return Some(());
                };
                let place = *self.place(call, 0)?;
                let offset = if place.appends { u64::MAX } else { place.at };
                self.place(call, 0)?.at += bytes.len() as u64;
                self.ops.push(Op::Write { path, offset, bytes: bytes.to_vec() });
            }
            "pwrite64" => {
                if let Some(path) = self.file(argument(0)) {
                    let bytes = unquote(argument(1))?.get(..usize::try_from(call.result).ok()?)?.to_vec();
                    self.ops.push(Op::Write { path, offset: argument(3).parse().ok()?, bytes });
                }
            }
            "ftruncate" => {
                let length = argument(1).parse().ok()?;
                self.ops.extend(self.file(argument(0)).map(|path| Op::Truncate(path, length)));
            }
            "fsync" | "fdatasync" => self.ops.extend(self.file(argument(0)).map(|path| Op::Sync { path, since: call.since })),
            "rename" => self.renamed(argument(0), argument(1))?,
            "renameat" | "renameat2" => self.renamed(argument(1), argument(3))?,
            "link" => self.linked(argument(0), argument(1))?,
            "linkat" => self.linked(argument(1), argument(3))?,
            "unlink" | "rmdir" => self.ops.extend(self.named(argument(0))?.map(Op::Unlink)),
            "unlinkat" => self.ops.extend(self.named(argument(1))?.map(Op::Unlink)),
            "mkdir" => self.ops.extend(self.named(argument(0))?.map(Op::MakeDir)),
            "mkdirat" => self.ops.extend(self.named(argument(1))?.map(Op::MakeDir)),
            "close" => {}
            // None of these is used on a file of a log; one that is must be understood first.
            _ => return call.arguments.iter().all(|argument| self.file(argument).is_none()).then_some(()),
        }
        Some(())
    }

    fn opened(&mut self, call: &Call<'_>) -> Option<()> {
        let name = usize::from(call.name == "openat");
        let flags = call.arguments.get(name + 1).copied().unwrap_or_default();
        let descriptor = u32::try_from(call.result).ok()?;
        let place = Place { at: 0, appends: flags.contains("O_APPEND") };
        self.offsets.insert((call.process, descriptor), place);
        if let Some(path) = self.named(call.arguments.get(name)?)? {
            if flags.contains("O_CREAT") || call.name == "creat" {
                self.ops.push(Op::Create(path.clone()));
            }
            if flags.contains("O_TRUNC") || call.name == "creat" {
                self.ops.push(Op::Truncate(path, 0));
            }
        }
        Some(())
    }

    /// Where a descriptor is; threads of a process may use one that another opened.
    fn place(&mut self, call: &Call<'_>, argument: usize) -> Option<&mut Place> {
        let descriptor: u32 = call.arguments.get(argument)?.split('<').next()?.parse().ok()?;
        let own = (call.process, descriptor);
        if !self.offsets.contains_key(&own) {
            let other = self.offsets.iter().filter(|((_, other), _)| *other == descriptor).max_by_key(|((process, _), _)| *process);
            let place = other.map_or(Place::default(), |(_, place)| *place);
            self.offsets.insert(own, place);
        }
        self.offsets.get_mut(&own)
    }

    fn renamed(&mut self, from: &str, to: &str) -> Option<()> {
        if let (Some(from), Some(to)) = (self.named(from)?, self.named(to)?) {
            self.ops.push(Op::Rename(from, to));
        }
        Some(())
    }

    fn linked(&mut self, from: &str, to: &str) -> Option<()> {
        if let (Some(from), Some(to)) = (self.named(from)?, self.named(to)?) {
            self.ops.push(Op::Link(from, to));
        }
        Some(())
    }

    fn said(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.ops.push(Op::Said(String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned()));
            } else {
                self.line.push(*byte);
            }
        }
    }

    /// The path of a descriptor, as `5<path>`, if it is below the root and still has a name.
    fn file(&self, argument: &str) -> Option<PathBuf> {
        let (_, rest) = argument.split_once('<')?;
        let path = unescape(rest.strip_suffix('>')?)?;
        // A pipe has no path.
        path.starts_with(b"/").then(|| self.below(&path)).flatten()
    }

    /// The path that a quoted name means; `Some(None)` when it is elsewhere.
    fn named(&self, argument: &str) -> Option<Option<PathBuf>> {
        Some(self.below(&unquote(argument)?))
    }

    fn below(&self, path: &[u8]) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStrExt as _;
        let path = self.root.join(std::ffi::OsStr::from_bytes(path));
        let below = path.strip_prefix(self.root).ok()?;
        (!below.as_os_str().is_empty()).then(|| below.to_path_buf())
    }
}

/// Splits arguments at commas outside of quotes and angle brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (place, letter) in text.bytes().enumerate() {
        match letter {
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                parts.push(text[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

fn unquote(text: &str) -> Option<Vec<u8>> {
    unescape(text.strip_prefix('"')?.strip_suffix('"')?)
}

/// Bytes as `\x2f\x74`.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut rest = text;
    while let Some(hex) = rest.strip_prefix("\\x") {
        bytes.push(u8::from_str_radix(hex.get(..2)?, 16).ok()?);
        rest = hex.get(2..)?;
    }
    rest.is_empty().then_some(bytes)
}
