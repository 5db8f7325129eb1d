//! Devices (runtime-spec config-linux.md#devices, #default-devices, #allowed-device-list).

use std::fs;
use std::os::unix::fs::MetadataExt;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::runtime::Done;
use integration_tests::scene::{Container, Scene};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};

use crate::rootless;

integration_tests::tests! {
    default_ones_have_their_numbers_and_modes,
    default_ones_work,
    default_links,
    extra_ones_are_made,
    extra_ones_outside_dev,
    mode_does_not_depend_on_the_umask,
    refuses_an_unknown_type,
    refuses_one_without_numbers [Need::Planc],
    filter_denies_by_default [Need::Path("/dev/fuse")],
    filter_allows_what_is_listed [Need::Path("/dev/fuse")],
    filter_takes_access_apart [Need::Path("/dev/fuse")],
    filter_obeys_the_last_rule [Need::Path("/dev/fuse")],
    filter_without_rules_for_it_is_none [Need::Path("/dev/fuse")],
    filter_leaves_the_default_ones,
    refuses_an_unknown_access [Need::Planc],
    filter_follows_an_update [Need::Planc, Need::Path("/dev/fuse")],
    filter_comes_with_an_update [Need::Planc, Need::Path("/dev/fuse")],
    says_that_a_user_has_no_filter [Need::Planc],
    says_why_there_is_no_filter [Need::Planc, Need::Works("strace -V")],
    a_filter_that_allows_all_is_none [Need::Planc, Need::Works("strace -V")],
}

fn default_ones_have_their_numbers_and_modes(scene: &Scene) {
    let script = "cd /dev; stat -c '%n %F %t:%T %a %u:%g' null zero full random urandom tty";
    let expected =
        [("null", "1:3"), ("zero", "1:5"), ("full", "1:7"), ("random", "1:8"), ("urandom", "1:9"), ("tty", "5:0")];
    let expected: String =
        expected.iter().map(|(name, number)| format!("{name} character special file {number} 666 0:0\n")).collect();
    assert_eq!(scene.sh(&mut scene.bundle(), script), expected);
}

fn default_ones_work(scene: &Scene) {
    let script = "echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c; \
                  (echo x > /dev/full) 2>&1 | grep -o 'No space'; true";
    assert_eq!(scene.sh(&mut scene.bundle(), script), " 00 00 00\n8\nNo space\n");
}

fn default_links(scene: &Scene) {
    let script =
        "cd /dev; for l in fd stdin stdout stderr ptmx; do echo $l $(readlink $l); done; test -c /dev/ptmx && echo ok";
    let expected = "fd /proc/self/fd\nstdin /proc/self/fd/0\nstdout /proc/self/fd/1\nstderr /proc/self/fd/2\n";
    let seen = scene.sh(&mut scene.bundle(), script);
    let rest = seen.strip_prefix(expected).unwrap_or_else(|| panic!("{seen}"));
    assert!(["ptmx pts/ptmx\nok\n", "ptmx /dev/pts/ptmx\nok\n"].contains(&rest), "{rest}");
}

fn extra_ones_are_made(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set(
        "/linux/devices",
        json!([
            {"path": "/dev/char", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 3, "gid": 4},
            {"path": "/dev/dir/block", "type": "b", "major": 7, "minor": 200, "fileMode": 0o600},
            {"path": "/dev/unbuffered", "type": "u", "major": 10, "minor": 230},
            {"path": "/dev/fifo", "type": "p", "fileMode": 0o622}
        ]),
    );
    let seen = scene.sh(&mut bundle, "cd /dev; stat -c '%n %F %t:%T %a %u:%g' char dir/block unbuffered fifo");
    let expected = "char character special file a:e5 640 3:4\ndir/block block special file 7:c8 600 0:0\n\
                    unbuffered character special file a:e6 666 0:0\nfifo fifo 0:0 622 0:0\n";
    assert_eq!(seen, expected);
}

fn extra_ones_outside_dev(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle
        .set("/linux/devices", json!([{"path": "/opt/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]));
    assert_eq!(scene.sh(&mut bundle, "stat -c %t:%T /opt/null; echo x > /opt/null && echo ok"), "1:3\nok\n");
    let made = fs::metadata(bundle.rootfs("/opt/null")).unwrap();
    assert_eq!(made.rdev(), makedev(1, 3));
}

fn mode_does_not_depend_on_the_umask(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle
        .set("/linux/devices", json!([{"path": "/dev/open", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]));
    bundle.sh("stat -c %a /dev/open /dev/null /dev/shm").write();
    let id = scene.id();
    let done = scene.call_by(&["sh", "-c", "umask 077; exec \"$@\"", "sh"], &["run", "-b", bundle.arg(), &id]).done();
    done.ok();
    assert_eq!(done.stdout, "666\n666\n1777\n");
}

fn refuses_an_unknown_type(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/devices", json!([{"path": "/dev/x", "type": "x", "major": 1, "minor": 3}]));
    scene.refused(&bundle, "/linux/devices/0");
}

/// major and minor are REQUIRED unless the type is p. runc makes 0:0 of what is absent.
fn refuses_one_without_numbers(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/devices", json!([{"path": "/dev/x", "type": "c"}]));
    scene.refused(&bundle, "/linux/devices/0");
}

/// What happens to /fuse (10:229, which anybody may open) under these rules: `r`, `w`, or both letters.
fn opens(scene: &Scene, rules: Value) -> String {
    let mut bundle = scene.bundle();
    fuse(&bundle);
    bundle.set("/linux/resources/devices", rules);
    let seen = scene.sh(
        &mut bundle,
        "(: < /fuse) 2>/dev/null && echo -n r; (: > /fuse) 2>/dev/null && echo -n w; (: < /dev/null) && echo .",
    );
    seen.trim_end().trim_end_matches('.').to_owned()
}

/// The image has the node, so that only the filter stands in the way.
pub(crate) fn fuse(bundle: &Bundle) {
    let mode = Mode::from_bits_truncate(0o666);
    mknod(&bundle.rootfs("/fuse"), SFlag::S_IFCHR, mode, makedev(10, 229)).unwrap();
    nix::sys::stat::fchmodat(
        nix::fcntl::AT_FDCWD,
        &bundle.rootfs("/fuse"),
        mode,
        nix::sys::stat::FchmodatFlags::FollowSymlink,
    )
    .unwrap();
}

fn filter_denies_by_default(scene: &Scene) {
    assert_eq!(opens(scene, json!([{"allow": false, "access": "rwm"}])), "");
}

fn filter_allows_what_is_listed(scene: &Scene) {
    let deny = json!({"allow": false, "access": "rwm"});
    assert_eq!(
        opens(scene, json!([deny, {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"}])),
        "rw"
    );
    assert_eq!(opens(scene, json!([deny, {"allow": true, "type": "c", "major": 10, "access": "rwm"}])), "rw");
    assert_eq!(opens(scene, json!([deny, {"allow": true, "type": "c", "minor": 229, "access": "rwm"}])), "rw");
    assert_eq!(
        opens(scene, json!([deny, {"allow": true, "type": "b", "major": 10, "minor": 229, "access": "rwm"}])),
        ""
    );
    assert_eq!(
        opens(scene, json!([deny, {"allow": true, "type": "c", "major": 10, "minor": 228, "access": "rwm"}])),
        ""
    );
}

fn filter_takes_access_apart(scene: &Scene) {
    let deny = json!({"allow": false, "access": "rwm"});
    for (access, opened) in [("r", "r"), ("w", "w"), ("rw", "rw"), ("m", "")] {
        let allow = json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": access});
        assert_eq!(opens(scene, json!([deny, allow])), opened, "{access}");
    }
}

fn filter_obeys_the_last_rule(scene: &Scene) {
    let rule =
        |allow: bool, access: &str| json!({"allow": allow, "type": "c", "major": 10, "minor": 229, "access": access});
    let deny = json!({"allow": false, "access": "rwm"});
    assert_eq!(opens(scene, json!([deny, rule(true, "rwm"), rule(false, "w")])), "r");
    assert_eq!(opens(scene, json!([rule(true, "rwm"), deny])), "");
    assert_eq!(opens(scene, json!([deny, {"allow": true, "access": "rwm"}, rule(false, "r")])), "w");
}

/// A list that allows everything is as good as none.
fn filter_without_rules_for_it_is_none(scene: &Scene) {
    assert_eq!(opens(scene, json!([{"allow": true, "access": "rwm"}])), "rw");
}

fn filter_leaves_the_default_ones(scene: &Scene) {
    let script =
        "for d in null zero full random urandom; do (: < /dev/$d) && echo $d; done; (: < /dev/ptmx) && echo ptmx";
    assert_eq!(scene.sh(&mut scene.bundle(), script), "null\nzero\nfull\nrandom\nurandom\nptmx\n");
}

/// runc takes what it does not know for nothing.
fn refuses_an_unknown_access(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle
        .set("/linux/resources/devices", json!([{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rx"}]));
    scene.refused(&bundle, "/linux/resources/devices/0");
}

/// A user can attach none, and is told where it would have made a difference; not of what every engine asks for.
fn says_that_a_user_has_no_filter(scene: &Scene) {
    let user = rootless::by_user(scene);
    let fuse = json!({"allow": true, "type": "c", "major": 10, "minor": 229});
    for (rules, said) in [
        (json!([{"allow": false, "access": "rwm"}]), ""),
        (json!([{"allow": true}]), ""),
        (json!([{"allow": false}, fuse]), "the caller can attach no device filter"),
    ] {
        let mut bundle = rootless::bundle(scene);
        let done = user.container(bundle.set("/linux/resources/devices", rules)).run();
        done.ok().says(said);
        assert!(!said.is_empty() || done.stderr.is_empty(), "{done}");
    }
    let mut bundle = rootless::bundle(scene);
    bundle.set("/linux/resources/devices", json!([{"allow": true, "type": "u"}]));
    user.container(&bundle).run().fails().says("/linux/resources/devices/0/type");
}

/// Creates the bundle's container where bpf(2) fails with `errno`.
fn create_without_bpf(scene: &Scene, bundle: &Bundle, errno: &str) -> (String, Done) {
    let (id, inject) = (scene.id(), format!("inject=bpf:error={errno}"));
    bundle.write();
    let strace = ["strace", "-qq", "-o", "/dev/null", "-e", "trace=bpf", "-e", &inject];
    let done = scene.call_by(&strace, &["create", "--bundle", bundle.arg(), &id]).done();
    (id, done)
}

/// SECURITY.md R-52: a container whose rules cannot be kept is not made.
fn says_why_there_is_no_filter(scene: &Scene) {
    for (errno, why) in [("EPERM", "CAP_BPF and CAP_NET_ADMIN"), ("ENOSYS", "CONFIG_CGROUP_BPF")] {
        let (id, done) = create_without_bpf(scene, scene.bundle().sleep(), errno);
        done.fails().says("attach a device filter").says("bpf(2)").says(why).says("/linux/resources/devices");
        scene.rt(&["state", &id]).fails().says("does not exist");
    }
}

/// What may use all devices can be made where there is no bpf(2).
fn a_filter_that_allows_all_is_none(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/linux/resources/devices", json!([{"allow": true, "access": "rwm"}]));
    let (id, done) = create_without_bpf(scene, bundle.sleep(), "EPERM");
    done.ok();
    scene.rt(&["delete", "--force", &id]).ok();
}

/// What happens to /fuse in a container that runs, as [`opens`]; each time anew.
fn opens_now(container: &Container<'_>) -> String {
    let script =
        "(: < /fuse) 2>/dev/null && echo -n r; (: > /fuse) 2>/dev/null && echo -n w; (: < /dev/null) && echo .";
    let done = container.exec(&[], &["sh", "-c", script]);
    done.ok();
    done.stdout.trim_end().trim_end_matches('.').to_owned()
}

/// A device that is allowed, or denied, is so before and after an update, and at once. (runc takes no devices there.)
fn filter_follows_an_update(scene: &Scene) {
    let rule =
        |allow: bool, access: &str| json!({"allow": allow, "type": "c", "major": 10, "minor": 229, "access": access});
    let deny = json!({"allow": false, "access": "rwm"});
    let mut bundle = scene.bundle();
    fuse(&bundle);
    let container = scene.container(bundle.set("/linux/resources/devices", json!([deny])).sleep());
    container.run_detached();
    assert_eq!(opens_now(&container), "");
    let path = scene.path("resources.json");
    for (devices, opened) in [
        (json!([deny, rule(true, "rw")]), "rw"),
        (json!([deny, rule(true, "rwm"), rule(false, "w")]), "r"),
        (json!([{"allow": true, "access": "rwm"}]), "rw"),
        (json!([deny]), ""),
    ] {
        fs::write(&path, json!({"devices": devices}).to_string()).unwrap();
        scene.rt(&["update", "-r", path.to_str().unwrap(), &container.id]).ok();
        assert_eq!(opens_now(&container), opened, "{devices}");
        // What says nothing of devices leaves them as they are; and so does what cannot be done.
        fs::write(&path, json!({"memory": {}}).to_string()).unwrap();
        scene.rt(&["update", "-r", path.to_str().unwrap(), &container.id]).ok();
        fs::write(&path, json!({"devices": [{"allow": true}, {"allow": true, "type": "u"}]}).to_string()).unwrap();
        scene
            .rt(&["update", "-r", path.to_str().unwrap(), &container.id])
            .fails()
            .says("/linux/resources/devices/1/type");
        assert_eq!(opens_now(&container), opened, "{devices}");
    }
    container.delete_force();
}

/// One that had no filter, since it was allowed all devices.
fn filter_comes_with_an_update(scene: &Scene) {
    let mut bundle = scene.bundle();
    fuse(&bundle);
    bundle.set("/linux/resources/devices", json!([{"allow": true, "access": "rwm"}]));
    let container = scene.container(bundle.sleep());
    container.run_detached();
    assert_eq!(opens_now(&container), "rw");
    let update = scene.path("resources.json");
    fs::write(&update, json!({"devices": [{"allow": false}]}).to_string()).unwrap();
    scene.rt(&["update", "-r", update.to_str().unwrap(), &container.id]).ok();
    assert_eq!(opens_now(&container), "");
    container.delete_force();
}
