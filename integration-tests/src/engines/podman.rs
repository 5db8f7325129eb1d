//! Podman, as root and as a user without privilege: no daemon, but a configuration and a storage of its own.

use std::fs;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::session::Session;
use crate::lane::Lane;
use crate::runtime::Runtime;

/// The user without privilege, who is in the group [`GROUP`] too, and has ids from 500000 on.
pub const USER: u32 = 4321;
/// A group of that user which no container has unless it keeps its caller's.
pub const GROUP: u32 = 4333;

/// Every container, and what only containers have use for. What is not there is not looked for with `podman`: each call
/// takes a while.
const CLEANING: &str = r#"
    podman pod rm --all --force --time 0
    podman rm --all --force --volumes --time 0
    [ -z "$(ls "$GRAPH/volumes" 2> /dev/null)" ] || podman volume prune --force
    [ -z "$(ls "$GRAPH/../networks" 2> /dev/null | grep -v lock)" ] || podman network prune --force
    podman secret ls --quiet | xargs --no-run-if-empty podman secret rm
"#;

/// What runtimes keep of a container, and its cgroup.
const RESTS: &str = "
    for states in runc crun planc; do
        [ ! -d $STATES/$states ] || find $STATES/$states -mindepth 1 -maxdepth 1 ! -name '.*'
    done
    find /sys/fs/cgroup/ -name 'libpod-*' -type d
";

/// Podman as root, with cgroups that the runtime makes, and with the image `busybox`.
#[track_caller]
pub fn start(runtime: &Runtime) -> Session {
    let mut session = new(runtime, "/run/p", &data(), "cgroupfs");
    session.set("STATES", "/run");
    // Whose ids --userns=auto takes.
    with_ids("containers:600000:262144");
    with_image(session)
}

/// Podman as root, with cgroups that systemd makes, and with the image `busybox`.
#[track_caller]
pub fn start_systemd(runtime: &Runtime) -> Session {
    assert_eq!(Lane::current(), Lane::UmlSystemd, "there is no systemd in this lane");
    let mut session = new(runtime, "/run/p", &data(), "systemd");
    session.set("STATES", "/run");
    // Podman has systemd's timers call podman again.
    session.ok(
        "systemctl set-environment CONTAINERS_CONF=$CONTAINERS_CONF CONTAINERS_STORAGE_CONF=$CONTAINERS_STORAGE_CONF",
    );
    with_image(session)
}

/// Podman as [`USER`], whose cgroup is delegated, and with the image `busybox`.
#[track_caller]
pub fn start_rootless(runtime: &Runtime) -> Session {
    let graph = data().join("user");
    fs::create_dir_all(&graph).unwrap();
    let mut session = new(runtime, "/run/u", &graph, "cgroupfs");
    with_ids("person:500000:65536\ncontainers:600000:262144");
    let own = format!("/run/user/{USER}");
    session.set("XDG_RUNTIME_DIR", &own);
    session.set("STATES", &own);
    session.set("USER", "person");
    // Of the machine only its user may use it.
    session.ok("mknod -m 666 /run/tun c 10 200 && mount --bind /run/tun /dev/net/tun");
    let cgroup = "/sys/fs/cgroup/person";
    session.ok(&format!(
        "mkdir -p {own} {cgroup}/session && chmod 755 {graph}
        chown -R {USER}:{USER} {own} {home} {graph} {cgroup}/session
        chown {USER}:{USER} {cgroup} {cgroup}/cgroup.procs {cgroup}/cgroup.subtree_control {cgroup}/cgroup.threads
        for controller in $(cat {cgroup}/cgroup.controllers); do
            echo +$controller > {cgroup}/cgroup.subtree_control
        done",
        home = session.home.display(),
        graph = graph.display(),
    ));
    let drop = format!("exec setpriv --reuid {USER} --regid {USER} --groups {USER},{GROUP} --inh-caps=-all -- \"$@\"");
    session.by(&["sh", "-c", &format!("echo $$ > {cgroup}/session/cgroup.procs && {drop}"), "sh"]);
    with_image(session)
}

/// The lane's tmpfs: overlays do not stack on every file system.
pub(super) fn data() -> PathBuf {
    PathBuf::from(std::env::var_os("LANE_DATA").expect("LANE_DATA: cargo xtask engines sets it"))
}

/// The configuration files, in `home`; images and containers are in `data`.
pub(super) fn new(runtime: &Runtime, home: &str, data: &Path, cgroups: &str) -> Session {
    // What is mounted later is to be seen in containers too, as on a machine that systemd has started.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>).unwrap();
    let mut session = Session::new(runtime, Path::new(home), CLEANING, RESTS);
    let graph = data.join("graph");
    let containers = format!(
        "[containers]
# Where the machine has no such controller, nothing can be limited.
{pids}
[network]
network_backend = \"netavark\"
network_config_dir = \"{networks}\"
[engine]
runtime = \"judged\"
runtime_supports_json = [\"judged\"]
runtime_supports_nocgroup = [\"judged\"]
cgroup_manager = \"{cgroups}\"
events_logger = \"file\"
[engine.runtimes]
judged = [\"{runtime}\"]
",
        pids = if has_controller("pids") { "" } else { "pids_limit = 0" },
        runtime = runtime.path.display(),
        // Not below /run, which a user's network namespace covers.
        networks = data.join("networks").display(),
    );
    let storage = format!(
        "[storage]\ndriver = \"overlay\"\nrunroot = \"{home}/run\"\ngraphroot = \"{graph}\"\nrootless_storage_path = \"{graph}\"\n",
        graph = graph.display()
    );
    for (name, text) in [("containers.conf", containers), ("storage.conf", storage)] {
        fs::write(session.path(name), text).unwrap();
    }
    session.set("CONTAINERS_CONF", format!("{home}/containers.conf"));
    session.set("CONTAINERS_STORAGE_CONF", format!("{home}/storage.conf"));
    session.set("GRAPH", graph.to_str().unwrap());
    session
}

fn has_controller(name: &str) -> bool {
    fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").is_ok_and(|all| all.split_whitespace().any(|c| c == name))
}

/// The people of the lane: those of the machine and [`USER`], and whose subordinate ids are whose.
pub(super) fn with_ids(ranges: &str) {
    let ranges = format!("{ranges}\n");
    let person = format!("person:x:{USER}:{USER}::/run/u:/bin/bash\n");
    let groups = format!("person:x:{USER}:\nfriends:x:{GROUP}:person\n");
    let machines = |name: &str| fs::read_to_string(format!("/etc/{name}")).unwrap();
    let files = [
        ("passwd", machines("passwd") + &person),
        ("group", machines("group") + &groups),
        ("subuid", ranges.clone()),
        ("subgid", ranges),
    ];
    for (name, text) in files {
        let file = format!("/run/people-{name}");
        fs::write(&file, text).unwrap();
        let over = format!("/etc/{name}");
        mount(Some(file.as_str()), over.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    }
}

#[track_caller]
pub(super) fn with_image(session: Session) -> Session {
    let busybox = Session::images().join("busybox.tar");
    session.ok(&format!("podman import -c 'CMD [\"sh\"]' -c 'ENV PATH=/bin' {} busybox", busybox.display()));
    session
}
