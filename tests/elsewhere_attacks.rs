//! Witnesses under attack: those that hang, those whose state is altered, notes made to confuse.

use crate::elsewhere::{LONG, key, run, witness};
use lowlight_core::note::{Algorithm, Key, Note};
use lowlight_host::checkpoints::Checkpoints;
use lowlight_host::keys::LogKey;
use lowlight_host::store::{Layout, Reader};
use lowlight_host::verify::{Place, VerifyPolicy};
use lowlight_host::witness::{Client, Endpoint, Witness};
use lowlight_tests::scratch;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_witness_that_does_not_answer_is_left_in_time_and_with_all_it_started() {
    let dir = scratch();
    let mark = dir.path().join("mark").display().to_string();
    // The shell waits for a child that keeps its output open.
    let script = format!("bash -c 'exec -a {mark} sleep 3600'; true");
    let commands = [vec!["bash", "-c", &script], vec!["sh", "-c", "while :; do printf 2; sleep 0.1; done"], vec!["sh", "-c", "yes 1>&2"]];
    for command in commands {
        let begun = Instant::now();
        let endpoint = Endpoint::Command(command.iter().map(|word| (*word).to_owned()).collect());
        let mut client = Client::connect(&endpoint, SHORT).unwrap();
        assert!(client.latest("lowlight/x").is_err());
        assert!(begun.elapsed() < Duration::from_secs(10), "{command:?}");
    }
    let begins =
        |process: std::fs::DirEntry| std::fs::read(process.path().join("cmdline")).is_ok_and(|line| line.starts_with(mark.as_bytes()));
    let begun = Instant::now();
    while std::fs::read_dir("/proc").unwrap().flatten().any(begins) {
        assert!(begun.elapsed() < LONG, "a process was left behind");
    }
    // A socket that nobody serves, with a full queue.
    let socket = dir.path().join("full");
    let _listener = UnixListener::bind(&socket).unwrap();
    let waiting: Vec<_> = (0..5_000).map_while(|_| rustix_connect(&socket)).collect();
    assert!(waiting.len() < 5_000, "the queue is not full");
    let begun = Instant::now();
    assert!(Client::connect(&Endpoint::Socket(socket), SHORT).is_err());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

/// A connection, unless it would have to wait.
fn rustix_connect(path: &Path) -> Option<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
    connect(&socket, &SocketAddrUnix::new(path).unwrap()).ok()?;
    Some(UnixStream::from(socket))
}

#[test]
fn a_witness_keeps_what_it_checked_and_can_always_hand_it_out() {
    let dir = scratch();
    let (options, witness) = witness(dir.path());
    let logs = dir.path().join("logs");
    let vkey = key(&logs);
    witness.lock().unwrap().trust(&vkey).unwrap();
    run(&logs, &options, 5);
    let reader = Reader::open(&logs).unwrap();
    let own = format!("lowlight/{}", reader.log_id());
    let sealed = Checkpoints::open(&logs).unwrap().of(reader.log_id()).newest(reader.tip().size).unwrap().unwrap();
    // Who holds the log's key sends it again, with as many strange signatures as a note may have.
    let junk: String = (0..99).map(|number| format!("\u{2014} x{number} YWJjZAAAAAAAAAAA\n")).collect();
    let again = format!("old {}\n\n{}{junk}", sealed.size, sealed.note.clone().unwrap());
    assert_eq!(witness.lock().unwrap().add(again.as_bytes()).unwrap().status, 200);
    let signatures = |note: &str| Note::parse(note.as_bytes()).map(|note| note.signatures().count());
    assert_eq!(signatures(&witness.lock().unwrap().latest(&own).body), Ok(2));
    // And with a line more in its text.
    let mut signed = String::new();
    let text = Note::parse(sealed.note.as_ref().unwrap().as_bytes()).unwrap().text.to_owned() + "extension\n";
    LogKey::load(&Layout::new(&logs)).unwrap().unwrap().sign(&text, &mut signed);
    let extended = format!("old {}\n\n{text}\n{signed}", sealed.size);
    assert_eq!(witness.lock().unwrap().add(extended.as_bytes()).unwrap().status, 200);
    let latest = witness.lock().unwrap().latest(&own).body;
    assert_eq!(signatures(&latest), Ok(2), "{latest}");
    let policy = format!("origins = [\"{own}\"]\nkeys = [\"{vkey}\"]\n[[witness]]\nvkey = \"{}\"\n", options.vkey);
    let vetted = VerifyPolicy::parse(&policy).unwrap().vet(&latest, Place::Beside).unwrap();
    assert_eq!((vetted.kept.size(), vetted.times.len()), (sealed.size, 1));
}

#[test]
fn a_witness_whose_state_another_changed_signs_nothing_more() {
    let dir = scratch();
    let mut witness = Witness::init(dir.path().join("w"), "w.example").unwrap();
    let state = dir.path().join("w/witness.json");
    let before = std::fs::read_to_string(&state).unwrap();
    witness.trust("lowlight+517a553a+AZ4BnWXbaXdiuHO5OboLRnP4F8tlZbDUwcYvIg9Th3Fy").unwrap();
    std::fs::write(&state, before).unwrap();
    let key = Key { name: "other", ..Key::parse("lowlight+517a553a+AZ4BnWXbaXdiuHO5OboLRnP4F8tlZbDUwcYvIg9Th3Fy").unwrap() };
    let refused = witness.trust(&key.to_string()).unwrap_err().to_string();
    assert!(refused.contains("somebody else"), "{refused}");
}

#[test]
fn a_witness_counts_once_and_only_with_signatures_that_are_right() {
    let dir = scratch();
    let layout = Layout::new(dir.path().join("logs"));
    let mut log = LogKey::create(&layout, "lowlight").unwrap();
    let mut witness = LogKey::create_next(&layout, "w.example").unwrap();
    let id = "0".repeat(32);
    let text = format!("lowlight/{id}\n5\n{}\n", lowlight_core::note::base64::Base64(&[7; 32]));
    let mut note = format!("{text}\n");
    log.sign(&text, &mut note);
    let plain = note.clone();
    witness.sign_as(Algorithm::CosignatureV1, &text, 1_000, &mut note);
    let (log_key, cosigner) = (log.key().to_string(), witness.cosigner().to_string());
    let alias = Key { name: "alias", ..witness.cosigner() }.to_string();
    let own = Key { algorithm: Algorithm::CosignatureV1, ..log.key() }.to_string();
    let policy = |origin: &str, keys: &[&String]| {
        let witnesses: String = keys.iter().map(|vkey| format!("[[witness]]\nvkey = \"{vkey}\"\n")).collect();
        VerifyPolicy::parse(&format!("origins = [\"{origin}/{id}\"]\nkeys = [\"{log_key}\"]\nquorum = 1\n{witnesses}"))
    };
    let time = |note: &str| {
        policy("lowlight", &[&cosigner]).unwrap().vet(note, Place::Elsewhere).map(|vetted| vetted.times.first().map(|(_, time)| *time))
    };
    assert_eq!((time(&note), time(&plain)), (Some(Some(1_000)), Some(None)));
    assert!(policy("lowlight", &[&cosigner, &alias]).unwrap_err().contains("twice"));
    assert!(policy("lowlight", &[&own]).unwrap_err().contains("twice"));
    assert!(policy("evil", &[&cosigner]).unwrap().vet(&note, Place::Elsewhere).is_none(), "another origin with the same id");
    // A second line of the same witness, over another text.
    witness.sign_as(Algorithm::CosignatureV1, "another text\n", 2_000, &mut note);
    assert_eq!(time(&note), None);
}
