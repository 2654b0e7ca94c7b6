//! A place of its own for every test, and the command run in it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a test waits for something that should happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// A temporary directory that is current directory and home of the commands run in it.
pub struct Place {
    dir: tempfile::TempDir,
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Every line of stdout as JSON.
    pub fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"))).collect()
    }

    /// The one line of stdout as JSON.
    pub fn object(&self) -> Value {
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "one line was expected: {self:?}");
        lines.remove(0)
    }

    /// Fails the test unless the command ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        self
    }
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A place whose log in `logs` holds these lines, all of them accepted.
    pub fn with(lines: &[&str]) -> Self {
        let place = Self::new();
        place.record(lines);
        place
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// The command with a clean environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowlight"));
        command.args(arguments);
        self.clean(&mut command);
        command
    }

    /// Takes away what the developer's environment could change.
    pub fn clean(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("LOWLIGHT_") {
                command.env_remove(name);
            }
        }
        command.env_remove("XDG_CONFIG_HOME").env("HOME", self.dir()).current_dir(self.dir()).stdin(Stdio::null());
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments), b"")
    }

    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        finish(command, input.as_ref())
    }

    /// Runs with something on stdin.
    pub fn feed(&self, arguments: &[&str], input: impl AsRef<[u8]>) -> Ran {
        finish(self.command(arguments), input.as_ref())
    }

    /// Records lines into `logs`; all must be accepted.
    #[track_caller]
    pub fn record(&self, lines: &[&str]) {
        self.feed(&["record"], lines.join("\n")).expect(0);
    }

    /// What `query --json` lists in `logs`.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        self.run(&["query", "--json"]).expect(0).json()
    }

    /// The seq of the first record whose `prompt` is this.
    #[track_caller]
    pub fn seq_of(&self, prompt: &str) -> u64 {
        let records = self.records();
        let found = records.iter().find(|record| record["prompt"] == prompt);
        found.and_then(|record| record["seq"].as_u64()).unwrap_or_else(|| panic!("{prompt} is not in {records:?}"))
    }

    /// Changes the database of `logs` behind the recorder's back.
    pub fn tamper(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path("logs/lowlight.db")).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    pub fn start(&self, arguments: &[&str]) -> Running {
        Running::new(self.command(arguments))
    }
}

/// Feeds `input` to a command and waits for it.
pub fn finish(mut command: Command, input: &[u8]) -> Ran {
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pipe = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut pipe) = pipe {
                // A command that refuses to run reads nothing.
                let _ = pipe.write_all(input);
            }
        });
        child.wait_with_output().unwrap()
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
}

/// A command that goes on while the test looks; killed at the end of the test.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Running {
    pub fn new(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { break };
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines }
    }

    /// Writes to its stdin, which stays open.
    pub fn say(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// The next line of its stdout.
    #[track_caller]
    pub fn line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap_or_else(|why| panic!("no line came: {why}"))
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end, its stdin still open; `None` when a signal killed it.
    pub fn status(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Closes its stdin and waits for its end.
    pub fn end(mut self) -> i32 {
        drop(self.stdin.take());
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a little of a command's stdout, goes away, and says how the command ended.
pub fn read_a_little(mut command: Command) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut start = [0; 10];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut start).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap_or(-1), out: text(&start), err: text(&output.stderr) }
}

/// Copies a directory with all that is in it.
pub fn copy_log(from: &Path, to: &Path) {
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let target = to.join(item.file_name());
        if item.path().is_dir() {
            copy_log(&item.path(), &target);
        } else {
            std::fs::copy(item.path(), target).unwrap();
        }
    }
}

/// Enough lines to fill every buffer between a command and its reader.
pub fn many_lines(count: usize) -> String {
    use std::fmt::Write as _;
    let mut lines = String::new();
    for number in 0..count {
        let _ = writeln!(lines, r#"{{"model":"m{}","prompt":"a prompt of some length, number {number}"}}"#, number % 5);
    }
    lines
}
