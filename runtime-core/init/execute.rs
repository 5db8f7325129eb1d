//! The last steps: the program is found, its arguments are laid out, and init becomes it.

use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};

use crate::Init;
use crate::sys::{self, Errno, Fd, S_IFDIR, S_IFMT};
use crate::wire::{List, Text};

/// Room for the pointers that execve(2) wants, of arguments and environment together, and for a list of groups. The
/// pages are the kernel's zero page until they are written.
const POINTERS: usize = 32_768;
struct Table(UnsafeCell<[*const c_char; POINTERS]>);
// SAFETY: init has one thread.
unsafe impl Sync for Table {}
static TABLE: Table = Table(UnsafeCell::new([core::ptr::null(); POINTERS]));

/// "HOME=" and the home directory, with its NUL.
const HOME_MAX: usize = 4096;
struct Home(UnsafeCell<[u8; HOME_MAX]>);
// SAFETY: as above.
unsafe impl Sync for Home {}
static HOME: Home = Home(UnsafeCell::new([0; HOME_MAX]));

/// Calls `with` with the numbers of a list as a slice.
pub(crate) fn with_numbers(list: &List<'_, u32>, with: impl FnOnce(&[u32]) -> Result<(), Errno>) -> Result<(), Errno> {
    // SAFETY: one thread, and no other borrow of the table lives while a step runs; u32 needs less alignment.
    let room = unsafe { core::slice::from_raw_parts_mut(TABLE.0.get().cast::<u32>(), POINTERS) };
    for (to, from) in room.iter_mut().zip(list.iter()) {
        *to = from;
    }
    with(room.get(..list.len()).ok_or(Errno::INVAL)?)
}

/// What makes a candidate the program: it is no directory, and the user may execute it.
fn is_program(path: &CStr) -> Result<(), Errno> {
    if sys::statx(Fd::CWD, path, true)?.mode & S_IFMT == S_IFDIR {
        return Err(Errno::ISDIR);
    }
    sys::may_execute(path)
}

pub(crate) fn find_program(init: &mut Init, candidates: &List<'static, Text<'static>>) -> Result<(), Errno> {
    let mut failed = Errno::NOENT;
    for candidate in candidates.iter() {
        match is_program(candidate.0) {
            Ok(()) => {
                init.program = Some(candidate.0);
                return Ok(());
            }
            Err(errno) => failed = errno,
        }
    }
    // Of a search, what counts is that nothing was found; of the one path that was asked for, why not.
    Err(if candidates.len() == 1 { failed } else { Errno::NOENT })
}

/// Reads /etc/passwd in pieces, for the one line of `uid`; at most as much of it as PASSWD_MAX.
pub(crate) fn find_home(uid: u32) -> Result<(), Errno> {
    // SAFETY: one thread, and the only other use is Execute, later.
    let home = unsafe { &mut *HOME.0.get() };
    let mut writer = Writer { to: home, at: 0 };
    b"HOME=".iter().for_each(|byte| writer.push(*byte));
    let found = sys::openat2(Fd::CWD, c"/etc/passwd", 0, 0, sys::RESOLVE_NO_MAGICLINKS).is_ok_and(|file| {
        let found = search(file, uid, &mut writer);
        sys::close(file);
        found
    });
    if !found {
        writer.at = 5;
        writer.push(b'/');
    }
    writer.finish();
    Ok(())
}

/// An image's /etc/passwd may be endless (T-07).
const PASSWD_MAX: usize = 1 << 20;

struct Writer<'a> {
    to: &'a mut [u8; HOME_MAX],
    at: usize,
}

impl Writer<'_> {
    fn push(&mut self, byte: u8) {
        // The last byte stays NUL.
        if self.at + 1 < HOME_MAX
            && let Some(to) = self.to.get_mut(self.at)
        {
            *to = byte;
            self.at += 1;
        }
    }

    fn finish(&mut self) {
        if let Some(to) = self.to.get_mut(self.at) {
            *to = 0;
        }
    }
}

/// name:password:uid:gid:comment:home:shell (passwd(5)). Whether the uid has a line with a home.
fn search(file: Fd, uid: u32, writer: &mut Writer<'_>) -> bool {
    let mut buffer = [0u8; 4096];
    let (mut field, mut id, mut digits) = (0u32, 0u32, 0u32);
    let mut left = PASSWD_MAX;
    loop {
        let count = match sys::read(file, &mut buffer) {
            Ok(count) if count > 0 => count,
            _ => return field >= 5 && digits > 0 && id == uid && writer.at > 5,
        };
        for byte in buffer.iter().take(count) {
            match (*byte, field) {
                (b'\n', _) => {
                    if field >= 5 && digits > 0 && id == uid && writer.at > 5 {
                        return true;
                    }
                    (field, id, digits, writer.at) = (0, 0, 0, 5);
                }
                (b':', _) => field += 1,
                (b'0'..=b'9', 2) => {
                    id = id.wrapping_mul(10).wrapping_add(u32::from(byte - b'0'));
                    digits += 1;
                }
                // Not a number: no uid is meant.
                (_, 2) => digits = u32::MAX / 2,
                (_, 5) => writer.push(*byte),
                _ => {}
            }
            if digits > 10 {
                id = !uid;
            }
        }
        left = left.saturating_sub(count);
        if left == 0 {
            return false;
        }
    }
}

/// Becomes the program. Only the turn socket stays open until the kernel has: its end tells the host.
pub(crate) fn execute(
    init: &Init,
    args: &List<'_, Text<'_>>,
    env: &List<'_, Text<'_>>,
    home: Option<u16>,
) -> Result<(), Errno> {
    let (first, second) = lay_out(args, env, home)?;
    let program = init.program.or(args.iter().next().map(|first| first.0)).ok_or(Errno::NOENT)?;
    if !init.filtered {
        sys::close_range(init.base + 1, u32::MAX, 0)?;
    }
    Err(sys::execve(program, first, second))
}

/// What execve(2) wants: arguments and environment as arrays of pointers, which hold until the next step.
pub(crate) fn lay_out(
    args: &List<'_, Text<'_>>,
    env: &List<'_, Text<'_>>,
    home: Option<u16>,
) -> Result<(*const *const c_char, *const *const c_char), Errno> {
    // SAFETY: one thread; the table was last used by a step that is over.
    let table = unsafe { &mut *TABLE.0.get() };
    // Each list is followed by a null pointer.
    let (first, second) = table.split_at_mut_checked(args.len() + 1).ok_or(Errno::INVAL)?;
    if second.len() <= env.len() {
        return Err(Errno::INVAL);
    }
    fill(first, args);
    fill(second, env);
    if let Some(to) = home.and_then(|index| second.get_mut(usize::from(index))) {
        *to = HOME.0.get().cast();
    }
    Ok((first.as_ptr(), second.as_ptr()))
}

fn fill(table: &mut [*const c_char], texts: &List<'_, Text<'_>>) {
    for (to, text) in table.iter_mut().zip(texts.iter()) {
        *to = text.0.as_ptr();
    }
    if let Some(end) = table.get_mut(texts.len()) {
        *end = core::ptr::null();
    }
}
