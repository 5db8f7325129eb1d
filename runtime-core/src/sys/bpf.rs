//! bpf(2), for device filters.

use std::ffi::{c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

// linux/bpf.h: enum bpf_cmd, enum bpf_prog_type, enum bpf_attach_type.
const BPF_PROG_LOAD: c_int = 5;
const BPF_PROG_ATTACH: c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;

/// How many bytes an instruction has.
const INSTRUCTION: usize = 8;

/// How often a load is begun again when a signal interrupts the verifier, which then says EAGAIN.
const MOST_TRIES: usize = 5;

/// The start of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest as zero.
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
}

/// The start of `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct ProgramAttach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a program for a cgroup's devices; the descriptor is close-on-exec.
pub(crate) fn load_cgroup_device(program: &[u8]) -> nix::Result<OwnedFd> {
    let attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len() / INSTRUCTION).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
    };
    let load = || {
        // SAFETY: the attributes point to as many instructions as they count and to a string that ends with a NUL; both
        // outlive the call, which only reads them.
        unsafe { bpf(BPF_PROG_LOAD, &attributes) }
    };
    let mut result = load();
    for _ in 1..MOST_TRIES {
        if result != Err(Errno::EAGAIN) {
            break;
        }
        result = load();
    }
    // SAFETY: the kernel made the descriptor for this call, and nothing else knows it.
    result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a loaded program to a cgroup, beside those that are there: all of them must allow an access.
pub(crate) fn attach_cgroup_device(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> nix::Result<()> {
    let attributes = ProgramAttach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: the attributes hold no pointers.
    unsafe { bpf(BPF_PROG_ATTACH, &attributes) }.map(drop)
}

/// # Safety
/// `T` is a prefix of the `union bpf_attr` of `command`, without padding, and the pointers in it are good for the call.
unsafe fn bpf<T>(command: c_int, attributes: &T) -> nix::Result<c_int> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `attributes`; what those point to is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, c_long::from(command), &raw const *attributes, size_of::<T>()) };
    Errno::result(result).map(|value| value as c_int)
}
