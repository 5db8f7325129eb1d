//! The container's terminal: a pty of its own devpts, and nothing that an image can put in its place.

use crate::Init;
use crate::paths::{Links, Spot};
use crate::sys::{
    self, AT_EMPTY_PATH, Errno, Fd, O_CLOEXEC, O_DIRECTORY, O_NOCTTY, O_RDWR, OPEN_TREE_CLONE, RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, S_IFCHR, S_IFMT,
};
use crate::wire::{Place, Slot, WindowSize};

const TCGETS: usize = 0x5401;
const TCSETS: usize = 0x5402;
const TIOCSCTTY: usize = 0x540e;
const TIOCSWINSZ: usize = 0x5414;
const TIOCSPTLCK: usize = 0x4004_5431;
const TIOCGPTPEER: usize = 0x5441;
/// statfs(2)
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;
const PIPEFS_MAGIC: u64 = 0x5049_5045;
/// The inode of ptmx in every devpts (Linux Documentation/filesystems/devpts.rst), and its numbers.
const PTMX: (u64, u32, u32) = (2, 5, 2);
/// The major number of a pty's other end (Linux Documentation/admin-guide/devices.txt).
const PTS_MAJOR: u32 = 136;
const STREAMS: [Fd; 3] = [Fd(0), Fd(1), Fd(2)];

/// struct termios of the kernel: the modes, the line discipline, the control characters.
#[repr(C)]
struct Termios {
    input: u32,
    output: u32,
    control: u32,
    local: u32,
    rest: [u8; 20],
}

/// A new pty. What is opened lies in a devpts, where nobody but the kernel makes a file, and nothing that was mounted over
/// it is entered: so no fifo can hang this, and no link lead it astray (CVE-2025-52565).
pub(crate) fn open(
    init: &mut Init,
    pts: &Place<'_>,
    uid: u32,
    size: Option<WindowSize>,
    onlcr: bool,
    slot: Slot,
) -> Result<(), Errno> {
    let directory = Spot::of(init.slots, pts)?.find(Links::Refuse, O_DIRECTORY)?;
    if sys::filesystem(directory)? != DEVPTS_SUPER_MAGIC {
        return Err(Errno::NXIO);
    }
    let inside = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    let master = sys::openat2(directory, c"ptmx", O_RDWR | O_NOCTTY, 0, inside)?;
    sys::close(directory);
    let status = sys::statx(master, c"", false)?;
    if status.mode & S_IFMT != S_IFCHR || (status.inode, status.major, status.minor) != PTMX {
        return Err(Errno::NXIO);
    }
    sys::ioctl_with(master, TIOCSPTLCK, &mut 0i32)?;
    let terminal = Fd(sys::ioctl(master, TIOCGPTPEER, (O_RDWR | O_NOCTTY | O_CLOEXEC) as usize)? as i32);
    let status = sys::statx(terminal, c"", false)?;
    if status.mode & S_IFMT != S_IFCHR || status.major != PTS_MAJOR {
        return Err(Errno::NXIO);
    }
    sys::fchown(terminal, uid)?;
    if let Some(WindowSize { rows, columns }) = size {
        // struct winsize: characters, then pixels, which nobody knows.
        sys::ioctl_with(terminal, TIOCSWINSZ, &mut [rows, columns, 0, 0])?;
    }
    if !onlcr {
        clear_onlcr(terminal)?;
    }
    init.for_host = Some(master);
    init.slots.set(slot, terminal);
    Ok(())
}

/// A new line is then nothing but a new line: the terminal behind it returns the carriage.
fn clear_onlcr(terminal: Fd) -> Result<(), Errno> {
    const ONLCR: u32 = 4;
    let mut modes = Termios { input: 0, output: 0, control: 0, local: 0, rest: [0; 20] };
    sys::ioctl_with(terminal, TCGETS, &mut modes)?;
    modes.output &= !ONLCR;
    sys::ioctl_with(terminal, TCSETS, &mut modes).map(|_| ())
}

/// What stands there already is covered, and never opened.
pub(crate) fn bind_console(init: &Init, place: &Place<'_>, terminal: Slot) -> Result<(), Errno> {
    let terminal = sys::open_tree(init.slots.get(terminal)?, c"", OPEN_TREE_CLONE | AT_EMPTY_PATH)?;
    let parent = Spot::of(init.slots, place)?.parent()?;
    parent.make_file()?;
    let target = parent.find()?;
    sys::move_mount(terminal, target, c"")?;
    sys::close(target);
    sys::close(terminal);
    Ok(())
}

pub(crate) fn take(terminal: Fd) -> Result<(), Errno> {
    sys::ioctl(terminal, TIOCSCTTY, 0)?;
    for stream in STREAMS {
        sys::dup3(terminal, stream, 0)?;
    }
    sys::close(terminal);
    Ok(())
}

/// A fifo, a socket, a device or a file of the host's keeps its owner: the container's user is nobody there. So does a pipe
/// whose owner has no id in this user namespace: nobody but the host may change it.
pub(crate) fn own_streams(uid: u32) -> Result<(), Errno> {
    for stream in STREAMS {
        if sys::filesystem(stream) == Ok(PIPEFS_MAGIC) {
            match sys::fchown(stream, uid) {
                Err(Errno::PERM) => {}
                done => done?,
            }
        }
    }
    Ok(())
}
