//! Mounts (runtime-spec config.md#mounts): their order, options, sources and destinations.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::hostmount::HostMount;
use integration_tests::mountinfo::{self, Mount};
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use nix::mount::MsFlags;

integration_tests::tests! {
    the_default_ones,
    are_made_in_order,
    later_sources_see_earlier_mounts,
    // runc 1.1 opens every source before it mounts anything.
    later_sources_see_earlier_mounts_in_a_user_namespace [Need::Planc],
    a_destination_may_begin_with_the_rootfs,
    options_of_a_tmpfs,
    options_of_a_bind,
    the_last_of_opposite_options_wins,
    nosymfollow [Need::Spec(1, 1)],
    recursive_options_reach_submounts,
    bind_of_a_directory,
    bind_of_a_file,
    bind_leaves_submounts_out,
    rbind_takes_submounts_along,
    type_none_is_fine_for_a_bind,
    tmpfs_size_and_mode,
    a_tmpfs_has_the_mode_of_what_it_covers,
    a_read_only_tmpfs_can_have_mounts_in_it,
    missing_destinations_are_made,
    a_symlinked_destination_stays_inside,
    a_link_to_nowhere_is_made_to_lead_somewhere,
    refuses_links_without_an_end,
    refuses_a_missing_source,
    refuses_an_unknown_type,
    refuses_an_unknown_option,
    refuses_a_file_on_a_directory,
    a_private_bind_hears_nothing,
    a_slave_bind_hears_the_host,
    a_shared_bind_is_heard,
    nothing_is_heard_by_default,
    cgroup_is_the_containers_own,
    mqueue_and_shm_are_its_own,
}

/// The mounts of the bundle's container.
fn mounts(scene: &Scene, bundle: &mut Bundle) -> Vec<Mount> {
    mountinfo::parse(&scene.sh(bundle, "cat /proc/self/mountinfo"))
}

#[track_caller]
fn at<'a>(mounts: &'a [Mount], point: &str) -> &'a Mount {
    mountinfo::at(mounts, point).unwrap_or_else(|| panic!("nothing is mounted at {point}: {mounts:#?}"))
}

fn the_default_ones(scene: &Scene) {
    let mounts = mounts(scene, &mut scene.bundle());
    let expected: [(&str, &str, &[&str]); 7] = [
        ("/proc", "proc", &["rw", "relatime"]),
        ("/dev", "tmpfs", &["rw", "nosuid"]),
        ("/dev/pts", "devpts", &["rw", "nosuid", "noexec"]),
        ("/dev/shm", "tmpfs", &["rw", "nosuid", "nodev", "noexec"]),
        ("/dev/mqueue", "mqueue", &["rw", "nosuid", "nodev", "noexec"]),
        ("/sys", "sysfs", &["ro", "nosuid", "nodev", "noexec"]),
        ("/sys/fs/cgroup", "cgroup2", &["ro", "nosuid", "nodev", "noexec", "relatime"]),
    ];
    for (point, fstype, options) in expected {
        let mount = at(&mounts, point);
        assert_eq!(mount.fstype, fstype, "{point}");
        options.iter().for_each(|option| assert!(mount.has(option), "{point}: no {option} in {:?}", mount.options));
    }
    // strictatime is what is left when neither of the others is there.
    let dev = at(&mounts, "/dev");
    assert!(!dev.has("relatime") && !dev.has("noatime"), "{:?}", dev.options);
    assert!(!mounts.iter().any(|mount| mount.point.starts_with("/run")), "none of the host's: {mounts:#?}");
}

fn are_made_in_order(scene: &Scene) {
    let inner = scene.path("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("here"), "").unwrap();
    let mut bundle = scene.bundle();
    bundle.mount("/a", "tmpfs", "tmpfs", &[]).mount("/a/b", "bind", &inner, &["bind"]);
    bundle.mount("/c/d", "bind", &inner, &["bind"]).mount("/c", "tmpfs", "tmpfs", &[]);
    assert_eq!(scene.sh(&mut bundle, "ls /a/b; ls -A /c"), "here\n");
}

/// A mount, one below it, and a copy of both by the path that they have on the host.
fn chained(scene: &Scene, bundle: &mut Bundle) {
    for name in ["outer", "outer/sub", "inner"] {
        fs::create_dir(scene.path(name)).unwrap();
    }
    fs::write(scene.path("inner/here"), "").unwrap();
    fs::create_dir(bundle.rootfs("/mnt")).unwrap();
    let mounted = bundle.rootfs("/mnt");
    bundle.mount("/mnt", "bind", scene.path("outer"), &["bind"]);
    bundle.mount("/mnt/sub", "bind", scene.path("inner"), &["bind", "ro"]);
    bundle.mount("/tree", "bind", &mounted, &["rbind"]).mount("/alone", "bind", mounted.join("sub"), &["bind"]);
}

fn later_sources_see_earlier_mounts(scene: &Scene) {
    let mut bundle = scene.bundle();
    chained(scene, &mut bundle);
    assert_eq!(scene.sh(&mut bundle, "ls /tree/sub /alone"), "/alone:\nhere\n\n/tree/sub:\nhere\n");
}

/// And they are locked as what they were taken from.
fn later_sources_see_earlier_mounts_in_a_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    chained(scene, &mut bundle);
    bundle.user_namespace(100_000).capabilities(&["CAP_SYS_ADMIN"]);
    let script = "ls /tree/sub /alone; for at in /tree/sub /alone; do \
                  mount -o remount,bind,rw $at 2>/dev/null && echo $at is unlocked; done; true";
    assert_eq!(scene.sh(&mut bundle, script), "/alone:\nhere\n\n/tree/sub:\nhere\n");
}

/// What some callers give is the host's path of the destination.
fn a_destination_may_begin_with_the_rootfs(scene: &Scene) {
    let mut bundle = scene.bundle();
    let at = bundle.rootfs("/data/deep");
    fs::create_dir_all(&at).unwrap();
    bundle.mount(at.to_str().unwrap(), "tmpfs", "marker", &[]);
    let mounts = mounts(scene, &mut bundle);
    assert_eq!(mountinfo::at(&mounts, "/data/deep").unwrap().source, "marker");
}

/// Mounts `fstype` once for each list of options; with what mountinfo then says of each.
fn with_options(scene: &Scene, all: &[(&[&str], &[&str], &[&str])], fstype: &str, first: &[&str]) {
    let source = scene.path("source");
    fs::create_dir(&source).unwrap();
    let mut bundle = scene.bundle();
    for (index, (options, ..)) in all.iter().enumerate() {
        bundle.mount(&format!("/m{index}"), fstype, &source, &[first, options].concat());
    }
    let mounts = mounts(scene, &mut bundle);
    for (index, (options, has, has_not)) in all.iter().enumerate() {
        let mount = at(&mounts, &format!("/m{index}"));
        has.iter().for_each(|word| assert!(mount.has(word), "{options:?}: no {word} in {mount:?}"));
        has_not.iter().for_each(|word| assert!(!mount.has(word), "{options:?}: {word} in {mount:?}"));
    }
}

fn options_of_a_tmpfs(scene: &Scene) {
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&[], &["rw", "relatime"], &["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"]),
        (&["ro"], &["ro"], &["rw"]),
        (&["nosuid"], &["nosuid"], &["nodev", "noexec"]),
        (&["nodev"], &["nodev"], &["nosuid", "noexec"]),
        (&["noexec"], &["noexec"], &["nosuid", "nodev"]),
        (&["noatime"], &["noatime"], &["relatime"]),
        (&["relatime"], &["relatime"], &["noatime"]),
        (&["strictatime"], &[], &["noatime", "relatime"]),
        (&["nodiratime"], &["nodiratime"], &[]),
        (&["noatime", "nodiratime", "ro", "nosuid"], &["noatime", "nodiratime", "ro", "nosuid"], &["relatime"]),
    ];
    with_options(scene, cases, "tmpfs", &[]);
}

fn options_of_a_bind(scene: &Scene) {
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&[], &["rw"], &["nosuid", "nodev", "noexec"]),
        (&["ro"], &["ro"], &["rw"]),
        (&["nosuid", "nodev", "noexec"], &["rw", "nosuid", "nodev", "noexec"], &[]),
        (&["ro", "noatime"], &["ro", "noatime"], &["relatime"]),
        (&["nodiratime"], &["nodiratime"], &[]),
    ];
    with_options(scene, cases, "bind", &["bind"]);
}

fn the_last_of_opposite_options_wins(scene: &Scene) {
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&["ro", "rw"], &["rw"], &["ro"]),
        (&["rw", "ro"], &["ro"], &["rw"]),
        (&["nosuid", "suid"], &[], &["nosuid"]),
        (&["nodev", "dev"], &[], &["nodev"]),
        (&["noexec", "exec"], &[], &["noexec"]),
        (&["exec", "noexec"], &["noexec"], &[]),
        (&["nodiratime", "diratime"], &[], &["nodiratime"]),
        (&["noatime", "atime"], &[], &["noatime"]),
    ];
    with_options(scene, cases, "tmpfs", &[]);
}

fn nosymfollow(scene: &Scene) {
    let cases: &[(&[&str], &[&str], &[&str])] =
        &[(&["nosymfollow"], &["nosymfollow"], &[]), (&["nosymfollow", "symfollow"], &[], &["nosymfollow"])];
    with_options(scene, cases, "tmpfs", &[]);
}

/// A tmpfs with another one at `sub`, each with a file.
fn nested(scene: &Scene, shared: bool) -> (HostMount, HostMount) {
    let outer = HostMount::tmpfs(scene.path("outer"), MsFlags::empty());
    let outer = if shared { outer.shared() } else { outer };
    fs::write(outer.path().join("outer-file"), "").unwrap();
    let inner = HostMount::tmpfs(outer.path().join("sub"), MsFlags::empty());
    fs::write(inner.path().join("inner-file"), "").unwrap();
    (outer, inner)
}

fn recursive_options_reach_submounts(scene: &Scene) {
    let (outer, _inner) = nested(scene, false);
    let mut bundle = scene.bundle();
    bundle.mount("/plain", "bind", outer.path(), &["rbind", "ro"]);
    bundle.mount("/deep", "bind", outer.path(), &["rbind", "rro", "rnosuid"]);
    let mounts = mounts(scene, &mut bundle);
    assert!(at(&mounts, "/plain").has("ro") && at(&mounts, "/plain/sub").has("rw"));
    for point in ["/deep", "/deep/sub"] {
        assert!(at(&mounts, point).has("ro") && at(&mounts, point).has("nosuid"), "{point}");
    }
}

fn bind_of_a_directory(scene: &Scene) {
    let source = scene.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("in"), "from the host").unwrap();
    let mut bundle = scene.bundle();
    bundle.mount("/data", "bind", &source, &["bind", "rw"]);
    assert_eq!(scene.sh(&mut bundle, "cat /data/in; echo from inside > /data/out"), "from the host");
    assert_eq!(fs::read_to_string(source.join("out")).unwrap(), "from inside\n");
    bundle.set("/mounts/7/options/1", "ro");
    assert_eq!(scene.sh(&mut bundle, "touch /data/more 2>&1 | grep -o Read-only"), "Read-only\n");
}

fn bind_of_a_file(scene: &Scene) {
    let source = scene.path("source");
    fs::write(&source, "from the host").unwrap();
    let mut bundle = scene.bundle();
    bundle.mount("/etc/passwd", "bind", &source, &["bind", "ro"]).mount("/new/dir/file", "bind", &source, &["bind"]);
    assert_eq!(scene.sh(&mut bundle, "cat /etc/passwd /new/dir/file"), "from the hostfrom the host");
}

fn bind_leaves_submounts_out(scene: &Scene) {
    let (outer, _inner) = nested(scene, false);
    let mut bundle = scene.bundle();
    bundle.mount("/data", "bind", outer.path(), &["bind"]);
    assert_eq!(scene.sh(&mut bundle, "ls /data /data/sub"), "/data:\nouter-file\nsub\n\n/data/sub:\n");
}

fn rbind_takes_submounts_along(scene: &Scene) {
    let (outer, _inner) = nested(scene, false);
    let mut bundle = scene.bundle();
    bundle.mount("/data", "bind", outer.path(), &["rbind"]);
    assert_eq!(scene.sh(&mut bundle, "ls /data/sub"), "inner-file\n");
}

fn type_none_is_fine_for_a_bind(scene: &Scene) {
    let source = scene.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("here"), "").unwrap();
    let mut bundle = scene.bundle();
    bundle.mount("/a", "none", &source, &["rbind"]).mount("/b", "none", &source, &["bind"]).remove("/mounts/7/type");
    assert_eq!(scene.sh(&mut bundle, "ls /a /b"), "/a:\nhere\n\n/b:\nhere\n");
}

fn tmpfs_size_and_mode(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/t", "tmpfs", "scratch", &["size=2m", "mode=1711", "uid=3", "gid=4"]);
    let script = "stat -c '%a %u %g' /t; df -k /t | tail -n 1 | tr -s ' ' | cut -d' ' -f 1,2";
    assert_eq!(scene.sh(&mut bundle, script), "1711 3 4\nscratch 2048\n");
}

fn a_tmpfs_has_the_mode_of_what_it_covers(scene: &Scene) {
    let mut bundle = scene.bundle();
    for (name, mode) in [("/plain", 0o710), ("/all", 0o7777), ("/said", 0o710)] {
        fs::create_dir(bundle.rootfs(name)).unwrap();
        fs::set_permissions(bundle.rootfs(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    bundle.mount("/plain", "tmpfs", "tmpfs", &["nosuid"]).mount("/all", "tmpfs", "tmpfs", &["ro"]);
    bundle.mount("/new", "tmpfs", "tmpfs", &[]);
    if scene.runtime.kind == Kind::Planc {
        // runc 1.1 gives it the directory's in any case.
        bundle.mount("/said", "tmpfs", "tmpfs", &["mode=1500"]);
    }
    let seen =
        scene.sh(&mut bundle, "stat -c %a /plain /all /new; grep -c 'said.*mode=1500' /proc/self/mountinfo; true");
    let said = if scene.runtime.kind == Kind::Planc { "1" } else { "0" };
    assert_eq!(seen, format!("710\n7777\n1777\n{said}\n"));
    let meta = fs::metadata(bundle.rootfs("/said")).unwrap();
    assert_eq!(meta.permissions().mode() & 0o7777, 0o710, "the image's own directory stays as it is");
}

fn a_read_only_tmpfs_can_have_mounts_in_it(scene: &Scene) {
    let source = scene.path("source");
    fs::write(&source, "content").unwrap();
    let mut bundle = scene.bundle();
    bundle.mount("/t", "tmpfs", "tmpfs", &["ro"]).mount("/t/dir/file", "bind", &source, &["bind"]);
    assert_eq!(scene.sh(&mut bundle, "cat /t/dir/file; touch /t/x 2>&1 | grep -o Read-only"), "contentRead-only\n");
}

fn missing_destinations_are_made(scene: &Scene) {
    let mut bundle = scene.bundle();
    let file = scene.path("file");
    fs::write(&file, "").unwrap();
    bundle.mount("/new/deep/dir", "tmpfs", "tmpfs", &[]).mount("/new/deep/file", "bind", &file, &["bind"]);
    scene.sh(&mut bundle, "true");
    for (path, kind, mode) in [("/new", "dir", 0o755), ("/new/deep/dir", "dir", 0o755), ("/new/deep/file", "file", 0)] {
        let meta = fs::symlink_metadata(bundle.rootfs(path)).unwrap();
        assert_eq!(if meta.is_dir() { "dir" } else { "file" }, kind, "{path}");
        assert!(mode == 0 || meta.permissions().mode() & 0o7777 == mode, "{path}: {:o}", meta.permissions().mode());
    }
}

/// CVE-2021-30465 and its kin (SECURITY.md T-15).
fn a_symlinked_destination_stays_inside(scene: &Scene) {
    let outside = scene.path("outside");
    fs::create_dir(&outside).unwrap();
    let up = format!("../../../../../../../..{}", outside.display());
    for target in [outside.to_str().unwrap(), up.as_str(), "/proc/self/root/../..", "tmp"] {
        let mut bundle = scene.bundle();
        symlink(target, bundle.rootfs("/link")).unwrap();
        bundle.mount("/link/sub", "tmpfs", "marker", &[]);
        let container = scene.container(bundle.sh("cat /proc/self/mountinfo"));
        let done = container.run();
        if done.status.success() {
            let mounts = mountinfo::parse(&done.stdout);
            assert!(mounts.iter().any(|mount| mount.source == "marker"), "{target}: mounted somewhere else: {done}");
        } else {
            done.fails();
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{target}: something was made outside");
    }
}

/// The link's text is taken from the container's root, and what is missing there is made.
fn a_link_to_nowhere_is_made_to_lead_somewhere(scene: &Scene) {
    let source = scene.path("source");
    fs::write(&source, "content").unwrap();
    let outside = scene.path("outside");
    let up = format!("../../../../../../../../../..{}/new", outside.display());
    let mut bundle = scene.bundle();
    fs::create_dir(bundle.rootfs("/dir")).unwrap();
    for (link, to) in [("/jump", "/tmp/new/deep"), ("/file", "/jump/end"), ("/dir/near", "made"), ("/up", up.as_str())]
    {
        symlink(to, bundle.rootfs(link)).unwrap();
    }
    bundle.mount("/file", "bind", &source, &["bind"]).mount("/dir/near", "tmpfs", "tmpfs", &[]);
    // A runtime may refuse what leads up; it may not make it outside.
    let seen = scene.sh(&mut bundle, "cat /tmp/new/deep/end; stat -f -c ' %T' /dir/made");
    assert_eq!(seen, "content tmpfs\n");
    bundle.mount("/up", "bind", &source, &["bind"]);
    scene.container(bundle.sh("true")).run();
    assert!(!outside.exists(), "made outside of the root filesystem");
}

fn refuses_links_without_an_end(scene: &Scene) {
    let mut bundle = scene.bundle();
    symlink("/b", bundle.rootfs("/a")).unwrap();
    symlink("/a", bundle.rootfs("/b")).unwrap();
    bundle.mount("/a/sub", "tmpfs", "tmpfs", &[]);
    scene.refused(&bundle, "/mounts/7");
}

fn refuses_a_missing_source(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/data", "bind", scene.path("none"), &["bind"]);
    scene.refused(&bundle, "/mounts/7");
}

fn refuses_an_unknown_type(scene: &Scene) {
    scene.refused(scene.bundle().mount("/data", "nosuchfs", "none", &[]), "/mounts/7");
}

fn refuses_an_unknown_option(scene: &Scene) {
    scene.refused(scene.bundle().mount("/data", "tmpfs", "tmpfs", &["nosuid", "sizee=1m"]), "/mounts/7");
}

fn refuses_a_file_on_a_directory(scene: &Scene) {
    scene.refused(scene.bundle().mount("/etc", "bind", "/etc/passwd", &["bind"]), "/mounts/7");
}

/// Binds a shared tree with these options; whether a mount that the host then makes in it is seen inside, and whether one
/// that is made inside is seen by the host.
fn hears(scene: &Scene, options: &[&str], edit: impl Fn(&mut Bundle)) -> (bool, bool) {
    let (outer, inner) = nested(scene, true);
    let mut bundle = scene.bundle();
    bundle.mount("/data", "bind", outer.path(), options).capabilities(&["CAP_SYS_ADMIN"]);
    fs::create_dir_all(outer.path().join("from-inside")).unwrap();
    edit(&mut bundle);
    let script = "mount -t tmpfs inside /data/from-inside; echo ready; until [ -e /data/go ]; do sleep 0.02; done; \
                  grep -q /data/late /proc/self/mountinfo && echo heard; true";
    let container = scene.container(bundle.sh(script));
    let running = container.run_call(&[]).spawn();
    scene.wait_until("it is ready", || running.printed() == "ready\n");
    let own = mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap());
    let is_heard = mountinfo::at(&own, outer.path().join("from-inside")).is_some();
    let late = HostMount::tmpfs(outer.path().join("late"), MsFlags::empty());
    fs::write(outer.path().join("go"), "").unwrap();
    let done = running.wait();
    done.ok();
    drop((late, inner));
    (done.stdout.contains("heard"), is_heard)
}

fn a_private_bind_hears_nothing(scene: &Scene) {
    assert_eq!(hears(scene, &["rbind", "rprivate"], |_| {}), (false, false));
}

fn a_slave_bind_hears_the_host(scene: &Scene) {
    assert_eq!(hears(scene, &["rbind", "rslave"], |_| {}), (true, false));
}

fn a_shared_bind_is_heard(scene: &Scene) {
    let shared = |bundle: &mut Bundle| {
        bundle.set("/linux/rootfsPropagation", "shared");
    };
    assert_eq!(hears(scene, &["rbind", "rshared"], shared), (true, true));
}

/// What is mounted inside never reaches the host unasked.
fn nothing_is_heard_by_default(scene: &Scene) {
    assert!(!hears(scene, &["rbind"], |_| {}).1);
}

fn cgroup_is_the_containers_own(scene: &Scene) {
    let script = "cat /proc/self/cgroup | grep ^0:; grep -c . /sys/fs/cgroup/cgroup.procs; test -e /sys/fs/cgroup/cgroup.events && echo not the root";
    let seen = scene.sh(&mut scene.bundle(), script);
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!((lines[0], lines[2]), ("0::/", "not the root"), "{seen:?}");
}

fn mqueue_and_shm_are_its_own(scene: &Scene) {
    let canary = std::path::Path::new("/dev/shm").join(format!("canary-{}", std::process::id()));
    fs::write(&canary, "").unwrap();
    let seen = scene.sh(&mut scene.bundle(), "ls -A /dev/shm /dev/mqueue; stat -c %a /dev/shm");
    fs::remove_file(canary).unwrap();
    assert_eq!(seen, "/dev/mqueue:\n\n/dev/shm:\n1777\n");
}
