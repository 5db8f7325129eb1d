//! A kernel that lacks a system call: the tests' own program executes another one under a seccomp filter, below which the
//! call is ENOSYS, as in old kernels and in sandboxes that do not know it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::libc;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// What tells this program that it is to execute another one.
const FLAG: &str = "--without";

/// The calls that can be taken away.
const CALLS: [(&str, libc::c_long); 10] = [
    ("clone3", libc::SYS_clone3),
    ("close_range", libc::SYS_close_range),
    ("fsconfig", libc::SYS_fsconfig),
    ("fsmount", libc::SYS_fsmount),
    ("fsopen", libc::SYS_fsopen),
    ("fspick", libc::SYS_fspick),
    ("mount_setattr", libc::SYS_mount_setattr),
    ("move_mount", libc::SYS_move_mount),
    ("open_tree", libc::SYS_open_tree),
    ("openat2", libc::SYS_openat2),
];

/// The words before a command line that take `call` away from it, for [`crate::scene::Scene::by`].
///
/// # Panics
/// When this program does not know where it is.
pub fn wrapper(call: &str) -> Vec<String> {
    let own = env::current_exe().unwrap();
    vec![own.to_str().unwrap().to_owned(), FLAG.to_owned(), call.to_owned()]
}

/// Executes the command line behind [`wrapper`]'s words; `None` where this program was not called so.
pub fn launched() -> Option<ExitCode> {
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let [flag, call, program, rest @ ..] = args.as_slice() else { return None };
    if flag != FLAG {
        return None;
    }
    let error = match call.to_str().ok_or_else(|| "no text".to_owned()).and_then(filter) {
        Ok(filter) => match seccompiler::apply_filter(&filter) {
            Ok(()) => Command::new(program).args(rest).exec().to_string(),
            Err(error) => error.to_string(),
        },
        Err(error) => error,
    };
    let _ = writeln!(io::stderr(), "{FLAG} {}: {error}", call.display());
    Some(ExitCode::from(125))
}

fn filter(call: &str) -> Result<BpfProgram, String> {
    let known = CALLS.iter().find(|(name, _)| *name == call);
    let (_, number) = known.ok_or_else(|| format!("{call} is none of {CALLS:?}"))?;
    let arch = env::consts::ARCH.try_into().map_err(|error| format!("{error:?}"))?;
    let missing = SeccompAction::Errno(libc::ENOSYS as u32);
    let filter = SeccompFilter::new(BTreeMap::from([(*number, vec![])]), SeccompAction::Allow, missing, arch);
    filter.and_then(TryInto::try_into).map_err(|error| error.to_string())
}
