//! A profile as config.json has it (runtime-spec config-linux.md#seccomp), checked and in the kernel's numbers.

use oci_spec::runtime::{
    Arch as GivenArch, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompFilterFlag as Flag,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};

use super::super::{Invalid, below};
use super::arch::{Arch, Call, Machine};

pub(super) const ORIGIN: &str = "/linux/seccomp";

/// `SECCOMP_RET_*` of linux/seccomp.h.
pub(super) const KILL_THREAD: u32 = 0;
const KILL_PROCESS: u32 = 0x8000_0000;
const TRAP: u32 = 0x0003_0000;
const ERRNO: u32 = 0x0005_0000;
const USER_NOTIF: u32 = 0x7fc0_0000;
const TRACE: u32 = 0x7ff0_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;

/// What a call that no kernel knows returns.
pub(super) const ENOSYS: u32 = ERRNO | 38;

/// What is returned where the profile says no number.
const EPERM: u32 = 1;

/// The highest errno (`MAX_ERRNO`, linux/err.h); the kernel would cut off what is above.
const ERRNO_MAX: u32 = 4095;

/// `SECCOMP_FILTER_FLAG_*` of linux/seccomp.h.
pub(super) const FLAG_LOG: u32 = 1 << 1;
pub(super) const FLAG_SPEC_ALLOW: u32 = 1 << 2;
pub(super) const FLAG_NEW_LISTENER: u32 = 1 << 3;
pub(super) const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// How many arguments a system call has.
const ARGUMENTS: usize = 6;

/// A profile.
#[derive(Debug)]
pub(super) struct Profile {
    /// What is done where no rule matches: `SECCOMP_RET_*` and its data.
    pub(super) default: u32,
    /// The architectures the filter is for, the machine's own first.
    pub(super) archs: Vec<Arch>,
    pub(super) rules: Vec<Rule>,
    /// Whether calls newer than the profile are answered as a kernel would that does not know them.
    pub(super) hides_new: bool,
    /// Some of `SECCOMP_FILTER_FLAG_*`.
    pub(super) flags: u32,
}

/// What is done with some calls.
#[derive(Debug)]
pub(super) struct Rule {
    /// Its place in config.json.
    pub(super) index: usize,
    /// The calls it names, as far as they are known.
    pub(super) calls: Vec<Call>,
    pub(super) action: u32,
    /// It matches where all conditions of one of these match.
    pub(super) any_of: Vec<Vec<Condition>>,
}

/// A comparison of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) argument: u8,
    pub(super) operator: Operator,
    /// What the argument is masked with before it is compared.
    pub(super) mask: u64,
    /// What it is compared with, masked.
    pub(super) value: u64,
}

impl Profile {
    pub(super) fn read(seccomp: &LinuxSeccomp, machine: Machine) -> Result<Self, Invalid> {
        let given = seccomp.default_action();
        if given == Action::ScmpActNotify {
            return Err(Invalid::new(
                below(ORIGIN, "defaultAction"),
                "SCMP_ACT_NOTIFY cannot be used as default action",
            ));
        }
        let default = action(ORIGIN, "defaultErrnoRet", given, seccomp.default_errno_ret())?;
        let mut rules = Vec::new();
        for (index, call) in seccomp.syscalls().iter().flatten().enumerate() {
            rules.push(Rule::read(index, call)?);
        }
        let notifies = rules.iter().any(|rule| rule.action == USER_NOTIF);
        // A tracer is asked about new calls as well.
        let is_permissive = matches!(given, Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace);
        Ok(Self {
            default,
            archs: archs(seccomp.architectures().as_deref().unwrap_or_default(), machine),
            rules,
            hides_new: !is_permissive && default != ENOSYS,
            flags: flags(seccomp.flags().as_deref(), notifies),
        })
    }

    /// Whether it needs Linux 5.19.
    pub(super) fn waits_killable(&self) -> bool {
        self.flags & FLAG_WAIT_KILLABLE_RECV != 0
    }

    /// Whether somebody must listen.
    pub(super) fn notifies(&self) -> bool {
        self.flags & FLAG_NEW_LISTENER != 0
    }
}

impl Rule {
    fn read(index: usize, call: &LinuxSyscall) -> Result<Self, Invalid> {
        let origin = pointer(index);
        let names = below(&origin, "names");
        if call.names().is_empty() {
            return Err(Invalid::new(names, "there must be at least one name"));
        }
        if let Some(place) = call.names().iter().position(String::is_empty) {
            return Err(Invalid::new(below(&names, place), "an empty string is no system call"));
        }
        let action = action(&origin, "errnoRet", call.action(), call.errno_ret())?;
        let mut conditions = Vec::new();
        for (place, arg) in call.args().iter().flatten().enumerate() {
            if arg.index() >= ARGUMENTS {
                let origin = below(&below(&below(&origin, "args"), place), "index");
                let why = format!("a system call has no argument {}: they are 0 to {}", arg.index(), ARGUMENTS - 1);
                return Err(Invalid::new(origin, why));
            }
            conditions.push(condition(arg));
        }
        Ok(Self {
            index,
            calls: call.names().iter().filter_map(|name| Call::of(name)).collect(),
            action,
            any_of: alternatives(conditions),
        })
    }
}

/// The JSON pointer of a rule.
pub(super) fn pointer(index: usize) -> String {
    below(&below(ORIGIN, "syscalls"), index)
}

/// `SECCOMP_RET_*` with its data; `origin` is of the object that has the errno as `name`.
fn action(origin: &str, name: &str, action: Action, errno: Option<u32>) -> Result<u32, Invalid> {
    let value = match action {
        Action::ScmpActErrno => ERRNO | errno.unwrap_or(EPERM),
        Action::ScmpActTrace => TRACE | errno.unwrap_or(EPERM),
        Action::ScmpActKill | Action::ScmpActKillThread => KILL_THREAD,
        Action::ScmpActKillProcess => KILL_PROCESS,
        Action::ScmpActTrap => TRAP,
        Action::ScmpActNotify => USER_NOTIF,
        Action::ScmpActLog => LOG,
        Action::ScmpActAllow => ALLOW,
    };
    // Of a tracer it is a number of 16 bits that ptrace(2) passes on.
    let most = match action {
        Action::ScmpActErrno => ERRNO_MAX,
        Action::ScmpActTrace => u16::MAX.into(),
        _ => 0,
    };
    match errno {
        // runtime-spec: where the action has no errno, one is an error.
        Some(_) if most == 0 => Err(Invalid::new(below(origin, name), format!("{action} has no errno"))),
        Some(errno) if errno > most => Err(Invalid::new(
            below(origin, name),
            format!("{errno} is more than {most}, the highest that {action} returns"),
        )),
        _ => Ok(value),
    }
}

/// Without a mask all bits count.
fn condition(arg: &LinuxSeccompArg) -> Condition {
    let (mask, value) = match arg.op() {
        // `value` is the mask here, and `valueTwo` what is compared (seccomp_rule_add(3)).
        Operator::ScmpCmpMaskedEq => (arg.value(), arg.value_two().unwrap_or(0) & arg.value()),
        _ => (u64::MAX, arg.value()),
    };
    Condition { argument: arg.index() as u8, operator: arg.op(), mask, value }
}

/// All conditions of a rule must hold, unless two are of one argument: then each is a rule of its own, as engines have come
/// to rely on.
fn alternatives(mut conditions: Vec<Condition>) -> Vec<Vec<Condition>> {
    let mut seen = [false; ARGUMENTS];
    let is_twice =
        conditions.iter().any(|condition| std::mem::replace(&mut seen[usize::from(condition.argument)], true));
    if is_twice {
        return conditions.into_iter().map(|condition| vec![condition]).collect();
    }
    conditions.sort_unstable_by_key(|condition| condition.argument);
    vec![conditions]
}

/// Those the machine's kernel runs, each once. On any other machine no call is of the rest.
fn archs(given: &[GivenArch], machine: Machine) -> Vec<Arch> {
    let mut archs = vec![machine.native()];
    for arch in given.iter().filter_map(|given| known(*given)).filter(|arch| machine.runs(*arch)) {
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    archs
}

fn known(arch: GivenArch) -> Option<Arch> {
    match arch {
        GivenArch::ScmpArchX86_64 => Some(Arch::X86_64),
        GivenArch::ScmpArchX86 => Some(Arch::X86),
        GivenArch::ScmpArchX32 => Some(Arch::X32),
        GivenArch::ScmpArchAarch64 => Some(Arch::Aarch64),
        GivenArch::ScmpArchArm => Some(Arch::Arm),
        // The native one is there already; of the others there are no machines here.
        _ => None,
    }
}

/// An empty list is none; no list is the runtime's choice, which is runc's.
fn flags(given: Option<&[Flag]>, notifies: bool) -> u32 {
    let listener = if notifies { FLAG_NEW_LISTENER } else { 0 };
    let given = given.unwrap_or(&[Flag::SeccompFilterFlagSpecAllow]);
    given.iter().fold(listener, |flags, flag| {
        flags
            | match flag {
                Flag::SeccompFilterFlagLog => FLAG_LOG,
                Flag::SeccompFilterFlagSpecAllow => FLAG_SPEC_ALLOW,
                // Without a listener nothing waits, and the kernel refuses it (seccomp(2)).
                Flag::SeccompFilterFlagWaitKillableRecv if notifies => FLAG_WAIT_KILLABLE_RECV,
                // The process has no other thread that could be synchronized.
                Flag::SeccompFilterFlagWaitKillableRecv | Flag::SeccompFilterFlagTsync => 0,
            }
    })
}
