//! Why planc does not pass some tests of the public suites: read by the commands, which fail where a reason is missing or
//! is needed no longer.

use super::judge::Reason;

const BOTH: &[&str] = &["native", "uml"];

/// Of the OCI validation suite, whose last version is of the runtime-spec 1.0.
pub(crate) const OCI: &[Reason] = &[
    Reason {
        places: BOTH,
        tests: &[
            "delete_only_create_resources",
            "delete_resources",
            "linux_cgroups_blkio",
            "linux_cgroups_cpus",
            "linux_cgroups_devices",
            "linux_cgroups_hugetlb",
            "linux_cgroups_memory",
            "linux_cgroups_network",
            "linux_cgroups_pids",
            "linux_cgroups_relative_blkio",
            "linux_cgroups_relative_cpus",
            "linux_cgroups_relative_devices",
            "linux_cgroups_relative_hugetlb",
            "linux_cgroups_relative_memory",
            "linux_cgroups_relative_network",
            "linux_cgroups_relative_pids",
        ],
        why: "reads files that only cgroup v1 has",
        despite: &[],
    },
    Reason {
        places: BOTH,
        tests: &["hooks", "poststart", "poststart_fail", "poststop", "poststop_fail", "prestart", "prestart_fail"],
        why: "asserts nothing, whatever happens (1..0)",
        despite: &[],
    },
    Reason {
        places: BOTH,
        tests: &["hooks_stdin"],
        why: "asks for the pid of a program that has mostly ended by then: a race; and for \"created\" in a hook that \
              create calls, before it has finished (runtime.md#state)",
        despite: &["crun"],
    },
    Reason {
        places: BOTH,
        tests: &["delete"],
        why: "wants delete to refuse a created container, whose program has not begun: engines delete it",
        despite: &[],
    },
    Reason {
        places: BOTH,
        tests: &["start"],
        why: "creates a container without a process and wants start of it to succeed; runtime.md#start: it MUST \
              generate an error",
        despite: &["crun"],
    },
    Reason {
        places: BOTH,
        tests: &["pidfile"],
        why: "kills a program that has mostly ended by then, and wants that to succeed: a race",
        despite: &["planc", "runc", "crun"],
    },
    Reason {
        places: BOTH,
        tests: &["misc_props"],
        why: "runs a program that it has not put into the bundle",
        despite: &[],
    },
    Reason {
        places: BOTH,
        tests: &["process_rlimits"],
        why: "its program is written in Go, whose runtime raises the limit of open files before the program can look",
        despite: &[],
    },
    Reason {
        places: BOTH,
        tests: &["process_rlimits_fail"],
        why: "prints no TAP; planc refuses the limit as it wants",
        despite: &[],
    },
    Reason {
        places: BOTH,
        tests: &["process_capabilities_fail"],
        why: "wants a capability that is not known to be an error; since the specification 1.1 it is ignored, with a \
              warning (config.md#linux-process)",
        despite: &[],
    },
    Reason {
        places: BOTH,
        tests: &["linux_mount_label", "linux_process_apparmor_profile"],
        why: "asks for a label where the kernel has no such security module: it is refused, since a container without it \
              would be less confined than config.json says",
        despite: &["crun"],
    },
    Reason {
        places: &["native"],
        tests: &["process_capabilities", "linux_rootfs_propagation"],
        why: "wants every capability; there is no CAP_SYS_RESOURCE here",
        despite: &[],
    },
];

/// Of runc's suite: what runc passes and planc does not.
pub(crate) const BATS: &[Reason] = &[
    Reason {
        places: &["native", "uml", "native-rootless"],
        tests: &[
            "debug: global --debug",
            "debug: global --debug to --log",
            "debug: global --debug to --log --log-format 'text'",
            "debug: global --debug to --log --log-format 'json'",
            "exec: runc --debug exec",
            "exec: runc --debug --log exec",
        ],
        why: "looks for words of runc's own bootstrap code (\"nsexec container setup\") among what --debug prints",
        despite: &["runc"],
    },
    Reason {
        places: &["native", "uml", "native-rootless"],
        tests: &["run: runc run [/proc/self/exe clone]"],
        why: "looks for words about how runc seals its own binary; planc's init is a sealed memfd always",
        despite: &["runc"],
    },
    Reason {
        places: &["native", "uml", "native-rootless"],
        tests: &["seccomp-notify: runc run [seccomp] (SCMP_ACT_NOTIFY write)"],
        why: "wants SCMP_ACT_NOTIFY refused for write(2), which runc itself would hang on; planc's init calls nothing behind \
              the filter",
        despite: &["runc"],
    },
    Reason {
        places: &["native", "uml"],
        tests: &["create: runc create[detect fd leak as comprehensively as possible]"],
        why: "has a list of the descriptors that runc's own init holds; planc's holds the memfd of its plan instead",
        despite: &["runc"],
    },
    Reason {
        places: &["native", "uml"],
        tests: &["hooks_so: runc run (hooks library tests)"],
        why: "its createContainer hook takes the working directory for the root filesystem; planc's hooks have /, which no \
              image decides",
        despite: &["runc"],
    },
    Reason {
        places: &["native-rootless"],
        tests: &["create: runc create exec"],
        why: "joins a container that was not started: its init cannot be traced, and so not joined by a caller without \
              CAP_SYS_PTRACE, until it is the program",
        despite: &["runc"],
    },
];

/// Of the scenarios under engines.
pub(crate) const ENGINES: &[Reason] = &[
    Reason {
        places: &["cri native"],
        tests: &[
            "critest::Container OOM runtime should output OOMKilled reason should terminate with exitCode 137 and reason OOMKilled",
        ],
        why: "asks for a limit of memory: the machine hands no controller of it down",
        despite: &[],
    },
    Reason {
        places: &["podman native", "podman uml"],
        tests: &["root::user_namespace_by_path"],
        why: "of a user namespace that Podman only has the path of it does not know the ids, and so leaves the container's \
              own files to root, where those of the namespace do not reach them",
        despite: &[],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Issue E: "except a list of at most 10, each argued".
    const EXCEPTIONS: usize = 10;

    #[test]
    fn no_place_has_more_than_ten_exceptions() {
        for place in ["native", "uml", "native-rootless", "uml-rootless"] {
            let listed = BATS.iter().filter(|reason| reason.places.contains(&place));
            let count: usize = listed.map(|reason| reason.tests.len()).sum();
            assert!(count <= EXCEPTIONS, "{place}: {count}");
        }
    }

    #[test]
    fn each_test_has_one_reason_in_a_place() {
        for reasons in [OCI, BATS] {
            let mut seen = std::collections::BTreeSet::new();
            for reason in reasons {
                for pair in reason.places.iter().flat_map(|place| reason.tests.iter().map(move |test| (place, test))) {
                    assert!(seen.insert(pair), "{pair:?}");
                }
            }
        }
    }
}
