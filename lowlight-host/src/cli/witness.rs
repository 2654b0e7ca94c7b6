//! `lowlight witness`.

use super::args::{Cli, WitnessAction, WitnessArgs};
use super::{Failure, Outcome, say, stdout, text};
use crate::config::WitnessConfig;
use crate::line::BAUD;
use crate::random;
use crate::store::StoreError;
use crate::witness::{Client, Endpoint, Info, Timed, Witness, WitnessError, serve};
use lowlight_core::flash::WITNESS_NAMES;
use lowlight_core::note::{Algorithm, Key, is_name};
use serde_json::json;
use std::io::{BufReader, Write};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

/// A connection that is still there after so long makes room for the next.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(cli: &Cli, args: &WitnessArgs) -> Outcome {
    let needs = |what: &str, option: &str| Err(Failure::Usage(format!("`witness {what}` needs --{option}")));
    match (&args.action, &args.state, &args.serial) {
        (WitnessAction::Init { name }, Some(state), _) => {
            let witness = Witness::init(state, name)?;
            say("keep this directory where nobody who can write the logs can write it; a witness that forgets is worth nothing");
            show(cli, &witness)
        }
        (WitnessAction::Trust { vkey }, Some(state), _) => {
            let mut witness = Witness::open(state)?;
            witness.trust(vkey)?;
            show(cli, &witness)
        }
        (WitnessAction::Free { origin }, Some(state), _) => {
            let mut witness = Witness::open(state)?;
            witness.free(origin)?;
            show(cli, &witness)
        }
        (WitnessAction::Serve { socket }, Some(state), _) => {
            let mut witness = Witness::open(state)?;
            match socket {
                None => serve(&mut witness, &mut BufReader::new(std::io::stdin().lock()), &mut std::io::stdout().lock())?,
                Some(path) => listen(&mut witness, path)?,
            }
            Ok(0)
        }
        (WitnessAction::Show, Some(state), _) => show(cli, &Witness::open(state)?),
        (WitnessAction::Show, None, Some(port)) => show_device(cli, args, port, &ask(args, port, Client::info)?),
        (WitnessAction::Provision { name, send_keys, vkey }, None, Some(port)) => {
            check_names(name, vkey)?;
            let mut seeds = [0; 64];
            random::fill(&mut seeds).map_err(|error| Failure::Usage(format!("random source: {error}")))?;
            let seeds = send_keys.then_some(&seeds);
            let info = ask(args, port, |client| provision(client, seeds, name, vkey))?;
            say(
                "the device is a witness now; keep the lines below where nobody who can write the log can change them: they tell it from any other",
            );
            show_device(cli, args, port, &info)
        }
        (WitnessAction::Provision { .. }, ..) => needs("provision", "serial PORT"),
        (WitnessAction::Init { .. }, ..) => needs("init", "state DIR"),
        (WitnessAction::Trust { .. } | WitnessAction::Free { .. }, None, Some(_)) => Err(Failure::Usage(
            "a witness on a device does that at the word of its firmware alone, not over the line: see docs/firmware.md".to_owned(),
        )),
        (WitnessAction::Trust { .. }, ..) => needs("trust", "state DIR"),
        (WitnessAction::Free { .. }, ..) => needs("free", "state DIR"),
        (WitnessAction::Serve { .. }, ..) => needs("serve", "state DIR"),
        (WitnessAction::Show, None, None) => needs("show", "state DIR or --serial PORT"),
    }
}

/// What a device would refuse, said before it is asked.
fn check_names(name: &str, vkey: &str) -> Result<(), Failure> {
    let wrong = |why: &str| Err(Failure::Usage(why.to_owned()));
    let Some(key) = Key::parse(vkey).ok().filter(|key| key.algorithm == Algorithm::Ed25519) else {
        return wrong("VKEY: is not the key of a log: `lowlight keys init` makes one, `lowlight keys show` prints it");
    };
    if !is_name(name) || name.contains(['"', '\\']) {
        return wrong("--name: a name is not empty and has no white space, plus, quote or backslash");
    }
    if name.len() + key.name.len() > WITNESS_NAMES {
        return wrong("--name: with the name of the log's key it is longer than 128 bytes");
    }
    Ok(())
}

/// Provisions a device; where keys were sent it must have these.
fn provision(client: &mut Client, seeds: Option<&[u8; 64]>, name: &str, vkey: &str) -> Result<Info, WitnessError> {
    let known = seeds.map(|seeds| Info::of_seeds(name, seeds));
    let info = match (client.provision(seeds, name, vkey), &known) {
        // Its answer was lost, and it was asked again.
        (Err(WitnessError::Refused { status: 409, reason }), Some(known)) => {
            let info = client.info()?;
            if !info.is_same(known) {
                return Err(WitnessError::Refused { status: 409, reason });
            }
            info
        }
        (info, _) => info?,
    };
    match known {
        Some(known) if !info.is_same(&known) => Err(WitnessError::Untrusted("it has other keys than those that were sent")),
        _ => Ok(info),
    }
}

/// Asks a device.
fn ask<T>(args: &WitnessArgs, port: &Path, question: impl FnOnce(&mut Client) -> Result<T, WitnessError>) -> Result<T, Failure> {
    let failed = |error: WitnessError| {
        let hint = match error {
            WitnessError::Refused { status: 501, .. } => ": --send-keys makes them here",
            WitnessError::Refused { status: 409, .. } => ": `show` prints them; to be another witness its firmware has to erase it",
            WitnessError::Refused { status: 503, .. } => ": `provision` makes it a witness, with other keys than it may have had",
            _ => "",
        };
        Failure::Usage(format!("{}: {error}{hint}", port.display()))
    };
    let endpoint = Endpoint::Serial { path: port.to_owned(), baud: args.baud };
    question(&mut Client::connect(&endpoint, PATIENCE).map_err(failed)?).map_err(failed)
}

fn show_device(cli: &Cli, args: &WitnessArgs, port: &Path, info: &Info) -> Outcome {
    let config = WitnessConfig {
        serial: Some(std::path::absolute(port)?),
        baud: (args.baud != BAUD).then_some(args.baud),
        vkey: info.witness.clone(),
        attest: info.attest.clone(),
        ..WitnessConfig::default()
    };
    // What a device says of itself may be anything.
    config.options().map_err(|why| Failure::Usage(format!("{}: what it says is not who it is: {why}", port.display())))?;
    let mut out = stdout();
    if cli.json {
        writeln!(out, "{}", json!({ "witness": info.witness, "attest": info.attest, "write_seq": info.write_seq }))?;
    } else {
        let lines = basic_toml::to_string(&config).map_err(|error| Failure::Usage(error.to_string()))?;
        writeln!(out, "[witness]")?;
        for line in lines.lines() {
            writeln!(out, "{}", text::safe(line))?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn show(cli: &Cli, witness: &Witness) -> Outcome {
    let mut out = stdout();
    let info = witness.info();
    if cli.json {
        let logs: Vec<_> = witness.slots().map(|slot| json!({ "origin": slot.origin, "size": slot.size, "root": slot.root })).collect();
        writeln!(out, "{}", json!({ "witness": info.witness, "attest": info.attest, "write_seq": info.write_seq, "logs": logs }))?;
    } else {
        writeln!(out, "vkey = \"{}\"\nattest = \"{}\"", text::safe(&info.witness), text::safe(&info.attest))?;
        for slot in witness.slots() {
            writeln!(out, "{}  {}  {}", text::safe(&slot.origin), slot.size, slot.root)?;
        }
    }
    out.flush()?;
    Ok(0)
}

fn listen(witness: &mut Witness, path: &Path) -> Result<(), Failure> {
    let io = |source| Failure::Store(StoreError::from_io(path, source));
    // Left over from a witness that was killed: this one holds the lock of the state.
    if path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket()) {
        std::fs::remove_file(path).map_err(io)?;
    }
    let listener = UnixListener::bind(path).map_err(io)?;
    // Boxes of the same group may ask; what they say is checked by signatures.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(io)?;
    say(&format!("listening on {}", path.display()));
    loop {
        let Ok((stream, _)) = listener.accept() else {
            // Gone again, or no descriptors left for a moment.
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        let streams = Timed::new(&stream, PATIENCE).and_then(|input| Ok((input, Timed::new(&stream, PATIENCE)?)));
        let Ok((input, mut output)) = streams else { continue };
        match serve(witness, &mut BufReader::new(input), &mut output) {
            // What went wrong on the stream is its other end's; what went wrong with the state ends the witness.
            Ok(()) | Err(StoreError::Io { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
