//! The command line as a whole: its definitions, its reviewed help, completions and manual.
//!
//! In: the definitions. Out: texts people rely on. Must never know: what a command does.

use clap::CommandFactory;

use super::*;

/// `UPDATE_HELP=1 cargo test -p portcullis-app help` rewrites it.
const REVIEWED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/help.txt");

#[test]
fn the_definitions_hold_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_help_is_the_reviewed_one() {
    let mut text = String::new();
    print_help(Cli::command().term_width(100), &mut text);
    if std::env::var_os("UPDATE_HELP").is_some() {
        std::fs::write(REVIEWED, &text).unwrap();
    }
    let reviewed = std::fs::read_to_string(REVIEWED).unwrap_or_default();
    assert!(
        text == reviewed,
        "the help differs from tests/help.txt; look at the difference after UPDATE_HELP=1"
    );
}

#[test]
fn every_command_takes_json_and_has_a_description() {
    fn check(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{} has no description", command.get_name());
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{} {} has no description",
                command.get_name(),
                argument.get_id()
            );
        }
        command.get_subcommands().for_each(check);
    }
    let mut command = Cli::command();
    command.build();
    command.get_subcommands().for_each(check);
    assert!(Cli::try_parse_from(["portcullis", "audit", "checkpoint", "--json"]).is_ok());
}

#[test]
fn an_address_beyond_loopback_is_wrong_usage() {
    let error = Cli::try_parse_from(["portcullis", "--address", "http://10.1.2.3:1", "whoami"])
        .unwrap_err();
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn completions_know_the_commands_of_every_shell() {
    for shell in [clap_complete::Shell::Bash, clap_complete::Shell::Zsh, clap_complete::Shell::Fish]
    {
        let script = String::from_utf8(shell::completions(shell)).unwrap();
        assert!(script.contains("ssh-config") && script.contains("who-can"), "{shell}");
    }
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let directory = tempfile::tempdir().unwrap();
    let pages = shell::manual(directory.path()).unwrap();
    assert!(pages > 30, "{pages}");
    let page = std::fs::read_to_string(directory.path().join("portcullis-request.1")).unwrap();
    assert!(page.contains("approve"), "{page}");
}

fn print_help(mut command: clap::Command, out: &mut String) {
    command.build();
    walk(&mut command, out);
}

fn walk(command: &mut clap::Command, out: &mut String) {
    let name = command.get_bin_name().unwrap_or(command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    out.push_str(&format!("==== {name}\n{}\n", help.trim_end()));
    for subcommand in command.get_subcommands_mut() {
        out.push('\n');
        walk(subcommand, out);
    }
}
