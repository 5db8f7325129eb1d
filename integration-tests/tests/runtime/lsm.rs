//! The labels of Linux security modules (runtime-spec config.md#linux-process, config-linux.md#mount-label) on a host that
//! has none: asked for and not there is an error, never silence (T-13). How they are written is tested by the op, on a tree
//! of files like procfs (runtime-core, engine/tests.rs).

use integration_tests::harness::Need;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;

/// Neither AppArmor nor SELinux.
const NEITHER: Need =
    Need::Works("! grep -q Y /sys/module/apparmor/parameters/enabled && ! test -e /sys/fs/selinux/enforce");

integration_tests::tests! {
    refuses_a_profile [NEITHER],
    refuses_a_process_label [NEITHER],
    refuses_a_mount_label [NEITHER, Need::Planc],
    refuses_them_of_exec [NEITHER, Need::Planc],
    takes_empty_ones_for_none,
}

const APPARMOR: &str = "apparmor: config provided but apparmor not supported";
const SELINUX: &str = "selinux label is specified in config, but selinux is disabled or not supported";
const LABEL: &str = "system_u:system_r:container_t:s0:c1,c2";

fn refuses_a_profile(scene: &Scene) {
    let mut bundle = scene.bundle();
    let done = scene.refused(bundle.set("/process/apparmorProfile", "docker-default"), "/process/apparmorProfile");
    // runc 1.1 goes on up to the write, and says what came of that.
    if scene.runtime.kind == Kind::Planc {
        done.says(APPARMOR);
    }
}

fn refuses_a_process_label(scene: &Scene) {
    let mut bundle = scene.bundle();
    scene.refused(bundle.set("/process/selinuxLabel", LABEL), "/process/selinuxLabel").says(SELINUX);
}

/// runc looks at the process's label only, and mounts without this one.
fn refuses_a_mount_label(scene: &Scene) {
    let mut bundle = scene.bundle();
    scene.refused(bundle.set("/linux/mountLabel", LABEL), "/linux/mountLabel").says(SELINUX);
}

fn refuses_them_of_exec(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    container
        .exec(&["--apparmor", "docker-default"], &["true"])
        .fails()
        .says("/process/apparmorProfile")
        .says(APPARMOR);
    container.exec(&["--process-label", LABEL], &["true"]).fails().says("/process/selinuxLabel").says(SELINUX);
    container.delete_force();
}

fn takes_empty_ones_for_none(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/apparmorProfile", "").set("/process/selinuxLabel", "").set("/linux/mountLabel", "");
    scene.container(&bundle).run().ok();
}
