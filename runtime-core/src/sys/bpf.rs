//! bpf(2), for device filters.

use std::ffi::{CStr, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

// linux/bpf.h: enum bpf_cmd, enum bpf_prog_type, enum bpf_attach_type.
const BPF_PROG_LOAD: c_int = 5;
const BPF_PROG_ATTACH: c_int = 8;
const BPF_PROG_DETACH: c_int = 9;
const BPF_PROG_GET_FD_BY_ID: c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: c_int = 15;
const BPF_PROG_QUERY: c_int = 16;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 1 << 1;
const BPF_F_REPLACE: u32 = 1 << 2;

/// How many programs of one kind a cgroup has at most (BPF_CGROUP_MAX_PROGS).
const MOST_ATTACHED: usize = 64;

/// How many bytes an instruction has.
const INSTRUCTION: usize = 8;

/// How many bytes the name of a program has (BPF_OBJ_NAME_LEN), the NUL included.
const NAME_LENGTH: usize = 16;

/// How often a load is begun again when a signal interrupts the verifier, which then says EAGAIN.
const MOST_TRIES: usize = 5;

/// The start of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest as zero.
#[repr(C)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; NAME_LENGTH],
}

/// The start of `union bpf_attr` for `BPF_PROG_ATTACH` and `BPF_PROG_DETACH`.
#[repr(C)]
struct ProgramAttach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
    replaced: u32,
}

/// The start of `union bpf_attr` for `BPF_PROG_QUERY`.
#[repr(C)]
struct ProgramQuery {
    target: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    ids: u64,
    count: u32,
    zero: u32,
}

/// The start of `union bpf_attr` for `BPF_PROG_GET_FD_BY_ID`.
#[repr(C)]
struct ProgramById {
    id: u32,
    next_id: u32,
    flags: u32,
}

/// The start of `union bpf_attr` for `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct InfoByFd {
    object: u32,
    length: u32,
    info: u64,
}

/// The start of `struct bpf_prog_info`.
#[repr(C)]
#[derive(Debug, Default)]
pub(crate) struct Description {
    kind: u32,
    /// What no other loaded program has; numbers are not soon used again.
    pub(crate) id: u32,
    tag: [u8; 8],
    lengths: [u32; 2],
    addresses: [u64; 2],
    load_time: u64,
    owner: u32,
    map_count: u32,
    maps: u64,
    name: [u8; NAME_LENGTH],
}

impl Description {
    /// Whether it was loaded with this name.
    pub(crate) fn has_name(&self, name: &CStr) -> bool {
        CStr::from_bytes_until_nul(&self.name).is_ok_and(|own| own == name)
    }
}

/// Loads a program for a cgroup's devices; the descriptor is close-on-exec.
pub(crate) fn load_cgroup_device(program: &[u8], name: &CStr) -> nix::Result<OwnedFd> {
    let mut own_name = [0; NAME_LENGTH];
    own_name.iter_mut().zip(name.to_bytes()).take(NAME_LENGTH - 1).for_each(|(to, from)| *to = *from);
    let attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len() / INSTRUCTION).map_err(|_| Errno::E2BIG)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name: own_name,
    };
    let load = || {
        // SAFETY: the attributes point to as many instructions as they count and to a string that ends with a NUL; both
        // outlive the call, which only reads them.
        unsafe { bpf(BPF_PROG_LOAD, &raw const attributes) }
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

/// Attaches a loaded program to a cgroup, beside those that are there: all of them must allow an access. It takes the
/// place of `replaced` in one go (since Linux 5.6).
pub(crate) fn attach_cgroup_device(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    replaced: Option<BorrowedFd<'_>>,
) -> nix::Result<()> {
    let attributes = ProgramAttach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI | replaced.map_or(0, |_| BPF_F_REPLACE),
        replaced: replaced.map_or(0, |replaced| replaced.as_raw_fd() as u32),
    };
    // SAFETY: the attributes hold no pointers.
    unsafe { bpf(BPF_PROG_ATTACH, &raw const attributes) }.map(drop)
}

/// Takes a program away from a cgroup.
pub(crate) fn detach_cgroup_device(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>) -> nix::Result<()> {
    let attributes = ProgramAttach {
        target: cgroup.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        flags: 0,
        replaced: 0,
    };
    // SAFETY: the attributes hold no pointers.
    unsafe { bpf(BPF_PROG_DETACH, &raw const attributes) }.map(drop)
}

/// The ids of the programs that are attached to a cgroup itself, for its devices.
pub(crate) fn attached_cgroup_device(cgroup: BorrowedFd<'_>) -> nix::Result<Vec<u32>> {
    let mut ids = [0_u32; MOST_ATTACHED];
    let mut attributes = ProgramQuery {
        target: cgroup.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        ids: ids.as_mut_ptr() as u64,
        count: ids.len() as u32,
        zero: 0,
    };
    // SAFETY: the kernel writes as many ids as `count` says at most, where there is room for them, and its answer into
    // the attributes, which are borrowed as mutable.
    unsafe { bpf(BPF_PROG_QUERY, &raw mut attributes) }?;
    Ok(ids.into_iter().take(attributes.count as usize).collect())
}

/// Opens a loaded program; ENOENT where there is none with this id.
pub(crate) fn open(id: u32) -> nix::Result<OwnedFd> {
    let attributes = ProgramById { id, next_id: 0, flags: 0 };
    // SAFETY: the attributes hold no pointers.
    let fd = unsafe { bpf(BPF_PROG_GET_FD_BY_ID, &raw const attributes) }?;
    // SAFETY: the kernel made the descriptor for this call, and nothing else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the kernel says of a loaded program.
pub(crate) fn describe(program: BorrowedFd<'_>) -> nix::Result<Description> {
    let mut description = Description::default();
    let attributes = InfoByFd {
        object: program.as_raw_fd() as u32,
        length: size_of::<Description>() as u32,
        info: (&raw mut description) as u64,
    };
    // SAFETY: the kernel writes `length` bytes at most where `info` points to, and follows no address in there, since the
    // lengths that belong to them are 0.
    unsafe { bpf(BPF_OBJ_GET_INFO_BY_FD, &raw const attributes) }?;
    Ok(description)
}

/// # Safety
/// `attributes` points to a prefix of the `union bpf_attr` of `command`, without padding, that the command may write to
/// where it answers there, and the pointers in it are good for the call.
unsafe fn bpf<T>(command: c_int, attributes: *const T) -> nix::Result<c_int> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `attributes`; what those point to is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, c_long::from(command), attributes, size_of::<T>()) };
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

    /// The name of the programs that the tests load.
    pub(crate) const TEST: &CStr = c"planc_test";

    /// Whether this process may load programs.
    pub(crate) fn may_load() -> Result<(), String> {
        let allow_all = [0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0];
        match load_cgroup_device(&allow_all, TEST) {
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
    pub(crate) struct Cgroup(pub(crate) PathBuf);

    impl Cgroup {
        /// A new one with this in its name, or why none can be made.
        pub(crate) fn new(name: &str) -> Result<Self, String> {
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
        assert_eq!(load_cgroup_device(&exit_without_a_verdict, TEST).unwrap_err(), Errno::EACCES);
        assert_eq!(load_cgroup_device(&[], TEST).unwrap_err(), Errno::E2BIG);
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
        let loaded: Vec<_> = (0..64).map(|_| load_cgroup_device(&program, TEST)).collect();
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
        let default = load_cgroup_device(&device_filter::compile(&[]).unwrap(), TEST).unwrap();
        let open_kmsg = r#"echo 0 > "$0/cgroup.procs" && : < /dev/null && : < /dev/kmsg"#;
        let run = || Command::new("sh").args(["-c", open_kmsg]).arg(&cgroup.0).output().unwrap();

        assert!(run().status.success(), "without a filter: {:?}", run());
        attach_cgroup_device(directory.as_fd(), default.as_fd(), None).unwrap();
        let output = run();
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && why.contains("/dev/kmsg: Operation not permitted"), "{output:?}");

        let all = device_filter::compile(&serde_json::from_str::<Vec<_>>(r#"[{"allow": true}]"#).unwrap()).unwrap();
        attach_cgroup_device(directory.as_fd(), load_cgroup_device(&all, TEST).unwrap().as_fd(), None).unwrap();
        assert!(!run().status.success(), "a second filter takes nothing from the first");
    }
}
