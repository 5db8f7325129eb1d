//! `planc spec`: writes a config.json to begin with.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};

use nix::unistd::{getegid, geteuid};
use runtime_core::spec::default_config;

use super::{Command, launch};
use crate::args::{Flag, Given};
use crate::failure::{Outcome, host, invalid};
use crate::globals::Context;

const ROOTLESS: Flag = Flag::switch("rootless", "write one for a caller without privileges");

pub(super) const COMMAND: Command = Command {
    name: "spec",
    about: "write a config.json to begin with",
    words: &[],
    flags: &[&launch::BUNDLE, &ROOTLESS],
    perform,
};

fn perform(_: &Context, given: &Given) -> Outcome {
    let rootless = given.is(&ROOTLESS).then(|| (geteuid().as_raw(), getegid().as_raw()));
    let text = super::pretty(&default_config(rootless))?;
    let path = given.path(&launch::BUNDLE).unwrap_or_default().join("config.json");
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            return Err(invalid("file config.json exists. Remove it first").into());
        }
        opened => opened.map_err(|e| host(&format!("make {}", path.display()), e))?,
    };
    file.write_all(text.as_bytes()).map_err(|e| host(&format!("write {}", path.display()), e))?;
    Ok(0)
}
