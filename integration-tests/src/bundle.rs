//! Bundles: a busybox root filesystem and the config.json that `spec` writes, edited by JSON pointer (RFC 6901).

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

const BUSYBOX: &str = "/bin/busybox";

/// A bundle directory. config.json is written by [`Self::write`], so that a test may write something else.
#[derive(Clone, Debug)]
pub struct Bundle {
    dir: PathBuf,
    /// What config.json will say.
    pub config: Value,
}

impl Bundle {
    /// Makes `dir` with a busybox root filesystem; the program is `/bin/true`.
    pub fn new(dir: PathBuf) -> Self {
        let rootfs = dir.join("rootfs");
        for path in ["bin", "dev", "etc", "proc", "root", "sys", "tmp"] {
            fs::create_dir_all(rootfs.join(path)).unwrap();
        }
        fs::set_permissions(rootfs.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::write(rootfs.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n")
            .unwrap();
        // A copy, not a link: root of a container may write to it.
        fs::copy(BUSYBOX, rootfs.join("bin/busybox")).unwrap();
        for applet in applets() {
            symlink("busybox", rootfs.join("bin").join(applet)).unwrap();
        }
        Self { dir, config: default_config() }
    }

    /// The bundle's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bundle's directory as an argument.
    pub fn arg(&self) -> &str {
        self.dir.to_str().unwrap()
    }

    /// A path below the root filesystem's directory, as the host sees it.
    pub fn rootfs(&self, path: &str) -> PathBuf {
        self.dir.join("rootfs").join(path.trim_start_matches('/'))
    }

    /// Sets what `pointer` points at; its parent must exist, and `/-` appends to an array.
    pub fn set(&mut self, pointer: &str, value: impl Into<Value>) -> &mut Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match self.config.pointer_mut(parent).unwrap_or_else(|| panic!("config.json has no {parent}")) {
            Value::Object(object) => {
                object.insert(key.replace("~1", "/").replace("~0", "~"), value.into());
            }
            Value::Array(array) if key == "-" => array.push(value.into()),
            Value::Array(array) => array[key.parse::<usize>().unwrap()] = value.into(),
            other => panic!("{parent} is {other}"),
        }
        self
    }

    /// Removes a member of an object.
    pub fn remove(&mut self, pointer: &str) -> &mut Self {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let object = self.config.pointer_mut(parent).and_then(Value::as_object_mut);
        object.and_then(|object| object.remove(key)).unwrap_or_else(|| panic!("config.json has no {pointer}"));
        self
    }

    /// Sets the program and its arguments.
    pub fn args(&mut self, args: &[&str]) -> &mut Self {
        self.set("/process/args", json!(args))
    }

    /// Makes a shell script the program.
    pub fn sh(&mut self, script: &str) -> &mut Self {
        self.args(&["/bin/sh", "-c", script])
    }

    /// Makes a program the program that only a signal ends: as pid 1, SIGKILL or one of those it has traps for.
    pub fn sleep(&mut self) -> &mut Self {
        self.args(&["/bin/sleep", "1000"])
    }

    /// Holds exactly these capabilities, in every set but the inheritable and the ambient one.
    pub fn capabilities(&mut self, names: &[&str]) -> &mut Self {
        self.set("/process/capabilities", json!({"bounding": names, "effective": names, "permitted": names}))
    }

    /// Appends a mount.
    pub fn mount(&mut self, destination: &str, fstype: &str, source: impl AsRef<Path>, options: &[&str]) -> &mut Self {
        let source = source.as_ref().to_str().unwrap();
        let mount = json!({"destination": destination, "type": fstype, "source": source, "options": options});
        self.set("/mounts/-", mount)
    }

    /// Removes the mount at a destination.
    pub fn unmount(&mut self, destination: &str) -> &mut Self {
        self.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != destination);
        self
    }

    /// Makes the namespace of this type one at `path`, a new one (`Some("")`), or the caller's (`None`).
    pub fn namespace(&mut self, kind: &str, path: Option<&str>) -> &mut Self {
        let all = self.config["linux"]["namespaces"].as_array_mut().unwrap();
        all.retain(|namespace| namespace["type"] != kind);
        match path {
            Some("") => all.push(json!({"type": kind})),
            Some(path) => all.push(json!({"type": kind, "path": path})),
            None => {}
        }
        self
    }

    /// A new user namespace whose ids 0 to 65535 are the host's from `first`, to whom the root filesystem is given.
    pub fn user_namespace(&mut self, first: u32) -> &mut Self {
        let maps = json!([{"containerID": 0, "hostID": first, "size": 65536}]);
        self.namespace("user", Some("")).set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps);
        give(&self.dir.join("rootfs"), first);
        self
    }

    /// What a user without privilege may have: a new user namespace whose root, and only id, is that user.
    pub fn rootless(&mut self, id: u32) -> &mut Self {
        let maps = json!([{"containerID": 0, "hostID": id, "size": 1}]);
        self.namespace("user", Some("")).set("/linux/uidMappings", maps.clone()).set("/linux/gidMappings", maps);
        for mount in self.config["mounts"].as_array_mut().unwrap() {
            if let Some(options) = mount["options"].as_array_mut() {
                options.retain(|option| option != "gid=5");
            }
        }
        give(&self.dir, id);
        self
    }

    /// Writes config.json.
    pub fn write(&self) -> &Self {
        self.write_raw(serde_json::to_vec_pretty(&self.config).unwrap())
    }

    /// Writes something else as config.json.
    pub fn write_raw(&self, text: impl AsRef<[u8]>) -> &Self {
        fs::write(self.dir.join("config.json"), text).unwrap();
        self
    }
}

/// The programs busybox offers.
fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let list = Command::new(BUSYBOX).arg("--list").output().expect("busybox-static is needed").stdout;
        let names = String::from_utf8(list).unwrap();
        names.lines().filter(|&name| name != "busybox").map(str::to_owned).collect()
    })
}

/// Gives a tree to a user.
fn give(path: &Path, id: u32) {
    std::os::unix::fs::lchown(path, Some(id), Some(id)).unwrap();
    if path.is_dir() && !path.is_symlink() {
        fs::read_dir(path).unwrap().for_each(|entry| give(&entry.unwrap().path(), id));
    }
}

/// What `spec` writes, but for a terminal.
pub fn default_config() -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "container",
        "mounts": default_mounts(),
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "cgroup"}
            ],
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}

fn default_mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["nosuid", "noexec", "nodev", "relatime", "ro"]}
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_by_pointer() {
        let mut bundle = Bundle { dir: PathBuf::from("/nowhere"), config: default_config() };
        bundle.set("/process/cwd", "/tmp").set("/linux/sysctl", json!({})).set("/linux/sysctl/a~1b", "1");
        bundle.mount("/data", "tmpfs", "tmpfs", &["ro"]).unmount("/sys").namespace("pid", None);
        bundle.remove("/hostname").namespace("uts", Some("/proc/1/ns/uts"));
        assert_eq!(bundle.config["process"]["cwd"], "/tmp");
        assert_eq!(bundle.config["linux"]["sysctl"]["a/b"], "1");
        assert_eq!(bundle.config["mounts"].as_array().unwrap().last().unwrap()["destination"], "/data");
        assert!(!bundle.config["mounts"].to_string().contains("\"/sys\""));
        assert!(bundle.config.get("hostname").is_none());
        let namespaces = bundle.config["linux"]["namespaces"].to_string();
        assert!(!namespaces.contains("\"pid\"") && namespaces.contains("/proc/1/ns/uts"));
    }
}
