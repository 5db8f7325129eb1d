//! Where runc does not do what the runtime-spec asks for. With RUNTIME=runc these tests must fail, and as said here.

/// A test that runc fails.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// The test's name.
    pub test: &'static str,
    /// What runc does, and which section of the runtime-spec asks for something else.
    pub reason: &'static str,
    /// What the failure must say, so that another one is not taken for it.
    pub shows: &'static str,
}

/// All of them. At most five: more would be a suite that runc was never measured with.
pub const RUNC: &[Exception] = &[
    Exception {
        test: "lifecycle::start_reports_a_vanished_program",
        reason: "start returns 0 although the program cannot be run; runtime.md#start, runtime.md#errors",
        shows: "start says that it has run a program that is not there",
    },
    Exception {
        test: "namespaces::joins_user_by_path_alone",
        reason: "a user namespace given by path is refused unless maps are repeated; config-linux.md#namespaces",
        shows: "no uid mappings found",
    },
    Exception {
        test: "rootfs::propagation_shared_and_unbindable",
        reason: "the root mount ends up private whatever rootfsPropagation says, and unbindable breaks create; \
                 config-linux.md#rootfs-mount-propagation",
        shows: "asked for shared, it is []",
    },
    Exception {
        test: "process::refuses_a_duplicate_rlimit",
        reason: "the last of two rlimits of one type wins; config.md#posix-process: duplicates MUST be an error",
        shows: "it was to fail",
    },
    Exception {
        test: "input::refuses_an_unknown_major_version",
        reason: "ociVersion is not looked at; config.md#specification-version: an unsupported one MUST be an error",
        shows: "it was to fail",
    },
];

const _: () = assert!(RUNC.len() <= 5);

/// The exception of a test.
pub fn of(test: &str) -> Option<&'static Exception> {
    RUNC.iter().find(|exception| exception.test == test)
}
