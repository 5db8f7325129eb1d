//! Capabilities and no_new_privs (runtime-spec config.md#linux-process), read back from /proc/self/status.

use integration_tests::bundle::Bundle;
use integration_tests::process;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

integration_tests::tests! {
    sets_are_exact,
    none_are_held_when_the_lists_are_empty,
    ambient_ones_reach_a_user,
    a_user_without_ambient_ones_has_none,
    inheritable_ones_are_only_those_listed,
    an_unknown_one_is_warned_about,
    no_new_privs_is_as_configured,
    root_without_a_capability_is_refused_what_it_is_for,
}

const KILL: u64 = 1 << 5;
const NET_BIND: u64 = 1 << 10;
const AUDIT_WRITE: u64 = 1 << 29;

/// Inheritable, permitted, effective, bounding, ambient.
fn sets(scene: &Scene, bundle: &mut Bundle) -> [u64; 5] {
    let done = scene.container(bundle.args(&["cat", "/proc/self/status"])).run();
    done.ok();
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]
        .map(|key| u64::from_str_radix(&process::status_line(&done.stdout, key).unwrap(), 16).unwrap())
}

fn with(scene: &Scene, uid: u32, capabilities: Value) -> [u64; 5] {
    let mut bundle = scene.bundle();
    bundle.set("/process/capabilities", capabilities).set("/process/user/uid", uid);
    sets(scene, &mut bundle)
}

fn sets_are_exact(scene: &Scene) {
    let three = AUDIT_WRITE | KILL | NET_BIND;
    assert_eq!(sets(scene, &mut scene.bundle()), [0, three, three, three, 0]);
    // execve gives root all of the bounding set (capabilities(7)).
    let one = json!(["CAP_KILL"]);
    assert_eq!(with(scene, 0, json!({"bounding": one, "permitted": one, "effective": one})), [0, KILL, KILL, KILL, 0]);
}

fn none_are_held_when_the_lists_are_empty(scene: &Scene) {
    assert_eq!(with(scene, 0, json!({})), [0; 5]);
    let none = json!([]);
    let all = json!({"bounding": none, "permitted": none, "effective": none, "inheritable": none, "ambient": none});
    assert_eq!(with(scene, 1000, all), [0; 5]);
}

fn ambient_ones_reach_a_user(scene: &Scene) {
    let two = json!(["CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let one = json!(["CAP_KILL"]);
    let sets = with(
        scene,
        1000,
        json!({"bounding": two, "permitted": two, "effective": two, "inheritable": two, "ambient": one}),
    );
    assert_eq!(sets, [KILL | NET_BIND, KILL, KILL, KILL | NET_BIND, KILL]);
}

fn a_user_without_ambient_ones_has_none(scene: &Scene) {
    let one = json!(["CAP_KILL"]);
    assert_eq!(with(scene, 1000, json!({"bounding": one, "permitted": one, "effective": one})), [0, 0, 0, KILL, 0]);
}

/// CVE-2022-29162 (SECURITY.md T-32).
fn inheritable_ones_are_only_those_listed(scene: &Scene) {
    let two = json!(["CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    let sets =
        with(scene, 0, json!({"bounding": two, "permitted": two, "effective": two, "inheritable": ["CAP_KILL"]}));
    assert_eq!(sets, [KILL, KILL | NET_BIND, KILL | NET_BIND, KILL | NET_BIND, 0]);
}

/// config.md#linux-process: what cannot be mapped to the kernel is warned about, not refused.
fn an_unknown_one_is_warned_about(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.capabilities(&["CAP_KILL", "CAP_NOSUCH"]).args(&["cat", "/proc/self/status"]);
    let done = scene.container(&bundle).run();
    done.ok().says("CAP_NOSUCH");
    assert_eq!(process::status_line(&done.stdout, "CapBnd").unwrap(), format!("{KILL:016x}"));
}

fn no_new_privs_is_as_configured(scene: &Scene) {
    for (value, shown) in [(true, "1"), (false, "0")] {
        let mut bundle = scene.bundle();
        bundle.set("/process/noNewPrivileges", value).args(&["cat", "/proc/self/status"]);
        let done = scene.container(&bundle).run();
        assert_eq!(process::status_line(&done.ok().stdout, "NoNewPrivs").unwrap(), shown);
    }
}

fn root_without_a_capability_is_refused_what_it_is_for(scene: &Scene) {
    let script = "hostname other 2>/dev/null && echo hostname; mount -t tmpfs none /tmp 2>/dev/null && echo mount; \
                  chroot / true 2>/dev/null && echo chroot; mknod /dev/x c 1 3 2>/dev/null && echo mknod; true";
    assert_eq!(scene.sh(&mut scene.bundle(), script), "");
}
