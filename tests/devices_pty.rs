//! A device at the other end of a real pty: `import`, and a witness asked over the same line.

use crate::devices_line::{Board, record};
use crate::elsewhere::{copy_tree, key, run};
use crate::seen::{assert_intact, lowlight};
use lowlight_core::note::Key;
use lowlight_embedded::sim::Lossy;
use lowlight_host::line::OpenPort;
use lowlight_host::recorder::WitnessOptions;
use lowlight_host::store::{Layout, Reader};
use lowlight_host::witness::{Client, Endpoint, WitnessError};
use lowlight_tests::scratch;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

struct Out(Vec<u8>);

impl embedded_io::ErrorType for Out {
    type Error = std::convert::Infallible;
}

impl embedded_io::Write for Out {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// A board on a pty, served by a thread until this is dropped.
struct Wired {
    path: PathBuf,
    /// Of so many bytes that the board sends one is harmed; 0: none.
    harms: Arc<AtomicUsize>,
    /// Answers that were harmed.
    harmed: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<Board>>,
    /// Without it the pty would hang up whenever a host closes it.
    _open: File,
}

impl Wired {
    fn new(mut board: Board) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname(&master, Vec::new()).unwrap().into_string().unwrap());
        let open = File::options().read(true).write(true).open(&path).unwrap();
        let (harms, harmed, ends) = (Arc::default(), Arc::default(), Arc::default());
        let (one_in, count_harmed, ended): (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicBool>) =
            (Arc::clone(&harms), Arc::clone(&harmed), Arc::clone(&ends));
        let thread = std::thread::spawn(move || {
            let (mut master, mut bytes, mut seed) = (File::from(master), [0; 256], 0);
            while !ended.load(Relaxed) {
                let patience = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
                if poll(&mut [PollFd::new(&master, PollFlags::IN)], Some(&patience)).unwrap_or(0) == 0 {
                    continue;
                }
                let Ok(count) = master.read(&mut bytes) else { continue };
                let answer = board.receive(&bytes[..count]);
                seed += 1;
                let mut line = Lossy::new(Out(Vec::new()), seed, one_in.load(Relaxed));
                let Ok(()) = embedded_io::Write::write_all(&mut line, &answer);
                let Out(sent) = line.into_inner();
                count_harmed.fetch_add(usize::from(sent != answer), Relaxed);
                master.write_all(&sent).unwrap();
            }
            board
        });
        Self { path, harms, harmed, ends, thread: Some(thread), _open: open }
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::Serial { path: self.path.clone(), baud: lowlight_host::line::BAUD }
    }

    /// The board with its power off.
    fn unplug(mut self) -> Board {
        self.ends.store(true, Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

const LONG: Duration = Duration::from_secs(10);

fn board() -> Board {
    let mut board = Board::new(8);
    record(&mut board, 40);
    board.with_witness()
}

/// Provisions the witness at the other end for the logs in `logs`.
fn witness(wired: &Wired, logs: &Path) -> WitnessOptions {
    let vkey = key(logs);
    let info = Client::connect(&wired.endpoint(), LONG).unwrap().provision(None, "board", &vkey).unwrap();
    WitnessOptions { endpoint: wired.endpoint(), vkey: info.witness, attest: info.attest }
}

#[test]
fn a_board_is_taken_in_over_a_pty_and_witnesses_the_log_that_it_is_taken_into() {
    let dir = scratch();
    let (logs, old) = (dir.path().join("logs"), dir.path().join("old"));
    let wired = Wired::new(board());
    let options = witness(&wired, &logs);
    let port = wired.path.to_str().unwrap().to_owned();
    let again = lowlight(&["witness", "--serial", &port, "show"], "");
    assert_eq!(again.0, 0, "{again:?}");
    assert!(again.1.contains(&options.vkey) && again.1.contains(&options.attest), "{again:?}");
    let config = dir.path().join("lowlight.toml");
    std::fs::write(&config, &again.1).unwrap();
    let (path, config) = (logs.to_str().unwrap(), config.to_str().unwrap());
    // Device and witness are one, at one line; a recorder asks it at its start, at its checkpoints and at its end.
    let taken = lowlight(&["--path", path, "--config", config, "import", &port, "--json"], "");
    assert_eq!(taken.0, 0, "{taken:?}");
    let report: serde_json::Value = serde_json::from_str(&taken.1).unwrap();
    assert!(report["entries"].as_u64().unwrap() > 40, "{report}");
    let size = Reader::open(&logs).unwrap().tip().size;
    let witnessed = std::fs::read_to_string(logs.join("witnessed")).unwrap();
    assert!(witnessed.contains(&format!("\"size\":{size}")), "the last checkpoint is cosigned: {witnessed}");

    copy_tree(&logs, &old);
    assert!(run(&logs, &options, 5).witnessed > Some(size));
    std::fs::remove_dir_all(&logs).unwrap();
    copy_tree(&old, &logs);
    // What the host forgot the device still has.
    let taken = lowlight(&["--path", path, "--config", config, "import", &port, "--json"], "");
    assert_eq!(taken.0, 0, "{taken:?}");
    assert!(taken.2.contains("the witness has seen"), "{taken:?}");
    assert!(logs.join("quarantine/older-1/devices").is_dir(), "what came of devices goes with the log that says so");
    assert_intact(&logs);
    let verdict = lowlight(&["--path", path, "verify"], "");
    assert_eq!(verdict.0, 0, "{verdict:?}");
    let again = lowlight(&["--path", path, "--config", config, "import", &port], "");
    assert!(again.0 == 0 && again.1.contains("0 entries taken in") && !again.2.contains("moved aside"), "{again:?}");
    let verdict = lowlight(&["--path", path, "verify", "--json"], "");
    let report: serde_json::Value = serde_json::from_str(&verdict.1).unwrap();
    assert!(verdict.0 == 0 && report["devices"][0]["entries"].as_u64().unwrap() > 40, "{report}");
}

#[test]
fn a_witness_over_a_line_that_loses_bytes_is_asked_again_and_signs_nothing_twice_over() {
    let dir = scratch();
    let logs = dir.path().join("logs");
    let wired = Wired::new(board());
    let options = witness(&wired, &logs);
    wired.harms.store(400, Relaxed);
    let through = (0..6).filter(|_| run(&logs, &options, 3).witnessed == Some(Reader::open(&logs).unwrap().tip().size)).count();
    assert!(through > 0, "nothing came through");
    wired.harms.store(0, Relaxed);
    assert!(wired.harmed.load(Relaxed) > 0, "no byte was harmed");
    let stats = run(&logs, &options, 1);
    assert_eq!(stats.witnessed, Some(Reader::open(&logs).unwrap().tip().size));
    assert!(!logs.join("quarantine").exists());
}

#[test]
fn who_answers_for_a_witness_must_be_it() {
    let dir = scratch();
    let logs = dir.path().join("logs");
    let wired = Wired::new(board());
    let options = witness(&wired, &logs);
    let _stats = run(&logs, &options, 3);
    let log_id = Reader::open(&logs).unwrap().log_id();
    let origin = format!("lowlight/{log_id}");
    let other = lowlight_host::keys::LogKey::create(&Layout::new(dir.path().join("other")), "board-state").unwrap().key().to_string();
    let mut client = Client::connect(&wired.endpoint(), LONG).unwrap();
    let known = client.attest(&origin, &Key::parse(&options.attest).unwrap()).unwrap();
    assert_eq!(known.0, Reader::open(&logs).unwrap().tip().size);
    assert!(matches!(client.attest(&origin, &Key::parse(&other).unwrap()), Err(WitnessError::Untrusted(_))));
    let refused = client.attest("lowlight/00", &Key::parse(&options.attest).unwrap());
    assert!(matches!(refused, Err(WitnessError::Refused { status: 404, .. })), "{refused:?}");
    let twice = client.provision(None, "another", &key(&dir.path().join("else")));
    assert!(matches!(twice, Err(WitnessError::Refused { status: 409, .. })), "{twice:?}");
    // The line is one process's at a time.
    assert!(OpenPort::open(&wired.path, lowlight_host::line::BAUD).is_err());
    drop(client);
    assert!(OpenPort::open(&wired.path, lowlight_host::line::BAUD).is_ok());
    let board = wired.unplug();
    let wired = Wired::new(Board::new(8));
    let mut client = Client::connect(&wired.endpoint(), LONG).unwrap();
    let none = client.info().unwrap_err().to_string();
    assert!(none.contains("has no witness"), "{none}");
    drop(board);
}
