//! Classes of service (runtime-spec config-linux.md#intelrdt) on a host without resctrl: asked for and not there is an
//! error, never silence. What is done with one is tested by the ops, on a fake tree (runtime-core, engine/rdt/tests.rs): no
//! machine of ours has a real one.

use integration_tests::harness::Need;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use serde_json::json;

/// No resctrl is mounted.
const NONE: Need = Need::Works("! grep -q ' - resctrl ' /proc/self/mountinfo");

integration_tests::tests! {
    refuses_it_where_no_resctrl_is_mounted [NONE],
    refuses_what_is_empty_as_well [NONE, Need::Planc],
    refuses_schemata_for_a_container_without_a_class [Need::Planc],
}

fn refuses_it_where_no_resctrl_is_mounted(scene: &Scene) {
    for asked in [json!({"closID": "x"}), json!({"l3CacheSchema": "L3:0=f"}), json!({"memBwSchema": "MB:0=20"})] {
        let mut bundle = scene.bundle();
        let done = scene.refused(bundle.set("/linux/intelRdt", asked), "/linux/intelRdt");
        if scene.runtime.kind == Kind::Planc {
            done.says("resctrl is not mounted");
        }
    }
}

/// The spec asks for an error where the object is set, whatever is in it; runc 1.1 knows no monitoring flag.
fn refuses_what_is_empty_as_well(scene: &Scene) {
    for asked in [json!({}), json!({"enableMonitoring": true}), json!({"schemata": ["L3:0=f"]})] {
        let mut bundle = scene.bundle();
        scene.refused(bundle.set("/linux/intelRdt", asked), "/linux/intelRdt").says("resctrl is not mounted");
    }
}

/// runc would make a class for its init alone, and leave every other process out of it.
fn refuses_schemata_for_a_container_without_a_class(scene: &Scene) {
    let container = scene.container(scene.bundle().sleep());
    container.run_detached();
    for flag in ["--l3-cache-schema=L3:0=f", "--mem-bw-schema=MB:0=20"] {
        let done = scene.rt(&["update", flag, &container.id]);
        done.fails().says("config.json /linux/intelRdt").says("no class of service");
    }
    scene.rt(&["update", "--mem-bw-schema", "L3:0=f", &container.id]).fails().says("/linux/intelRdt/memBwSchema");
    container.delete_force();
}
