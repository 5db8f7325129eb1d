//! Hooks (runtime-spec config.md#posix-platform-hooks): what each executes, and where its step stands in the plan.

use std::ffi::CString;

use oci_spec::runtime::{Hook as Given, Spec};

use super::plan::Draft;
use super::program::{Program, argument, texts};
use super::seccomp::Filter;
use super::text::{below, path_text, sorted, utf8};
use super::{Invalid, Request};
use crate::state::HookState;
use crate::wire::{self, HookKind, HostOp, InitOp, List, Slot, Text};

const HOOKS: &str = "/hooks";

/// How long a hook without a timeout may run, in seconds: config.json sets no bound, and every command needs one.
const CEILING: u32 = 600;

/// One hook.
#[derive(Debug)]
pub(crate) struct Hook {
    kind: HookKind,
    index: u32,
    origin: String,
    path: CString,
    args: Vec<CString>,
    /// `None` where config.json names none.
    env: Option<Vec<CString>>,
    timeout: u32,
}

impl Hook {
    fn read(kind: HookKind, index: usize, given: &Given) -> Result<Self, Invalid> {
        let origin = below(&below(HOOKS, kind), index);
        let place = |name: &str| below(&origin, name);
        let path = utf8(&place("path"), given.path())?;
        if !path.starts_with('/') {
            return Err(Invalid::new(place("path"), format!("the path {path:?} of a hook is not absolute")));
        }
        let timeout = match given.timeout() {
            None => CEILING,
            Some(seconds) if seconds > 0 => u32::try_from(seconds).unwrap_or(u32::MAX),
            Some(seconds) => {
                return Err(Invalid::new(place("timeout"), format!("a timeout of {seconds} s is not greater than 0")));
            }
        };
        let strings = |name: &str, list: &[String]| -> Result<Vec<CString>, Invalid> {
            let pointer = place(name);
            list.iter().enumerate().map(|(n, string)| argument(&below(&pointer, n), string)).collect()
        };
        let path = path_text(&place("path"), given.path())?;
        let args = strings("args", given.args().as_deref().unwrap_or_default())?;
        Ok(Self {
            kind,
            index: index as u32,
            // A program without arguments has its name (execve(2)).
            args: if args.is_empty() { vec![path.clone()] } else { args },
            env: given.env().as_deref().map(|env| strings("env", env)).transpose()?,
            origin,
            path,
            timeout,
        })
    }

    /// Calls `with` with the hook as it stands in a plan; its environment is exactly the one that is given.
    pub(crate) fn with<T>(&self, with: impl FnOnce(wire::Hook<'_>) -> T) -> T {
        self.with_env(self.env.as_deref().unwrap_or_default(), None, with)
    }

    fn with_env<T>(&self, env: &[CString], home: Option<u16>, with: impl FnOnce(wire::Hook<'_>) -> T) -> T {
        let (args, env) = (texts(&self.args), texts(env));
        with(wire::Hook {
            kind: self.kind,
            index: self.index,
            path: Text(&self.path),
            args: List::new(&args),
            env: List::new(&env),
            home,
            timeout: self.timeout,
        })
    }
}

/// The container's hooks, in the order in which they are run.
#[derive(Debug)]
pub(crate) struct Hooks(Vec<Hook>);

impl Hooks {
    /// Reads them, all kinds: those that are run when the container is deleted are refused when it is made.
    pub(crate) fn read(spec: &Spec) -> Result<Self, Invalid> {
        let Some(given) = spec.hooks() else { return Ok(Self(Vec::new())) };
        let mut hooks = Vec::new();
        for kind in HookKind::ALL {
            let list = match kind {
                HookKind::Prestart => given.prestart(),
                HookKind::CreateRuntime => given.create_runtime(),
                HookKind::CreateContainer => given.create_container(),
                HookKind::StartContainer => given.start_container(),
                HookKind::Poststart => given.poststart(),
                HookKind::Poststop => given.poststop(),
            };
            for (index, hook) in list.iter().flatten().enumerate() {
                hooks.push(Hook::read(kind, index, hook)?);
            }
        }
        Ok(Self(hooks))
    }

    /// Whether there is any.
    pub(crate) fn are_asked_for(&self) -> bool {
        !self.0.is_empty()
    }

    /// Those of a kind.
    pub(crate) fn of(&self, kind: HookKind) -> impl Iterator<Item = &Hook> {
        self.0.iter().filter(move |hook| hook.kind == kind)
    }

    /// Whether some look at, or change, the root filesystem before it becomes the root.
    pub(super) fn see_rootfs(&self) -> bool {
        self.0.iter().any(|hook| hook.kind <= HookKind::CreateContainer)
    }

    /// Those that are run before the root is changed: the host's, then the container's.
    pub(super) fn before_switch(&self, request: &Request<'_>, plan: &mut Draft) -> Result<(), Invalid> {
        if let Some(hook) = self.of(HookKind::Poststop).next() {
            plan.host(&hook.origin, HostOp::OwePoststop {});
        }
        let of_caller = self.0.iter().find(|hook| hook.kind <= HookKind::CreateRuntime);
        let hidden = of_caller.filter(|_| request.spaces.hides_from_caller());
        if let Some(hook) = hidden {
            plan.init(&hook.origin, InitOp::AllowHooks {});
        }
        self.on_host(HookKind::Prestart, plan);
        self.on_host(HookKind::CreateRuntime, plan);
        if let Some(hook) = hidden {
            plan.init(&hook.origin, InitOp::EndHooks {});
        }
        if self.0.iter().any(|hook| matches!(hook.kind, HookKind::CreateContainer | HookKind::StartContainer)) {
            hold_state(request, plan)?;
        }
        for hook in self.of(HookKind::CreateContainer) {
            hook.with(|op| plan.init(&hook.origin, InitOp::RunHookInside { hook: op }));
        }
        Ok(())
    }

    /// Those that are run in the container. Where config.json names no environment they have the container's: they see
    /// nothing of the host.
    pub(super) fn before_program(&self, program: &Program, filter: &Filter, agents: &[Slot], plan: &mut Draft) {
        for (process, hook) in self.of(HookKind::StartContainer).enumerate() {
            filter.hold_agent(agents.get(process), plan);
            let (env, home) = match &hook.env {
                Some(env) => (env.as_slice(), None),
                None => program.env(),
            };
            hook.with_env(env, home, |op| plan.init(&hook.origin, InitOp::RunHookInside { hook: op }));
        }
    }

    /// Those that are run once the program was executed.
    pub(super) fn after_program(&self, plan: &mut Draft) {
        self.on_host(HookKind::Poststart, plan);
    }

    fn on_host(&self, kind: HookKind, plan: &mut Draft) {
        for hook in self.of(kind) {
            hook.with(|op| plan.host(&hook.origin, HostOp::RunHook { hook: op }));
        }
    }
}

/// The state of the container up to what only a process that runs can tell.
pub(super) fn state(request: &Request<'_>) -> Result<Vec<u8>, Invalid> {
    let annotations = sorted(request.spec.annotations().as_ref());
    let state = HookState {
        oci_version: request.spec.version(),
        id: request.launch.id.as_str(),
        bundle: request.launch.bundle,
        annotations: annotations.into_iter().map(|(key, value)| (key, value.as_str())).collect(),
    };
    state.head().map_err(|error| Invalid::new("", format!("cannot write the state: {error}")))
}

/// Init gets the state with the plan: where it is confined nothing else can reach it.
fn hold_state(request: &Request<'_>, plan: &mut Draft) -> Result<(), Invalid> {
    plan.init(HOOKS, InitOp::HoldState { state: &state(request)? });
    Ok(())
}
