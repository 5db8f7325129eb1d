//! `planc exec`: one more process in a container, and by default stays until it ends.

use std::path::Path;
use std::str::FromStr;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process};
use runtime_core::{Container, Error, ExecOptions, Stdio, WhenPaused, spec};

use super::{Command, launch};
use crate::args::{Flag, Given};
use crate::attached::{Orphans, Vigil};
use crate::descriptors::{self, PRESERVE_FDS};
use crate::failure::{Failure, Outcome, host, invalid};
use crate::globals::{Context, absolute};
use crate::terminal::{self, Caller, Proxy, Then};

const CWD: Flag = Flag::value("cwd", "the working directory in the container");
const ENV: Flag = Flag::value("env", "set a variable, NAME=VALUE; may be given again").or("e");
const TTY: Flag = Flag::switch("tty", "give the process a terminal").or("t");
const USER: Flag = Flag::value("user", "the user, UID[:GID]").or("u");
const GIDS: Flag = Flag::number("additional-gids", "one more group; may be given again").or("g");
/// Where the process is described.
pub(super) const PROCESS: Flag =
    Flag::value("process", "take the whole process from this file (config.md#process)").or("p");
const DETACH: Flag = Flag::switch("detach", "return as soon as the process runs").or("d");
const PID_FILE: Flag = Flag::value("pid-file", "write the process's pid to this file");
const LABEL: Flag = Flag::value("process-label", "the process's SELinux label");
const APPARMOR: Flag = Flag::value("apparmor", "the process's AppArmor profile");
const NO_NEW_PRIVS: Flag = Flag::switch("no-new-privs", "gain no privileges by execve");
const CAP: Flag = Flag::value("cap", "one more capability; may be given again").or("c");
const CGROUP: Flag = Flag::value("cgroup", "run in this cgroup below the container's, which exists");
const IGNORE_PAUSED: Flag = Flag::switch("ignore-paused", "where the container is paused, wait until it is resumed");

pub(super) const COMMAND: Command = Command {
    name: "exec",
    about: "execute one more process in a container",
    words: &["<container-id>", "[command...]"],
    flags: &[
        &CWD,
        &ENV,
        &TTY,
        &launch::CONSOLE_SOCKET,
        &USER,
        &GIDS,
        &PROCESS,
        &DETACH,
        &PID_FILE,
        &launch::PIDFD_SOCKET,
        &PRESERVE_FDS,
        &LABEL,
        &APPARMOR,
        &NO_NEW_PRIVS,
        &CAP,
        &CGROUP,
        &IGNORE_PAUSED,
    ],
    perform,
};

fn perform(context: &Context, given: &Given) -> Outcome {
    exec(context, given).map_err(Failure::Exec)
}

fn exec(context: &Context, given: &Given) -> Result<u8, Error> {
    let container = super::container(context, given)?;
    let process = match given.path(&PROCESS) {
        Some(path) => from_file(&path)?,
        None => from_flags(&container, given)?,
    };
    let stdio = Stdio { others: descriptors::preserved(given, 0)?, ..Stdio::default() };
    let then = if given.is(&DETACH) { Then::Return } else { Then::Stay };
    let console_socket = given.path(&launch::CONSOLE_SOCKET).map(|path| absolute(&path)).transpose()?;
    let is_asked_for = process.terminal() == Some(true);
    terminal::check(&context.program.name, is_asked_for, console_socket.is_some(), then)?;
    let vigil = (then == Then::Stay).then(|| Vigil::begin(Orphans::Leave)).transpose()?;
    let caller = (then == Then::Stay && is_asked_for).then(Caller::find).transpose()?;
    let options = ExecOptions {
        pid_file: given.path(&PID_FILE).map(|path| absolute(&path)).transpose()?,
        pidfd_socket: given.path(&launch::PIDFD_SOCKET).map(|path| absolute(&path)).transpose()?,
        console_socket,
        window: caller.as_ref().map(Caller::window),
        cgroup: cgroup(given)?,
        when_paused: if given.is(&IGNORE_PAUSED) { WhenPaused::Wait } else { WhenPaused::Refuse },
    };
    let joined = container.exec(&process, &options, &stdio)?;
    // Not held for as long as the program runs: its end of a pipe is the program's alone.
    drop(stdio);
    launch::warn(&joined.warnings);
    let Some(vigil) = vigil else { return Ok(0) };
    let proxy = joined.terminal.zip(caller).map(|(master, caller)| Proxy::begin(master, caller)).transpose()?;
    vigil.until_end(&joined.process, proxy)
}

/// The process that a file describes: nothing of the container's own is added.
pub(super) fn from_file(path: &Path) -> Result<Process, Error> {
    let json = std::fs::read(path).map_err(|error| host(&format!("read {}", path.display()), error))?;
    let (process, warnings) = spec::parse_process(&json)?;
    launch::warn(&warnings);
    Ok(process)
}

/// The container's own process, with what the flags change.
fn from_flags(container: &Container, given: &Given) -> Result<Process, Error> {
    let mut process = container.spec()?.process().clone().unwrap_or_default();
    process.set_args(Some(given.words.iter().skip(1).map(|word| utf8("the command", word)).collect::<Result<_, _>>()?));
    process.set_terminal(Some(given.is(&TTY)));
    if let Some(cwd) = given.path(&CWD) {
        process.set_cwd(cwd);
    }
    let text = |flag| given.value(flag).filter(|text| !text.is_empty());
    if let Some(label) = text(&LABEL) {
        process.set_selinux_label(Some(utf8("--process-label", label)?));
    }
    if let Some(profile) = text(&APPARMOR) {
        process.set_apparmor_profile(Some(utf8("--apparmor", profile)?));
    }
    if given.value(&NO_NEW_PRIVS).is_some() {
        process.set_no_new_privileges(Some(given.is(&NO_NEW_PRIVS)));
    }
    let mut env = process.env().clone().unwrap_or_default();
    for variable in given.values(&ENV) {
        env.push(utf8("--env", variable)?);
    }
    process.set_env(Some(env));
    let caps = given.values(&CAP).map(capability).collect::<Result<Vec<_>, _>>()?;
    if !caps.is_empty() {
        let sets = process.capabilities().clone().unwrap_or_else(no_capabilities);
        process.set_capabilities(Some(with_capabilities(sets, &caps)));
    }
    set_user(&mut process, given)?;
    Ok(process)
}

/// By numbers only, and by nothing that merely begins with one (CVE-2026-30892). The group stays where none is named.
fn set_user(process: &mut Process, given: &Given) -> Result<(), Error> {
    let mut user = process.user().clone();
    if let Some(text) = given.value(&USER).filter(|text| !text.is_empty()) {
        let text = utf8("--user", text)?;
        let (uid, gid) = text.split_once(':').map_or((text.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        user.set_uid(number("uid", uid)?);
        if let Some(gid) = gid {
            user.set_gid(number("gid", gid)?);
        }
    }
    let mut groups = user.additional_gids().clone().unwrap_or_default();
    for group in given.values(&GIDS) {
        groups.push(number("additional gid", &utf8("--additional-gids", group)?)?);
    }
    user.set_additional_gids(Some(groups));
    process.set_user(user);
    Ok(())
}

fn number(what: &str, text: &str) -> Result<u32, Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { u32::from_str(text).ok() } else { None };
    number.ok_or_else(|| invalid(format!("{what} {text:?} is no number that the kernel takes")))
}

fn capability(name: &std::ffi::OsStr) -> Result<Capability, Error> {
    let name = utf8("--cap", name)?;
    serde_json::from_value(name.as_str().into()).map_err(|_| invalid(format!("unknown capability {name:?}")))
}

fn no_capabilities() -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    let none = || Some(Default::default());
    sets.set_bounding(none()).set_effective(none()).set_permitted(none()).set_inheritable(None).set_ambient(None);
    sets
}

/// Never inheritable (CVE-2022-29162); ambient only where the container has inheritable ones, since without them the
/// kernel would refuse (capabilities(7)).
fn with_capabilities(mut sets: LinuxCapabilities, more: &[Capability]) -> LinuxCapabilities {
    let with = |set: &Option<oci_spec::runtime::Capabilities>| {
        let mut set = set.clone().unwrap_or_default();
        set.extend(more);
        Some(set)
    };
    let (bounding, effective, permitted) = (with(sets.bounding()), with(sets.effective()), with(sets.permitted()));
    let ambient = if sets.inheritable().is_some() { with(sets.ambient()) } else { sets.ambient().clone() };
    sets.set_bounding(bounding).set_effective(effective).set_permitted(permitted).set_ambient(ambient);
    sets
}

/// `[CONTROLLER:]PATH`; version 2 has one hierarchy, so that no controller has a path of its own.
fn cgroup(given: &Given) -> Result<Option<String>, Error> {
    let mut paths = given.values(&CGROUP);
    let Some(path) = paths.next() else { return Ok(None) };
    let path = utf8("--cgroup", path)?;
    if paths.next().is_some() {
        return Err(invalid("--cgroup is given twice: cgroup v2 has one hierarchy"));
    }
    if path.contains(':') {
        return Err(invalid(format!(
            "--cgroup {path:?} names a controller: cgroup v2 has one hierarchy for all of them"
        )));
    }
    Ok(Some(path))
}

fn utf8(what: &str, word: &std::ffi::OsStr) -> Result<String, Error> {
    word.to_str().map(str::to_owned).ok_or_else(|| invalid(format!("{what} is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_are_numbers_and_nothing_else() {
        assert_eq!(number("uid", "0").unwrap(), 0);
        assert_eq!(number("uid", "4294967294").unwrap(), u32::MAX - 1);
        for odd in ["", "+1", "-1", "1x", " 1", "0x1", "4294967296", "root"] {
            assert!(number("uid", odd).unwrap_err().message().contains(&format!("{odd:?}")));
        }
    }

    #[test]
    fn a_capability_is_never_made_inheritable() {
        let sets = with_capabilities(no_capabilities(), &[Capability::Chown]);
        let only = Some(HashSet::from([Capability::Chown]));
        assert_eq!([sets.bounding(), sets.effective(), sets.permitted()], [&only; 3]);
        assert_eq!([sets.inheritable(), sets.ambient()], [&None; 2]);
        let mut inheriting = no_capabilities();
        inheriting.set_inheritable(Some(HashSet::from([Capability::Kill])));
        let sets = with_capabilities(inheriting, &[Capability::Chown]);
        assert_eq!(sets.inheritable(), &Some(HashSet::from([Capability::Kill])));
        assert_eq!(sets.ambient(), &only);
        assert!(capability("CAP_NOSUCH".as_ref()).is_err());
    }
}
