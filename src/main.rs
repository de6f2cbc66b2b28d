//! The `longshore` program.

use std::process::ExitCode;

use longshore::cli::{self, Cli};

fn main() -> ExitCode {
    match cli::parse() {
        Cli::Serve(args) => match cli::serve_settings(&args) {
            Ok(_) => ExitCode::SUCCESS,
            Err(faults) => cli::failure(&faults.into()),
        },
        Cli::Check(args) => cli::check(&args),
        Cli::User(args) => cli::user(&args),
    }
}
