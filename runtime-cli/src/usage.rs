//! The usage texts, made from the tables of commands and flags.

use std::fmt::Write;

use crate::args::{Flag, HELP, Takes};
use crate::commands::{COMMANDS, Command};
use crate::failure::Why;
use crate::globals::{FLAGS, Program};

/// What `planc --help` prints.
pub(crate) fn of_all(program: &Program) -> String {
    let name = &program.name;
    let mut text = format!(
        "NAME:\n   {name} - Open Container Initiative runtime\n\n\
         USAGE:\n   {name} [global options] command [command options] [arguments...]\n\n\
         Where a bundle (a directory with a config.json and a root filesystem) is at hand:\n\
         \x20  {name} run -b BUNDLE ID       creates a container and runs it\n\
         \x20  {name} explain -b BUNDLE      tells every step of that first, and changes nothing\n\
         Where none is:\n\
         \x20  {name} demo                   brings its own\n\n\
         VERSION:\n   {}\n\nCOMMANDS:\n",
        env!("CARGO_PKG_VERSION"),
    );
    let commands = COMMANDS.iter().map(|command| (command.name.to_owned(), command.about));
    columns(&mut text, commands.chain([("help".to_owned(), "show this text, or a command's")]));
    text += "\nGLOBAL OPTIONS:\n";
    columns(&mut text, FLAGS.into_iter().map(spelling));
    text
}

/// What `planc COMMAND --help` prints.
pub(crate) fn of(program: &Program, command: &Command) -> String {
    let (program, name) = (&program.name, command.name);
    let words: String = command.words.iter().map(|word| format!(" {word}")).collect();
    let mut text = format!(
        "NAME:\n   {program} {name} - {}\n\nUSAGE:\n   {program} {name} [command options]{words}\n\nOPTIONS:\n",
        command.about
    );
    columns(&mut text, command.flags.iter().copied().chain([&HELP]).map(spelling));
    text
}

/// What goes before the usage where it was not followed, and the usage.
pub(crate) fn incorrect(program: &Program, why: &Why, command: Option<&Command>) -> String {
    let usage = command.map_or_else(|| of_all(program), |command| of(program, command));
    match why {
        Why::Flag(why) => format!("Incorrect Usage: {why}\n\n{usage}"),
        Why::Count(_) => format!("Incorrect Usage.\n\n{usage}"),
    }
}

fn spelling(flag: &Flag) -> (String, &'static str) {
    let value = if flag.takes == Takes::Switch { "" } else { " value" };
    let short = flag.short.map(|short| format!(", -{short}{value}")).unwrap_or_default();
    (format!("--{}{value}{short}", flag.name), flag.about)
}

fn columns(text: &mut String, rows: impl IntoIterator<Item = (String, &'static str)>) {
    let rows: Vec<_> = rows.into_iter().collect();
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default();
    for (left, right) in rows {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "   {left:width$}  {right}");
    }
}
