//! The init program as something that can be executed and never changed: a sealed memfd (CVE-2019-5736).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SealFlag, fcntl, openat};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::{Mode, fchmod};

use crate::sys::mount;
use crate::sys::page::errno_of;

/// Built by build.rs from init/.
const INIT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/init"));

const MFD_EXEC: u32 = 0x10;
const F_SEAL_EXEC: i32 = 0x20;

/// Who may execute but not read: only then the kernel keeps init's memory outside the container's user namespace.
const MODE: Mode = Mode::from_bits_truncate(0o111);

/// The init program. Made when first needed, then kept for every container of the same runtime.
#[derive(Clone, Debug, Default)]
pub(crate) struct Program(Arc<OnceLock<OwnedFd>>);

impl Program {
    /// A descriptor that can be executed.
    pub(crate) fn get(&self) -> nix::Result<BorrowedFd<'_>> {
        if self.0.get().is_none() {
            let made = match sealed() {
                // vm.memfd_noexec=2 forbids them.
                Err(Errno::EACCES) => in_tmpfs()?,
                made => made?,
            };
            // Another thread's is as good.
            let _ = self.0.set(made);
        }
        self.0.get().map(AsFd::as_fd).ok_or(Errno::ENOEXEC)
    }
}

fn sealed() -> nix::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let (fd, exec) = match memfd_create(c"planc:init", flags | MFdFlags::from_bits_retain(MFD_EXEC)) {
        // KERNEL(6.3): before, every memfd is executable and the flag is unknown.
        Err(Errno::EINVAL) => (memfd_create(c"planc:init", flags)?, 0),
        made => (made?, F_SEAL_EXEC),
    };
    let fd = written(fd)?;
    let seals = SealFlag::F_SEAL_SEAL | SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals | SealFlag::from_bits_retain(exec)))?;
    Ok(fd)
}

/// A file of a tmpfs that nobody can reach, made read-only. Needs CAP_SYS_ADMIN.
fn in_tmpfs() -> nix::Result<OwnedFd> {
    let tmpfs = mount::detached_tmpfs()?;
    let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    // The writer is closed here: a file that is open for writing cannot be executed.
    drop(written(openat(&tmpfs, c"init", flags, MODE)?)?);
    mount::set_read_only(tmpfs.as_fd())?;
    openat(&tmpfs, c"init", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
}

fn written(fd: OwnedFd) -> nix::Result<OwnedFd> {
    let mut file = File::from(fd);
    file.write_all(INIT).map_err(errno_of)?;
    fchmod(&file, MODE)?;
    Ok(file.into())
}
