//! Init: the program that becomes the container's process. It performs the steps of a plan, and nothing else.
//!
//! No allocator, no libc, no formatting, no panic (the link fails where one could happen). Everything it knows lies in
//! the plan behind the recorder page; everything it says is written into that page or is a one-byte turn.
#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]

mod confine;
mod copy_up;
mod execute;
mod furnish;
mod hooks;
mod isolate;
mod lsm;
mod memory;
mod mounts;
mod paths;
mod scheduling;
mod seccomp;
mod sys;
mod terminal;
mod turn;
#[path = "../wire/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the crate, which uses the rest")]
mod wire;

use core::ffi::CStr;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

use sys::{Errno, Fd};
use wire::page::{PAGE_FD, Recorder, SIZE, SLOT_FDS, STOP_WHILE_HOSTED, TIMES};
use wire::{Actor, InitOp, Slot, Steps, Text};

/// What init carries from one step to a later one.
pub(crate) struct Init {
    /// The descriptor of the turn socket; the page's and the inherited slots' follow it.
    pub(crate) base: u32,
    pub(crate) recorder: &'static Recorder,
    pub(crate) slots: &'static Slots,
    /// The program that [`InitOp::FindProgram`] found.
    pub(crate) program: Option<&'static CStr>,
    /// What goes to the host with the next turn: the master of the container's terminal, or a copy of a tree.
    pub(crate) for_host: Option<Fd>,
    /// What [`InitOp::HoldState`] gave, for every later hook.
    pub(crate) state: &'static [u8],
    /// The filter of the processes that are executed from now on, and who is told of the next one's.
    pub(crate) filter: Option<seccomp::Filter>,
    pub(crate) agent: Option<seccomp::Agent>,
    /// Whether init has its filter: it makes no call any more but the last.
    pub(crate) filtered: bool,
    /// Whether the working directory could not be entered before the user was changed.
    pub(crate) outside: bool,
}

/// Where each slot's descriptor is: its number plus 1, and a mark once the mount in it was attached.
pub(crate) struct Slots {
    fds: [AtomicI32; Slot::COUNT],
    attached: [AtomicBool; Slot::COUNT],
}

static SLOTS: Slots = Slots {
    fds: [const { AtomicI32::new(0) }; Slot::COUNT],
    attached: [const { AtomicBool::new(false) }; Slot::COUNT],
};

impl Slots {
    /// The descriptor in a slot.
    pub(crate) fn get(&self, slot: Slot) -> Result<Fd, Errno> {
        let fd = self.fds.get(usize::from(slot.0)).map_or(0, |fd| fd.load(Ordering::Relaxed));
        if fd > 0 { Ok(Fd(fd - 1)) } else { Err(Errno::BADF) }
    }

    /// Puts a descriptor into a slot.
    pub(crate) fn set(&self, slot: Slot, fd: Fd) {
        if let Some(place) = self.fds.get(usize::from(slot.0)) {
            place.store(fd.0 + 1, Ordering::Relaxed);
        }
    }

    /// Takes the descriptor out of a slot: whoever has it closes it.
    pub(crate) fn take(&self, slot: Slot) -> Result<Fd, Errno> {
        let fd = self.fds.get(usize::from(slot.0)).map_or(0, |fd| fd.swap(0, Ordering::Relaxed));
        if fd > 0 { Ok(Fd(fd - 1)) } else { Err(Errno::BADF) }
    }

    /// Marks the mount in a slot as attached, and says whether it was before.
    pub(crate) fn attach(&self, slot: Slot) -> bool {
        self.attached.get(usize::from(slot.0)).is_some_and(|mark| mark.swap(true, Ordering::Relaxed))
    }
}

/// Called by the entry with the stack the kernel left: argc, argv, …
///
/// # Safety
/// `stack` is the initial stack pointer (elf(5), System V ABI).
unsafe extern "C" fn start(stack: *const *const core::ffi::c_char) -> ! {
    // SAFETY: the host executes init with two arguments, so argv[1] is a string; the kernel keeps the stack.
    let base = unsafe { CStr::from_ptr(stack.add(2).read()) };
    let base = base
        .to_bytes()
        .iter()
        .fold(0u32, |n, digit| n.wrapping_mul(10).wrapping_add(u32::from(digit.wrapping_sub(b'0'))));
    let Some((recorder, plan)) = map(base) else { sys::exit(1) };
    for number in 0..recorder.slots.load(Ordering::Relaxed) {
        let slot = Slot((number as u16).wrapping_add(1));
        SLOTS.set(slot, Fd((base + SLOT_FDS + number) as i32));
    }
    let mut init = Init {
        base,
        recorder,
        slots: &SLOTS,
        program: None,
        state: &[],
        for_host: None,
        filter: None,
        agent: None,
        filtered: false,
        outside: false,
    };
    let failed = walk(&mut init, plan);
    recorder.errno.store(failed.0 as u32, Ordering::Release);
    sys::exit(1)
}

static MAPPED: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());

/// The recorder page, for a thread that was given nothing.
pub(crate) fn recorder() -> Option<&'static Recorder> {
    // SAFETY: null, or what `map` has mapped for good.
    unsafe { MAPPED.load(Ordering::Relaxed).cast::<Recorder>().as_ref() }
}

/// Maps the recorder page and the plan behind it.
fn map(base: u32) -> Option<(&'static Recorder, &'static [u8])> {
    let fd = Fd((base + PAGE_FD) as i32);
    let size = sys::size(fd).ok()?;
    let start = sys::map_shared(fd, size).ok()?;
    MAPPED.store(start, Ordering::Relaxed);
    // SAFETY: the memfd holds at least a page (the host makes it so), the mapping is page-aligned and lives as long as
    // the process, and a Recorder is made of atomics that any bytes are a value of.
    let recorder: &'static Recorder = unsafe { &*start.cast::<Recorder>() };
    let length = (recorder.plan.load(Ordering::Acquire) as usize).min(size.checked_sub(SIZE)?);
    // SAFETY: SIZE + length lies inside the mapping, and nobody writes the plan after init was spawned.
    Some((recorder, unsafe { core::slice::from_raw_parts(start.add(SIZE), length) }))
}

/// Performs init's steps in order; wherever the host has steps between, says "your turn" and waits for the answer.
/// Returns only with what failed.
fn walk(init: &mut Init, plan: &'static [u8]) -> Errno {
    let Some(steps) = Steps::of(plan) else { return Errno::INVAL };
    let first = init.recorder.first.load(Ordering::Relaxed);
    let mut hosts = false;
    for (index, step) in (0u32..).zip(steps) {
        if index < first {
            continue;
        }
        if step.actor() == Actor::Host {
            hosts = true;
            continue;
        }
        if core::mem::take(&mut hosts)
            && let Err(errno) = turn::give(init).and_then(|()| turn::await_host(init))
        {
            return errno;
        }
        init.recorder.at(index);
        if !init.filtered {
            note_time(init.recorder, index);
            stop_here(init, index);
        }
        let Some(op) = step.init() else { return Errno::INVAL };
        if let Err(errno) = perform(init, &op) {
            return errno;
        }
    }
    Errno::INVAL
}

/// Writes when a step began, where the host asked for times.
fn note_time(recorder: &Recorder, index: u32) {
    if recorder.timed.load(Ordering::Relaxed) != 0
        && (index as usize) < TIMES
        && let Some(time) = recorder.times.get(index as usize)
    {
        time.store(sys::monotonic(), Ordering::Relaxed);
    }
}

/// In builds with failpoints: hangs before the step that the host named.
fn stop_here(init: &Init, index: u32) {
    let stop = init.recorder.stop.load(Ordering::Relaxed);
    if !cfg!(failpoints) || stop & !STOP_WHILE_HOSTED != index + 1 {
        return;
    }
    if stop & STOP_WHILE_HOSTED != 0 {
        // The host gives no turn while it waits for one: this is its end.
        let _ = turn::await_host(init);
        return;
    }
    loop {
        sys::pause();
    }
}

/// One step.
#[expect(clippy::too_many_lines, reason = "a table")]
fn perform(init: &mut Init, op: &InitOp<'static>) -> Result<(), Errno> {
    match *op {
        InitOp::Harden {} => isolate::harden(),
        InitOp::ResetSignals {} => isolate::reset_signals(),
        InitOp::CloseOthers {} => isolate::close_others(init),
        InitOp::SetOomScore { score } => isolate::set_oom_score(score),
        InitOp::Join { ns, slot } => sys::setns(init.slots.get(slot)?, ns.flag()),
        InitOp::Unshare { spaces } => sys::unshare(spaces.0),
        InitOp::AllowMaps {} => sys::set_dumpable(true),
        InitOp::Undump {} => sys::set_dumpable(false),
        InitOp::BecomeRoot {} => isolate::become_root(),
        InitOp::Refork {} => isolate::refork(init.recorder),
        InitOp::RaiseLoopback {} => isolate::raise_loopback(),
        InitOp::NewSession {} => sys::setsid(),
        InitOp::Propagate { kind } => mounts::propagate(kind),
        InitOp::MakeStage { at } => mounts::make_stage(init, at.0),
        InitOp::StageTree { .. } => mounts::stage_tree(init, op),
        InitOp::CopyTree { source, recursive, ids, deep, slot } => {
            mounts::copy_tree(init, source.0, recursive, ids, deep, slot)
        }
        InitOp::LeaveMounts { slot } => sys::setns(init.slots.take(slot)?, wire::Ns::Mount.flag()),
        InitOp::CopyInside { place, recursive, slot } => mounts::copy_inside(init, &place, recursive, slot),
        InitOp::CoverDirectory { place, slot } => mounts::cover_directory(init, &place, slot),
        InitOp::CopyUp { from, to, mode, owner, .. } => copy_up::copy_up(init, from, to, mode, owner),
        InitOp::Remount { .. } => mounts::remount(init, op),
        InitOp::ReturnWithRoot { host } => mounts::return_with_root(init, host),
        InitOp::JoinRoot { slot } => mounts::change_root(init.slots.get(slot)?),
        InitOp::AttachRootfs { tree, at, propagation } => mounts::attach_rootfs(init, &tree, at, &propagation),
        InitOp::Mount { .. } => mounts::mount(init, op),
        InitOp::Bind { .. } => mounts::bind(init, op),
        InitOp::SetReadOnly { slot, .. } => mounts::set_read_only(init.slots.get(slot)?),
        InitOp::OpenDirectory { place, slot } => mounts::open_directory(init, &place, slot),
        InitOp::MakeDevice { place, device, uid, gid } => furnish::make_device(init, &place, &device, uid, gid),
        InitOp::BindDevice { place, source, device } => mounts::bind_device(init, &place, &source, &device),
        InitOp::MakeLink { place, target } => furnish::make_link(init, &place, target.0),
        InitOp::PivotRoot {} => mounts::pivot_root(init),
        InitOp::MoveRoot { ref others } => mounts::move_root(init, others),
        InitOp::TakeNull { slot } => mounts::take_null(init, slot),
        InitOp::MakeEmpty { slot, context } => mounts::make_empty(init, slot, context),
        InitOp::LabelMount { slot, label } => lsm::label_mount(init.slots.get(slot)?, label.0),
        InitOp::Mask { place, null, empty } => mounts::mask(init, &place, null, empty),
        InitOp::Protect { place } => mounts::protect(init, &place),
        InitOp::ProtectRoot {} => mounts::set_read_only(init.slots.get(Slot::ROOT)?),
        InitOp::OpenProc { slot, host } => mounts::open_proc(init, slot, host),
        InitOp::WriteSysctl { proc, key, value } => furnish::write_sysctl(init.slots.get(proc)?, key.0, value),
        InitOp::WriteLabel { proc, file, value, expect } => {
            lsm::write_label(init.slots.get(proc)?, file.0, value.0, expect.0)
        }
        InitOp::SetHostname { name } => sys::sethostname(name),
        InitOp::SetDomainname { name } => sys::setdomainname(name),
        InitOp::Limit { resource, soft, hard, .. } => sys::setrlimit(resource, soft, hard),
        InitOp::JoinKeyring { name, permissions } => confine::join_keyring(name.0, permissions),
        InitOp::Bound { keep } => confine::bound(keep),
        InitOp::SetUser { uid, gid, ref groups } => confine::set_user(uid, gid, groups.as_ref()),
        InitOp::SetCapabilities { ref sets } => confine::set_capabilities(sets),
        InitOp::SetUmask { mask } => sys::umask(mask),
        InitOp::NoNewPrivileges {} => sys::no_new_privileges(),
        InitOp::EnterDirectory { path } => confine::enter_directory(init, path.0),
        InitOp::VerifyDirectory { path } => confine::verify_directory(init, path.0),
        InitOp::FindProgram { ref candidates, .. } => execute::find_program(init, candidates),
        InitOp::FindHome { uid } => execute::find_home(uid),
        InitOp::OutliveRuntime {} => sys::set_parent_death_signal(0),
        InitOp::HoldState { state } => {
            init.state = state;
            Ok(())
        }
        InitOp::AllowHooks {} => sys::set_dumpable(true),
        InitOp::EndHooks {} => sys::set_dumpable(false),
        InitOp::RunHookInside { ref hook } => hooks::run(init, hook),
        InitOp::HoldSeccomp { flags, program, raised } => {
            init.filter = Some(seccomp::Filter { flags, program, raised });
            Ok(())
        }
        InitOp::HoldSeccompAgent { socket, state } => {
            init.agent = Some(seccomp::Agent { socket, state });
            Ok(())
        }
        InitOp::InstallSeccomp {} => {
            seccomp::install(init, init.base + 1)?;
            init.filtered = true;
            Ok(())
        }
        InitOp::AwaitStart { listener } => turn::await_start(init, init.slots.get(listener)?),
        InitOp::LeaveGroups {} => confine::leave_groups(),
        InitOp::TryOomScore { score } => isolate::try_oom_score(score),
        InitOp::CloseSlots { ref keep } => isolate::close_slots(init, keep),
        InitOp::JoinAll { spaces, init: process } => sys::setns(init.slots.get(process)?, spaces.0),
        InitOp::TakeRoot {} => isolate::take_root(init),
        InitOp::ChangeDirectory { path } => confine::change_directory(init, path.0),
        InitOp::Execute { ref args, ref env, home } => execute::execute(init, args, env, home),
        InitOp::OpenTerminal { pts, uid, size, onlcr, slot } => terminal::open(init, &pts, uid, size, onlcr, slot),
        InitOp::BindConsole { place, terminal } => terminal::bind_console(init, &place, terminal),
        InitOp::ResetAffinity {} => sys::sched_setaffinity(&[0xff; 1024]),
        InitOp::TryAffinity { cpus } => scheduling::try_affinity(cpus),
        InitOp::SetAffinity { cpus } => sys::sched_setaffinity(cpus),
        InitOp::SetScheduler { ref attributes } => scheduling::set_scheduler(attributes),
        InitOp::SetIoPriority { value } => sys::ioprio_set(value),
        InitOp::SetPersonality { persona } => sys::personality(persona),
        InitOp::SetMemoryPolicy { mode, nodes } => sys::set_mempolicy(mode, nodes),
        InitOp::SetTimeOffsets { lines } => scheduling::set_time_offsets(lines),
        InitOp::OwnStreams { uid } => terminal::own_streams(uid),
        InitOp::TakeTerminal { terminal } => terminal::take(init.slots.get(terminal)?),
    }
}

/// The words of the kernel, or the object a step failed at, for the error message.
pub(crate) fn note(init: &Init, text: Text<'_>) {
    init.recorder.write_note(text.bytes());
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        /// Defined nowhere: where code that could panic is left in init, the link fails here.
        fn init_must_not_panic() -> !;
    }
    // SAFETY: never linked, see above.
    unsafe { init_must_not_panic() }
}
