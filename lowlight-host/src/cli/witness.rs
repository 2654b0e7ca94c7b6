//! `lowlight witness`.

use super::args::{Cli, WitnessAction, WitnessArgs};
use super::{Failure, Outcome, say, stdout, text};
use crate::store::StoreError;
use crate::witness::{Timed, Witness, serve};
use serde_json::json;
use std::io::{BufReader, Write};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

/// A connection that is still there after so long makes room for the next.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(cli: &Cli, args: &WitnessArgs) -> Outcome {
    match &args.action {
        WitnessAction::Init { name } => {
            let witness = Witness::init(&args.state, name)?;
            say("keep this directory where nobody who can write the logs can write it; a witness that forgets is worth nothing");
            show(cli, &witness)
        }
        WitnessAction::Trust { vkey } => {
            let mut witness = Witness::open(&args.state)?;
            witness.trust(vkey)?;
            show(cli, &witness)
        }
        WitnessAction::Free { origin } => {
            let mut witness = Witness::open(&args.state)?;
            witness.free(origin)?;
            show(cli, &witness)
        }
        WitnessAction::Show => show(cli, &Witness::open(&args.state)?),
        WitnessAction::Serve { socket } => {
            let mut witness = Witness::open(&args.state)?;
            match socket {
                None => serve(&mut witness, &mut BufReader::new(std::io::stdin().lock()), &mut std::io::stdout().lock())?,
                Some(path) => listen(&mut witness, path)?,
            }
            Ok(0)
        }
    }
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
