//! `xbr completions`: scripts for shells, by clap's own generator.

use clap::{Args, Command};
use clap_complete::Shell;

use super::output;
use crate::Result;

/// For which shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs, mut command: Command) -> Result<()> {
    output::print(&script(args.shell, &mut command))
}

fn script(shell: Shell, command: &mut Command) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, command, "xbr", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory as _, ValueEnum as _};

    #[test]
    fn every_shell_learns_the_verbs() {
        for shell in Shell::value_variants() {
            let script = script(*shell, &mut super::super::Cli::command());
            assert!(script.contains("monitor") && script.contains("ageing-time"), "{shell}");
        }
    }
}
