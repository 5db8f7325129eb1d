//! What `ctr` hands on to the shim: runc's options, and a file of one's own.

use std::fs;
use std::path::Path;

use integration_tests::containerd::Containerd;
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::scene::Scene;
use integration_tests::shim::NAMESPACE;

const NATIVE: Need = Need::Lane(Lane::Native);

integration_tests::containerd_tests! {
    in_the_place_of_runc [NATIVE],
    a_file_of_options [NATIVE, Need::Planc],
    a_file_with_what_is_unknown [NATIVE, Need::Planc],
}

/// Under the name of runc's shim, with its options.
fn in_the_place_of_runc(scene: &Scene, program: &Path) {
    let containerd = Containerd::start_in_the_place_of_runc(scene, program);
    let root = scene.path("states");
    let id = containerd.sleeping(&["--runc-root", root.to_str().unwrap()]);
    assert!(root.join(NAMESPACE).join(&id).is_dir(), "its state is not below --runc-root");
    assert_eq!(containerd.exec(&id, &[], &["echo", "well"]).ok().out(), "well\n");
    assert_eq!(containerd.stop(&id), 137);
    assert!(!root.join(NAMESPACE).join(&id).exists());
    // No lane but one has a systemd: an option that cannot be had is refused, and not forgotten.
    let id = scene.id();
    let words = containerd.run_words(&["--detach", "--runc-systemd-cgroup", "--cgroup", "a.slice:b:c"], &id, &["true"]);
    let refused = containerd.try_ctr(&words);
    assert!(!refused.status.success() && refused.err().contains("systemd"), "{refused:?}");
    containerd.try_ctr(&["container", "delete", &id]);
    containerd.end();
}

/// `runtimeoptions.v1` with the path of a TOML file, which is how CRI hands options to a shim that is not runc's.
fn a_file_of_options(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let (root, file) = (scene.path("states"), scene.path("options.toml"));
    fs::write(&file, format!("Root = {root:?}\nNoNewKeyring = true\n")).unwrap();
    let id = containerd.sleeping(&["--runtime-config-path", file.to_str().unwrap()]);
    assert!(root.join(NAMESPACE).join(&id).is_dir(), "its state is not below Root");
    assert_eq!(containerd.stop(&id), 137);
    containerd.end();
}

fn a_file_with_what_is_unknown(scene: &Scene, program: &Path) {
    let containerd = Containerd::start(scene, program);
    let file = scene.path("options.toml");
    fs::write(&file, "NoSuchOption = true\n").unwrap();
    let id = scene.id();
    let words = containerd.run_words(&["--detach", "--runtime-config-path", file.to_str().unwrap()], &id, &["true"]);
    let refused = containerd.try_ctr(&words);
    assert!(!refused.status.success() && refused.err().contains("NoSuchOption"), "{refused:?}");
    containerd.try_ctr(&["container", "delete", &id]);
    containerd.end();
}
