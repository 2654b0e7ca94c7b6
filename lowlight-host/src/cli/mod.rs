//! The `lowlight` command: arguments, dispatch, exit codes.
//!
//! 1. Exit 0: intact or done. 1: evidence is broken, or input was refused or lost. 2: could not tell or could not run.
//! 2. Text from a log reaches a terminal only through `text::safe`.
//! 3. A broken pipe is success.

mod args;
mod checkpoint;
mod config;
mod doctor;
mod erase;
mod export;
mod import;
pub(crate) mod input;
mod inspect;
mod keys;
mod out;
mod progress;
mod prove;
mod prune;
pub(crate) mod query;
mod record;
mod show;
mod stats;
mod stop;
mod tail;
mod text;
mod verify;
mod witness;

pub use args::Cli;

use crate::config::{ConfigError, Loaded};
use crate::export::ExportError;
use crate::import::{ImportError, open_device};
use crate::recorder::RecorderError;
use crate::store::{Reader, StoreError};
use args::{Command, DeviceArgs};
use clap::{CommandFactory, Parser};
use std::io::Write;

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Output went to a pipe that nobody reads any more.
    #[error("broken pipe")]
    BrokenPipe,
    /// Something the user must change; the message says what.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Import(#[from] ImportError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    #[error("{0}")]
    Io(std::io::Error),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe { Self::BrokenPipe } else { Self::Io(error) }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => Self::Store(error),
            ExportError::Write(error) => error.into(),
        }
    }
}

/// Exit code of a command that ran.
pub(crate) type Outcome = Result<u8, Failure>;

/// Runs the command line of this process; returns its exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with exit 0, wrong usage to stderr with exit 2. A closed pipe is nobody's fault.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    match run(&cli) {
        Ok(code) => code,
        Err(Failure::BrokenPipe) => 0,
        Err(failure) => {
            say(&failure.to_string());
            2
        }
    }
}

fn run(cli: &Cli) -> Outcome {
    match &cli.command {
        Command::Record(args) => record::run(cli, args),
        Command::Verify(args) => verify::run(cli, args),
        Command::Checkpoint(args) => checkpoint::run(cli, args),
        Command::Prove(args) => prove::run(cli, args),
        Command::Witness(args) => witness::run(cli, args),
        Command::Prune(args) => prune::run(cli, args),
        Command::Erase(args) => erase::run(cli, args),
        Command::Keys(args) => keys::run(cli, args),
        Command::Export(args) => export::run(cli, args),
        Command::Import(args) => import::run(cli, args),
        Command::Query(args) => query::run(cli, args),
        Command::Stats(args) => stats::run(cli, args),
        Command::Tail(args) => tail::run(cli, args),
        Command::Show(args) => show::run(cli, args),
        Command::Inspect(args) => inspect::run(cli, args),
        Command::Doctor(args) => doctor::run(cli, args),
        Command::Config(args) => config::run(cli, args),
        Command::Completions { shell } => {
            let mut out = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "lowlight", &mut out);
            print(&out)
        }
        Command::Man => {
            let mut out = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut out)?;
            print(&out)
        }
    }
}

fn print(bytes: &[u8]) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()?;
    Ok(0)
}

/// Says something to the person, on stderr.
pub(crate) fn say(message: &str) {
    // Nobody reads stderr: then there is nobody to tell.
    let _ = writeln!(std::io::stderr().lock(), "lowlight: {}", text::safe(message));
}

/// A buffered, locked stdout.
pub(crate) fn stdout() -> std::io::BufWriter<std::io::StdoutLock<'static>> {
    std::io::BufWriter::with_capacity(64 << 10, std::io::stdout().lock())
}

/// What is read: the log, or what was taken in of a device.
pub(crate) fn open_log(cli: &Cli, args: &DeviceArgs) -> Result<Reader, Failure> {
    let Some(id) = &args.device else { return Ok(Reader::open(&cli.path)?) };
    let (reader, doubled) = open_device(&cli.path, id)?;
    if doubled > 0 {
        let entries = text::plural(doubled, "entry", "entries");
        say(&format!("the device had {entries} differently before; shown as taken in last: run `lowlight verify`"));
    }
    Ok(reader)
}

/// The configuration that applies.
pub(crate) fn load_config(cli: &Cli) -> Result<Loaded, ConfigError> {
    let variables = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Loaded::read(cli.config.as_deref(), variables)
}

/// ns since 1970-01-01T00:00:00Z.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A time argument; ns since 1970-01-01T00:00:00Z.
pub(crate) fn time_argument(name: &str, text: Option<&str>) -> Result<Option<i64>, Failure> {
    text.map(|text| crate::time::parse(text, now()).map_err(|error| Failure::Usage(format!("--{name}: {error}")))).transpose()
}
