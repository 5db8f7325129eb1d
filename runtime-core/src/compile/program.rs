//! What is executed: arguments, environment, working directory, and where the program is looked for.

use std::collections::BTreeSet;
use std::ffi::CString;

use oci_spec::runtime::Process;

use super::Invalid;
use super::plan::Draft;
use super::text::{below, cleaned, path_text, text, utf8};
use crate::wire::{InitOp, List, Text};

const ARGS: &str = "/process/args";
const ENV: &str = "/process/env";
const CWD: &str = "/process/cwd";

/// What of config.json the caller's descriptors replace.
const LISTEN: [&[u8]; 2] = [b"LISTEN_FDS=", b"LISTEN_PID="];

/// Init lays arguments and environment out in one table of pointers; each ends with one more.
const POINTERS: usize = 32_768 - 2;

/// The longest string of execve(2) (MAX_ARG_STRLEN).
const ARGUMENT_MAX: usize = 128 << 10;

/// What is executed.
#[derive(Debug)]
pub(super) struct Program {
    args: Vec<CString>,
    env: Vec<CString>,
    /// Which of the environment is the home directory that init has to find.
    home: Option<u16>,
    candidates: Vec<CString>,
    cwd: CString,
}

impl Program {
    /// `listen_fds`: how many descriptors the program is told of (sd_listen_fds(3)).
    pub(super) fn read(process: &Process, listen_fds: u32) -> Result<Self, Invalid> {
        let args = args(process)?;
        let mut env = env(process.env().as_deref().unwrap_or_default())?;
        if listen_fds > 0 {
            let is_about_them = |variable: &CString| LISTEN.iter().any(|name| variable.to_bytes().starts_with(name));
            env.retain(|variable| !is_about_them(variable));
            // The first process of a pid namespace; where it shares one this is wrong, as it is with runc.
            env.extend([text(ENV, format!("LISTEN_FDS={listen_fds}"))?, c"LISTEN_PID=1".to_owned()]);
        }
        let candidates = candidates(&args, &env)?;
        let home = match env.iter().position(|variable| variable.to_bytes().starts_with(b"HOME=")) {
            // One that is set counts; an empty one is as good as none.
            Some(index) if env.get(index).is_some_and(|home| home.to_bytes() != b"HOME=") => None,
            Some(index) => Some(index),
            None => {
                env.push(c"HOME=".to_owned());
                Some(env.len() - 1)
            }
        };
        let home = home.map(u16::try_from).transpose();
        let Ok(home) = home else { return Err(Invalid::new(ENV, "too many variables")) };
        if args.len() + env.len() > POINTERS {
            return Err(Invalid::new(ARGS, format!("more than {POINTERS} arguments and variables")));
        }
        Ok(Self { args, env, home, candidates, cwd: cwd(process)? })
    }

    /// The working directory, made where it is missing: before the root becomes read-only, and before the user is
    /// changed. It is tried again after (process.cwd may be the user's alone).
    pub(super) fn enter_directory(&self, plan: &mut Draft) {
        plan.init(CWD, InitOp::EnterDirectory { path: Text(&self.cwd) });
    }

    /// The same for a process that joins the container: a missing one is an error.
    pub(super) fn change_directory(&self, plan: &mut Draft) {
        plan.init(CWD, InitOp::ChangeDirectory { path: Text(&self.cwd) });
    }

    /// Whoever the user is by now, the working directory lies inside (CVE-2024-21626), and the program is there: so that
    /// create fails, and not start.
    pub(super) fn find(&self, uid: u32, plan: &mut Draft) {
        plan.init(CWD, InitOp::VerifyDirectory { path: Text(&self.cwd) });
        let candidates = texts(&self.candidates);
        if let Some(name) = self.args.first() {
            let origin = below(ARGS, 0);
            plan.init(&origin, InitOp::FindProgram { name: Text(name), candidates: List::new(&candidates) });
        }
        if self.home.is_some() {
            plan.init("/process/user/uid", InitOp::FindHome { uid });
        }
    }

    /// The environment, and which of it is the home directory that init has to find.
    pub(super) fn env(&self) -> (&[CString], Option<u16>) {
        (&self.env, self.home)
    }

    /// The last step of init's.
    pub(super) fn execute(&self, plan: &mut Draft) {
        let (args, env) = (texts(&self.args), texts(&self.env));
        plan.init(ARGS, InitOp::Execute { args: List::new(&args), env: List::new(&env), home: self.home });
    }
}

pub(super) fn texts(strings: &[CString]) -> Vec<Text<'_>> {
    strings.iter().map(|string| Text(string)).collect()
}

fn args(process: &Process) -> Result<Vec<CString>, Invalid> {
    let args = process.args().as_deref().unwrap_or_default();
    if args.is_empty() {
        return Err(Invalid::new(ARGS, "args must not be empty"));
    }
    args.iter().enumerate().map(|(index, arg)| argument(&below(ARGS, index), arg)).collect()
}

/// One string of an argument list or an environment.
pub(super) fn argument(origin: &str, string: &str) -> Result<CString, Invalid> {
    if string.len() >= ARGUMENT_MAX {
        return Err(Invalid::new(origin, format!("{} bytes are more than execve(2) takes", string.len())));
    }
    text(origin, string)
}

/// The environment in its order. Of a variable that is set twice the last one counts, where it stands.
fn env(variables: &[String]) -> Result<Vec<CString>, Invalid> {
    let mut seen = BTreeSet::new();
    let mut env = Vec::new();
    for (index, variable) in variables.iter().enumerate().rev() {
        let origin = || below(ENV, index);
        let Some((name, _)) = variable.split_once('=') else {
            return Err(Invalid::new(origin(), "invalid environment variable: missing '='"));
        };
        if name.is_empty() {
            return Err(Invalid::new(origin(), "invalid environment variable: name cannot be empty"));
        }
        if seen.insert(name) {
            env.push(argument(&origin(), variable)?);
        } else if variable.contains('\0') {
            return Err(Invalid::new(origin(), "it contains a NUL character"));
        }
    }
    env.reverse();
    Ok(env)
}

/// Where the program may be, as execvp(3) looks for it in the container's own PATH; nowhere where that is not set.
fn candidates(args: &[CString], env: &[CString]) -> Result<Vec<CString>, Invalid> {
    let Some(name) = args.first().filter(|name| !name.is_empty()) else { return Ok(Vec::new()) };
    if name.to_bytes().contains(&b'/') {
        return Ok(vec![name.clone()]);
    }
    let path = env.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    let directories = path.into_iter().flat_map(|path| path.split(|byte| *byte == b':'));
    let candidate = |directory: &[u8]| {
        let directory = if directory.is_empty() { b"." } else { directory };
        text(ENV, [directory, b"/", name.to_bytes()].concat())
    };
    directories.map(candidate).collect()
}

fn cwd(process: &Process) -> Result<CString, Invalid> {
    let cwd = utf8(CWD, process.cwd())?;
    if cwd.is_empty() {
        return Err(Invalid::new(CWD, "Cwd property must not be empty"));
    }
    if !cwd.starts_with('/') {
        return Err(Invalid::new(CWD, "Cwd must be an absolute path"));
    }
    path_text(CWD, cleaned(cwd).as_ref())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strings(list: &[&str]) -> Vec<String> {
        list.iter().map(|string| (*string).to_owned()).collect()
    }

    fn shown(list: &[CString]) -> Vec<&str> {
        list.iter().map(|string| string.to_str().unwrap()).collect()
    }

    #[test]
    fn a_program_is_looked_for_in_the_containers_path() {
        let look = |name: &str, env: &[&str]| {
            let args = [CString::new(name).unwrap()];
            let env: Vec<_> = env.iter().map(|variable| CString::new(*variable).unwrap()).collect();
            candidates(&args, &env).unwrap().into_iter().map(|c| c.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(look("sh", &["PATH=/usr/bin:/bin"]), ["/usr/bin/sh", "/bin/sh"]);
        assert_eq!(look("sh", &["PATH=:bin"]), ["./sh", "bin/sh"]);
        assert_eq!(look("sh", &["TERM=xterm"]), [""; 0]);
        assert_eq!(look("./sh", &["PATH=/bin"]), ["./sh"]);
        assert_eq!(look("/bin/sh", &[]), ["/bin/sh"]);
        assert_eq!(look("", &["PATH=/bin"]), [""; 0]);
    }

    #[test]
    fn a_variable_has_a_name_and_a_value() {
        for (bad, why) in [("A", "missing '='"), ("=A", "name cannot be empty"), ("A=\0", "NUL")] {
            let invalid = env(&strings(&["PATH=/bin", bad, "X=y"])).unwrap_err();
            assert_eq!(invalid.origin, "/process/env/1");
            assert!(invalid.why.contains(why), "{invalid}");
        }
        assert_eq!(shown(&env(&strings(&["A=1", "B=2=3", "A=", "C=x\ny"])).unwrap()), ["B=2=3", "A=", "C=x\ny"]);
    }

    proptest! {
        #[test]
        fn of_a_variable_set_twice_the_last_counts(list in prop::collection::vec("[AB]{1,2}=[xy]?", 0..12)) {
            let env = env(&list).unwrap();
            // The oracle: keep each variable that no later one has the name of.
            let name = |variable: &str| variable.split('=').next().unwrap().to_owned();
            let last = |(index, variable): &(usize, &String)| !list[index + 1..].iter().any(|later| name(later) == name(variable));
            let wanted: Vec<_> = list.iter().enumerate().filter(last).map(|(_, variable)| variable.as_str()).collect();
            prop_assert_eq!(shown(&env), wanted);
        }
    }
}
