//! Hooks in the container's namespaces: each by a child of init, watched to its end or its time's.

use core::convert::Infallible;
use core::sync::atomic::Ordering;

use crate::sys::{self, Errno, Fd, Watched};
use crate::wire::page::NOTE;
use crate::wire::{Hook, HookKind};
use crate::{Init, execute, seccomp};

const SIGKILL: usize = 9;
const UMASK: u32 = 0o022;
const NANOSECONDS: u64 = 1_000_000_000;
/// How long a killed hook may take to end, in nanoseconds.
const END_LIMIT: u64 = 3 * NANOSECONDS;

/// Runs a hook to its end. Where it fails init ends too, and with its cgroup whatever the hook has left.
pub(crate) fn run(init: &mut Init, hook: &Hook<'_>) -> Result<(), Errno> {
    let stdin = input(init, hook.kind)?;
    let ((stdout, out), (stderr, err)) = (sys::pipe()?, sys::pipe()?);
    sys::set_nonblocking(stdout)?;
    sys::set_nonblocking(stderr)?;
    let Some((pid, pidfd)) = sys::fork_with_pidfd()? else {
        let Err(errno) = become_hook(init, hook, [stdin, out, err]);
        // Init finds it there: the page is shared.
        init.recorder.errno.store(errno.0 as u32, Ordering::Release);
        sys::exit(1);
    };
    [stdin, out, err].into_iter().for_each(sys::close);
    // The agent waits for the connection's end, which is the hook's to make.
    let agent = init.agent.take().and_then(|agent| init.slots.get(agent.socket).ok());
    agent.into_iter().for_each(sys::close);
    let mut output = Output { stdout: Tail::new(), stderr: Tail::new() };
    let limit = u64::from(hook.timeout).saturating_mul(NANOSECONDS);
    let ended = match watch(pidfd, [stdout, stderr], &mut output, limit) {
        Ok(true) => sys::wait_for(pid),
        Ok(false) => Err(Errno::TIMEDOUT),
        Err(errno) => Err(errno),
    };
    if ended.is_err() {
        sys::kill_group(pid);
        let _ = sys::poll(&mut [Watched::new(pidfd)], END_LIMIT);
    }
    [pidfd, stdout, stderr].into_iter().for_each(sys::close);
    // What a hook leaves becomes a child of pid 1, and would be a zombie of the program's.
    sys::reap_all();
    let failed = match (ended, init.recorder.errno.load(Ordering::Acquire)) {
        (Ok(0), _) => return Ok(()),
        (Ok(_), errno) if errno != 0 => return Err(Errno(errno as i32)),
        (Ok(status), _) => {
            init.recorder.hook.store(status as u32, Ordering::Release);
            Errno::CANCELED
        }
        (Err(errno), _) => errno,
    };
    output.note(init);
    Err(failed)
}

/// The state, in memory of its own that nobody can change: a hook that does not read it blocks nobody.
fn input(init: &Init, kind: HookKind) -> Result<Fd, Errno> {
    let file = sys::memfd(c"planc:state")?;
    let mut digits = [0; 10];
    let pid = decimal(sys::getpid(), &mut digits);
    for part in [init.state, b",\"status\":\"", kind.status().as_bytes(), b"\",\"pid\":", pid, b"}"] {
        sys::write(file, part)?;
    }
    sys::rewind(file)?;
    sys::seal(file)?;
    Ok(file)
}

pub(crate) fn decimal(number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut rest = number;
    let mut start = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (rest % 10) as u8;
        start = place;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// Returns only with what failed. A session of its own is a group that can be killed; and it ends with init.
fn become_hook(init: &Init, hook: &Hook<'_>, streams: [Fd; 3]) -> Result<Infallible, Errno> {
    sys::setsid()?;
    sys::set_parent_death_signal(SIGKILL)?;
    if hook.kind == HookKind::CreateContainer {
        // Init's is 0 until it has the user's.
        sys::umask(UMASK)?;
    }
    for (number, stream) in (0..).zip(streams) {
        sys::dup3(stream, Fd(number), 0)?;
    }
    // The container's, or the host's: never a directory that config.json names for the program.
    sys::chdir(c"/")?;
    let (args, env) = execute::lay_out(&hook.args, &hook.env, hook.home)?;
    seccomp::install(init, 3)?;
    Err(sys::execve(hook.path.0, args, env))
}

/// Reads what the hook prints until it has ended; `false` at its time's end. Whoever else holds its streams by then is
/// not waited for.
fn watch(process: Fd, streams: [Fd; 2], output: &mut Output, limit: u64) -> Result<bool, Errno> {
    let deadline = sys::monotonic().saturating_add(limit);
    let [stdout, stderr] = streams;
    let mut watched = [Watched::new(process), Watched::new(stdout), Watched::new(stderr)];
    loop {
        let left = deadline.saturating_sub(sys::monotonic());
        sys::poll(&mut watched, left)?;
        let [process, stdout, stderr] = &mut watched;
        read_some(stdout, |bytes| output.stdout.push(bytes))?;
        read_some(stderr, |bytes| output.stderr.push(bytes))?;
        if process.is_ready() || left == 0 {
            return Ok(process.is_ready());
        }
    }
}

/// Reads what a pipe holds, and no more: a hook that prints without an end must not keep its own end from being seen.
fn read_some(stream: &mut Watched, mut push: impl FnMut(&[u8])) -> Result<(), Errno> {
    const PIPE: usize = 64 * 1024;
    let mut buffer = [0; 4096];
    for _ in 0..PIPE / 4096 {
        match sys::read(stream.fd(), &mut buffer) {
            Ok(0) => stream.ignore(),
            Ok(count) => {
                push(buffer.get(..count).unwrap_or_default());
                continue;
            }
            // The second: it has ended before.
            Err(Errno::AGAIN | Errno::BADF) => {}
            Err(errno) => return Err(errno),
        }
        break;
    }
    Ok(())
}

/// What is put before a stream of which only the end is kept.
const CUT: &[u8] = b"...";
/// How much of each stream is kept, in bytes. Both fill the note, with a NUL between them.
const STDOUT: usize = 256;
const STDERR: usize = NOTE - STDOUT - 1 - 2 * CUT.len();

struct Output {
    stdout: Tail<STDOUT>,
    stderr: Tail<STDERR>,
}

impl Output {
    fn note(&self, init: &Init) {
        let mut note = [0; NOTE];
        let mut places = note.iter_mut();
        let mut length = 0;
        // A NUL of the hook's own would be taken for the end of the first stream.
        let stdout = self.stdout.bytes().map(|byte| if byte == 0 { b' ' } else { byte });
        for (byte, place) in stdout.chain([0]).chain(self.stderr.bytes()).zip(&mut places) {
            *place = byte;
            length += 1;
        }
        init.recorder.write_note(note.get(..length).unwrap_or_default());
    }
}

/// The end of a stream, in a ring.
struct Tail<const N: usize> {
    ring: [u8; N],
    /// How many bytes came, those included that are forgotten.
    count: usize,
}

impl<const N: usize> Tail<N> {
    const fn new() -> Self {
        Self { ring: [0; N], count: 0 }
    }

    fn push(&mut self, bytes: &[u8]) {
        let forgotten = bytes.len().saturating_sub(N);
        self.count += forgotten;
        for byte in bytes.iter().skip(forgotten) {
            if let Some(place) = self.ring.get_mut(self.count % N) {
                *place = *byte;
            }
            self.count += 1;
        }
    }

    /// In the order in which they came.
    fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        let (mark, start): (&[u8], _) = if self.count > N { (CUT, self.count - N) } else { (b"", 0) };
        let kept = (start..self.count).filter_map(|at| self.ring.get(at % N).copied());
        mark.iter().copied().chain(kept)
    }
}
