//! `completions` and `man`: what shells and readers are told of the command line, from its one description.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use clap_complete::Shell;
use clap_mangen::{Man, roff};

use super::{Exit, NAME, description, print, print_error};

/// print what completes commands and options in a shell
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Prints what lets a shell complete this program's commands and options. For your own bash: \
                   phonebook-gateway completions bash > \
                   ~/.local/share/bash-completion/completions/phonebook-gateway",
    after_help = "Exit codes: 0 printed, 2 the command line is wrong, 3 the standard output cannot be written."
)]
pub(super) struct CompletionsOptions {
    /// the shell
    shell: Completed,
}

/// The shells that are completed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Completed {
    Bash,
    Zsh,
    Fish,
}

/// Prints the completions of a shell.
pub(super) fn completions(options: &CompletionsOptions) -> Exit {
    print(&match options.shell {
        // Behind a program's name with a `-` in it, what is generated for bash completes no command's options
        // (clap-rs/clap#6421). So it is generated for a name without, and registered for the program's own.
        Completed::Bash => generated(Shell::Bash, PLAIN_NAME)
            .replace(&format!(" {PLAIN_NAME}\n"), &format!(" {NAME}\n")),
        Completed::Zsh => generated(Shell::Zsh, NAME),
        Completed::Fish => generated(Shell::Fish, NAME),
    })
}

/// What clap generates for a shell.
fn generated(shell: Shell, name: &str) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut description(), name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// write the manual pages
#[derive(Debug, clap::Args)]
#[command(
    before_help = "Writes phonebook-gateway.1 and a page for each command into a directory, for those who package this \
                   program.",
    after_help = "Exit codes: 0 written, 2 the command line is wrong, 3 a page cannot be written."
)]
pub(super) struct ManOptions {
    /// where to; it has to be there
    directory: PathBuf,
}

/// Writes the manual pages.
pub(super) fn man(options: &ManOptions) -> Exit {
    let mut command = description();
    command.build();
    match write_pages(&command, &options.directory) {
        Ok(()) => Exit::Ok,
        Err((path, error)) => {
            print_error(&format!("{} cannot be written: {error}", path.display()));
            Exit::Failed
        }
    }
}

/// Writes the page of a command, and those of the commands below it.
fn write_pages(command: &clap::Command, directory: &Path) -> Result<(), (PathBuf, io::Error)> {
    // What stands above a command's help describes it.
    let description = command.get_before_help().map(ToString::to_string).unwrap_or_default();
    let page = Man::new(command.clone().long_about(description));
    let path = directory.join(page.get_filename());
    let written = text(command, page).and_then(|text| fs::write(&path, text));
    written.map_err(|error| (path, error))?;
    let mut shown = command.get_subcommands().filter(|below| !below.is_hide_set());
    shown.try_for_each(|below| write_pages(below, directory))
}

/// The page's text. What stands below a command's help are notes.
fn text(command: &clap::Command, page: Man) -> io::Result<Vec<u8>> {
    let page = page.source(concat!("phonebook-gateway ", env!("CARGO_PKG_VERSION")));
    let page = page.manual("XiVO's phonebook");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        page.render_subcommands_section(&mut text)?;
    }
    let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut section = roff::Roff::new();
    section.control("SH", ["NOTES"]);
    for paragraph in notes.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        section.control("PP", []);
        section.text([roff::roman(paragraph.replace('\n', " "))]);
    }
    section.to_writer(&mut text)?;
    Ok(text)
}

/// The program's name as a word of bash's.
const PLAIN_NAME: &str = "phonebook_gateway";
