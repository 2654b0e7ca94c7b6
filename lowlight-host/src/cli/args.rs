//! The arguments of the command, each in one place.

use crate::line::BAUD;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "Exit codes: 0 intact or done; 1 the evidence is broken, or part of the input was refused or lost; \
2 could not tell or could not run (missing, unreadable, not one of our files, newer format, wrong usage).";

/// A local-first flight recorder for AI: records inferences and audit events, keeps secrets out, verifies offline.
#[derive(Debug, Parser)]
#[command(name = "lowlight", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Directory of the log
    #[arg(long, global = true, env = "LOWLIGHT_PATH", default_value = "./logs", value_name = "DIR")]
    pub path: PathBuf,
    /// Configuration file [default: ./lowlight.toml, then lowlight/lowlight.toml in the configuration folders]
    #[arg(long, global = true, env = "LOWLIGHT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Speak JSON to a program instead of text to a person
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Record NDJSON lines; durable before exit
    #[command(
        after_help = "Ends with its input, or at SIGTERM, SIGINT or SIGHUP after committing what it has read.\n\nExample: echo '{\"model\":\"phi-3-mini\",\"prompt\":\"hi\",\"response\":\"hello\",\"latency_ms\":87.3}' | lowlight record"
    )]
    Record(RecordArgs),
    /// Check a log with the devices beside it, a database file, an export, a proof or an image of flash
    #[command(after_help = format!("Example: lowlight verify --json\n\n{EXIT_CODES}"))]
    Verify(VerifyArgs),
    /// Write the log as JSON, NDJSON or CSV
    #[command(after_help = "Example: lowlight export --since 2026-01-01 --fail-on-tamper | lowlight verify -")]
    Export(ExportArgs),
    /// Take in the log of a device: over a serial line, from a capture of one, from an image of flash
    #[command(
        after_help = "What was taken in before is not taken in again. The entries stand in devices/ beside the log, an entry of the log says so, and `lowlight verify` checks both; query, tail, show and stats read them with --device.\n\nExample: lowlight import /dev/ttyACM0 --baud 921600\nExample: lowlight import flash.img"
    )]
    Import(ImportArgs),
    /// List records
    #[command(after_help = "Example: lowlight query --model phi-3-mini --since '2h ago' --json")]
    Query(QueryArgs),
    /// Counts, losses, latency, tokens, cost and sizes
    Stats(DeviceArgs),
    /// Show the newest records, and new ones as they come
    Tail(TailArgs),
    /// Show one entry whole
    Show(ShowArgs),
    /// Look into any of our files at a low level, marking the first fault
    Inspect(InspectArgs),
    /// Print the newest checkpoint, to be kept elsewhere
    #[command(
        after_help = "Example: lowlight checkpoint > /media/stick/gate-7.checkpoint; later: lowlight verify --checkpoint /media/stick/gate-7.checkpoint"
    )]
    Checkpoint(CheckpointArgs),
    /// Prove one entry, or that the log grew, to somebody who does not have the log
    #[command(after_help = "Example: lowlight prove 12 --field prompt -o 12.proof; there: lowlight verify 12.proof --key VKEY")]
    Prove(ProveArgs),
    /// Remove what the retention policy says is too old or too much, now
    #[command(
        after_help = "The policy is [retention] in the configuration; the recorder follows it by itself, this does it at once.\n\nExample: lowlight prune --dry-run"
    )]
    Prune(PruneArgs),
    /// Erase chosen content: values and salts go, entries and their hashes stay
    #[command(
        after_help = "All conditions must hold; what is erased cannot be brought back. Content that is not in the log's own files (exports, copies, backups, quarantined logs) is not reached, and listed where it is known.\n\nExample: lowlight erase --user alice --reason 'request of 2026-03-01'"
    )]
    Erase(EraseArgs),
    /// Make, show or replace the key that signs checkpoints
    Keys(KeysArgs),
    /// Be a witness: remember how large logs were, where their boxes cannot make it forget
    Witness(WitnessArgs),
    /// Check file system, permissions, clock, space and settings
    Doctor(DoctorArgs),
    /// Show the effective configuration
    Config(ConfigArgs),
    /// Print a completion script
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Read from FILE instead of stdin
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print one JSON receipt per line as soon as it is durable, refused or lost
    #[arg(long)]
    pub ack: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Log directory, database file, export, proof or image of flash; - for an export on stdin [default: the log in --path]
    pub source: Option<PathBuf>,
    /// Hold it against this checkpoint, kept elsewhere; - for stdin; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Vec<PathBuf>,
    /// vkey that must have signed the checkpoints; may be given more than once
    #[arg(long, value_name = "VKEY", num_args = 1)]
    pub key: Vec<String>,
    /// Hold a log against a copy of it
    #[arg(long, value_name = "COPY")]
    pub against: Option<PathBuf>,
    /// Hold it against what this file demands: origins, keys, witnesses, quorum, age
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Read a log on a second thread, which is faster on more than one processor
    #[arg(long)]
    pub parallel: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// Serial device, pty, Unix socket, capture of a line, or image of flash
    pub source: PathBuf,
    /// Speed of a serial line, bits a second
    #[arg(long, default_value_t = BAUD, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub baud: u32,
    /// How long an answer may take, seconds; a device is asked five times
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    pub timeout: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Verifies on its own; an array with one object a line
    Json,
    /// Verifies on its own; one object a line
    Ndjson,
    /// For spreadsheets; does not verify
    Csv,
}

#[derive(Debug, Args)]
pub struct Range {
    /// From this time on, inclusive: RFC 3339, a date (00:00 UTC), '2h ago', yesterday
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Before this time, exclusive: RFC 3339, a date (00:00 UTC), '2h ago', yesterday
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    #[command(flatten)]
    pub range: Range,
    #[command(flatten)]
    pub chosen: ChosenArgs,
    /// Form of the export
    #[arg(long, value_enum, default_value = "json")]
    pub format: Format,
    #[command(flatten)]
    pub output: OutArgs,
    /// Verify first; if the log is broken, exit 1 and write no file (to a pipe the export says so in its trailer)
    #[arg(long)]
    pub fail_on_tamper: bool,
}

/// Chosen entries; of the others in their range an export has the leaf alone.
#[derive(Debug, Args)]
pub struct ChosenArgs {
    /// Only these entries: 12, or 12-20; may be given more than once
    #[arg(long, value_name = "SEQ")]
    pub seq: Vec<String>,
    /// Only of this user (actor)
    #[arg(long)]
    pub user: Option<String>,
    /// Only of this requested model
    #[arg(long)]
    pub model: Option<String>,
    /// Only with this status
    #[arg(long)]
    pub status: Option<String>,
    /// Only of this session_id
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Only of this trace_id
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
}

#[derive(Debug, Args)]
pub struct OutArgs {
    /// Write to FILE (0600) instead of stdout
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Overwrite FILE if it exists
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct ProveArgs {
    /// Entry to prove
    pub seq: Option<u64>,
    /// Content field to open (prompt, response, actor, ...), or all; may be given more than once; the others stay hidden
    #[arg(long, value_name = "NAME", conflicts_with = "consistency")]
    pub field: Vec<String>,
    /// Prove it against the checkpoint of SIZE entries, for somebody who kept that one, instead of the newest
    #[arg(long, value_name = "SIZE", requires = "seq")]
    pub at: Option<u64>,
    /// Prove that the log of NEW entries (the size of a checkpoint; the newest one) begins with its first OLD; whoever checks it needs the checkpoint of OLD
    #[arg(long, num_args = 1..=2, value_names = ["OLD", "NEW"], conflicts_with = "seq")]
    pub consistency: Vec<u64>,
    #[command(flatten)]
    pub output: OutArgs,
}

#[derive(Debug, Args)]
pub struct DeviceArgs {
    /// Read what was taken in of this device instead of the log: the id of its log, or how it begins
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
}

#[derive(Debug, Args)]
pub struct QueryArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    #[command(flatten)]
    pub range: Range,
    /// Only of this user (actor)
    #[arg(long)]
    pub user: Option<String>,
    /// Only of this requested model
    #[arg(long)]
    pub model: Option<String>,
    /// Only with this status
    #[arg(long)]
    pub status: Option<String>,
    /// Only of this operation
    #[arg(long)]
    pub operation: Option<String>,
    /// Only of this session_id
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Only of this trace_id
    #[arg(long, value_name = "ID")]
    pub trace: Option<String>,
    /// Only with this text in some content field
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    /// The newest N [default: 50 as text, all as JSON]
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Entries of the recorder itself as well
    #[arg(long)]
    pub all: bool,
    /// Run a read-only SQL statement instead; see the views `entries` and `contents`
    #[arg(long, value_name = "SELECT", conflicts_with_all = ["user", "model", "status", "operation", "session", "trace", "contains", "limit", "all", "since", "until"])]
    pub sql: Option<String>,
}

#[derive(Debug, Args)]
pub struct TailArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Go on with new records as they come
    #[arg(short, long, conflicts_with = "device")]
    pub follow: bool,
    /// How many to begin with
    #[arg(short = 'n', long, default_value = "10", value_name = "N")]
    pub lines: u64,
}

#[derive(Debug, Args)]
pub struct CheckpointArgs {
    /// Go on with each new one as it is written
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    pub action: KeysAction,
}

#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// Make the key of this log; prints its vkey
    Init {
        /// What the key is called, and the origin of the checkpoints: no white space and no plus signs [default: lowlight]
        #[arg(long)]
        name: Option<String>,
        /// Make the erasure key instead: it alone can make a log keep less than it promised; before the log's first start
        #[arg(long)]
        erasure: bool,
    },
    /// Print the vkey
    Show,
    /// Replace the key: the log says so, signed by the old one; prints the new vkey
    Rotate {
        /// What the new key is called [default: as the old one]
        #[arg(long)]
        name: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Say what would go, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

#[derive(Debug, Args)]
pub struct EraseArgs {
    /// Of these entries: 12, or 12-20; may be given more than once
    #[arg(long, value_name = "SEQ")]
    pub seq: Vec<String>,
    /// Of this user (actor)
    #[arg(long)]
    pub user: Option<String>,
    /// Of this session_id
    #[arg(long, value_name = "ID")]
    pub session: Option<String>,
    /// Of this correlation_id
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// With this text in some content field
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    /// Only this content field (prompt, response, actor, ...); may be given more than once [default: all]
    #[arg(long, value_name = "NAME")]
    pub field: Vec<String>,
    /// Why; recorded with the tombstone, redacted
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Say what would go, and erase nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// How long to wait for readers that keep what is erased in the WAL, s
    #[arg(long, value_name = "SECONDS", default_value = "60")]
    pub wait: u64,
}

#[derive(Debug, Args)]
pub struct WitnessArgs {
    /// Directory of the witness: of another account, disk or machine than the logs it witnesses
    #[arg(long, value_name = "DIR", global = true, conflicts_with = "serial")]
    pub state: Option<PathBuf>,
    /// Serial line to a device that is the witness: a serial device, a pty or a Unix socket
    #[arg(long, value_name = "PORT", global = true)]
    pub serial: Option<PathBuf>,
    /// Speed of the serial line, bits a second
    #[arg(long, default_value_t = BAUD, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), global = true)]
    pub baud: u32,
    #[command(subcommand)]
    pub action: WitnessAction,
}

#[derive(Debug, Subcommand)]
pub enum WitnessAction {
    /// Make keys and an empty state; prints the two vkeys that the recorder's configuration needs
    Init {
        /// What the witness is called
        #[arg(long)]
        name: String,
    },
    /// Witness the logs of this key
    Trust {
        /// vkey, as `lowlight keys show` prints it
        vkey: String,
    },
    /// Forget a log, so that its slot is free for another
    Free {
        /// Its origin, as `witness show` prints it
        origin: String,
    },
    /// Make a blank device the witness of the logs of a key; prints the lines that the recorder's configuration needs
    #[command(
        after_help = "A device that is a witness already refuses: its firmware has to erase it first, and it is another witness then.\n\nExample: lowlight witness --serial /dev/ttyACM0 provision --name board-7 \"$(lowlight keys show)\""
    )]
    Provision {
        /// What the witness is called
        #[arg(long)]
        name: String,
        /// Make its keys here and send them, for a device without a random source: whoever reads the line now has them too
        #[arg(long)]
        send_keys: bool,
        /// vkey of the log, as `lowlight keys show` prints it
        vkey: String,
    },
    /// Print the keys and the logs it remembers; of a device, the keys
    Show,
    /// Answer requests on standard input and output, or on a Unix socket
    Serve {
        /// Listen here, for one connection after the other
        #[arg(long, value_name = "FILE")]
        socket: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    pub device: DeviceArgs,
    /// The entry's seq
    pub seq: u64,
    /// Say whether FILE (- for stdin) is the value that the entry commits to in content field NAME (prompt, response, ...) instead; exit 1 when it is not
    #[arg(long, value_name = "NAME=FILE")]
    pub holds: Option<String>,
    /// Salt of the value, 32 hex digits [default: the one that the log keeps]
    #[arg(long, value_name = "HEX", requires = "holds")]
    pub salt: Option<String>,
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A log directory, database, export, proof, file of checkpoints, or file of a copy
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Repair permissions
    #[arg(long)]
    pub fix: bool,
}

#[derive(Debug, Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub action: ConfigAction,
}

#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Print every key, its value and where it came from
    Show,
}
