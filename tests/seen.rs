//! What a log holds, and levers that put storage and processes into a bad state and back.

use lowlight_host::recorder::VerifyAtStart;
use lowlight_host::store::Reader;
use lowlight_host::view::Views;
use lowlight_host::{LossReason, Outcome, Record, Recorder, Ticket, recorder::Builder};
use lowlight_tests::{db, scratch, writer_process};
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs::TryLockError;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow machine.
pub const LONG: Duration = Duration::from_secs(20);
/// The outcome of a record for which there was no place.
pub const QUEUE_FULL: Outcome = Outcome::Lost(LossReason::QueueFull);

/// A recorder that commits as soon as it can and verifies nothing first.
pub fn quick(dir: &Path) -> Builder {
    Recorder::builder(dir).max_loss_window(Duration::ZERO).verify_at_start(VerifyAtStart::Off)
}

/// Hands over an inference with that prompt.
pub fn tell(recorder: &Recorder, prompt: &str) -> Ticket {
    recorder.record(Record::inference("phi-3-mini").prompt(prompt)).expect("a valid record")
}

/// Polls until `done`; fails after a time that nothing here takes.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !done() {
        assert!(Instant::now() < until, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Every entry of a log as JSON, in order.
#[track_caller]
pub fn entries(dir: &Path) -> Vec<Value> {
    let reader = Reader::open(dir).expect("a log that can be read");
    let views = Views::new(reader.everything(true));
    views.map(|view| serde_json::from_str(&view.expect("an entry").to_json()).expect("JSON")).collect()
}

/// The lifecycle events called `what`.
#[track_caller]
pub fn lifecycle(dir: &Path, what: &str) -> Vec<Value> {
    entries(dir).into_iter().map(|mut entry| entry["event"].take()).filter(|event| event["what"] == what).collect()
}

/// The alarms of that code.
#[track_caller]
pub fn alarms(dir: &Path, code: &str) -> Vec<Value> {
    lifecycle(dir, "alarm").into_iter().filter(|event| event["code"] == code).collect()
}

/// Reason and count of every Gap entry, in order.
#[track_caller]
pub fn gaps(dir: &Path) -> Vec<(String, u64)> {
    let gaps = entries(dir).into_iter().filter(|entry| entry["kind"] == "gap");
    gaps.map(|gap| (gap["event"]["reason"].as_str().unwrap().to_owned(), gap["event"]["lost"].as_u64().unwrap())).collect()
}

/// The prompts in a log, in order.
#[track_caller]
pub fn prompts(dir: &Path) -> Vec<String> {
    entries(dir).iter().filter_map(|entry| entry["prompt"].as_str().map(str::to_owned)).collect()
}

/// One number from the database.
#[track_caller]
pub fn number(dir: &Path, sql: &str) -> i64 {
    db(dir).query_row(sql, [], |row| row.get(0)).expect("a number")
}

#[track_caller]
pub fn assert_intact(dir: &Path) {
    let report = lowlight_tests::verify(dir);
    assert_eq!(report.verdict, "intact", "{:?} {:?}", report.problems, report.error);
}

/// A transaction of somebody else that keeps writers out of the database until it is released.
pub struct Stall {
    connection: Connection,
    lock: PathBuf,
}

impl Stall {
    pub fn new(dir: &Path) -> Self {
        let connection = db(dir);
        connection.busy_timeout(LONG).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").expect("the write lock");
        Self { connection, lock: dir.join("lowlight.lock") }
    }

    /// Waits until the writer thread has a batch in hand and waits for the database.
    pub fn wait_for_writer(&self) {
        let file = std::fs::File::open(&self.lock).unwrap();
        wait_until("the writer has a batch in hand", || match file.try_lock() {
            Ok(()) => {
                file.unlock().unwrap();
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => panic!("{error}"),
        });
    }

    pub fn release(self) {
        self.connection.execute_batch("ROLLBACK").unwrap();
    }
}

/// Storage that fails at once, whatever is tried: something else is where the lock file should be.
pub struct Jam {
    lock: PathBuf,
    away: PathBuf,
}

impl Jam {
    pub fn new(dir: &Path) -> Self {
        let (lock, away) = (dir.join("lowlight.lock"), dir.join("lowlight.lock.away"));
        std::fs::rename(&lock, &away).unwrap();
        std::os::unix::fs::symlink("nowhere", &lock).unwrap();
        Self { lock, away }
    }

    pub fn mend(self) {
        std::fs::remove_file(&self.lock).unwrap();
        std::fs::rename(&self.away, &self.lock).unwrap();
    }
}

/// A small file system of its own. Needs root, which CI has.
pub struct Tmpfs {
    dir: tempfile::TempDir,
}

impl Tmpfs {
    /// `None`, loudly, where mounting is not allowed; a failure in CI.
    pub fn new(size: &str) -> Option<Self> {
        let dir = scratch();
        let options = format!("size={size},mode=0700");
        if run("mount", &["-t", "tmpfs", "-o", &options, "lowlight-tests", dir.path().to_str().unwrap()]) {
            return Some(Self { dir });
        }
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must be able to mount a tmpfs");
        // Past the capture of the test harness: nobody should think that this ran.
        let _ = std::io::stderr().write_all(b"\nSKIPPED: a test that must mount a tmpfs; run it as root\n");
        None
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        // Busy while a file that was closed just now is still on its way out.
        let remounted = (0..50).any(|_| {
            let done = run("mount", &["-o", &options, self.path().to_str().unwrap()]);
            if !done {
                std::thread::sleep(Duration::from_millis(100));
            }
            done
        });
        assert!(remounted, "remount");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        run("umount", &["-l", self.path().to_str().unwrap_or_default()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Copies a log that somebody still has open, as a crash or a careless backup would leave it.
pub fn copy_files(from: &Path, to: &Path, names: &[&str]) {
    use std::os::unix::fs::PermissionsExt as _;
    for name in names {
        std::fs::copy(from.join(name), to.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        std::fs::set_permissions(to.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Name and bytes of the files in a directory, folders left out, sorted by name.
pub fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let all = std::fs::read_dir(dir).unwrap().map(Result::unwrap).filter(|file| file.path().is_file());
    let mut all: Vec<_> = all.map(|file| (file.file_name().into_string().unwrap(), std::fs::read(file.path()).unwrap())).collect();
    all.sort();
    all
}

/// Runs the `lowlight` command: exit code, stdout, stderr.
pub fn lowlight(arguments: &[&str], input: impl Into<Vec<u8>>) -> (i32, String, String) {
    let input = input.into();
    let mut command = Command::new(writer_process());
    command.env_clear().env("WRITER_PROCESS", "lowlight").args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command");
    let mut stdin = child.stdin.take().unwrap();
    let feeder = std::thread::spawn(move || {
        // A command that does not read its input closes it.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
}

/// A `writer_process`, killed when dropped.
pub struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Process {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(writer_process());
        let mut child = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("writer_process");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines }
    }

    /// The next line it says.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(LONG).expect("a line from the process")
    }

    /// Everything it has said and not been asked for, once it is dead.
    pub fn rest(&self) -> Vec<String> {
        self.lines.iter().collect()
    }

    /// Lets it go on from where it waits for a line.
    pub fn go(&mut self) {
        self.stdin.write_all(b"go\n").unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until the kernel says that it is stopped.
    pub fn wait_stopped(&self) {
        let stat = format!("/proc/{}/stat", self.child.id());
        wait_until("the process is stopped", || {
            let text = std::fs::read_to_string(&stat).unwrap();
            text.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        });
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn succeeded(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
