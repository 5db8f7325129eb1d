//! `--systemd-cgroup` at a bus that does not do what it should (SECURITY.md §3.3, "dbus/systemd hang"): each command ends
//! within its deadline, says which call it was, and nothing is left.

use std::time::{Duration, Instant};

use integration_tests::dbus::{Behaviour, Bus, LIMIT};
use integration_tests::harness::Need;
use integration_tests::lane::Lane;
use integration_tests::scene::Scene;
use serde_json::json;

integration_tests::tests! {
    a_bus_without_an_answer [Need::Planc],
    a_bus_that_hangs_up [Need::Planc],
    a_start_that_fails [Need::Planc],
    a_unit_that_is_in_the_way [Need::Planc],
    no_bus_at_all [Need::Planc],
    a_job_that_does_nothing [Need::Planc],
    explain_and_refusals_ask_no_bus [Need::Planc],
    other_commands_ignore_the_flag [Need::Planc],
}

const ADDRESS: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// What `create` says at a bus of this behaviour, how long it took, and which methods it called.
struct Tried {
    said: String,
    took: Duration,
    calls: Vec<String>,
}

/// Tries all of them at once: some take their time to the last second.
fn tried(scene: &Scene, behaviours: &[Behaviour]) -> Vec<Tried> {
    let scene = &scene.with_systemd();
    let started: Vec<_> = behaviours
        .iter()
        .enumerate()
        .map(|(n, behaviour)| {
            let bus = Bus::listen(scene.path(&format!("bus-{n}")), *behaviour);
            let container = scene.container(&scene.bundle());
            let call = container.create_call(&[]).env(ADDRESS, bus.address()).spawn();
            (bus, container.id, call, Instant::now())
        })
        .collect();
    let ended = started.into_iter().map(|(bus, id, call, start)| {
        let done = call.wait();
        let took = start.elapsed();
        done.fails();
        scene.rt(&["state", &id]).fails().says("does not exist");
        Tried { said: done.stderr, took, calls: bus.calls() }
    });
    ended.collect()
}

#[track_caller]
fn says(tried: &Tried, words: &[&str]) {
    for word in words {
        assert!(tried.said.contains(word), "no {word:?} in {:?}", tried.said);
    }
    assert!(!tried.said.contains("left behind for"), "{}", tried.said);
}

/// T: 10 s, and then all of it is undone.
fn a_bus_without_an_answer(scene: &Scene) {
    let all = tried(
        scene,
        &[
            Behaviour::Mute,
            Behaviour::MuteAt("Hello"),
            Behaviour::MuteAt("AddMatch"),
            Behaviour::MuteAt("StartTransientUnit"),
            Behaviour::EndlessJob,
        ],
    );
    for (tried, call) in all.iter().zip(["connect", "connect", "StartTransientUnit", "StartTransientUnit", "its job"]) {
        says(tried, &[call, "no answer from the bus at unix:path=/", "in 10 s"]);
        let most = LIMIT + Duration::from_secs(3) * Lane::current().patience();
        assert!(tried.took >= LIMIT && tried.took < most, "{:?}: {}", tried.took, tried.said);
    }
}

/// It is connected anew, once.
fn a_bus_that_hangs_up(scene: &Scene) {
    let all = tried(
        scene,
        &[
            Behaviour::HangUpAt("Hello"),
            Behaviour::HangUpAt("StartTransientUnit"),
            Behaviour::Garbage("StartTransientUnit"),
            Behaviour::Reject,
        ],
    );
    says(&all[0], &["closed the connection"]);
    says(&all[1], &["StartTransientUnit: the bus at", "closed the connection"]);
    assert_eq!(all[1].calls.iter().filter(|call| *call == "StartTransientUnit").count(), 2, "{:?}", all[1].calls);
    says(&all[2], &["StartTransientUnit", "is not understood"]);
    says(&all[3], &["lets this caller not in"]);
    assert!(all.iter().all(|tried| tried.took < LIMIT), "nobody waits");
}

fn a_start_that_fails(scene: &Scene) {
    let denied = "org.freedesktop.DBus.Error.AccessDenied";
    let all = tried(
        scene,
        &[Behaviour::Job("failed"), Behaviour::Job("timeout"), Behaviour::Refuse("StartTransientUnit", denied)],
    );
    says(&all[0], &["its job ended as failed"]);
    says(&all[1], &["its job ended as timeout"]);
    says(&all[2], &["StartTransientUnit: it will not (org.freedesktop.DBus.Error.AccessDenied)"]);
    // What may have been started is stopped.
    assert!(all[0].calls.contains(&"GetUnit".to_owned()), "{:?}", all[0].calls);
}

/// What is left of an earlier one is cleared away, once; what lives stays.
fn a_unit_that_is_in_the_way(scene: &Scene) {
    let all = tried(scene, &[Behaviour::Exists("failed"), Behaviour::Exists("inactive"), Behaviour::Exists("active")]);
    let count = |tried: &Tried, name: &str| tried.calls.iter().filter(|call| *call == name).count();
    for (tried, cleared) in all.iter().zip(["ResetFailedUnit", "StopUnit"]) {
        says(tried, &["org.freedesktop.systemd1.UnitExists"]);
        assert_eq!(count(tried, "StartTransientUnit"), 2, "{:?}", tried.calls);
        assert!(count(tried, cleared) >= 1, "{:?}", tried.calls);
    }
    says(&all[2], &["a unit runc-", ".scope is there already, and it is active"]);
    assert_eq!(count(&all[2], "StartTransientUnit"), 1);
    assert_eq!(count(&all[2], "StopUnit") + count(&all[2], "ResetFailedUnit"), 0, "{:?}", all[2].calls);
}

fn no_bus_at_all(scene: &Scene) {
    let scene = &scene.with_systemd();
    for (address, why) in [
        (format!("unix:path={}", scene.path("nowhere").display()), "cannot reach the bus at unix:path=/"),
        ("tcp:host=localhost,port=7".to_owned(), "has no unix:path"),
    ] {
        let container = scene.container(&scene.bundle());
        container.create_call(&[]).env(ADDRESS, address).done().fails().says(why).says("have systemd start the unit");
        container.assert_gone();
    }
}

/// What says that all went well is not believed: init is looked for.
fn a_job_that_does_nothing(scene: &Scene) {
    let all = tried(scene, &[Behaviour::Job("done")]);
    says(&all[0], &["init is not there, but in /"]);
}

fn explain_and_refusals_ask_no_bus(scene: &Scene) {
    let bus = Bus::listen(scene.path("bus"), Behaviour::Reject);
    let scene = &scene.with_systemd().with_variable(ADDRESS, bus.address());
    let mut bundle = scene.bundle();
    bundle.set("/linux/cgroupsPath", "a-b.slice:planc:name");
    bundle
        .set(
            "/annotations",
            json!({"org.systemd.property.TimeoutStopSec": "3", "org.systemd.property.MemoryMax": "uint64 33554432"}),
        )
        .write();
    let done = scene.rt(&["explain", "--bundle", bundle.arg()]);
    for words in [
        "planc-name.scope",
        "/a.slice/a-b.slice/planc-name.scope",
        "ask for MemoryMax=33554432",
        "TimeoutStopUSec=3000000",
    ] {
        assert!(done.ok().stdout.contains(words), "no {words:?} in {}", done.stdout);
    }
    for (pointer, value) in [
        ("/linux/cgroupsPath", json!("/a/path")),
        ("/linux/cgroupsPath", json!("a:b")),
        ("/linux/cgroupsPath", json!("a:b:c:d")),
        ("/linux/cgroupsPath", json!("../x.slice:b:c")),
        ("/linux/cgroupsPath", json!("a--b.slice:b:c")),
        ("/linux/cgroupsPath", json!("no-slice:b:c")),
        ("/linux/cgroupsPath", json!("a.slice:b:c/d")),
        ("/linux/cgroupsPath", json!(format!("a.slice:b:{}", "c".repeat(255)))),
        ("/annotations/org.systemd.property.MemoryMax", json!("lots")),
        ("/annotations/org.systemd.property.PIDs", json!("[1]")),
        ("/annotations/org.systemd.property.x", json!("1")),
        ("/annotations/org.systemd.property.TimeoutStopSec", json!("-3")),
    ] {
        let mut bundle = scene.bundle();
        bundle.set("/annotations", json!({})).set(pointer, value);
        scene.refused(&bundle, pointer);
    }
    assert_eq!(bus.calls(), [""; 0]);
}

/// Engines pass it to every command. It means something only where a cgroup is made.
fn other_commands_ignore_the_flag(scene: &Scene) {
    let bus = Bus::listen(scene.path("bus"), Behaviour::Reject);
    let plain = scene.without_flags();
    let container = plain.container(plain.bundle().sleep());
    container.create();
    let scene = &scene.with_systemd().with_variable(ADDRESS, bus.address());
    for command in [
        &["start", &container.id][..],
        &["state", &container.id],
        &["list"],
        &["exec", &container.id, "true"],
        &["kill", &container.id, "KILL"],
        &["delete", "--force", &container.id],
        &["features"],
        &["--version"],
    ] {
        scene.rt(command).ok();
    }
    assert_eq!(bus.calls(), [""; 0]);
}
