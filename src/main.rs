//! The `longshore` program: what was typed becomes a command, and its result an exit code.

use std::process::ExitCode;

use longshore::cli::{self, Cli};

fn main() -> ExitCode {
    let typed = cli::parse();
    if let Err(faults) = cli::assume_identity() {
        return cli::failure(&faults.into());
    }
    match typed {
        Cli::Serve(args) => cli::serve(&args),
        Cli::Check(args) => cli::check(&args),
        Cli::Doctor(args) => cli::doctor(&args),
        Cli::User(args) => cli::user(&args),
        Cli::Group(args) => cli::group(&args),
        Cli::Tls(args) => cli::tls(&args),
        Cli::Classroom(args) => cli::classroom(&args),
        Cli::Operate(command) => cli::operate(&command),
    }
}
