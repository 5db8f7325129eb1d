//! The memory that host and init share: the recorder page, and the plan behind it.

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use crate::wire::page::{Recorder, SIZE};

/// A mapped recorder page and its memfd.
#[derive(Debug)]
pub(crate) struct Page {
    memory: NonNull<libc::c_void>,
    size: NonZeroUsize,
    fd: OwnedFd,
}

// SAFETY: the memory is owned, and only atomics in it are reached through a shared reference.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// A new page with `plan` behind it, which from here on keeps its size.
    pub(crate) fn new(plan: &[u8]) -> nix::Result<Self> {
        let fd = memfd_create(c"planc:plan", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let file = File::from(fd);
        std::os::unix::fs::FileExt::write_all_at(&file, plan, SIZE as u64).map_err(errno_of)?;
        let fd = OwnedFd::from(file);
        fcntl(&fd, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL))?;
        let page = Self::map(fd, SIZE + plan.len())?;
        page.recorder().plan.store(plan.len() as u32, Ordering::Release);
        Ok(page)
    }

    /// The page that init sent. Its contents are data: whoever could write it is in the container.
    pub(crate) fn received(fd: OwnedFd) -> nix::Result<Self> {
        let seals = fcntl(&fd, FcntlArg::F_GET_SEALS)?;
        let size = nix::sys::stat::fstat(&fd)?.st_size as usize;
        // Without the seal a reader could be made to fault.
        if SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_SHRINK) && size >= SIZE {
            Self::map(fd, size)
        } else {
            Err(Errno::EPROTO)
        }
    }

    fn map(fd: OwnedFd, size: usize) -> nix::Result<Self> {
        let size = NonZeroUsize::new(size).ok_or(Errno::EINVAL)?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let memory = unsafe { mmap(None, size, access, MapFlags::MAP_SHARED, &fd, 0)? };
        Ok(Self { memory, size, fd })
    }

    /// The page itself.
    pub(crate) fn recorder(&self) -> &Recorder {
        // SAFETY: the mapping is at least SIZE bytes, page-aligned, and lives as long as `self`; the Recorder is made of
        // atomics, of which any bytes are a value.
        unsafe { self.memory.cast::<Recorder>().as_ref() }
    }

    /// The memfd, for init.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the mapping was made in `map`, and nothing borrowed from it outlives `self`.
        let _ = unsafe { munmap(self.memory, self.size.get()) };
    }
}

/// The errno of an error of std's.
pub(crate) fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}
