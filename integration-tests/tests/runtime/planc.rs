//! What only planc promises: `explain`, errors that name the step and the place, and `demo`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::scene::Scene;
use serde_json::{Value, json};

integration_tests::tests! {
    explain_lists_the_steps_as_json [Need::Planc],
    explain_reads_aloud [Need::Planc],
    explain_shows_one_step [Need::Planc],
    explain_refuses_what_create_refuses [Need::Planc],
    explain_asks_for_no_root [Need::Planc],
    explain_tells_the_time_of_each_step [Need::Planc],
    create_points_at_what_it_refuses [Need::Planc],
    create_says_the_step_that_failed [Need::Planc],
    start_says_the_step_that_failed [Need::Planc],
    demo_runs [Need::Planc],
}

/// The steps of the plan of a bundle, as `explain --json` lists them for `create` with these options.
pub(crate) fn steps_with(scene: &Scene, bundle: &Bundle, options: &[&str]) -> Vec<Value> {
    bundle.write();
    let done = scene.rt(&[&["explain", "--json", "--bundle", bundle.arg()], options].concat());
    done.ok();
    done.json()["steps"].as_array().unwrap_or_else(|| panic!("no steps: {done}")).clone()
}

fn steps(scene: &Scene, bundle: &Bundle) -> Vec<Value> {
    steps_with(scene, bundle, &[])
}

fn explain_lists_the_steps_as_json(scene: &Scene) {
    let steps = steps(scene, &scene.bundle());
    assert!(steps.len() > 30, "{} steps", steps.len());
    for (index, step) in steps.iter().enumerate() {
        assert_eq!(step["number"], json!(index + 1));
        assert!(["host", "init"].contains(&step["actor"].as_str().unwrap()), "{step}");
        assert!(!step["op"].as_str().unwrap().is_empty() && !step["sentence"].as_str().unwrap().is_empty(), "{step}");
        let origin = step["origin"].as_str().unwrap();
        assert!(origin.is_empty() || origin.starts_with('/'), "{step}");
    }
    let position = |op: &str| steps.iter().position(|step| step["op"] == op).unwrap_or_else(|| panic!("no {op}"));
    assert!(position("SpawnInit") < position("RecordState") && position("RecordState") < position("AwaitStart"));
    assert_eq!(position("Execute"), steps.len() - 1, "execve is the last step");
    let mqueue = steps.iter().find(|step| step["origin"] == "/mounts/4").unwrap();
    assert!(mqueue["sentence"].as_str().unwrap().contains("/dev/mqueue"), "{mqueue}");
}

fn explain_reads_aloud(scene: &Scene) {
    let bundle = scene.bundle();
    let steps = steps(scene, &bundle);
    let done = scene.rt(&["explain", "--bundle", bundle.arg()]);
    done.ok();
    for step in steps {
        let sentence = step["sentence"].as_str().unwrap();
        assert!(done.stdout.contains(sentence), "no {sentence:?}: {done}");
    }
}

fn explain_shows_one_step(scene: &Scene) {
    let bundle = scene.bundle();
    let steps = steps(scene, &bundle);
    let done = scene.rt(&["explain", "--step", "2", "--bundle", bundle.arg()]);
    done.ok();
    assert!(done.stdout.contains(steps[1]["sentence"].as_str().unwrap()), "{done}");
    assert!(!done.stdout.contains(steps[2]["sentence"].as_str().unwrap()), "{done}");
    scene.rt(&["explain", "--step", "1000", "--bundle", bundle.arg()]).fails();
}

fn explain_refuses_what_create_refuses(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.set("/process/cwd", "relative").write();
    scene.rt(&["explain", "--bundle", bundle.arg()]).fails().says("/process/cwd");
}

fn explain_asks_for_no_root(scene: &Scene) {
    let bundle = scene.bundle();
    bundle.write();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    scene.call_by(&nobody, &["explain", "--bundle", bundle.arg()]).done().ok();
}

/// By making the container, whose program is never executed, and of which nothing is left (the harness looks).
fn explain_tells_the_time_of_each_step(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.sh("echo executed").write();
    let done = scene.rt(&["explain", "--timing", "--bundle", bundle.arg(), "timed"]);
    done.ok();
    assert!(!done.stdout.contains("executed\n"), "{done}");
    let lines: Vec<Vec<&str>> = done.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let steps = steps(scene, &bundle);
    for (step, line) in steps.iter().zip(&lines[1..]) {
        assert_eq!((line[0].parse(), line[1]), (Ok(step["number"].as_u64().unwrap()), step["actor"].as_str().unwrap()));
        let is_done = !["AwaitStart", "Execute"].contains(&step["op"].as_str().unwrap());
        assert!(line[2].parse::<f64>().is_ok() || !is_done, "{line:?}");
    }
    assert_eq!(lines.len(), steps.len() + 2, "{done}");
    scene.rt(&["state", "timed"]).fails().says("does not exist");
    for other in [&["--json"][..], &["--run"], &["--step", "1"]] {
        scene.rt(&[&["explain", "--timing", "--bundle", bundle.arg()], other].concat()).fails().says("--timing");
    }
}

fn create_points_at_what_it_refuses(scene: &Scene) {
    let cases: [(&str, Value); 8] = [
        ("/process/cwd", json!("relative")),
        ("/process/args", json!([])),
        ("/process/env/1", json!("no value")),
        ("/mounts/1/options/2", json!("sizee=1m")),
        ("/linux/namespaces/2/type", json!("nosuch")),
        ("/linux/maskedPaths/3", json!("relative")),
        ("/linux/rootfsPropagation", json!("nosuch")),
        ("/process/rlimits/0/type", json!("RLIMIT_NOSUCH")),
    ];
    for (pointer, value) in cases {
        let mut bundle = scene.bundle();
        // The closest member that an older reader would name is enough: /mounts/1 for one of its options.
        let place = pointer.rsplit_once("/options").map_or(pointer, |(mount, _)| mount);
        scene.refused(bundle.set(pointer, value), place.trim_end_matches("/type"));
    }
}

fn create_says_the_step_that_failed(scene: &Scene) {
    let mut bundle = scene.bundle();
    bundle.mount("/data", "tmpfs", "tmpfs", &["mode=nonsense"]);
    scene.refused(&bundle, "/mounts/7").says("step ");
}

/// runtime.md#start: what cannot be run is an error of start, here with its step and errno.
fn start_says_the_step_that_failed(scene: &Scene) {
    type Spoil = fn(&std::path::Path);
    let vanish: Spoil = |program| fs::remove_file(program).unwrap();
    let lose_x: Spoil = |program| fs::set_permissions(program, fs::Permissions::from_mode(0o644)).unwrap();
    let truncate: Spoil = |program| fs::write(program, "\x7fELF, but no more").unwrap();
    for (spoil, text) in
        [(vanish, "no such file or directory"), (lose_x, "permission denied"), (truncate, "exec format error")]
    {
        let bundle = scene.bundle();
        let container = scene.container(&bundle);
        container.create();
        let pid = container.pid();
        spoil(&bundle.rootfs("/bin/busybox"));
        let done = scene.rt(&["start", &container.id]);
        done.fails().says("step ");
        assert!(done.stderr.to_lowercase().contains(text), "no {text:?}: {done}");
        container.wait_end(pid);
        container.delete();
    }
}

fn demo_runs(scene: &Scene) {
    let done = scene.call(&["demo"]).dir(&scene.path("")).done();
    done.ok();
    for word in ["pid", "hostname", "capabilities", "cgroup"] {
        assert!(done.stdout.to_lowercase().contains(word), "no {word}: {done}");
    }
}
