//! No command opens a network socket.

use super::common::{Place, finish, many_lines};
use std::process::Command;

/// Whether system calls can be traced here. On a build server that must be so.
fn can_trace() -> bool {
    let works = Command::new("strace").args(["-qq", "-e", "trace=socket", "true"]).output().is_ok_and(|output| output.status.success());
    let must = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(works || !must, "strace is missing or may not trace; install it");
    if !works {
        eprintln!("skipped: strace is missing or may not trace");
    }
    works
}

/// Sockets that a command opened.
fn sockets(place: &Place, arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=socket", "-o", "trace", env!("CARGO_BIN_EXE_lowlight")]).args(arguments);
    place.clean(&mut command);
    finish(command, input.as_bytes()).expect(0);
    String::from_utf8_lossy(&place.read("trace")).into_owned()
}

#[test]
fn no_command_opens_a_network_socket() {
    if !can_trace() {
        return;
    }
    let place = Place::new();
    let recorded = sockets(&place, &["record", "--ack"], &many_lines(300));
    assert!(!recorded.contains("AF_INET"), "{recorded}");
    let commands: [&[&str]; 10] = [
        &["verify"],
        &["export", "--out", "export"],
        &["export", "--format", "csv", "--fail-on-tamper"],
        &["verify", "export"],
        &["query", "--contains", "number"],
        &["query", "--sql", "SELECT count(*) FROM entries"],
        &["stats"],
        &["tail"],
        &["inspect", "logs"],
        &["doctor"],
    ];
    for arguments in commands {
        let found = sockets(&place, arguments, "");
        // AF_INET6 begins like AF_INET.
        assert!(!found.contains("AF_INET"), "{arguments:?}: {found}");
    }
}
