//! The page that host and init share: what init is doing, written with plain stores, readable after SIGKILL. It is the
//! first page of a memfd; the plan lies behind it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The size of the page in bytes, and where in the memfd the plan begins.
pub const SIZE: usize = 4096;

/// How many steps have room for their time.
pub const TIMES: usize = 320;

/// How many bytes the note has.
pub const NOTE: usize = 1024;

/// The descriptor that init finds its turn socket at is `base`, the page's memfd is `base + PAGE`, and the inherited
/// slots begin at `base + SLOTS`: slot 1 first, since [`super::Slot::ROOT`] is filled by init itself.
pub const PAGE_FD: u32 = 1;
/// See [`PAGE_FD`].
pub const SLOT_FDS: u32 = 2;

/// See [`Recorder::stop`].
pub const STOP_WHILE_HOSTED: u32 = 1 << 31;

/// The shared page. The host fills the first group before init is born; init writes the second.
#[repr(C)]
pub struct Recorder {
    /// How many bytes of plan follow the page.
    pub plan: AtomicU32,
    /// How many slots are inherited.
    pub slots: AtomicU32,
    /// The index of init's first step.
    pub first: AtomicU32,
    /// Whether init is to note the time at which each of its steps began.
    pub timed: AtomicU32,
    /// In builds with failpoints: the step before which init stops, plus 1; with [`STOP_WHILE_HOSTED`], until the host is
    /// gone.
    pub stop: AtomicU32,

    /// The step init is at, plus 1.
    pub step: AtomicU32,
    /// The errno with which that step failed; 0 while it has not.
    pub errno: AtomicU32,
    /// Of a failed mount: which of its options the kernel refused, plus 1.
    pub option: AtomicU32,
    /// Init's pid in the host's pid namespace: the host's word of it, and after a refork that of the process that goes on.
    pub pid: AtomicU32,
    /// How many bytes of the note are written.
    pub noted: AtomicU32,
    /// The kernel's own words, or the object that a step failed at; of a hook the ends of what it printed: to the standard
    /// output, a NUL, and to the standard error.
    pub note: [AtomicU32; NOTE / 4],
    /// When each step began, in nanoseconds of CLOCK_MONOTONIC.
    pub times: [AtomicU64; TIMES],
    /// Of a hook that ended badly: its status, as wait4(2) gives it.
    pub hook: AtomicU32,
    /// The number of the last system call that the kernel said it has not (ENOSYS), plus 1.
    pub missing: AtomicU32,
}

const _: () = assert!(size_of::<Recorder>() <= SIZE);

impl Recorder {
    /// Says that init is at step `index`.
    pub fn at(&self, index: u32) {
        self.step.store(index.wrapping_add(1), Ordering::Release);
    }

    /// The index of the step init is at.
    pub fn index(&self) -> Option<u32> {
        self.step.load(Ordering::Acquire).checked_sub(1)
    }

    /// Copies as much of `bytes` into the note as has room; earlier ones are replaced.
    pub fn write_note(&self, bytes: &[u8]) {
        let mut count = 0;
        for (word, chunk) in self.note.iter().zip(bytes.chunks(4)) {
            let mut value = [0; 4];
            for (to, from) in value.iter_mut().zip(chunk) {
                *to = *from;
            }
            word.store(u32::from_ne_bytes(value), Ordering::Relaxed);
            count += chunk.len() as u32;
        }
        self.noted.store(count, Ordering::Release);
    }

    /// The bytes of the note: at most [`NOTE`], whatever the page says.
    pub fn read_note(&self) -> impl Iterator<Item = u8> + '_ {
        let count = (self.noted.load(Ordering::Acquire) as usize).min(NOTE);
        self.note.iter().flat_map(|word| word.load(Ordering::Relaxed).to_ne_bytes()).take(count)
    }
}
