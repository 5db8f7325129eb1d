//! Mount options beyond the everyday ones (runtime-spec config.md#linux-mount-options): flags of the superblock, recursive
//! attributes, remounts, and what a destination may not be.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::hostmount::HostMount;
use integration_tests::mountinfo::{self, Mount};
use integration_tests::scene::Scene;
use nix::mount::MsFlags;
use rustix::fs::{XattrFlags, getxattr, setxattr};
use serde_json::json;

integration_tests::tests! {
    flags_of_the_superblock,
    silence_and_versions_are_nothing_to_a_tmpfs,
    says_what_a_filesystem_does_not_take [Need::Planc],
    superblock_flags_of_a_bind_are_not_the_hosts,
    every_recursive_attribute_reaches_submounts [Need::Spec(1, 1)],
    recursive_attributes_can_be_taken_back [Need::Spec(1, 1)],
    recursive_attributes_in_a_user_namespace [Need::Spec(1, 1)],
    remounts_the_mount_alone,
    remounts_the_filesystem,
    a_remount_keeps_what_it_does_not_name [Need::Planc],
    refuses_a_remount_of_no_mount,
    shows_the_kernels_words_on_a_remount [Need::Planc],
    a_source_behind_a_closed_directory,
    refuses_a_way_into_proc [Need::Planc],
    refuses_a_link_on_the_way_in_proc [Need::Planc],
    tmpcopyup_copies_what_is_covered,
    tmpcopyup_keeps_the_directory_itself [Need::Planc],
    tmpcopyup_keeps_extended_attributes [Need::Planc],
    tmpcopyup_of_a_hostile_image [Need::Planc],
    tmpcopyup_in_a_user_namespace,
}

/// The mounts of the bundle's container.
fn mounts(scene: &Scene, bundle: &mut Bundle) -> Vec<Mount> {
    mountinfo::parse(&scene.sh(bundle, "cat /proc/self/mountinfo"))
}

#[track_caller]
fn at<'a>(mounts: &'a [Mount], point: &str) -> &'a Mount {
    mountinfo::at(mounts, point).unwrap_or_else(|| panic!("nothing is mounted at {point}: {mounts:#?}"))
}

fn flags_of_the_superblock(scene: &Scene) {
    let cases: [(&[&str], &[&str], &[&str]); 6] = [
        (&["sync"], &["sync"], &["dirsync"]),
        (&["dirsync"], &["dirsync"], &["sync"]),
        (&["sync", "async"], &[], &["sync"]),
        (&["lazytime"], &["lazytime"], &[]),
        (&["lazytime", "nolazytime"], &[], &["lazytime"]),
        (&["nolazytime", "lazytime"], &["lazytime"], &[]),
    ];
    let mut bundle = scene.bundle();
    for (index, (options, ..)) in cases.iter().enumerate() {
        bundle.mount(&format!("/m{index}"), "tmpfs", "tmpfs", options);
    }
    let mounts = mounts(scene, &mut bundle);
    for (index, (options, has, has_not)) in cases.iter().enumerate() {
        let mount = at(&mounts, &format!("/m{index}"));
        has.iter().for_each(|word| assert!(mount.filesystem_has(word), "{options:?}: no {word} in {mount:?}"));
        has_not.iter().for_each(|word| assert!(!mount.filesystem_has(word), "{options:?}: {word} in {mount:?}"));
    }
}

fn silence_and_versions_are_nothing_to_a_tmpfs(scene: &Scene) {
    let mut bundle = scene.bundle();
    for (index, option) in ["silent", "loud", "iversion", "noiversion", "mand", "nomand"].iter().enumerate() {
        bundle.mount(&format!("/m{index}"), "tmpfs", "tmpfs", &[option, "size=1m"]);
    }
    let mounts = mounts(scene, &mut bundle);
    for index in 0..6 {
        let mount = at(&mounts, &format!("/m{index}"));
        assert!(mount.fstype == "tmpfs" && mount.filesystem_has("size=1024k"), "{mount:?}");
    }
}

fn says_what_a_filesystem_does_not_take(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/m", "tmpfs", "tmpfs", &["noacl"]).args(&["/bin/true"]);
    scene.container(&bundle).run().ok().says("tmpfs takes no").says("(/mounts/7/options/0)");
}

fn superblock_flags_of_a_bind_are_not_the_hosts(scene: &Scene) {
    let host = HostMount::tmpfs(scene.path("source"), MsFlags::empty());
    let mut bundle = scene.bundle();
    bundle.mount("/m", "bind", host.path(), &["bind", "sync", "lazytime", "ro"]);
    let mounts = mounts(scene, &mut bundle);
    let mount = at(&mounts, "/m");
    assert!(mount.has("ro") && !mount.filesystem_has("sync") && !mount.filesystem_has("lazytime"), "{mount:?}");
    fs::write(host.path().join("still-writable"), "").unwrap();
}

/// A tmpfs with another one at `sub`.
fn nested(scene: &Scene, flags: MsFlags) -> (HostMount, HostMount) {
    let outer = HostMount::tmpfs(scene.path("outer"), MsFlags::empty());
    let inner = HostMount::tmpfs(outer.path().join("sub"), flags);
    (outer, inner)
}

fn every_recursive_attribute_reaches_submounts(scene: &Scene) {
    let (outer, _inner) = nested(scene, MsFlags::empty());
    let words = ["ro", "nosuid", "nodev", "noexec", "nodiratime", "noatime", "nosymfollow"];
    let mut bundle = scene.bundle();
    for word in words {
        bundle.mount(&format!("/{word}"), "bind", outer.path(), &["rbind", &format!("r{word}")]);
    }
    bundle.mount("/strict", "bind", outer.path(), &["rbind", "rstrictatime"]);
    let mounts = mounts(scene, &mut bundle);
    for word in words {
        for point in [format!("/{word}"), format!("/{word}/sub")] {
            assert!(at(&mounts, &point).has(word), "{point}: {:?}", at(&mounts, &point));
        }
    }
    for point in ["/strict", "/strict/sub"] {
        assert!(!at(&mounts, point).has("relatime") && !at(&mounts, point).has("noatime"), "{point}");
    }
}

fn recursive_attributes_can_be_taken_back(scene: &Scene) {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_NOATIME | MsFlags::MS_RDONLY;
    let (outer, _inner) = nested(scene, flags);
    let mut bundle = scene.bundle();
    bundle.mount("/m", "bind", outer.path(), &["rbind", "rrw", "rsuid", "rdev", "rexec", "ratime", "rdiratime"]);
    let mounts = mounts(scene, &mut bundle);
    let mount = at(&mounts, "/m/sub");
    for word in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
        assert!(!mount.has(word), "{word}: {mount:?}");
    }
}

/// Set while the trees are still the host's, so that root of the container cannot take them back.
fn recursive_attributes_in_a_user_namespace(scene: &Scene) {
    let (outer, _inner) = nested(scene, MsFlags::empty());
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", outer.path(), &["rbind", "rro", "rnosuid"]);
    bundle.capabilities(&["CAP_SYS_ADMIN"]);
    let script =
        "cat /proc/self/mountinfo; for at in /m /m/sub; do mount -o remount,bind,rw,suid $at && exit 1; done; exit 0";
    let mounts = mountinfo::parse(&scene.sh(&mut bundle, script));
    for point in ["/m", "/m/sub"] {
        assert!(at(&mounts, point).has("ro") && at(&mounts, point).has("nosuid"), "{point}: {mounts:#?}");
    }
}

fn remounts_the_mount_alone(scene: &Scene) {
    let host = HostMount::tmpfs(scene.path("source"), MsFlags::empty());
    let mut bundle = scene.bundle();
    bundle.mount("/m", "bind", host.path(), &["bind", "rw"]);
    bundle.mount("/m", "bind", host.path(), &["bind", "remount", "ro", "nosuid"]);
    let mounts = mounts(scene, &mut bundle);
    assert_eq!(mounts.iter().filter(|mount| mount.point.ends_with("m")).count(), 1, "{mounts:#?}");
    let mount = at(&mounts, "/m");
    assert!(mount.has("ro") && mount.has("nosuid") && mount.filesystem_has("rw"), "{mount:?}");
}

fn remounts_the_filesystem(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/m", "tmpfs", "tmpfs", &["size=1m"]);
    bundle.mount("/m", "tmpfs", "tmpfs", &["remount", "size=2m", "nosuid"]);
    let mounts = mounts(scene, &mut bundle);
    assert_eq!(mounts.iter().filter(|mount| mount.point.ends_with("m")).count(), 1, "{mounts:#?}");
    assert!(at(&mounts, "/m").filesystem_has("size=2048k") && at(&mounts, "/m").has("nosuid"), "{mounts:#?}");
}

/// mount(2) would clear what is not named again: a weakening that nobody asked for.
fn a_remount_keeps_what_it_does_not_name(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/m", "tmpfs", "tmpfs", &["size=1m", "nosuid", "nodev", "lazytime", "ro"]);
    bundle.mount("/m", "tmpfs", "tmpfs", &["remount", "rw", "noexec", "nolazytime"]);
    let mounts = mounts(scene, &mut bundle);
    let mount = at(&mounts, "/m");
    for word in ["rw", "nosuid", "nodev", "noexec"] {
        assert!(mount.has(word), "{word}: {mount:?}");
    }
    assert!(mount.filesystem_has("size=1024k") && !mount.filesystem_has("lazytime"), "{mount:?}");
}

fn refuses_a_remount_of_no_mount(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/tmp", "none", "none", &["bind", "remount", "ro"]);
    scene.refused(&bundle, "/mounts/7");
}

fn shows_the_kernels_words_on_a_remount(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/m", "tmpfs", "tmpfs", &[]).mount("/m", "tmpfs", "tmpfs", &["remount", "ro", "sizee=1m"]);
    scene.refused(&bundle, "/mounts/8/options/2").says("Unknown parameter 'sizee'");
}

/// Root of a user namespace could not enter the directory; who makes the container can.
fn a_source_behind_a_closed_directory(scene: &Scene) {
    let closed = scene.path("closed");
    fs::create_dir_all(closed.join("open")).unwrap();
    fs::write(closed.join("open/file"), "behind").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&closed, Some(4321), Some(4321)).unwrap();
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", closed.join("open"), &["bind", "ro"]);
    assert_eq!(scene.sh(&mut bundle, "cat /m/file"), "behind");
}

/// A link of the image is no way around the rule (CVE-2019-16884, SECURITY.md T-10): what a mount lands on counts.
fn refuses_a_way_into_proc(scene: &Scene) {
    let source = scene.path("source");
    fs::create_dir_all(source.join("attr")).unwrap();
    fs::write(source.join("file"), "").unwrap();
    for (link, destination, from) in [
        ("/proc/sys", "/way", source.clone()),
        ("/proc", "/way/sys", source.clone()),
        ("../proc/uptime", "/way", source.join("file")),
    ] {
        let mut bundle = scene.bundle();
        symlink(link, bundle.rootfs("/way")).unwrap();
        bundle.mount(destination, "bind", from, &["bind"]);
        scene.refused(&bundle, "/mounts/7").says("procfs");
    }
    // A name is no way either, though it begins as that of /proc does.
    for name in ["/way", "/procfoo"] {
        let mut bundle = scene.bundle();
        symlink("/proc/sys", bundle.rootfs(name)).unwrap();
        bundle.mount(name, "tmpfs", "tmpfs", &[]);
        scene.refused(&bundle, "/mounts/7").says("procfs");
    }
    let mut bundle = scene.bundle();
    bundle.mount("/procfoo", "tmpfs", "marker", &[]);
    assert_eq!(at(&mounts(scene, &mut bundle), "/procfoo").source, "marker");
}

/// What may be covered in /proc is reached through no link, neither of the image's nor of the procfs.
fn refuses_a_link_on_the_way_in_proc(scene: &Scene) {
    let source = scene.path("source");
    fs::write(&source, "").unwrap();
    let mut bundle = scene.bundle();
    fs::remove_dir(bundle.rootfs("/proc")).unwrap();
    symlink("etc", bundle.rootfs("/proc")).unwrap();
    fs::write(bundle.rootfs("/etc/uptime"), "").unwrap();
    bundle.set("/mounts", json!([])).mount("/proc/uptime", "bind", &source, &["bind"]);
    scene.refused(&bundle, "/mounts/0");
}

fn tmpcopyup_copies_what_is_covered(scene: &Scene) {
    let mut bundle = scene.bundle();
    let at = bundle.rootfs("/data");
    fs::create_dir_all(at.join("dir/deep")).unwrap();
    fs::write(at.join("file"), "content").unwrap();
    fs::write(at.join("dir/deep/big"), vec![7; 3 << 20]).unwrap();
    fs::set_permissions(at.join("file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(at.join("dir"), fs::Permissions::from_mode(0o755)).unwrap();
    chown(at.join("dir"), Some(3), Some(4)).unwrap();
    symlink("/nowhere", at.join("link")).unwrap();
    // More names than one read of the directory gives.
    fs::create_dir(at.join("many")).unwrap();
    (0..300).for_each(|n| fs::write(at.join(format!("many/a-name-of-some-length-{n}")), "").unwrap());
    bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup", "ro"]);
    let script = "cd /data; cat file; stat -c ' %a %u:%g' dir; stat -c %s dir/deep/big; readlink link; ls many | wc -l; \
                  touch x 2>&1 | grep -o Read-only; stat -f -c %T /data";
    assert_eq!(scene.sh(&mut bundle, script), "content 755 3:4\n3145728\n/nowhere\n300\nRead-only\ntmpfs\n");
}

fn tmpcopyup_keeps_the_directory_itself(scene: &Scene) {
    let mut bundle = scene.bundle();
    for name in ["/a", "/b"] {
        fs::create_dir(bundle.rootfs(name)).unwrap();
        fs::write(bundle.rootfs(name).join("suid"), "").unwrap();
        fs::set_permissions(bundle.rootfs(name).join("suid"), fs::Permissions::from_mode(0o4751)).unwrap();
        fs::set_permissions(bundle.rootfs(name), fs::Permissions::from_mode(0o3711)).unwrap();
        chown(bundle.rootfs(name), Some(5), Some(6)).unwrap();
    }
    bundle.mount("/a", "tmpfs", "tmpfs", &["tmpcopyup"]);
    bundle.mount("/b", "tmpfs", "tmpfs", &["tmpcopyup", "mode=0701", "uid=9"]);
    bundle.mount("/new", "tmpfs", "tmpfs", &["tmpcopyup"]);
    assert_eq!(scene.sh(&mut bundle, "stat -c '%a %u:%g' /a /a/suid /b; ls -A /new"), "3711 5:6\n4751 0:0\n701 9:0\n");
}

fn tmpcopyup_keeps_extended_attributes(scene: &Scene) {
    // VFS_CAP_REVISION_2 with CAP_NET_BIND_SERVICE permitted (capabilities(7)).
    let capability = [[1, 0, 0, 2], [0, 4, 0, 0], [0; 4], [0; 4], [0; 4]].concat();
    let attributes =
        [("security.capability", capability.as_slice()), ("trusted.of-a-test", b"value"), ("trusted.empty", b"")];
    let source = HostMount::tmpfs(scene.path("source"), MsFlags::empty());
    fs::create_dir(source.path().join("dir")).unwrap();
    fs::write(source.path().join("file"), "").unwrap();
    for (name, value) in attributes {
        setxattr(source.path().join("file"), name, value, XattrFlags::empty()).unwrap();
    }
    setxattr(source.path().join("dir"), "trusted.of-a-test", b"of dir", XattrFlags::empty()).unwrap();
    let mut bundle = scene.bundle();
    bundle.sleep().mount("/data", "bind", source.path(), &["bind"]).mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let container = scene.container(&bundle);
    container.create();
    let data = format!("/proc/{}/root/data", container.pid());
    let read = |path: &str, name: &str| {
        let mut buffer = [0; 64];
        let count = getxattr(format!("{data}/{path}"), name, &mut buffer).unwrap();
        buffer[..count].to_vec()
    };
    for (name, value) in attributes {
        assert_eq!(read("file", name), value, "{name}");
    }
    assert_eq!(read("dir", "trusted.of-a-test"), b"of dir");
    container.delete_force();
}

/// Nothing outside is read through a link, nothing waits for a pipe, nothing deep ends init.
fn tmpcopyup_of_a_hostile_image(scene: &Scene) {
    fs::write(scene.path("canary"), "secret").unwrap();
    let mut bundle = scene.bundle();
    let at = bundle.rootfs("/data");
    fs::create_dir(&at).unwrap();
    symlink(scene.path("canary"), at.join("link")).unwrap();
    symlink("/", at.join("root")).unwrap();
    nix::unistd::mkfifo(&at.join("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o640)).unwrap();
    bundle.mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    let script = "cd /data; test -L link && test -L root && test -p pipe && stat -c %a pipe; find . -type f | wc -l";
    assert_eq!(scene.sh(&mut bundle, script), "640\n0\n");
    let mut deep = at.clone();
    (0..150).for_each(|_| deep.push("d"));
    fs::create_dir_all(&deep).unwrap();
    scene.refused(&bundle, "/mounts/7").says("too deep");
    // What is mounted below is not what is covered.
    let mut bundle = scene.bundle();
    fs::create_dir_all(bundle.rootfs("/data/proc")).unwrap();
    bundle.mount("/data/proc", "proc", "proc", &[]).mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    assert_eq!(scene.sh(&mut bundle, "ls -A /data /data/proc"), "/data:\nproc\n\n/data/proc:\n");
}

fn tmpcopyup_in_a_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    let at = bundle.rootfs("/data");
    fs::create_dir(&at).unwrap();
    fs::write(at.join("file"), "content").unwrap();
    bundle.user_namespace(100_000).mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"]);
    assert_eq!(scene.sh(&mut bundle, "cat /data/file; stat -c ' %u:%g' /data/file"), "content 0:0\n");
}
