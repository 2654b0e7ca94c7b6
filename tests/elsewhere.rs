//! What is kept elsewhere: a witness, a policy for auditors, a copy.

use lowlight_core::note::Key;
use lowlight_host::copy::{Copier, compare};
use lowlight_host::keys::LogKey;
use lowlight_host::recorder::{CopyOptions, WitnessOptions};
use lowlight_host::store::{Layout, Reader};
use lowlight_host::verify::{self, VerifyPolicy};
use lowlight_host::witness::{Client, Endpoint, Witness, WitnessError, serve};
use lowlight_host::{Record, Recorder};
use lowlight_tests::{db, fill, scratch, verify};
use std::io::BufReader;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const LONG: Duration = Duration::from_secs(30);

/// A witness on a socket, served by a thread for as long as the test runs.
pub fn witness(dir: &Path) -> (WitnessOptions, Arc<Mutex<Witness>>) {
    let witness = Witness::init(dir.join("witness"), "witness.example").unwrap();
    let (info, socket) = (witness.info(), dir.join("socket"));
    let (shared, listener) = (Arc::new(Mutex::new(witness)), UnixListener::bind(&socket).unwrap());
    let served = Arc::clone(&shared);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let input = stream.try_clone().unwrap();
            let _ = serve(&mut served.lock().unwrap(), &mut BufReader::new(input), &mut &stream);
        }
    });
    (WitnessOptions { endpoint: Endpoint::Socket(socket), vkey: info.witness, attest: info.attest }, shared)
}

pub fn key(dir: &Path) -> String {
    LogKey::create(&Layout::new(dir), "lowlight").unwrap().key().to_string()
}

pub fn run(dir: &Path, options: &WitnessOptions, count: u64) -> lowlight_host::Stats {
    let recorder = Recorder::builder(dir).witness(options.clone()).open().unwrap();
    for number in 0..count {
        let _ticket = recorder.record(Record::inference("m").prompt(format!("prompt {number}"))).unwrap();
    }
    recorder.close(LONG).unwrap()
}

pub fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)
        } else {
            let _bytes = std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn alarms(dir: &Path, code: &str) -> i64 {
    let sql = "SELECT count(*) FROM entry WHERE kind = 4 AND instr(event, CAST(?1 AS BLOB))";
    db(dir).query_row(sql, [code], |row| row.get(0)).unwrap()
}

#[test]
fn a_log_that_its_witness_knows_to_be_longer_is_not_continued_but_succeeded_once() {
    let dir = scratch();
    let (options, witness) = witness(dir.path());
    let (logs, old) = (dir.path().join("logs"), dir.path().join("old"));
    witness.lock().unwrap().trust(&key(&logs)).unwrap();
    let stats = run(&logs, &options, 300);
    assert_eq!((stats.witnessed, stats.witness_problem), (Some(304), None), "the last checkpoint is cosigned before closing returns");
    copy_tree(&logs, &old);
    run(&logs, &options, 50);
    let before = Reader::open(&logs).unwrap().log_id();
    // The whole box is put back: database, journal and keys fit each other.
    std::fs::remove_dir_all(&logs).unwrap();
    copy_tree(&old, &logs);
    assert_eq!(verify(&logs).verdict, "intact", "by itself nothing shows");
    let stats = run(&logs, &options, 10);
    assert!(stats.quarantined.is_some_and(|why| why.contains("rolled back")));
    let reader = Reader::open(&logs).unwrap();
    assert!(reader.log_id() != before && logs.join("quarantine/older-1/lowlight.db").exists());
    let open: Vec<u8> = reader.connection().query_row("SELECT event FROM entry WHERE seq = 0", [], |row| row.get(0)).unwrap();
    assert!(open.windows(16).any(|window| window == before.0), "the successor names the log before it");
    drop(reader);
    let stats = run(&logs, &options, 10);
    assert!(stats.quarantined.is_none(), "one successor for one alarm");
    assert_eq!(verify(&logs).verdict, "intact");
    assert_eq!(alarms(&logs, "quarantined"), 1);
}

#[test]
fn recording_goes_on_without_the_witness_and_says_so() {
    let dir = scratch();
    let (mut options, _witness) = witness(dir.path());
    let logs = dir.path().join("logs");
    key(&logs);
    options.endpoint = Endpoint::Socket(dir.path().join("nobody"));
    let started = Instant::now();
    let stats = run(&logs, &options, 100);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!((stats.durable, stats.witnessed), (100, None));
    assert!(stats.witness_problem.is_some());
    let _stats = run(&logs, &options, 1);
    assert_eq!(alarms(&logs, "witness_silent"), 1, "there was nothing to ask about when the log was new");
}

#[test]
fn a_witness_that_hangs_costs_a_start_its_patience_and_nothing_else() {
    let dir = scratch();
    let (mut options, _witness) = witness(dir.path());
    let logs = dir.path().join("logs");
    key(&logs);
    fill(&logs, 5);
    options.endpoint = Endpoint::Command(vec!["sleep".to_owned(), "1000".to_owned()]);
    let started = Instant::now();
    let stats = run(&logs, &options, 100);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!((stats.durable, stats.lost.total()), (100, 0));
}

#[test]
fn a_history_that_was_rewritten_is_not_cosigned() {
    let dir = scratch();
    let (options, witness) = witness(dir.path());
    let logs = dir.path().join("logs");
    witness.lock().unwrap().trust(&key(&logs)).unwrap();
    run(&logs, &options, 20);
    // Whoever has the key makes another history under the same log id.
    let id = Reader::open(&logs).unwrap().log_id();
    let other = dir.path().join("other");
    copy_tree(&logs.join("keys"), &other.join("keys"));
    std::fs::set_permissions(&other, std::fs::metadata(&logs).unwrap().permissions()).unwrap();
    fill(&other, 60);
    let journal = std::fs::read_to_string(other.join("checkpoints")).unwrap();
    let own = Reader::open(&other).unwrap().log_id().to_string();
    let note = journal.lines().last().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok()).unwrap();
    let text = note["note"].as_str().unwrap().split_once("\n\n").unwrap().0.replace(&own, &id.to_string()) + "\n";
    let mut forged = format!("{text}\n");
    LogKey::load(&Layout::new(&logs)).unwrap().unwrap().sign(&text, &mut forged);
    let mut witness = witness.lock().unwrap();
    let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n".repeat(6);
    for (request, status) in [
        (format!("old 24\n{proof}\n{forged}"), 422),
        (format!("old 24\n\n{forged}"), 422),
        (format!("old 0\n\n{forged}"), 409),
        (format!("old 24\n\n{}", forged.replace("lowlight/", "another/")), 404),
        (format!("old 24\n\n{}", forged.replace("\n6", "\n7")), 403),
        ("nonsense".to_owned(), 400),
    ] {
        assert_eq!(witness.add(request.as_bytes()).unwrap().status, status, "{request}");
    }
}

#[test]
fn a_witness_that_lost_its_state_stops_for_good() {
    let dir = scratch();
    let state = dir.path().join("witness");
    drop(Witness::init(&state, "w").unwrap());
    assert!(Witness::init(&state, "w").is_err(), "never begun anew over an old one");
    let file = state.join("witness.json");
    let good = std::fs::read(&file).unwrap();
    for damaged in [&b""[..], b"{}", &good[..good.len() / 2], b"{\"version\":2}"] {
        std::fs::write(&file, damaged).unwrap();
        assert!(Witness::open(&state).unwrap_err().to_string().contains("must not go on"));
    }
    std::fs::remove_file(&file).unwrap();
    assert!(Witness::open(&state).unwrap_err().to_string().contains("must not go on"));
    std::fs::write(&file, good).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let one = Witness::open(&state).unwrap();
    assert!(Witness::open(&state).is_err(), "one process at a time");
    drop(one);
}

#[test]
fn a_name_has_four_slots_and_a_freed_one_is_free() {
    let dir = scratch();
    let mut witness = Witness::init(dir.path().join("witness"), "w").unwrap();
    let layout = Layout::new(dir.path().join("keys"));
    let mut key = LogKey::create(&layout, "fleet").unwrap();
    witness.trust(&key.key().to_string()).unwrap();
    let mut first = |witness: &mut Witness, id: u8| {
        let text = format!("fleet/{}\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", format!("{id:02x}").repeat(16));
        let mut note = format!("old 0\n\n{text}\n");
        key.sign(&text, &mut note);
        witness.add(note.as_bytes()).unwrap().status
    };
    let statuses: Vec<_> = (0..5).map(|id| first(&mut witness, id)).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 404]);
    assert_eq!(first(&mut witness, 2), 409, "old 0 only in a fresh slot");
    witness.free(&format!("fleet/{}", "02".repeat(16))).unwrap();
    assert_eq!(first(&mut witness, 4), 200);
}

#[test]
fn an_old_answer_is_no_answer() {
    let dir = scratch();
    let (options, witness) = witness(dir.path());
    let logs = dir.path().join("logs");
    witness.lock().unwrap().trust(&key(&logs)).unwrap();
    run(&logs, &options, 5);
    let origin = format!("lowlight/{}", Reader::open(&logs).unwrap().log_id());
    let recorded = witness.lock().unwrap().attest(&origin, &"ab".repeat(32));
    // A false witness plays it back.
    let socket = dir.path().join("false");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        use std::io::{BufRead as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut String::new()).unwrap();
        write!(stream, "200 {}\n{}", recorded.body.len(), recorded.body).unwrap();
    });
    let attest = options.attest.clone();
    let mut client = Client::connect(&Endpoint::Socket(socket), LONG).unwrap();
    assert!(matches!(client.attest(&origin, &Key::parse(&attest).unwrap()), Err(WitnessError::Untrusted(_))));
    let mut client = Client::connect(&options.endpoint, LONG).unwrap();
    assert_eq!(client.attest(&origin, &Key::parse(&attest).unwrap()).unwrap().0, 9);
}

#[test]
fn a_policy_never_fails_open() {
    let (id, key, witness) = ("0".repeat(32), "lowlight+517a553a+AZ4BnWXbaXdiuHO5OboLRnP4F8tlZbDUwcYvIg9Th3Fy", "w.example");
    let dir = scratch();
    let info = Witness::init(dir.path().join("w"), witness).unwrap().info();
    let with = |rest: &str| VerifyPolicy::parse(&format!("origins = [\"lowlight/{id}\"]\nkeys = [\"{key}\"]\n{rest}"));
    with("").unwrap();
    let one = format!("[[witness]]\nvkey = \"{}\"\n", info.witness);
    with(&one).unwrap();
    for (text, word) in [
        ("", "origins"),
        ("origins = [\"lowlight\"]", "origins"),
        (&format!("origins = [\"lowlight/{id}\"]"), "keys"),
        (&format!("origins = [\"lowlight/{id}\"]\nkeys = [\"x\"]"), "keys"),
        (&format!("origins = [\"lowlight/{id}\"]\nkeys = [\"{}\"]", info.witness), "keys"),
    ] {
        assert!(VerifyPolicy::parse(text).unwrap_err().contains(word), "{text}");
    }
    for (text, word) in [
        ("quorum = 1", "quorum"),
        (&format!("quorum = 2\n{one}"), "quorum"),
        (&format!("quorum = 0\n{one}"), "quorum"),
        (&format!("{one}{one}"), "twice"),
        ("max_age = \"1d\"", "max_age"),
        (&format!("max_age = \"soon\"\n{one}"), "max_age"),
        ("witnesses = []", "witnesses"),
        (&format!("[[witness]]\nvkey = \"{key}\""), "vkey"),
        (&format!("{one}attest = \"{}\"", info.attest), "attest"),
        (&format!("{one}socket = \"/x\""), "attest"),
    ] {
        assert!(with(text).unwrap_err().contains(word), "{text}");
    }
}

#[test]
fn a_copy_follows_catches_up_and_shows_what_the_log_lost() {
    let dir = scratch();
    let (logs, copy, away) = (dir.path().join("logs"), dir.path().join("copy"), dir.path().join("away"));
    std::fs::create_dir(&copy).unwrap();
    let record = |count: u64| {
        let options = CopyOptions { dir: copy.clone(), content: false };
        let recorder = Recorder::builder(&logs).copy(options).open().unwrap();
        for number in 0..count {
            let _ticket = recorder.record(Record::inference("m").prompt(format!("hidden {number}"))).unwrap();
        }
        recorder.close(LONG).unwrap()
    };
    assert_eq!(record(300).copied, Some(304));
    std::fs::rename(&copy, &away).unwrap();
    let stats = record(50);
    assert!(stats.durable == 50 && stats.copy_problem.is_some(), "{stats:?}");
    std::fs::rename(&away, &copy).unwrap();
    // A power cut left half a line: it is left, and another file begun.
    let file = std::fs::read_dir(&copy).unwrap().flatten().next().unwrap().path();
    std::fs::OpenOptions::new().append(true).open(&file).unwrap();
    let mut text = std::fs::read(&file).unwrap();
    text.extend_from_slice(b"{\"seq\":304,\"kind\":");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(record(5).copy_problem, None);
    assert_eq!(std::fs::read_dir(&copy).unwrap().count(), 2);
    let held = |logs: &Path| {
        let mut report = verify::log(logs).unwrap();
        compare(logs, &copy, &mut report).unwrap();
        report
    };
    let report = held(&logs);
    assert_eq!((report.verdict, report.level), ("intact", "checkpoint"), "{report:?}");
    let whole: String = std::fs::read_dir(&copy).unwrap().flatten().map(|entry| std::fs::read_to_string(entry.path()).unwrap()).collect();
    assert!(!whole.contains("hidden") && !whole.contains("\"salt\""), "without content there is nothing to erase");
    // The log is put back to what it was.
    let old = dir.path().join("old");
    copy_tree(&logs, &old);
    let size = Reader::open(&old).unwrap().tip().size;
    record(10);
    let report = held(&old);
    assert_eq!((report.verdict, report.problems[0].kind, report.problems[0].seq), ("broken", "rolled_back", Some(size)), "{report:?}");
    // A value is edited: the copy names the column.
    db(&logs).execute_batch("UPDATE entry SET model = 'other' WHERE seq = 77").unwrap();
    let report = held(&logs);
    assert!(report.notes.iter().any(|note| note.contains("entry 77") && note.contains("model")), "{:?}", report.notes);
    // The copy itself is edited.
    let fresh = dir.path().join("fresh");
    fill(&fresh, 20);
    let second = dir.path().join("second");
    std::fs::create_dir(&second).unwrap();
    Copier::new(&second, true).catch_up(&Layout::new(&fresh)).unwrap();
    let file = std::fs::read_dir(&second).unwrap().flatten().next().unwrap().path();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("phi-3-mini", "phi-3-maxi", 1)).unwrap();
    let mut report = verify::log(&fresh).unwrap();
    compare(&fresh, &second, &mut report).unwrap();
    assert_eq!(report.verdict, "unreadable", "{report:?}");
}
