//! `lowlight tail`.

use super::args::{Cli, TailArgs};
use super::query::{Conditions, list, print};
use super::{Outcome, open_log, stdout};
use crate::store::{Reader, StoreError};
use crate::view::Views;
use std::io::Write;
use std::time::Duration;

const PAUSE: Duration = Duration::from_millis(250);

pub(super) fn run(cli: &Cli, args: &TailArgs) -> Outcome {
    let conditions = Conditions::default();
    let mut out = stdout();
    let (mut log_id, mut next) = {
        let reader = open_log(cli, &args.device)?;
        list(&reader, &conditions, Some(args.lines), cli.json, &mut out)?;
        (reader.log_id(), reader.tip().size)
    };
    out.flush()?;
    if !args.follow {
        return Ok(0);
    }
    loop {
        std::thread::sleep(PAUSE);
        // Opened anew each time, so that a log that was moved aside is followed into its successor.
        let reader = match Reader::open(&cli.path) {
            Ok(reader) => reader,
            Err(StoreError::Missing(_) | StoreError::Busy(_) | StoreError::Corrupt { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let size = reader.tip().size;
        if reader.log_id() != log_id {
            (log_id, next) = (reader.log_id(), 0);
        }
        if size > next {
            for view in Views::new(reader.source(next..size, &conditions.filter(), true)) {
                print(&view?, cli.json, &mut out)?;
            }
            next = size;
            out.flush()?;
        }
    }
}
