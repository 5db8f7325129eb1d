//! Groups of resctrl on a fake tree: directories and plain files that look like it. What only a kernel with resctrl does, to
//! fill a new group with its files and to remove those with it, the tests do in its stead. They need root.

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Ending, end};
use crate::engine::Launched;
use crate::engine::tests::{RECORD, SPAWN, perform, plan};
use crate::error::Result;
use crate::host::process::Identity;
use crate::host::process::wait_for_end;
use crate::host::rdt::Group;
use crate::host::record::{GroupRecord, RdtRecord, Record};
use crate::sys::process::try_wait;
use crate::wire::{Hook, HookKind, HostOp, InitOp, List, Op, Text};

/// A fake resctrl, gone when this is dropped.
struct Fake(PathBuf);

impl Fake {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("planc-rdt-{}-{name}", std::process::id()));
        for directory in ["info/MB", "mon_groups"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("info/last_cmd_status"), "mask f1 has non-consecutive 1-bits\n").unwrap();
        fs::write(root.join("info/MB/bandwidth_gran"), "10\n").unwrap();
        let fake = Self(root);
        fake.fill("", "L3:0=fff\nMB:0=100\n");
        fake
    }

    /// What the kernel puts into a group.
    fn fill(&self, name: &str, schemata: &str) {
        fs::create_dir_all(self.0.join(name).join("mon_groups")).unwrap();
        fs::write(self.0.join(name).join("schemata"), schemata).unwrap();
        fs::write(self.0.join(name).join("tasks"), "").unwrap();
    }

    /// What the kernel takes out of a group before it is removed.
    fn empty(&self, name: &str) {
        let group = self.0.join(name);
        ["schemata", "tasks"].into_iter().for_each(|file| drop(fs::remove_file(group.join(file))));
        let _ = fs::remove_dir(group.join("mon_groups"));
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap()
    }

    fn has(&self, name: &str) -> bool {
        self.0.join(name).exists()
    }

    fn text(&self, name: &str) -> CString {
        CString::new(self.0.join(name).into_os_string().into_encoded_bytes()).unwrap()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Performs these steps between an init's birth and its execve of /bin/true, and waits for that.
fn launch(name: &str, steps: &[HostOp<'_>]) -> Result<Launched> {
    let text = [Text(c"/bin/true")];
    let mut ops = vec![SPAWN, Op::Init(InitOp::CloseOthers {})];
    ops.extend(steps.iter().map(|op| Op::Host(*op)));
    ops.extend([
        Op::Init(InitOp::FindProgram { name: text[0], candidates: List::new(&text) }),
        RECORD,
        Op::Init(InitOp::Execute { args: List::new(&text), env: List::new(&[]), home: None }),
    ]);
    let (launched, root) = perform(name, &plan(&ops));
    if let Ok(launched) = &launched {
        assert!(wait_for_end(&launched.process.pidfd, Duration::from_secs(5)).unwrap());
        try_wait(&launched.process.pidfd);
    }
    fs::remove_dir_all(root).unwrap();
    launched
}

fn make<'a>(root: &'a CString, name: &'a CString, own: bool, schemata: &'a [Text<'a>]) -> HostOp<'a> {
    HostOp::MakeClos { root: Text(root), name: Text(name), own, schemata: List::new(schemata) }
}

#[test]
fn fake_tree_a_clos_that_is_there_takes_init_and_stays() {
    let fake = Fake::new("there");
    fake.fill("gold", "  L3:0=0ff\n  MB:0=20\n");
    let (root, name, clos) = (fake.text(""), c"gold".into(), fake.text("gold"));
    let schemata = [Text(c"L3:0=ff"), Text(c"MB:0=15")];
    let steps = [
        make(&root, &name, false, &schemata),
        HostOp::SetSchemata { lines: b"L3:0=ff\n" },
        HostOp::EnterGroup { path: Text(&clos) },
    ];
    let launched = launch("rdt-there", &steps).unwrap();
    assert_eq!(fake.read("gold/tasks"), launched.process.pid.to_string());
    assert_eq!(fake.read("gold/schemata"), "  L3:0=0ff\n  MB:0=20\n", "nothing is written");
    end(&launched.record, Ending::Deleted).unwrap();
    end(&launched.record, Ending::Undone).unwrap();
    assert!(fake.has("gold/tasks"));
}

#[test]
fn fake_tree_other_schemata_in_place_are_refused() {
    let fake = Fake::new("other");
    fake.fill("gold", "L3:0=ff\n");
    let (root, name, schemata) = (fake.text(""), c"gold".into(), [Text(c"L3:0=f")]);
    let error = launch("rdt-other", &[make(&root, &name, false, &schemata)]).err().unwrap();
    assert!(error.to_string().contains("it has L3:0=ff, not L3:0=f"), "{error}");
    assert!(fake.has("gold/tasks"));
}

#[test]
fn fake_tree_a_clos_without_schemata_must_be_there() {
    let fake = Fake::new("absent");
    let (root, name) = (fake.text(""), c"gold".into());
    let error = launch("rdt-absent", &[make(&root, &name, false, &[])]).err().unwrap();
    assert!(
        error.to_string().contains("cannot find the CLOS") && error.to_string().contains("there is none"),
        "{error}"
    );
    assert!(!fake.has("gold"));
}

/// The container's own: made, filled in, monitored, and removed with it. A hook plays the kernel.
#[test]
fn fake_tree_an_own_clos_is_made_filled_in_and_removed() {
    let fake = Fake::new("own");
    let (root, name, clos) = (fake.text(""), c"x".into(), fake.text("x"));
    let (monitoring, script) = (fake.text("x/mon_groups/x"), "cd $0; mkdir mon_groups; : > schemata; : > tasks");
    let script = CString::new(script).unwrap();
    let of_clos = [Text(c"sh"), Text(c"-c"), Text(&script), Text(&clos)];
    let of_monitoring = [Text(c"sh"), Text(c"-c"), Text(c": > $0/tasks"), Text(&monitoring)];
    let env = [Text(c"PATH=/usr/bin:/bin")];
    let kernel = |args| HostOp::RunHook {
        hook: Hook {
            kind: HookKind::CreateRuntime,
            index: 0,
            path: Text(c"/bin/sh"),
            args: List::new(args),
            env: List::new(&env),
            home: None,
            timeout: 10,
        },
    };
    let steps = [
        make(&root, &name, true, &[]),
        kernel(&of_clos[..]),
        HostOp::SetSchemata { lines: b"L3:0=f\nMB:0=20\n" },
        HostOp::MakeMonitoringGroup { path: Text(&monitoring) },
        kernel(&of_monitoring[..]),
        HostOp::EnterGroup { path: Text(&clos) },
        HostOp::EnterGroup { path: Text(&monitoring) },
    ];
    let launched = launch("rdt-own", &steps).unwrap();
    let pid = launched.process.pid.to_string();
    assert_eq!(fake.read("x/schemata"), "L3:0=f\nMB:0=20\n");
    assert_eq!([fake.read("x/tasks"), fake.read("x/mon_groups/x/tasks")], [pid.clone(), pid]);
    let record = launched.record.rdt.as_ref().unwrap();
    assert_eq!(record.groups(), [fake.0.join("x"), fake.0.join("x/mon_groups/x")]);
    fake.empty("x/mon_groups/x");
    // Unlike the kernel's, a fake directory that has one in it cannot be removed: the one for monitoring goes first.
    fs::remove_dir(fake.0.join("x/mon_groups/x")).unwrap();
    fake.empty("x");
    end(&launched.record, Ending::Deleted).unwrap();
    assert!(!fake.has("x"));
    end(&launched.record, Ending::Deleted).unwrap();
}

/// runtime.md#errors: as if it was never attempted.
#[test]
fn fake_tree_what_was_made_is_undone_when_create_fails() {
    for own in [true, false] {
        let fake = Fake::new(if own { "undo-own" } else { "undo-named" });
        let (root, name, schemata) = (fake.text(""), c"x".into(), [Text(c"L3:0=f1")]);
        // Nobody has filled the group in.
        let steps = [make(&root, &name, own, &schemata), HostOp::SetSchemata { lines: b"L3:0=f1\n" }];
        let error = launch(if own { "rdt-undo" } else { "rdt-undone" }, &steps).err().unwrap();
        let told = error.to_string();
        assert!(told.contains("L3:0=f1") && told.contains("mask f1 has non-consecutive 1-bits"), "{told}");
        assert!(!told.contains("cannot remove"), "{told}");
        assert!(!fake.has("x"), "own: {own}");
    }
}

#[test]
fn fake_tree_the_default_clos_is_monitored_and_stays() {
    let fake = Fake::new("default");
    let (root, name, path) = (fake.text(""), c"".into(), fake.text("mon_groups/x"));
    let steps = [make(&root, &name, false, &[]), HostOp::MakeMonitoringGroup { path: Text(&path) }];
    let launched = launch("rdt-default", &steps).unwrap();
    assert!(fake.has("mon_groups/x"));
    end(&launched.record, Ending::Deleted).unwrap();
    assert!(!fake.has("mon_groups/x") && fake.has("mon_groups") && fake.has("tasks"));
}

#[test]
fn fake_tree_a_monitoring_group_is_nobody_elses() {
    let fake = Fake::new("monitored");
    let (root, name, path) = (fake.text(""), c"".into(), fake.text("mon_groups/x"));
    fs::create_dir(fake.0.join("mon_groups/x")).unwrap();
    let steps = [make(&root, &name, false, &[]), HostOp::MakeMonitoringGroup { path: Text(&path) }];
    let error = launch("rdt-monitored", &steps).err().unwrap();
    assert!(error.to_string().contains("there is one already (EEXIST)"), "{error}");
    assert!(fake.has("mon_groups/x"));
}

/// What the journal of a create that was killed says, or that of a container.
fn record(path: &Path, own: bool, inode: Option<u64>, created: bool) -> Record {
    let clos = GroupRecord { path: path.to_owned(), inode };
    let root = path.parent().unwrap().to_owned();
    let rdt = Some(RdtRecord { root, clos, own, made: true, monitoring: None });
    let init = created.then(|| Identity { pid: 1, start_time: 0, boot_id: String::new(), pidfd_inode: None });
    Record { rdt, init, ..Record::default() }
}

#[test]
fn fake_tree_only_what_is_surely_the_containers_is_removed() {
    let fake = Fake::new("journal");
    let path = fake.0.join("x");
    let inode = || Group::make(&path).unwrap().inode().unwrap();
    for (own, created, tasks, stays) in [
        (true, true, "", false),
        (true, false, "", false),
        // Its name is config.json's: others may count on it, but for one that was never used.
        (false, true, "", true),
        (false, false, "", false),
        (false, false, "7\n", true),
    ] {
        let inode = inode();
        if !tasks.is_empty() {
            fs::write(path.join("tasks"), tasks).unwrap();
        }
        end(&record(&path, own, Some(inode), created), Ending::Deleted).unwrap();
        assert_eq!(path.exists(), stays, "own {own}, created {created}, tasks {tasks:?}");
        let _ = fs::remove_dir_all(&path);
    }
    // Another one of its name, and one whose creator was killed before it could note which it was.
    let other = inode() + 1;
    end(&record(&path, true, Some(other), true), Ending::Deleted).unwrap();
    assert!(path.exists());
    fs::write(path.join("tasks"), "7\n").unwrap();
    end(&record(&path, true, None, false), Ending::Deleted).unwrap();
    assert!(path.exists());
    fs::remove_file(path.join("tasks")).unwrap();
    end(&record(&path, true, None, false), Ending::Deleted).unwrap();
    assert!(!path.exists());
    // A resctrl that is mounted no more has no groups.
    fs::remove_dir_all(&fake.0).unwrap();
    end(&record(&path, true, Some(other), true), Ending::Deleted).unwrap();
}
