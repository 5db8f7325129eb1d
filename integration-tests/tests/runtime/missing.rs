//! What a kernel or a sandbox around the runtime has not: an error names it and the kernel, and nothing is made weaker.

use std::fs;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::scene::Scene;
use integration_tests::without;

integration_tests::tests! {
    is_named_with_the_kernel [Need::Planc],
    is_named_in_a_user_namespace [Need::Planc],
    recursive_options_are_never_left_out [Need::Planc],
    an_idmapped_mount_is_never_a_plain_one [Need::Planc],
    other_calls_are_not_missed,
}

/// Asserts that `create` without this call fails, says so, and leaves nothing.
fn is_refused(scene: &Scene, bundle: &Bundle, call: &str) {
    let wrapper = without::wrapper(call);
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let container = scene.container(bundle);
    let done = scene.call_by(&wrapper, &["create", "--bundle", bundle.arg(), &container.id]).done();
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    done.fails().says(&format!("{call}(2)")).says(release.trim()).says("seccomp");
    container.assert_gone();
}

/// (SECURITY.md R-70: with openat2 and the mount API forced to ENOSYS the runtime refuses cleanly.)
fn is_named_with_the_kernel(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/m", "bind", scene.path(""), &["bind", "ro"]);
    for call in [
        "clone3",
        "close_range",
        "fsconfig",
        "fsmount",
        "fsopen",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "openat2",
    ] {
        is_refused(scene, &bundle, call);
    }
}

fn is_named_in_a_user_namespace(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", "/etc", &["rbind", "ro"]);
    for call in ["fsopen", "mount_setattr", "move_mount", "open_tree", "openat2"] {
        is_refused(scene, &bundle, call);
    }
}

fn recursive_options_are_never_left_out(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/m", "bind", "/etc", &["rbind", "rro"]);
    is_refused(scene, &bundle, "mount_setattr");
}

fn an_idmapped_mount_is_never_a_plain_one(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.user_namespace(100_000).mount("/m", "bind", "/etc", &["bind", "idmap"]);
    is_refused(scene, &bundle, "mount_setattr");
}

/// The filter itself is not what fails.
fn other_calls_are_not_missed(scene: &Scene) {
    let wrapper = without::wrapper("fspick");
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let bundle = scene.bundle();
    let container = scene.container(&bundle);
    scene.call_by(&wrapper, &["create", "--bundle", bundle.arg(), &container.id]).done().ok();
    container.delete_force();
}
