//! The `lowlight` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(lowlight_host::cli::main())
}
