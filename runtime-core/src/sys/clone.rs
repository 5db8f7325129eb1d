//! Births: clone3 like vfork, and execveat in the child, with nothing between them that could meet a lock.

use std::ffi::{CStr, c_char, c_void};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::call::syscall;

/// Bytes of stack for a child between its birth and its execve.
const STACK: usize = 16 * 1024;

/// Where a child begins.
type Entry = extern "C" fn(*mut c_void) -> !;

/// One descriptor of the child: its number here, and the number it shall have there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) from: RawFd,
    pub(crate) to: RawFd,
}

/// What the child needs between clone and exec, and where it says why exec failed.
struct Birth<'a> {
    moves: &'a [Move],
    /// The program, or with an absolute `path` anything.
    program: RawFd,
    path: *const c_char,
    args: *const *const c_char,
    env: *const *const c_char,
    /// What is shed of this process, where nothing of it is inherited but what was moved: no blocked signal either.
    bare: Option<Bare>,
    errno: i32,
}

/// What an ordinary program sheds of this process beside signals and the working directory.
#[derive(Clone, Copy, Debug)]
struct Bare {
    /// Where it is; "/" where that cannot be reached.
    directory: *const c_char,
    /// How many descriptors stay, from 0.
    keep: usize,
    /// Whether it leads a session of its own.
    leads: bool,
    /// Whether it is killed when the thread that made it ends.
    dies: bool,
}

/// How a program is executed that is more than an ordinary one.
#[cfg(feature = "criu")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    /// The cgroup it is born in, where that is another than this process's.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// Whether it leads a session of its own.
    pub(crate) leads: bool,
}

/// Clones a child that executes `program` at once, with exactly these descriptors under their new numbers (and those
/// that are not close-on-exec). All signals are to be blocked in the calling thread: the child inherits that.
///
/// Returns its pid and pidfd once it has executed. `moves` is performed in order: see `engine::spawn::order`.
pub(crate) fn spawn(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    program: RawFd,
    args: &[&CStr],
    moves: &[Move],
) -> nix::Result<(u32, OwnedFd)> {
    let (args, env) = (pointers(args), pointers(&[]));
    let (path, bare) = (c"".as_ptr(), None);
    clone(flags, cgroup, Birth { moves, program, path, args: args.as_ptr(), env: env.as_ptr(), bare, errno: 0 })
}

/// Clones a child that executes the ordinary program at an absolute `path` at once, with these standard streams, which
/// are not 0 to 2 here, and no other descriptor: in `directory`, or "/" where that is gone, in a session and so a process
/// group of its own, with default signal actions. It is killed when the calling thread ends. That is to block all signals;
/// in the child none is.
pub(crate) fn execute(
    path: &CStr,
    args: &[&CStr],
    env: &[&CStr],
    directory: &CStr,
    streams: [BorrowedFd<'_>; 3],
) -> nix::Result<(u32, OwnedFd)> {
    let (args, env) = (pointers(args), pointers(env));
    let moves: [Move; 3] = std::array::from_fn(|to| Move { from: streams[to].as_raw_fd(), to: to as RawFd });
    let (program, path) = (libc::AT_FDCWD, path.as_ptr());
    let bare = Some(Bare { directory: directory.as_ptr(), keep: moves.len(), leads: true, dies: true });
    let moves = &moves;
    clone(0, None, Birth { moves, program, path, args: args.as_ptr(), env: env.as_ptr(), bare, errno: 0 })
}

/// As [`execute`], with as many descriptors as are given, which are here behind all those numbers; it outlives this thread.
#[cfg(feature = "criu")]
pub(crate) fn execute_in(
    setting: &Setting<'_>,
    path: &CStr,
    args: &[&CStr],
    env: &[&CStr],
    descriptors: &[BorrowedFd<'_>],
) -> nix::Result<(u32, OwnedFd)> {
    let (args, env) = (pointers(args), pointers(env));
    let moves = (0..).zip(descriptors).map(|(to, from)| Move { from: from.as_raw_fd(), to });
    let moves: &[Move] = &moves.collect::<Vec<_>>();
    let bare = Some(Bare { directory: c"/".as_ptr(), keep: moves.len(), leads: setting.leads, dies: false });
    let (program, path) = (libc::AT_FDCWD, path.as_ptr());
    let birth = Birth { moves, program, path, args: args.as_ptr(), env: env.as_ptr(), bare, errno: 0 };
    clone(0, setting.cgroup, birth)
}

/// A null-terminated table, as execve(2) takes it.
fn pointers(texts: &[&CStr]) -> Vec<*const c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect()
}

fn clone(flags: u64, cgroup: Option<BorrowedFd<'_>>, mut birth: Birth<'_>) -> nix::Result<(u32, OwnedFd)> {
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let mut pidfd: RawFd = -1;
    // SAFETY: clone_args is plain integers, for which zero is a value.
    let mut clone: libc::clone_args = unsafe { std::mem::zeroed() };
    clone.flags = flags
        | (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64
        | CLONE_CLEAR_SIGHAND
        | cgroup.map_or(0, |_| CLONE_INTO_CGROUP);
    clone.pidfd = &raw mut pidfd as u64;
    clone.exit_signal = libc::SIGCHLD as u64;
    clone.stack = stack.as_mut_ptr() as u64;
    clone.stack_size = STACK as u64;
    clone.cgroup = cgroup.map_or(0, |cgroup| cgroup.as_raw_fd() as u64);
    // SAFETY: `clone`, `stack`, `birth` and what it points to live until the child has executed or ended, since
    // CLONE_VFORK suspends this thread that long; `born` performs system calls only.
    let answer = unsafe { clone3(&raw const clone, born, (&raw mut birth).cast()) };
    if answer < 0 {
        return Err(Errno::from_raw(-answer as i32));
    }
    // SAFETY: the kernel stored a new descriptor here (CLONE_PIDFD), which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: the child wrote it, if at all, before this thread went on.
    match unsafe { (&raw const birth.errno).read_volatile() } {
        0 => Ok((answer as u32, pidfd)),
        errno => {
            super::process::reap(&pidfd);
            Err(Errno::from_raw(errno))
        }
    }
}

const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the child does. It shares this process's memory and has its own stack and descriptors.
extern "C" fn born(birth: *mut c_void) -> ! {
    // SAFETY: the parent is suspended and keeps the `Birth` that it passed alive.
    let birth = unsafe { &mut *birth.cast::<Birth<'_>>() };
    let mut answer = 0;
    for Move { from, to } in birth.moves {
        // SAFETY: dup3 and fcntl take numbers only.
        answer = unsafe {
            if from == to {
                syscall(libc::SYS_fcntl, [*from as usize, libc::F_SETFD as usize, 0, 0, 0])
            } else {
                syscall(libc::SYS_dup3, [*from as usize, *to as usize, 0, 0, 0])
            }
        };
        if answer < 0 {
            break;
        }
    }
    if let Some(bare) = birth.bare.as_ref().filter(|_| answer >= 0) {
        answer = strip(bare);
    }
    if answer >= 0 {
        let path = birth.path as usize;
        let (args, env) = (birth.args as usize, birth.env as usize);
        // SAFETY: the pointers are of strings and null-terminated arrays that the parent keeps alive.
        answer = unsafe {
            let flags = libc::AT_EMPTY_PATH as usize;
            syscall(libc::SYS_execveat, [birth.program as usize, path, args, env, flags])
        };
    }
    birth.errno = -answer as i32;
    loop {
        // SAFETY: takes a number only.
        unsafe { syscall(libc::SYS_exit, [127, 0, 0, 0, 0]) };
    }
}

/// A child that does nothing: it holds the namespaces that it was born into, and ends with this value, or with the thread
/// that made it.
#[derive(Debug)]
pub(crate) struct Idler {
    pid: u32,
    pidfd: OwnedFd,
    /// What the child runs on: freed when it has ended.
    _stack: Vec<u128>,
}

impl Idler {
    /// A child in the new namespaces that `flags` say (CLONE_NEW*). All signals are to be blocked in the calling thread.
    pub(crate) fn new(flags: u64) -> nix::Result<Self> {
        let mut stack = vec![0u128; STACK / size_of::<u128>()];
        let mut pidfd: RawFd = -1;
        // SAFETY: clone_args is plain integers, for which zero is a value.
        let mut clone: libc::clone_args = unsafe { std::mem::zeroed() };
        clone.flags = flags | (libc::CLONE_VM | libc::CLONE_PIDFD) as u64 | CLONE_CLEAR_SIGHAND;
        clone.pidfd = &raw mut pidfd as u64;
        clone.exit_signal = libc::SIGCHLD as u64;
        clone.stack = stack.as_mut_ptr() as u64;
        clone.stack_size = STACK as u64;
        let parent = std::process::id() as usize as *mut c_void;
        // SAFETY: the stack lives until the child was killed and collected (`drop`); `idle` performs system calls only,
        // and its argument is a number.
        let answer = unsafe { clone3(&raw const clone, idle, parent) };
        if answer < 0 {
            return Err(Errno::from_raw(-answer as i32));
        }
        // SAFETY: the kernel stored a new descriptor here (CLONE_PIDFD), which nobody else owns.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        Ok(Self { pid: answer as u32, pidfd, _stack: stack })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }
}

impl Drop for Idler {
    fn drop(&mut self) {
        // A child that was not collected cannot be missed, and SIGKILL needs no privilege over one's own memory.
        let _ = super::process::pidfd_send_signal(self.pidfd.as_fd(), libc::SIGKILL);
        super::process::reap(&self.pidfd);
    }
}

/// What an idler does, until it is killed. `parent` is the pid of who made it.
extern "C" fn idle(parent: *mut c_void) -> ! {
    // SAFETY: both take numbers only.
    let of = unsafe {
        syscall(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, libc::SIGKILL as usize, 0, 0, 0]);
        syscall(libc::SYS_getppid, [0; 5])
    };
    loop {
        // A parent that was gone before sends no signal any more.
        let call = if of == parent as isize { libc::SYS_ppoll } else { libc::SYS_exit };
        // SAFETY: ppoll of nothing and without a limit, or exit: numbers only.
        unsafe { syscall(call, [0; 5]) };
    }
}

/// Sheds what an ordinary program shall not have of this process. Descriptors, signal actions and the working directory are
/// copies: none of the CLONE_* that would share them is set.
fn strip(bare: &Bare) -> isize {
    const LAST_SIGNAL: usize = 64;
    // struct sigaction of the kernel: the default action, no flags, an empty mask (rt_sigaction(2)).
    let action = [0usize; 4];
    let none = 0u64;
    let (mask, size) = (&raw const none as usize, size_of_val(&none));
    for signal in 1..=LAST_SIGNAL {
        // Ignored ones stay ignored through clone and execve; SIGKILL and SIGSTOP are refused, and have no other action.
        // SAFETY: the action outlives the call, and an old one is not asked for.
        unsafe { syscall(libc::SYS_rt_sigaction, [signal, &raw const action as usize, 0, size, 0]) };
    }
    let death = if bare.dies { libc::SIGKILL as usize } else { 0 };
    // SAFETY: numbers, strings with their NULs that the parent keeps alive, and a mask that outlives the call.
    let answers = unsafe {
        [
            if bare.leads { syscall(libc::SYS_setsid, [0; 5]) } else { 0 },
            syscall(libc::SYS_prctl, [libc::PR_SET_PDEATHSIG as usize, death, 0, 0, 0]),
            match syscall(libc::SYS_chdir, [bare.directory as usize, 0, 0, 0, 0]) {
                0 => 0,
                _ => syscall(libc::SYS_chdir, [c"/".as_ptr() as usize, 0, 0, 0, 0]),
            },
            syscall(libc::SYS_close_range, [bare.keep, u32::MAX as usize, 0, 0, 0]),
            syscall(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, mask, 0, size, 0]),
        ]
    };
    answers.into_iter().find(|answer| *answer < 0).unwrap_or(0)
}

/// clone3(2) with a stack of the child's own, on which it calls `entry`.
///
/// # Safety
/// `args` asks for CLONE_VM and a 16-byte aligned stack that lives as long as the child does; all pointers are valid;
/// `entry` performs system calls only.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(args: *const libc::clone_args, entry: Entry, argument: *mut c_void) -> isize {
    let answer;
    // SAFETY: the child never returns from `entry`; the parent goes on behind the label with all its registers.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => answer,
            in("rdi") args, in("rsi") size_of::<libc::clone_args>(), in("r12") argument, in("r13") entry as *const (),
            lateout("rcx") _, lateout("r11") _,
        );
    }
    answer
}

/// clone3(2) with a stack of the child's own, on which it calls `entry`.
///
/// # Safety
/// `args` asks for CLONE_VM and a 16-byte aligned stack that lives as long as the child does; all pointers are valid;
/// `entry` performs system calls only.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(args: *const libc::clone_args, entry: Entry, argument: *mut c_void) -> isize {
    let answer;
    // SAFETY: the child never returns from `entry`; the parent goes on behind the label with all its registers.
    unsafe {
        core::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, #0",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            in("x8") libc::SYS_clone3,
            inlateout("x0") args => answer,
            in("x1") size_of::<libc::clone_args>(), in("x20") argument, in("x21") entry as *const (),
        );
    }
    answer
}
