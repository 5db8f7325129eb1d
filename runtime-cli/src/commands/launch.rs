//! What create, run and explain have in common: the flags that say how a container is made.

use runtime_core::{Bundle, Container, CreateOptions, Error, ErrorKind, Keyring, RootSwitch, Stdio};

use crate::args::{Flag, Given};
use crate::descriptors::Passed;
use crate::failure::Failure;
use crate::globals::{Context, absolute};

/// The bundle's directory.
pub(super) const BUNDLE: Flag = Flag::value("bundle", "the bundle's directory (default: the current one)").or("b");
/// Where a terminal's master would be sent.
pub(super) const CONSOLE_SOCKET: Flag = Flag::value("console-socket", "send the terminal's master to this socket");
/// Where init's pidfd is sent.
pub(super) const PIDFD_SOCKET: Flag = Flag::value("pidfd-socket", "send the process's pidfd to this AF_UNIX socket");
/// Where init's pid is written.
pub(super) const PID_FILE: Flag = Flag::value("pid-file", "write init's pid to this file");
/// For hosts whose root cannot be pivoted.
pub(super) const NO_PIVOT: Flag = Flag::switch("no-pivot", "do not use pivot_root: for a root on an initramfs");
/// Whether the caller's session keyring stays.
pub(super) const NO_NEW_KEYRING: Flag = Flag::switch("no-new-keyring", "keep the caller's session keyring");

/// What the flags ask for; what this version cannot do is an error.
pub(super) fn options(context: &Context, given: &Given) -> Result<CreateOptions, Error> {
    Ok(CreateOptions {
        pid_file: given.path(&PID_FILE).map(|path| absolute(&path)).transpose()?,
        pidfd_socket: given.path(&PIDFD_SOCKET).map(|path| absolute(&path)).transpose()?,
        console_socket: given.path(&CONSOLE_SOCKET).map(|path| absolute(&path)).transpose()?,
        root_switch: if given.is(&NO_PIVOT) { RootSwitch::Move } else { RootSwitch::Pivot },
        rootless: context.rootless,
        cgroup_driver: context.cgroup_driver,
        keyring: if given.is(&NO_NEW_KEYRING) { Keyring::Keep } else { Keyring::New },
        ..CreateOptions::default()
    })
}

/// As [`options`], with the caller's descriptors that its program is to have.
pub(super) fn options_and_stdio(context: &Context, given: &Given) -> Result<(CreateOptions, Stdio), Error> {
    let options = options(context, given)?;
    let Passed { fds, listen } = Passed::on(given)?;
    Ok((CreateOptions { listen_fds: listen, ..options }, Stdio { others: fds, ..Stdio::default() }))
}

/// The bundle that the flags name.
pub(super) fn bundle(given: &Given) -> Result<Bundle, Error> {
    Bundle::load(given.path(&BUNDLE).unwrap_or_else(|| ".".into()))
}

/// What is told of a launch that failed: for a person also whether anything is left, and where to look.
pub(super) fn failure(context: &Context, given: &Given, verb: &'static str, error: Error) -> Failure {
    let advice = error.step().map(|step| {
        let program = &context.program.name;
        let id = super::id(given);
        let left = match id.and_then(|id| context.runtime.load(&id)) {
            Err(gone) if gone.kind() == ErrorKind::NotFound => "nothing was left behind".to_owned(),
            _ => format!("{program} delete --force removes what was left behind"),
        };
        let bundle = given.path(&BUNDLE).unwrap_or_else(|| ".".into());
        // Create's plan has steps that run's has not.
        let acts = if verb == "run" { "--run " } else { "" };
        format!("{left}. see: {program} explain {acts}-b {} --step {}", bundle.display(), step.number)
    });
    let error = if context.homeless && error.kind() == ErrorKind::Host {
        let why = format!("{error}: where an unprivileged user may keep it neither XDG_RUNTIME_DIR nor --root says");
        Error::new(ErrorKind::Host, why)
    } else {
        error
    };
    Failure::Launch { verb, error, advice }
}

/// The container that was made of a bundle, with the warnings of both. Where none was made they are for who asks for more
/// (`--debug`): podman reads one line, the error.
pub(super) fn told(bundle: &Bundle, made: Result<Container, Error>) -> Result<Container, Error> {
    match &made {
        Ok(container) => warn(bundle.warnings().iter().chain(container.warnings())),
        Err(_) => bundle.warnings().iter().for_each(|warning| log::debug!("{warning}")),
    }
    made
}

/// Logs what the user should know although it goes on.
pub(super) fn warn<'a>(warnings: impl IntoIterator<Item = &'a String>) {
    for warning in warnings {
        log::warn!("{warning}");
    }
}
