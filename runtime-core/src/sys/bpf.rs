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

#[cfg(test)]
pub(crate) mod tests {
    //! Against the kernel of this machine; each test that it does not permit says so.

    use std::fs::{self, File};
    use std::io::{self, Write as _};
    use std::os::fd::AsFd;
    use std::path::PathBuf;
    use std::process::Command;

    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    use super::*;
    use crate::compile::device_filter;

    /// Whether this process may load programs.
    pub(crate) fn may_load() -> Result<(), String> {
        let allow_all = [0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
        match load_cgroup_device(&allow_all) {
            Err(errno @ (Errno::EPERM | Errno::ENOSYS)) => Err(format!("bpf(BPF_PROG_LOAD): {errno}")),
            Err(errno) => panic!("bpf(BPF_PROG_LOAD): {errno}"),
            Ok(_) => Ok(()),
        }
    }

    /// Says that a test is not run, on the stream that the test harness does not hold back.
    pub(crate) fn skip(test: &str, why: &str) {
        writeln!(io::stderr(), "SKIPPED: {test}: {why}").unwrap();
    }

    /// A cgroup of this test alone.
    struct Cgroup(PathBuf);

    impl Cgroup {
        fn new(name: &str) -> Result<Self, String> {
            let mounts = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
            let Some(mount) = mounts.iter().find(|mount| mount.join("cgroup.controllers").exists()) else {
                return Err("there is no unified cgroup hierarchy".to_owned());
            };
            let path = mount.join(format!("planc-{name}-{}", std::process::id()));
            fs::create_dir(&path).map_err(|error| format!("cannot make {}: {error}", path.display()))?;
            Ok(Self(path))
        }
    }

    impl Drop for Cgroup {
        fn drop(&mut self) {
            fs::remove_dir(&self.0).unwrap();
        }
    }

    #[test]
    fn a_program_the_verifier_refuses_is_an_error() {
        if let Err(why) = may_load() {
            return skip("a_program_the_verifier_refuses_is_an_error", &why);
        }
        let exit_without_a_verdict = [0x95, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(load_cgroup_device(&exit_without_a_verdict).unwrap_err(), Errno::EACCES);
        assert_eq!(load_cgroup_device(&[]).unwrap_err(), Errno::E2BIG);
    }

    #[test]
    fn locked_memory_is_no_limit() {
        const LOCKED: u64 = 64 * 1024;
        if let Err(why) = may_load() {
            return skip("locked_memory_is_no_limit", &why);
        }
        let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).unwrap();
        setrlimit(Resource::RLIMIT_MEMLOCK, LOCKED, hard).unwrap();
        let program = device_filter::compile(&[]).unwrap();
        // Before 5.11 each one would count for a page at least.
        let loaded: Vec<_> = (0..64).map(|_| load_cgroup_device(&program)).collect();
        setrlimit(Resource::RLIMIT_MEMLOCK, soft, hard).unwrap();
        loaded.into_iter().for_each(|program| drop(program.unwrap()));
    }

    #[test]
    fn the_filter_of_a_cgroup_is_obeyed() {
        let cgroup = match may_load().and_then(|()| Cgroup::new("devices")) {
            Ok(cgroup) => cgroup,
            Err(why) => return skip("the_filter_of_a_cgroup_is_obeyed", &why),
        };
        let directory = File::open(&cgroup.0).unwrap();
        let default = load_cgroup_device(&device_filter::compile(&[]).unwrap()).unwrap();
        let open_kmsg = r#"echo 0 > "$0/cgroup.procs" && : < /dev/null && : < /dev/kmsg"#;
        let run = || Command::new("sh").args(["-c", open_kmsg]).arg(&cgroup.0).output().unwrap();

        assert!(run().status.success(), "without a filter: {:?}", run());
        attach_cgroup_device(directory.as_fd(), default.as_fd()).unwrap();
        let output = run();
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && why.contains("/dev/kmsg: Operation not permitted"), "{output:?}");

        let all = device_filter::compile(&serde_json::from_str::<Vec<_>>(r#"[{"allow": true}]"#).unwrap()).unwrap();
        attach_cgroup_device(directory.as_fd(), load_cgroup_device(&all).unwrap().as_fd()).unwrap();
        assert!(!run().status.success(), "a second filter takes nothing from the first");
    }
}
