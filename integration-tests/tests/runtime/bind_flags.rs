//! Flags of bind mounts (runtime-spec config.md#linux-mount-options): those of the source, those that are named, and those
//! that a user namespace locks (mount_namespaces(7)).

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::hostmount::HostMount;
use integration_tests::mountinfo;
use integration_tests::scene::Scene;
use nix::mount::{MsFlags, mount};

integration_tests::tests! {
    without_flags_it_keeps_the_sources,
    with_flags_it_has_no_others,
    access_times_stay_unless_they_are_named,
    // runc 1.1 takes no notice of an option that only clears; later ones do.
    a_flag_that_is_cleared_is_named [Need::Planc],
    // runc 1.1 asks again with fewer flags only for some of them (EPERM).
    in_a_user_namespace_what_is_locked_stays [Need::Planc],
    in_a_user_namespace_what_is_set_is_locked,
    // The same: there the flag is kept without a word.
    refuses_to_clear_what_is_locked [Need::Planc],
}

const READ_ONLY: MsFlags = MsFlags::MS_RDONLY;
const NO_SUID: MsFlags = MsFlags::MS_NOSUID;
const NO_DEV: MsFlags = MsFlags::MS_NODEV;
const NO_EXEC: MsFlags = MsFlags::MS_NOEXEC;
const NO_ATIME: MsFlags = MsFlags::MS_NOATIME;
const NO_DIRATIME: MsFlags = MsFlags::MS_NODIRATIME;

/// What the source has, what is asked for, what the copy is to have and what it is not.
type Case = (MsFlags, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// A tmpfs whose mount has these flags, and not its superblock.
fn source(scene: &Scene, index: usize, flags: MsFlags) -> HostMount {
    let host = HostMount::tmpfs(scene.path(&format!("source-{index}")), MsFlags::empty());
    let remount = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flags;
    mount(None::<&str>, host.path(), None::<&str>, remount, None::<&str>).unwrap();
    host
}

/// Binds one source for each case in one container.
fn check(scene: &Scene, cases: &[Case], edit: impl FnOnce(&mut Bundle)) {
    let mut bundle = scene.bundle();
    edit(&mut bundle);
    let mut sources = Vec::new();
    for (index, (flags, options, ..)) in cases.iter().enumerate() {
        let source = source(scene, index, *flags);
        bundle.mount(&format!("/m{index}"), "bind", source.path(), &[&["bind"], *options].concat());
        sources.push(source);
    }
    let mounts = mountinfo::parse(&scene.sh(&mut bundle, "cat /proc/self/mountinfo"));
    for (index, (flags, options, has, has_not)) in cases.iter().enumerate() {
        let mount = mountinfo::at(&mounts, format!("/m{index}")).unwrap();
        has.iter().for_each(|word| assert!(mount.has(word), "{options:?} of {flags:?}: no {word} in {mount:?}"));
        has_not.iter().for_each(|word| assert!(!mount.has(word), "{options:?} of {flags:?}: {word} in {mount:?}"));
    }
}

fn without_flags_it_keeps_the_sources(scene: &Scene) {
    let cases: &[Case] = &[
        (READ_ONLY.union(NO_EXEC).union(NO_ATIME), &[], &["ro", "noexec", "noatime"], &["nosuid"]),
        (NO_DEV.union(NO_DIRATIME), &["rprivate"], &["rw", "nodev", "nodiratime", "relatime"], &["noexec"]),
    ];
    check(scene, cases, |_| {});
}

fn with_flags_it_has_no_others(scene: &Scene) {
    let cases: &[Case] = &[
        (READ_ONLY.union(NO_EXEC), &["nosuid", "nodev"], &["rw", "nosuid", "nodev"], &["ro", "noexec"]),
        (NO_SUID.union(NO_DEV).union(NO_EXEC), &["ro"], &["ro"], &["nosuid", "nodev", "noexec"]),
        (NO_DEV, &["ro", "exec", "rprivate"], &["ro"], &["nodev", "noexec"]),
    ];
    check(scene, cases, |_| {});
}

fn access_times_stay_unless_they_are_named(scene: &Scene) {
    let cases: &[Case] = &[
        (NO_ATIME.union(NO_DIRATIME), &["ro"], &["ro", "noatime", "nodiratime"], &["relatime"]),
        (NO_ATIME.union(NO_DIRATIME), &["relatime"], &["relatime"], &["noatime", "nodiratime"]),
        (NO_ATIME, &["nodiratime"], &["nodiratime", "relatime"], &["noatime"]),
        (NO_DIRATIME, &["strictatime"], &["rw"], &["relatime", "noatime", "nodiratime"]),
        (NO_ATIME, &["ro", "atime"], &["ro", "noatime"], &["relatime"]),
    ];
    check(scene, cases, |_| {});
}

fn a_flag_that_is_cleared_is_named(scene: &Scene) {
    let cases: &[Case] = &[
        (READ_ONLY.union(NO_EXEC), &["dev"], &["rw"], &["ro", "noexec"]),
        (READ_ONLY.union(NO_SUID), &["rw"], &["rw"], &["ro", "nosuid"]),
        (NO_EXEC.union(NO_ATIME), &["atime"], &["rw", "noatime"], &["noexec"]),
    ];
    check(scene, cases, |_| {});
}

fn in_a_user_namespace_what_is_locked_stays(scene: &Scene) {
    let cases: &[Case] = &[
        (READ_ONLY.union(NO_EXEC), &["nosuid"], &["ro", "noexec", "nosuid"], &["rw"]),
        (NO_SUID.union(NO_DEV).union(NO_ATIME), &["ro", "exec"], &["ro", "nosuid", "nodev", "noatime"], &["noexec"]),
        (READ_ONLY.union(NO_DIRATIME), &["dev"], &["ro", "nodiratime"], &["rw"]),
    ];
    check(scene, cases, |bundle| {
        bundle.user_namespace(100_000);
    });
}

/// Root of the container may not take back what config.json asked for, nor what the host's mount had.
fn in_a_user_namespace_what_is_set_is_locked(scene: &Scene) {
    let source = source(scene, 0, NO_EXEC);
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).capabilities(&["CAP_SYS_ADMIN"]);
    bundle.mount("/m", "bind", source.path(), &["bind", "ro", "nosuid", "noexec"]);
    let script = "for way in rw,nosuid,noexec ro,suid,noexec ro,nosuid,exec; do \
                  mount -o remount,bind,$way /m 2>/dev/null && echo $way is let through; done; true";
    if scene.runtime.kind == integration_tests::runtime::Kind::Planc {
        assert_eq!(scene.sh(&mut bundle, script), "");
    } else {
        // Elsewhere only what the host's mount had is locked.
        assert!(!scene.sh(&mut bundle, script).contains("ro,nosuid,exec"));
    }
}

fn refuses_to_clear_what_is_locked(scene: &Scene) {
    for (index, (flags, option)) in [
        (READ_ONLY, "rw"),
        (NO_DEV, "dev"),
        (NO_SUID, "suid"),
        (NO_EXEC, "exec"),
        (NO_ATIME, "relatime"),
        (NO_DIRATIME, "strictatime"),
        (MsFlags::MS_STRICTATIME, "noatime"),
    ]
    .into_iter()
    .enumerate()
    {
        let source = source(scene, index, flags);
        let mut bundle = scene.bundle();
        bundle.user_namespace(100_000).mount("/m", "bind", source.path(), &["bind", option]);
        let done = scene.refused(&bundle, "/mounts/7");
        done.says("error during container init: error mounting").says("operation not permitted").says("locked");
    }
}
