//! `import`, and `verify` of what came in.

use super::common::Place;
use lowlight_core::entry::{Clock, Header, Inference, Severity, Slot, SlotState, Slots, codec};
use lowlight_core::{Commitment, FieldId, Salt};
use serde_json::Value;
use std::path::Path;

/// An image of flash that the second implementation wrote, with the entries in it.
fn image(place: &Place, name: &str) -> (String, usize) {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors").join(format!("flash-{name}.json"));
    let vector: Value = serde_json::from_slice(&std::fs::read(vectors).unwrap()).unwrap();
    let bytes = lowlight_host::export::unhex(vector["image"].as_str().unwrap()).unwrap();
    let path = place.dir().join(format!("{name}.img"));
    std::fs::write(&path, bytes).unwrap();
    (path.to_str().unwrap().to_owned(), vector["entries"].as_array().unwrap().len())
}

#[test]
fn an_image_is_taken_in_once_and_verified_with_the_log() {
    let place = Place::new();
    let (path, count) = image(&place, "full");
    let taken = place.run(&["import", &path, "--json"]).expect(0).object();
    assert_eq!((&taken["entries"], &taken["known"]), (&count.into(), &0.into()));
    assert_eq!(taken["device"]["verdict"], "intact");
    let again = place.run(&["import", &path]).expect(0).out;
    assert!(again.contains(&format!("0 entries taken in, {count} there already")), "{again}");
    let report = place.run(&["verify", "--json"]).expect(0).object();
    assert_eq!((&report["devices"][0]["entries"], &report["devices"][0]["verdict"]), (&count.into(), &"intact".into()));
    let text = place.run(&["verify"]).expect(0).out;
    assert!(text.contains("device ") && text.contains("25 to 39"), "{text}");
}

#[test]
fn doctor_looks_at_what_was_taken_in() {
    let place = Place::new();
    let (path, count) = image(&place, "full");
    place.run(&["import", &path]).expect(0);
    let text = place.run(&["doctor"]).expect(0).out;
    assert!(text.contains(&format!("{count} entries of 1 device taken in")), "{text}");
    std::fs::write(place.path("logs/devices/noise"), b"what is this").unwrap();
    let text = place.run(&["doctor"]).expect(0).out;
    assert!(text.contains("12 B that were no message"), "{text}");
    let home = std::fs::read_dir(place.path("logs/devices")).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    let database = rusqlite::Connection::open(home.join("device.db")).unwrap();
    database.execute("UPDATE stretch SET seq = NULL", []).unwrap();
    assert!(place.run(&["doctor"]).expect(0).out.contains("did not end"));
    database.execute("CREATE TABLE mine (a)", []).unwrap();
    drop(database);
    assert!(place.run(&["doctor"]).expect(1).out.contains("other tables"));
    std::fs::remove_file(home.join("device.db")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, home.join("device.db"), rustix::fs::Mode::RWXU).unwrap();
    assert!(place.run(&["doctor"]).expect(1).out.contains("is no file"));
    assert!(place.run(&["verify"]).expect(2).out.contains("is no file"));
}

#[test]
fn what_was_taken_in_and_then_changed_is_exit_one() {
    let place = Place::new();
    let (path, _) = image(&place, "started");
    place.run(&["import", &path]).expect(1);
    let devices = place.dir().join("logs/devices");
    let home = std::fs::read_dir(devices).unwrap().flatten().find(|entry| entry.path().is_dir()).unwrap().path();
    let database = rusqlite::Connection::open(home.join("device.db")).unwrap();
    database.execute("UPDATE entry SET body = X'0200' WHERE idx = 2", []).unwrap();
    drop(database);
    let report = place.run(&["verify", "--json"]).expect(1).object();
    assert_eq!(report["devices"][0]["verdict"], "broken");
}

#[test]
fn an_image_is_verified_by_itself() {
    let place = Place::new();
    let (path, count) = image(&place, "rotten-oldest");
    let report = place.run(&["verify", &path, "--json"]).expect(0).object();
    assert_eq!((&report["entries"], &report["verdict"]), (&count.into(), &"intact".into()));
    let (path, _) = image(&place, "rotten-frame");
    let text = place.run(&["verify", &path]).expect(1).out;
    assert!(text.contains("gap: 1 to 1: 1 entry not here, not anchored"), "{text}");
    let part = place.dir().join("part.img");
    std::fs::write(&part, &std::fs::read(&path).unwrap()[..1000]).unwrap();
    let part = part.to_str().unwrap();
    assert!(place.run(&["verify", part]).expect(2).out.contains("not all of them are in the image"));
}

#[test]
fn a_file_is_no_line_to_a_witness_and_stays_as_it_is() {
    let place = Place::new();
    let (path, _) = image(&place, "full");
    let before = std::fs::read(&path).unwrap();
    let said = place.run(&["witness", "show", "--serial", &path]).expect(2).err;
    assert!(said.contains("give a serial device, a pty or a Unix socket"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    for (arguments, wanted) in [
        (&["witness", "show"][..], "needs --state DIR or --serial PORT"),
        (&["witness", "--state", "d", "provision", "--name", "b", "v"], "needs --serial PORT"),
        (&["witness", "--serial", &path, "init", "--name", "b"], "needs --state DIR"),
        (&["witness", "--serial", &path, "provision", "--name", "b", ""], "`lowlight keys init` makes one"),
    ] {
        let said = place.run(arguments).expect(2).err;
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
}

#[test]
fn what_is_no_source_is_said_and_changes_nothing() {
    let place = Place::new();
    let (path, _) = image(&place, "one");
    std::fs::write(place.dir().join("noise"), [0x5A; 3000]).unwrap();
    drop(std::os::unix::net::UnixListener::bind(place.dir().join("dead.sock")).unwrap());
    for (source, said) in [("dead.sock", "refused"), ("nowhere", "No such file"), ("noise", "nor a capture"), (".", "give a serial device")]
    {
        let ran = place.run(&["import", source]).expect(2);
        assert!(ran.err.contains(said), "{ran:?}");
    }
    assert!(!place.path("logs/lowlight.db").exists(), "no log is begun for what is not there");
    std::fs::write(place.path("part.img"), &std::fs::read(&path).unwrap()[..1000]).unwrap();
    let ran = place.run(&["import", "part.img"]).expect(2);
    assert!(ran.err.contains("not all of them are in the image"), "{ran:?}");
    assert!(!place.path("logs/lowlight.db").exists());
    assert!(!place.dir().join("logs/devices").read_dir().is_ok_and(|mut found| found.next().is_some()));
}

/// The id of the one device in a log.
fn device(place: &Place) -> String {
    let report = place.run(&["stats", "--json"]).expect(0).object();
    assert_eq!(report["devices"].as_array().unwrap().len(), 1, "{report}");
    report["devices"][0]["log_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_entries_of_a_device_are_read_as_those_of_a_log() {
    let place = Place::new();
    let (path, count) = image(&place, "full");
    let out = place.run(&["import", &path]).expect(0).out;
    let id = device(&place);
    assert!(out.contains(&format!("lowlight query --device {}", &id[..8])), "{out}");
    let listed = place.run(&["query", "--device", &id[..4], "--json"]).expect(0).json();
    assert_eq!(listed.len(), count);
    assert_eq!((&listed[0]["seq"], &listed[0]["kind"]), (&25.into(), &"inference".into()));
    let audits = place.run(&["query", "--device", &id.to_uppercase(), "--sql", "SELECT count(*) AS n FROM entries WHERE kind = 'audit'"]);
    assert_eq!(audits.expect(0).out, "n\n5\n");
    assert_eq!(place.run(&["tail", "--device", &id, "-n", "3"]).expect(0).out.lines().count(), 3);
    let verdict = place.run(&["verify", "--json"]).expect(0).object();
    let newest = place.run(&["show", "39", "--device", &id, "--json"]).expect(0).object();
    let stats = place.run(&["stats", "--device", &id, "--json"]).expect(0).object();
    // The hash of the newest entry is that of the device.
    let vector = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/vectors/flash-full.json");
    let vector: Value = serde_json::from_slice(&std::fs::read(vector).unwrap()).unwrap();
    assert_eq!((&newest["leaf"], &stats["chain"]["head"]), (&vector["head"], &vector["head"]));
    assert_eq!((&stats["log_id"], &stats["kinds"]["inference"]), (&verdict["devices"][0]["log_id"], &10.into()));
    assert!(place.run(&["show", "3", "--device", &id]).expect(2).err.contains("not here"));
    assert!(place.run(&["show", "40", "--device", &id]).expect(2).err.contains("no entry 40"));
    place.run(&["tail", "-f", "--device", &id]).expect(2);
    // Nothing was written beside it.
    let home = place.dir().join("logs/devices").join(&id);
    assert_eq!(std::fs::read_dir(home).unwrap().count(), 2);
}

#[test]
fn what_a_killed_reader_has_left_of_a_copy_goes_with_the_next() {
    let place = Place::new();
    let (path, _) = image(&place, "full");
    place.run(&["import", &path]);
    let id = device(&place);
    let temporary = place.path("tmp");
    let names = ["aa", "bb", "cc", "dd"].map(|end| temporary.join(format!("lowlight-00000000000000{end}")));
    let [left, held, young, mine] = names;
    for folder in [&left, &held, &young, &mine] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("lowlight.db"), "content").unwrap();
        std::fs::write(folder.join("lock"), "").unwrap();
    }
    std::fs::write(mine.join("thesis.txt"), "").unwrap();
    let lock = std::fs::File::open(held.join("lock")).unwrap();
    lock.lock().unwrap();
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for folder in [&left, &held, &mine] {
        std::fs::File::open(folder).unwrap().set_modified(hour_ago).unwrap();
    }
    place.run_with(&[("TMPDIR", temporary.to_str().unwrap())], &["stats", "--device", &id], "").expect(0);
    assert_eq!([&left, &held, &young, &mine].map(|folder| folder.exists()), [false, true, true, true]);
    assert_eq!(temporary.read_dir().unwrap().count(), 3);
    drop(lock);
}

#[test]
fn of_a_device_without_a_clock_the_time_since_power_on_is_listed() {
    let place = Place::new();
    let (path, _) = image(&place, "full");
    place.run(&["import", &path]);
    let id = device(&place);
    assert!(place.run(&["query"]).expect(0).out.contains("--device"));
    let header = Header { seq: 39, run: 1, ..Header::new(0, 12_345_678_901, Clock::Unset, [1; 16], Severity::Info) };
    put_entry(&place, &header, &[]);
    let out = place.run(&["query", "--device", &id]).expect(0).out;
    assert!(out.lines().any(|line| line.contains("+12.345 s") && !line.contains("1970")), "{out}");
}

#[test]
fn entries_of_a_later_version_are_told_as_such() {
    let place = Place::new();
    let (path, _) = image(&place, "full");
    place.run(&["import", &path]);
    let id = device(&place);
    let database = rusqlite::Connection::open(place.dir().join("logs/devices").join(&id).join("device.db")).unwrap();
    database.execute("UPDATE entry SET body = CASE idx WHEN 38 THEN x'0200' ELSE x'01010203' END WHERE idx > 37", []).unwrap();
    drop(database);
    let all = place.run(&["query", "--all", "--json", "--device", &id]).expect(0).json();
    let [.., later, broken] = &all[..] else { panic!("{all:?}") };
    assert!(later["event"]["unreadable"].as_str().is_some_and(|why| why.contains("does not understand")), "{later}");
    assert!(broken["event"]["malformed"].is_string(), "{broken}");
    let shown = place.run(&["show", "38", "--device", &id]).expect(0).out;
    assert!(shown.contains("raw") && shown.contains("0200"), "{shown}");
    assert!(place.run(&["show", "39", "--device", &id]).expect(2).err.contains("cannot be read"));
}

#[test]
fn of_two_histories_the_later_is_read_and_it_is_said() {
    let place = Place::new();
    for name in ["full", "batch"] {
        let (path, _) = image(&place, name);
        place.run(&["import", &path]);
    }
    let id = device(&place);
    let home = place.dir().join("logs/devices").join(&id);
    let database = rusqlite::Connection::open(home.join("device.db")).unwrap();
    let (other, changed): (i64, i64) = (1000, 39);
    database.execute("INSERT INTO stretch SELECT ?1, 39, 40, before, after, digest, torn, seq FROM stretch LIMIT 1", [other]).unwrap();
    database.execute("INSERT INTO entry SELECT ?1, ?2, body FROM entry WHERE idx = 25", [other, changed]).unwrap();
    drop(database);
    let ran = place.run(&["query", "--device", &id, "--json"]).expect(0);
    assert!(ran.err.contains("1 entry differently before"), "{ran:?}");
    assert!(place.run(&["doctor"]).expect(1).out.contains("1 entry differently before"));
    assert_eq!(ran.json().last().unwrap()["kind"], "inference");
}

/// Puts another entry in the place of the last one of the image `full`.
fn put_entry(place: &Place, header: &Header<'_>, slots: &[Slot]) {
    let mut buffer = [0; 256];
    let slots = Slots::from_slice(slots).unwrap();
    let body = codec::encode_payload(header, &Inference::new("detect", "m", "ok"), &slots, &mut buffer).unwrap();
    let database = rusqlite::Connection::open(home(place).join("device.db")).unwrap();
    database.execute("UPDATE entry SET body = ?1 WHERE idx = 39", [body]).unwrap();
}

#[test]
fn a_value_that_was_kept_elsewhere_is_held_against_the_entry_of_a_device() {
    let place = Place::new();
    let (path, _) = image(&place, "full");
    place.run(&["import", &path]);
    let id = device(&place);
    let commitment = Commitment::new(&Salt([7; 16]), FieldId::RESPONSE, b"door open").0;
    let slot = Slot { field: FieldId::RESPONSE, state: SlotState::HashOnly, cut_from: None, commitment };
    let header = Header { seq: 39, run: 1, ..Header::new(1, 1, Clock::Rtc, [1; 16], Severity::Info) };
    put_entry(&place, &header, &[slot]);
    place.write("kept", "door open");
    let kept = format!("response={}", place.path("kept").display());
    let show = ["show", "39", "--device", &id, "--holds", &kept];
    assert!(place.run(&show).expect(2).err.contains("give --salt"));
    let with = |salt: &str| place.run(&[&show[..], &["--salt", salt]].concat());
    assert!(with(&"07".repeat(16)).expect(0).out.contains("this is the value"));
    assert!(with(&"08".repeat(16)).expect(1).out.contains("this is not the value"));
    assert!(with("07").expect(2).err.contains("32 hex digits"));
}

#[test]
fn a_device_that_is_not_there_is_named_with_those_that_are() {
    let place = Place::with(&[r#"{"model":"m"}"#]);
    assert!(place.run(&["query", "--device", "00"]).expect(2).err.contains("no device was taken in"));
    let (path, _) = image(&place, "full");
    place.run(&["import", &path]);
    let id = device(&place);
    assert!(place.run(&["stats", "--device", "zz"]).expect(2).err.contains(&id));
    std::fs::create_dir(place.dir().join("logs/devices").join("f".repeat(32))).unwrap();
    assert!(place.run(&["query", "--device", ""]).expect(2).err.contains("give more of the id"));
    assert!(place.run(&["query", "--device", "ffff"]).expect(2).err.contains("nothing was taken in"));
    assert_eq!(device(&place), id);
    std::fs::write(place.dir().join("logs/devices").join("f".repeat(32)).join("device.db"), "garbage").unwrap();
    assert!(place.run(&["stats"]).expect(0).out.contains("device.db"));
}

/// The directory of the one device in a log.
fn home(place: &Place) -> std::path::PathBuf {
    let id = device(place);
    place.dir().join("logs/devices").join(id)
}

#[test]
fn an_import_that_was_cut_before_it_took_anything_is_no_fault() {
    use std::os::unix::fs::OpenOptionsExt as _;
    for made in ["nothing", "lock", "empty", "header"] {
        let place = Place::with(&[r#"{"model":"m"}"#]);
        let (path, count) = image(&place, "full");
        let id = "03b56fe934e482b91ac846c8768d01cc";
        let home = place.dir().join("logs/devices").join(id);
        std::fs::create_dir_all(&home).unwrap();
        for dir in [&home, home.parent().unwrap()] {
            std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        let file = |name: &str| std::fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(home.join(name)).unwrap();
        if made != "nothing" {
            file("device.lock");
        }
        if ["empty", "header"].contains(&made) {
            file("device.db");
        }
        if made == "header" {
            let database = rusqlite::Connection::open(home.join("device.db")).unwrap();
            database.execute_batch("PRAGMA journal_mode=WAL").unwrap();
        }
        let report = place.run(&["verify", "--json"]).expect(0).object();
        assert!(report.get("devices").is_none_or(|devices| devices.as_array().unwrap().is_empty()), "{made}: {report}");
        assert!(place.run(&["doctor"]).expect(0).out.contains("did not end"), "{made}");
        assert!(place.run(&["query", "--device", id]).expect(2).err.contains("nothing was taken in"), "{made}");
        assert_eq!(place.run(&["import", &path, "--json"]).expect(0).object()["entries"], count, "{made}");
        assert_eq!(place.run(&["verify", "--json"]).expect(0).object()["devices"][0]["verdict"], "intact", "{made}");
    }
}

#[test]
fn what_stands_where_a_file_of_a_device_belongs_is_refused_and_left_alone() {
    let place = Place::new();
    let (path, _) = image(&place, "full");
    place.run(&["import", &path]).expect(0);
    let home = home(&place);
    let photos = place.dir().join("photos.db");
    rusqlite::Connection::open(&photos).unwrap().execute_batch("CREATE TABLE photos (a); PRAGMA user_version=7").unwrap();
    let before = std::fs::read(&photos).unwrap();
    for name in ["device.lock", "device.db"] {
        let kept = std::fs::read(home.join(name)).unwrap();
        std::fs::remove_file(home.join(name)).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, home.join(name), rustix::fs::Mode::RWXU).unwrap();
        assert!(place.run(&["import", &path]).expect(2).err.contains(name));
        std::fs::remove_file(home.join(name)).unwrap();
        std::os::unix::fs::symlink(&photos, home.join(name)).unwrap();
        assert!(place.run(&["import", &path]).expect(2).err.contains("symbolic link"));
        std::fs::remove_file(home.join(name)).unwrap();
        if name == "device.db" {
            std::fs::copy(&photos, home.join(name)).unwrap();
            std::fs::set_permissions(home.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            assert!(place.run(&["import", &path]).expect(2).err.contains("is not the database of a device"));
            assert_eq!(std::fs::read(home.join(name)).unwrap(), before);
        }
        std::fs::write(home.join(name), kept).unwrap();
        std::fs::set_permissions(home.join(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }
    assert_eq!(std::fs::read(&photos).unwrap(), before);
    place.run(&["import", &path]).expect(0);
}

#[test]
fn entries_that_no_import_took_in_are_told_and_read_by_nobody() {
    let place = Place::new();
    let (path, count) = image(&place, "full");
    place.run(&["import", &path]).expect(0);
    let home = home(&place);
    let database = rusqlite::Connection::open(home.join("device.db")).unwrap();
    database.execute("INSERT INTO entry SELECT 77, 39, body FROM entry WHERE idx = 25", []).unwrap();
    drop(database);
    let id = home.file_name().unwrap().to_str().unwrap();
    let ran = place.run(&["query", "--device", id, "--json"]).expect(0);
    assert!(ran.err.is_empty() && ran.json().len() == count, "{ran:?}");
    let report = place.run(&["verify", "--json"]).expect(1).object();
    assert_eq!(
        (&report["devices"][0]["problems"][0]["kind"], &report["devices"][0]["problems"][0]["seq"]),
        (&"inserted".into(), &39.into())
    );
}

#[test]
fn what_the_log_does_not_tell_of_is_said_and_told_by_the_next_import() {
    let place = Place::new();
    let (path, count) = image(&place, "full");
    place.run(&["import", &path]).expect(0);
    let database = rusqlite::Connection::open(home(&place).join("device.db")).unwrap();
    // No entry, one to come, and one that says something else: the log was put back.
    for seq in ["NULL", "1 << 50", "1"] {
        database.execute(&format!("UPDATE stretch SET seq = {seq}"), []).unwrap();
        let report = place.run(&["verify", "--json"]).expect(0).object();
        if seq != "1" {
            assert!(report["not_checked"].as_array().unwrap().contains(&"untold".into()), "{seq}: {report}");
            assert_eq!(report["devices"][0]["untold"], count, "{seq}");
        }
        let said = place.run(&["import", &path, "--json"]).expect(0).object();
        assert_eq!((&said["entries"], &said["told_late"]), (&0.into(), &count.into()), "{seq}");
        let report = place.run(&["verify", "--json"]).expect(0).object();
        assert_eq!((&report["verdict"], &report["devices"][0]["untold"]), (&"intact".into(), &0.into()), "{seq}");
    }
}

#[test]
fn an_import_that_waits_for_a_device_ends_at_a_signal() {
    let place = Place::new();
    let listener = std::os::unix::net::UnixListener::bind(place.path("silent.sock")).unwrap();
    let mut import = place.start(&["import", "silent.sock", "--timeout", "600"]);
    let (mut line, _) = listener.accept().unwrap();
    // It has asked, and waits.
    assert!(std::io::Read::read(&mut line, &mut [0; 64]).unwrap() > 0);
    import.signal(rustix::process::Signal::INT);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while import.is_running() {
        assert!(std::time::Instant::now() < until, "it still waits");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(import.status(), Some(2));
}

#[test]
fn a_damaged_database_of_a_device_says_what_to_do() {
    let place = Place::new();
    let (path, count) = image(&place, "full");
    place.run(&["import", &path]).expect(0);
    let home = home(&place);
    std::fs::write(home.join("device.db"), vec![b'x'; 8192]).unwrap();
    for args in [&["import", &path][..], &["verify"], &["doctor"]] {
        let ran = place.run(args);
        let said = ran.out.clone() + &ran.err;
        assert!(ran.code > 0 && said.contains("move its directory aside") && !said.contains("recorder"), "{ran:?}");
    }
    std::fs::rename(&home, place.path("aside")).unwrap();
    assert_eq!(place.run(&["import", &path, "--json"]).expect(0).object()["entries"], count);
    place.run(&["verify"]).expect(0);
}

#[test]
fn a_second_import_does_not_say_that_what_is_here_is_not() {
    let place = Place::new();
    let (path, _) = image(&place, "torn");
    assert!(!place.run(&["import", &path]).expect(1).out.contains("are not here"));
    let (path, _) = image(&place, "full");
    assert!(!place.run(&["import", &path]).out.contains("are not here"));
    assert!(place.run(&["verify"]).out.contains("gap: "));
}
