//! `import`, and `verify` of what came in.

use super::common::Place;
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
    place.run(&["verify", &path, "--sector", "300"]).expect(2);
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
    for (source, said) in [("nowhere", "No such file"), ("noise", "nor a capture"), (".", "give a serial device")] {
        let ran = place.run(&["import", source]).expect(2);
        assert!(ran.err.contains(said), "{ran:?}");
    }
    let ran = place.run(&["import", &path, "--sector", "100"]).expect(2);
    assert!(ran.err.contains("erase size"), "{ran:?}");
    assert!(!place.dir().join("logs/devices").read_dir().is_ok_and(|mut found| found.next().is_some()));
}
