//! Writes the manual pages and the shells' completions into a directory, from the flags as the program knows them:
//! `cargo run --example manual DIR`. The Debian package has them.

use std::path::PathBuf;
use std::{env, fs, io};

use clap_complete::Shell;

fn main() -> io::Result<()> {
    let directory = env::args_os().nth(1).map(PathBuf::from);
    let directory = directory.ok_or_else(|| io::Error::other("name the directory to write into"))?;
    fs::create_dir_all(&directory)?;
    let mut command = longshore::cli::command();
    clap_mangen::generate_to(command.clone(), &directory)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        clap_complete::generate_to(shell, &mut command, "longshore", &directory)?;
    }
    Ok(())
}
