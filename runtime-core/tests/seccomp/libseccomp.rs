//! libseccomp, asked through a program that is compiled for the test: the other opinion.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction as Action};
use runtime_core::compile::seccomp::Machine;
use runtime_core::oci_spec;

/// A running one.
pub(crate) struct Libseccomp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What it made of a profile.
pub(crate) enum Answer {
    Program(Vec<u8>),
    /// None, within seconds.
    Endless,
    Refused,
}

impl Libseccomp {
    /// `None`, said aloud, where it cannot be compiled here.
    pub(crate) fn start() -> Option<Self> {
        let name = format!("planc-libseccomp-{}-{:?}", std::process::id(), std::thread::current().id());
        let program = std::env::temp_dir().join(name);
        let source = program.with_extension("c");
        std::fs::write(&source, include_str!("libseccomp.c")).unwrap();
        let compiled = Command::new("cc").arg("-O2").arg("-o").arg(&program).arg(&source).arg("-lseccomp").output();
        std::fs::remove_file(source).unwrap();
        if !compiled.as_ref().is_ok_and(|output| output.status.success()) {
            let why = compiled
                .map_or_else(|error| error.to_string(), |output| String::from_utf8_lossy(&output.stderr).into_owned());
            #[expect(clippy::print_stderr, reason = "a test that lacks something says so")]
            {
                eprintln!(
                    "NOT RUN: libseccomp cannot be asked (packages gcc, libseccomp-dev): {}",
                    why.lines().next().unwrap_or_default()
                );
            }
            return None;
        }
        let mut child = Command::new(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::fs::remove_file(program).unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, input, output })
    }

    /// Compiles a profile as runc has it compiled; with the nanoseconds that took.
    pub(crate) fn compile(&mut self, profile: &LinuxSeccomp, machine: Machine) -> (Answer, u64) {
        self.input.write_all(text(profile, machine).as_bytes()).unwrap();
        self.input.flush().unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let numbers: Vec<i64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let &[result, size, time] = &numbers[..] else { panic!("{line:?}") };
        let mut program = vec![0; size as usize];
        self.output.read_exact(&mut program).unwrap();
        let answer = match result {
            0 => Answer::Program(program),
            -110 => Answer::Endless,
            _ => Answer::Refused,
        };
        (answer, time as u64)
    }
}

impl Drop for Libseccomp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The actions are the kernel's, but for two bits.
pub(crate) fn action(action: Action, errno: Option<u32>) -> u32 {
    match action {
        Action::ScmpActErrno => 0x0005_0000 | errno.unwrap_or(1),
        Action::ScmpActTrace => 0x7ff0_0000 | errno.unwrap_or(1),
        Action::ScmpActKill | Action::ScmpActKillThread => 0,
        Action::ScmpActKillProcess => 0x8000_0000,
        Action::ScmpActTrap => 0x0003_0000,
        Action::ScmpActNotify => 0x7fc0_0000,
        Action::ScmpActLog => 0x7ffc_0000,
        Action::ScmpActAllow => 0x7fff_0000,
    }
}

/// What runc asks libseccomp for: no rule that does what is done anyway, and each argument a rule of its own where one is
/// compared twice.
fn text(profile: &LinuxSeccomp, machine: Machine) -> String {
    let default = action(profile.default_action(), profile.default_errno_ret());
    let mut rules = Vec::new();
    for call in profile.syscalls().iter().flatten() {
        let action = action(call.action(), call.errno_ret());
        let args: Vec<String> = call
            .args()
            .iter()
            .flatten()
            .map(|arg| format!("{} {} {} {}", arg.index(), arg.op() as u32, arg.value(), arg.value_two().unwrap_or(0)))
            .collect();
        let mut indices: Vec<usize> = call.args().iter().flatten().map(|arg| arg.index()).collect();
        indices.sort_unstable();
        let is_twice = indices.windows(2).any(|pair| pair[0] == pair[1]);
        let alternatives = if is_twice { args.into_iter().map(|arg| vec![arg]).collect() } else { vec![args] };
        for name in call.names().iter().filter(|_| action != default) {
            rules
                .extend(alternatives.iter().map(|args| format!("{action} {name} {} {}\n", args.len(), args.join(" "))));
        }
    }
    let native = match machine {
        Machine::X86_64 => 0xc000_003e_u32,
        Machine::Aarch64 => 0xc000_00b7,
    };
    let mut archs = vec![native];
    for arch in profile.architectures().iter().flatten().map(|arch| *arch as u32).filter(|arch| *arch != 0) {
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    let mut text = format!("filter 2 {default} {} ", archs.len());
    archs.iter().for_each(|arch| write!(text, "{arch} ").unwrap());
    writeln!(text, "{}", rules.len()).unwrap();
    rules.iter().for_each(|rule| text.push_str(rule));
    text
}
