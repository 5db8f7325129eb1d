//! Network devices of the host (runtime-spec config-linux.md#network-devices): moved with their names and addresses, and
//! back again where the container is not made.

use std::process::{Command, Stdio};

use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::process;
use integration_tests::runtime::Kind;
use integration_tests::scene::Scene;
use serde_json::json;

use crate::killsweep::stop_and_kill;
use crate::planc::steps_with;

const VETH: Need = Need::Works("ip link add planc-try type veth peer name planc-try-p && ip link del planc-try");
const OF_1_3: Need = Need::Spec(1, 3);

integration_tests::tests! {
    keeps_name_and_addresses_and_is_up [OF_1_3, VETH],
    keeps_only_permanent_global_addresses [OF_1_3, VETH],
    is_renamed [OF_1_3, VETH],
    two_swap_their_names [OF_1_3, VETH],
    takes_a_number_from_the_kernel [OF_1_3, VETH],
    goes_into_a_user_namespace [OF_1_3, VETH],
    goes_into_a_joined_namespace_and_stays_there [OF_1_3, VETH],
    is_seen_by_hooks [OF_1_3, VETH],
    comes_back_when_create_fails [OF_1_3, VETH],
    comes_back_out_of_a_user_namespace [OF_1_3, VETH],
    comes_back_out_of_a_joined_namespace [OF_1_3, VETH],
    comes_back_when_create_was_killed [Need::Failpoints, VETH],
    stays_in_a_joined_namespace_when_it_is_deleted [OF_1_3, VETH],
    refuses_a_missing_one_before_anything_is_made [OF_1_3, VETH],
    refuses_a_name_that_is_taken [OF_1_3, VETH],
    refuses_a_joined_namespace_that_is_the_hosts [OF_1_3, VETH],
    refuses_the_hosts_namespace [OF_1_3],
    refuses_odd_names [OF_1_3],
    refuses_a_rootless_caller [OF_1_3],
}

/// Runs a command of iproute2 in the lane; its output.
#[track_caller]
fn ip(line: &str) -> String {
    let output = Command::new("ip").args(line.split(' ')).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "ip {line}");
    String::from_utf8(output.stdout).unwrap()
}

/// One end of a cable of the lane, gone when this is dropped; the other end, which stays where it is, has a `p` behind its
/// name.
struct Veth(String);

impl Veth {
    fn new(name: &str) -> Self {
        ip(&format!("link add {name} type veth peer name {name}p"));
        Self(name.to_owned())
    }

    /// With a hardware address, addresses of each family, up.
    fn with_addresses(name: &str) -> Self {
        let veth = Self::new(name);
        ip(&format!("link set {name} address 02:00:00:00:00:2a mtu 1400"));
        ip(&format!("link set {name} up"));
        ip(&format!("address add 192.0.2.1/24 dev {name}"));
        ip(&format!("address add 192.0.2.2/24 dev {name}"));
        ip(&format!("address add 2001:db8::1/64 dev {name} nodad"));
        veth
    }

    /// What the lane says of it: its name, index, MTU, hardware address, whether it is up, and its addresses. Not what the
    /// kernel finds out by and by.
    fn seen(&self) -> String {
        let link = words(&ip(&format!("-oneline link show dev {}", self.0)));
        let after =
            |word: &str| link.split(' ').skip_while(|other| *other != word).nth(1).unwrap_or_default().to_owned();
        let is_up = link.contains(",UP");
        let head: Vec<_> = link.split(' ').take(2).collect();
        let addresses = ip(&format!("-oneline address show dev {}", self.0));
        let global = addresses.lines().filter(|line| line.contains("scope global")).map(words).collect::<Vec<_>>();
        format!("{head:?} {} {} {is_up} {global:?}", after("mtu"), after("link/ether"))
    }
}

fn words(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Drop for Veth {
    fn drop(&mut self) {
        // Whoever took one end along, the other one is here, or both are gone.
        let mut delete = Command::new("ip");
        let _ = delete.args(["link", "del", &format!("{}p", self.0)]).stderr(Stdio::null()).status();
    }
}

fn bundle(scene: &Scene, devices: serde_json::Value) -> Bundle {
    let mut bundle = scene.bundle();
    bundle.set("/linux/netDevices", devices);
    bundle
}

/// What busybox says of an interface, in the container.
fn show(name: &str) -> String {
    format!("ip link show dev {name}; ip address show dev {name}; cat /sys/class/net/{name}/mtu")
}

fn keeps_name_and_addresses_and_is_up(scene: &Scene) {
    let _device = Veth::with_addresses("pd0");
    let seen = scene.sh(&mut bundle(scene, json!({"pd0": {}})), &show("pd0"));
    for what in ["UP", "02:00:00:00:00:2a", "inet 192.0.2.1/24", "inet 192.0.2.2/24", "inet6 2001:db8::1/64", "1400"] {
        assert!(seen.contains(what), "{what}: {seen}");
    }
    // The second one of a subnet stays the second one.
    assert!(seen.find("192.0.2.1") < seen.find("192.0.2.2"), "{seen}");
}

fn keeps_only_permanent_global_addresses(scene: &Scene) {
    let _device = Veth::with_addresses("pd0");
    ip("address add 198.51.100.1/24 dev pd0 valid_lft 1000 preferred_lft 1000");
    ip("address add 203.0.113.1/24 dev pd0 scope link");
    let seen = scene.sh(&mut bundle(scene, json!({"pd0": {}})), &show("pd0"));
    assert!(seen.contains("192.0.2.1/24"), "{seen}");
    assert!(!seen.contains("198.51.100.1") && !seen.contains("203.0.113.1"), "{seen}");
}

fn is_renamed(scene: &Scene) {
    let _device = Veth::with_addresses("pd0");
    let seen =
        scene.sh(&mut bundle(scene, json!({"pd0": {"name": "eth0"}})), &format!("{}; ls /sys/class/net", show("eth0")));
    assert!(seen.contains("inet 192.0.2.1/24") && seen.contains("UP"), "{seen}");
    assert!(!seen.contains("pd0"), "also its addresses' label: {seen}");
}

fn two_swap_their_names(scene: &Scene) {
    let (_one, _two) = (Veth::with_addresses("pd0"), Veth::new("pd1"));
    let mut bundle = bundle(scene, json!({"pd0": {"name": "pd1"}, "pd1": {"name": "pd0"}}));
    let seen = scene.sh(&mut bundle, "cat /sys/class/net/pd1/address; cat /sys/class/net/pd0/address");
    let lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines[0], "02:00:00:00:00:2a");
    assert_ne!(lines[1], lines[0]);
}

/// The name may be a template with %d.
fn takes_a_number_from_the_kernel(scene: &Scene) {
    let (_one, _two) = (Veth::with_addresses("pd0"), Veth::new("pd1"));
    let mut bundle = bundle(scene, json!({"pd0": {"name": "pe%d"}, "pd1": {"name": "pe%d"}}));
    let seen = scene.sh(&mut bundle, "ls -d /sys/class/net/p*; ip address show dev pe0; ip link show dev pe1");
    assert!(seen.starts_with("/sys/class/net/pe0\n/sys/class/net/pe1\n"), "{seen}");
    assert!(seen.contains("192.0.2.1/24"), "{seen}");
}

fn goes_into_a_user_namespace(scene: &Scene) {
    let _device = Veth::with_addresses("pd0");
    let mut bundle = bundle(scene, json!({"pd0": {"name": "eth0"}}));
    let seen = scene.sh(bundle.user_namespace(200_000), &show("eth0"));
    assert!(seen.contains("inet 192.0.2.1/24") && seen.contains("UP"), "{seen}");
}

/// A network namespace that a process holds.
fn held() -> (std::process::Child, String) {
    let holder = Command::new("unshare").args(["--net", "sleep", "1000"]).spawn().unwrap();
    let own = process::namespaces("self");
    let others = || process::namespaces(holder.id()).get("net") != own.get("net");
    process::wait_until(std::time::Duration::from_secs(10), "unshare has unshared", others);
    let path = format!("/proc/{}/ns/net", holder.id());
    (holder, path)
}

fn inside(path: &str, line: &str) -> String {
    let output = Command::new("nsenter").arg(format!("--net={path}")).arg("ip").args(line.split(' ')).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What becomes of it after that is the namespace's maker's business.
fn goes_into_a_joined_namespace_and_stays_there(scene: &Scene) {
    let _device = Veth::with_addresses("pd0");
    let (mut holder, path) = held();
    let mut bundle = bundle(scene, json!({"pd0": {"name": "eth0"}}));
    let seen = scene.sh(bundle.namespace("network", Some(&path)), &show("eth0"));
    let after = inside(&path, "address show dev eth0");
    holder.kill().unwrap();
    holder.wait().unwrap();
    for seen in [seen, after] {
        assert!(seen.contains("inet 192.0.2.1/24") && seen.contains("UP"), "{seen}");
    }
}

fn is_seen_by_hooks(scene: &Scene) {
    let _device = Veth::with_addresses("pd0");
    let said = scene.path("said");
    let script = format!(
        "pid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/'); nsenter --net=/proc/$pid/ns/net ip address > {}",
        said.display()
    );
    let mut bundle = bundle(scene, json!({"pd0": {}}));
    bundle.set("/hooks", json!({"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/bin:/bin:/usr/sbin:/sbin"]}]}));
    scene.container(&bundle).run().ok();
    let said = std::fs::read_to_string(said).unwrap();
    assert!(said.contains("inet 192.0.2.1/24"), "{said}");
}

/// runtime.md#errors: as if the operation was never attempted.
#[track_caller]
fn comes_back(scene: &Scene, device: &Veth, bundle: &mut Bundle) {
    ip("address add 203.0.113.1/24 dev pd0 scope link");
    let before = device.seen();
    let done = scene.refused(bundle.args(&["/no/such/program"]), "config.json /process/args/0");
    done.says("no such file or directory");
    assert_eq!(device.seen(), before);
    assert!(ip("address show dev pd0").contains("203.0.113.1/24"), "scope link");
}

fn comes_back_when_create_fails(scene: &Scene) {
    let (device, other) = (Veth::with_addresses("pd0"), Veth::new("pd1"));
    let before = other.seen();
    comes_back(scene, &device, &mut bundle(scene, json!({"pd0": {"name": "pd1"}, "pd1": {"name": "eth%d"}})));
    assert_eq!(other.seen(), before, "one that was down is down");
}

fn comes_back_out_of_a_user_namespace(scene: &Scene) {
    let device = Veth::with_addresses("pd0");
    comes_back(scene, &device, bundle(scene, json!({"pd0": {"name": "eth0"}})).user_namespace(200_000));
}

fn comes_back_out_of_a_joined_namespace(scene: &Scene) {
    let device = Veth::with_addresses("pd0");
    let (mut holder, path) = held();
    comes_back(scene, &device, bundle(scene, json!({"pd0": {"name": "eth0"}})).namespace("network", Some(&path)));
    holder.kill().unwrap();
    holder.wait().unwrap();
}

/// A create that is killed, whatever it was at: what it had moved to a namespace that outlives it comes back with the delete.
fn comes_back_when_create_was_killed(scene: &Scene) {
    let (device, other) = (Veth::with_addresses("pd0"), Veth::new("pd1"));
    let (mut holder, path) = held();
    let mut bundle = bundle(scene, json!({"pd0": {"name": "eth0"}, "pd1": {"name": "pd0"}}));
    bundle.namespace("network", Some(&path));
    let before = (device.seen(), other.seen());
    let steps = steps_with(scene, &bundle, &[]);
    let container = scene.container(&bundle);
    let of = |op: &str| steps.iter().position(|step| step["op"] == op).unwrap_or_else(|| panic!("no {op}"));
    for index in [of("MoveNetDevice"), of("MoveNetDevice") + 1, of("MoveNetDevice") + 2, of("RecordState")] {
        stop_and_kill(container.create_call(&[]), index + 1);
        container.delete_force();
        assert_eq!((device.seen(), other.seen()), before, "killed at {}", steps[index]);
        container.assert_gone();
    }
    // Where somebody has ended the namespace meanwhile nothing can be given back, and the delete says so.
    stop_and_kill(container.create_call(&[]), of("RecordState") + 1);
    holder.kill().unwrap();
    holder.wait().unwrap();
    scene.rt(&["delete", "--force", &container.id]).ok().says("were not given back");
    container.assert_gone();
}

/// Once it is created it is as config.json says, and what is in the namespace is its maker's business.
fn stays_in_a_joined_namespace_when_it_is_deleted(scene: &Scene) {
    let _device = Veth::with_addresses("pd0");
    let (mut holder, path) = held();
    let mut bundle = bundle(scene, json!({"pd0": {"name": "eth0"}}));
    let container = scene.container(bundle.namespace("network", Some(&path)));
    container.create();
    container.delete_force();
    let after = inside(&path, "address show dev eth0");
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(after.contains("inet 192.0.2.1/24"), "{after}");
}

fn refuses_a_missing_one_before_anything_is_made(scene: &Scene) {
    let device = Veth::with_addresses("pd0");
    // A device that was moved loses the routes an administrator gave it: so nothing is moved before all are found.
    ip("route add 198.51.100.0/24 dev pd0");
    let routes = ip("route show dev pd0");
    let before = device.seen();
    let done = scene.refused(&bundle(scene, json!({"pd0": {}, "pd9": {}})), "config.json /linux/netDevices/pd9");
    if scene.runtime.kind == Kind::Planc {
        done.says("cannot find the network device pd9: the host has no such device");
    }
    assert_eq!((device.seen(), ip("route show dev pd0")), (before, routes));
}

fn refuses_a_name_that_is_taken(scene: &Scene) {
    let device = Veth::with_addresses("pd0");
    let before = device.seen();
    let done = scene.refused(&bundle(scene, json!({"pd0": {"name": "lo"}})), "config.json /linux/netDevices/pd0");
    done.says("EEXIST");
    assert_eq!(device.seen(), before);
}

fn refuses_a_joined_namespace_that_is_the_hosts(scene: &Scene) {
    let device = Veth::with_addresses("pd0");
    let before = device.seen();
    let mut bundle = bundle(scene, json!({"pd0": {"name": "eth0"}}));
    bundle.namespace("network", Some("/proc/self/ns/net"));
    // Of /proc/self the runtime opens its own.
    scene.refused(&bundle, "config.json /linux/netDevices/pd0");
    assert_eq!(device.seen(), before);
}

fn refuses_the_hosts_namespace(scene: &Scene) {
    let mut bundle = bundle(scene, json!({"lo": {}}));
    bundle.namespace("network", None).unmount("/sys/fs/cgroup").unmount("/sys");
    scene.refused(&bundle, "config.json /linux/netDevices").says("network namespace");
}

fn refuses_odd_names(scene: &Scene) {
    for name in ["a/b", "a:b", "a b", "..", "sixteen-bytes-xx"] {
        let devices = json!({"pd0": {"name": name}});
        scene.refused(&bundle(scene, devices), "config.json /linux/netDevices/pd0/name");
    }
    scene.refused(
        &bundle(scene, json!({"pd0": {"name": "eth0"}, "pd1": {"name": "eth0"}})),
        "config.json /linux/netDevices/pd1/name",
    );
}

fn refuses_a_rootless_caller(scene: &Scene) {
    let mut bundle = bundle(scene, json!({"lo": {"name": "eth0"}}));
    bundle.rootless(1000).write();
    let root = scene.path("of-the-user");
    std::fs::create_dir(&root).unwrap();
    std::os::unix::fs::chown(&root, Some(1000), Some(1000)).unwrap();
    let user = ["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"];
    let create = ["--root", root.to_str().unwrap(), "create", "--bundle", bundle.arg(), "rootless"];
    scene.call_by(&user, &create).done().fails().says("config.json /linux/netDevices").says("rootless");
}
