//! `cargo xtask lane`: any command in a lane. The lanes themselves are the scripts in `lanes/`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use crate::packages::{self, Package};
use crate::run::{Result, tied};

/// Where containers may be run: away from the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// The machine's kernel, in namespaces of its own.
    Native,
    /// User Mode Linux: every capability and controller.
    Uml,
    /// The same with systemd as PID 1.
    UmlSystemd,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Native, Self::Uml, Self::UmlSystemd];

    /// The lane's name: that of its script and of `LANE` inside.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Uml => "uml",
            Self::UmlSystemd => "uml-systemd",
        }
    }

    fn packages(self) -> &'static [&'static [Package]] {
        match self {
            Self::Native => &[packages::NATIVE],
            Self::Uml => &[packages::UML],
            Self::UmlSystemd => &[packages::UML, packages::SYSTEMD],
        }
    }

    /// The lane's script, ready to take a command; the lane ends with this program.
    ///
    /// # Errors
    /// When the lane's packages are missing and cannot be installed.
    pub(crate) fn command(self) -> Result<Command> {
        self.script().map(|script| without_cargos_libraries(tied(script)))
    }

    fn script(self) -> Result<PathBuf> {
        packages::ensure(self.packages()).map_err(|why| format!("lane {} cannot run: {why}", self.name()))?;
        Ok([env!("CARGO_MANIFEST_DIR"), "lanes", self.name()].iter().collect())
    }
}

/// cargo makes the dynamic linker look into its own folders first: dozens of system calls for each program that starts,
/// which no user of planc has.
fn without_cargos_libraries(mut command: Command) -> Command {
    command.env_remove("LD_LIBRARY_PATH");
    command
}

/// `lane NAME [--] CMD…`: becomes the lane, so that status and signals are its own.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let usage = "usage: cargo xtask lane native|uml|uml-systemd [--] CMD…";
    let (name, rest) = arguments.split_first().ok_or(usage)?;
    let lane = Lane::ALL.into_iter().find(|lane| lane.name() == name);
    let lane = lane.ok_or_else(|| format!("there is no lane {name:?}; {usage}"))?;
    let command = if rest.first().is_some_and(|first| first == "--") { &rest[1..] } else { rest };
    if command.is_empty() {
        return Err(usage.to_owned());
    }
    let why = without_cargos_libraries(Command::new(lane.script()?)).args(command).exec();
    Err(format!("lane {name} did not start: {why}"))
}
