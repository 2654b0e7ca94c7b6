//! The `lowlight` command, run as people and programs run it.

#[path = "cli/admin.rs"]
mod admin;
#[path = "cli/checkpoint.rs"]
mod checkpoint;
#[path = "cli/common.rs"]
mod common;
#[path = "cli/elsewhere.rs"]
mod elsewhere;
#[path = "cli/export.rs"]
mod export;
#[path = "cli/guide.rs"]
mod guide;
#[path = "cli/import.rs"]
mod import;
#[path = "cli/inspect.rs"]
mod inspect;
#[path = "cli/network.rs"]
mod network;
#[path = "cli/prove.rs"]
mod prove;
#[path = "cli/query.rs"]
mod query;
#[path = "cli/query_sql.rs"]
mod query_sql;
#[path = "cli/record_ack.rs"]
mod record_ack;
#[path = "cli/record_fields.rs"]
mod record_fields;
#[path = "cli/record_lines.rs"]
mod record_lines;
#[path = "cli/record_places.rs"]
mod record_places;
#[path = "cli/record_signals.rs"]
mod record_signals;
#[path = "cli/stats_tail_show.rs"]
mod stats_tail_show;
#[path = "cli/terminal.rs"]
mod terminal;
#[path = "cli/usage.rs"]
mod usage;
#[path = "cli/verify.rs"]
mod verify;
