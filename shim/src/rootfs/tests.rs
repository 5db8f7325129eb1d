//! Mounts are made for real, in a mount namespace of their own; that takes root.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;
use crate::status::Code;

/// A directory on a tmpfs that nobody else sees, which goes with its thread.
struct Ground(PathBuf);

impl Ground {
    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn directory(&self, name: &str) -> String {
        std::fs::create_dir_all(self.path(name)).unwrap();
        self.text(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// How many mounts there are at and below a path.
    fn mounts(&self, name: &str) -> usize {
        let text = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let points = text.lines().filter_map(|line| line.split(' ').nth(4));
        points.filter(|point| Path::new(point).starts_with(self.path(name))).count()
    }

    /// The options of the topmost mount of a path.
    fn options(&self, name: &str) -> String {
        let text = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let line = text.lines().rfind(|line| line.split(' ').nth(4) == Some(&self.text(name))).unwrap();
        line.split(' ').skip(5).collect::<Vec<_>>().join(" ")
    }
}

/// Runs `test` in a thread with mounts of its own.
fn on_ground(name: &'static str, test: impl FnOnce(&Ground) + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        writeln!(io::stderr(), "SKIPPED {name}: mounting takes root").unwrap();
        return;
    }
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let path = std::env::temp_dir().join(format!("planc-shim-rootfs-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        test(&Ground(path.clone()));
        nix::mount::umount2(&path, nix::mount::MntFlags::MNT_DETACH).unwrap();
        std::fs::remove_dir(&path).unwrap();
    });
    thread.join().unwrap();
}

fn request(kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        kind: kind.to_owned(),
        source: source.to_owned(),
        target: String::new(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
    }
}

#[test]
fn a_bind_with_attributes() {
    on_ground("bind", |ground| {
        ground.file("source/file", "inside");
        let bind = request("bind", &ground.text("source"), &["rbind", "ro", "nosuid", "noatime", "rprivate"]);
        mount_all(&[bind], &ground.path("rootfs")).unwrap();
        assert_eq!(ground.read("rootfs/file"), "inside");
        assert!(ground.options("rootfs").starts_with("ro,nosuid,noatime - tmpfs"), "{}", ground.options("rootfs"));
        assert_eq!(
            std::fs::write(ground.path("rootfs/file"), "").unwrap_err().kind(),
            io::ErrorKind::ReadOnlyFilesystem
        );
        unmount_all(&ground.path("rootfs")).unwrap();
        assert_eq!((ground.mounts("rootfs"), ground.path("rootfs/file").exists()), (0, false));
        assert_eq!(ground.path("rootfs").metadata().unwrap().permissions().mode() & 0o777, 0o711);
        unmount_all(&ground.path("rootfs")).unwrap();
        unmount_all(&ground.path("nowhere")).unwrap();
    });
}

#[test]
fn an_overlay() {
    on_ground("overlay", |ground| {
        ground.file("low/both", "low");
        ground.file("high/both", "high");
        ground.file("low/only", "low");
        let (upper, work) = (ground.directory("upper"), ground.directory("work"));
        let dirs = format!("lowerdir={}:{}", ground.text("high"), ground.text("low"));
        let (upper, work) = (format!("upperdir={upper}"), format!("workdir={work}"));
        let overlay = request("overlay", "overlay", &["index=off", &work, &upper, &dirs]);
        mount_all(&[overlay], &ground.path("rootfs")).unwrap();
        assert_eq!((ground.read("rootfs/both"), ground.read("rootfs/only")), ("high".to_owned(), "low".to_owned()));
        ground.file("rootfs/new", "up");
        assert_eq!(ground.read("upper/new"), "up");
        unmount_all(&ground.path("rootfs")).unwrap();
    });
}

/// The names of 100 layers are three times what mount(2) takes.
#[test]
fn an_overlay_of_many_layers_with_long_names() {
    on_ground("layers", |ground| {
        let name = |number: u32| format!("{}/{number}", "x".repeat(100));
        (0..100).for_each(|number| ground.file(&format!("{}/file{number}", name(number)), "here"));
        let layers: Vec<String> = (0..100).map(|number| ground.text(&name(number))).collect();
        let long = "u".repeat(200);
        let (upper, work) =
            (ground.directory(&format!("{long}/{long}/u")), ground.directory(&format!("{long}/{long}/w")));
        let words = [format!("lowerdir={}", layers.join(":")), format!("upperdir={upper}"), format!("workdir={work}")];
        let overlay = request("overlay", "overlay", &words.each_ref().map(String::as_str));
        mount_all(std::slice::from_ref(&overlay), &ground.path("rootfs")).unwrap();
        assert!((0..100).all(|number| ground.path(&format!("rootfs/file{number}")).exists()));
        assert_eq!(ground.mounts("rootfs"), 1);
        unmount_all(&ground.path("rootfs")).unwrap();
        // What kernels before 6.5 get.
        let options = Options::read(&overlay).unwrap();
        let place = Place::new(&ground.path("rootfs")).unwrap();
        let short =
            Options { data: options.data.iter().copied().filter(|(key, _)| *key == "lowerdir").collect(), ..options };
        let tree = overlay::by_data("overlay", &short, short.value("lowerdir").unwrap(), &place).unwrap();
        assert_eq!(ground.mounts("rootfs"), 0);
        place.attach(tree.as_fd(), "").unwrap();
        assert!(ground.path("rootfs/file99").exists());
        unmount_all(&ground.path("rootfs")).unwrap();
    });
}

#[test]
fn mapped_ids() {
    on_ground("ids", |ground| {
        ground.file("low/file", "x");
        ground.file("high/file2", "x");
        let owner = |name: &str| ground.path(name).metadata().unwrap().uid();
        let ids = ["uidmap=0:100000:65536", "gidmap=0:100000:65536"];
        let bind = request("bind", &ground.text("low"), &["rbind", ids[0], ids[1]]);
        match mount_all(&[bind], &ground.path("rootfs")) {
            // KERNEL(6.3): tmpfs cannot before.
            Err(failure) if failure.message.contains("os error 22") => {
                return writeln!(io::stderr(), "SKIPPED mapped_ids: {failure}").unwrap();
            }
            mounted => mounted.unwrap(),
        }
        assert_eq!((owner("low/file"), owner("rootfs/file")), (0, 100_000));
        unmount_all(&ground.path("rootfs")).unwrap();
        let dirs = format!("lowerdir={}:{}", ground.text("high"), ground.text("low"));
        let (upper, work) = (ground.directory("upper"), ground.directory("work"));
        let (upper, work) = (format!("upperdir={upper}"), format!("workdir={work}"));
        let overlay = request("overlay", "overlay", &[&dirs, ids[0], ids[1], &upper, &work]);
        mount_all(&[overlay], &ground.path("rootfs")).unwrap();
        assert_eq!((owner("rootfs/file"), owner("rootfs/file2"), ground.mounts("rootfs")), (100_000, 100_000, 1));
        unmount_all(&ground.path("rootfs")).unwrap();
    });
}

#[test]
fn a_failure_leaves_nothing_and_says_which() {
    on_ground("failure", |ground| {
        ground.directory("source");
        let bind = request("bind", &ground.text("source"), &["rbind"]);
        let odd = request("tmpfs", "none", &["sizee=1"]);
        let failure = mount_all(&[bind.clone(), bind.clone(), odd], &ground.path("rootfs")).unwrap_err();
        assert_eq!(failure.code, Code::Internal);
        let wanted = "cannot mount 2 of the rootfs (tmpfs from \"none\"): cannot set sizee: Invalid argument (os error 22) \
                      (tmpfs: Unknown parameter 'sizee')";
        assert_eq!(failure.message, wanted);
        assert_eq!((ground.mounts("rootfs"), ground.path("rootfs").exists()), (0, false));
        // Before anything is done.
        let failure = mount_all(&[bind, request("ext4", "/dev/x", &["loop"])], &ground.path("rootfs")).unwrap_err();
        assert_eq!((failure.code, ground.path("rootfs").exists()), (Code::InvalidArgument, false));
    });
}

#[test]
fn a_stack_and_what_is_inside() {
    on_ground("stack", |ground| {
        ground.file("source/dir/file", "below");
        ground.file("other/file", "inside");
        let bind = |name: &str| request("bind", &ground.text(name), &["rbind"]);
        let inside = Mount { target: "/dir".to_owned(), ..bind("other") };
        mount_all(&[request("tmpfs", "x", &["size=1m", "mode=755"]), bind("source"), inside], &ground.path("rootfs"))
            .unwrap();
        assert_eq!((ground.read("rootfs/dir/file"), ground.mounts("rootfs")), ("inside".to_owned(), 3));
        // Somebody is in it.
        let busy = std::fs::File::open(ground.path("rootfs/dir/file")).unwrap();
        unmount_all(&ground.path("rootfs")).unwrap();
        assert_eq!(ground.mounts("rootfs"), 0);
        drop(busy);
    });
}

/// Nothing in the bundle, and nothing in a layer, leads a mount elsewhere.
#[test]
fn links_lead_nowhere() {
    on_ground("links", |ground| {
        ground.directory("source/etc");
        let outside = ground.directory("outside");
        symlink(&outside, ground.path("rootfs")).unwrap();
        let bind = request("bind", &ground.text("source"), &["rbind"]);
        mount_all(std::slice::from_ref(&bind), &ground.path("rootfs")).unwrap_err();
        unmount_all(&ground.path("rootfs")).unwrap();
        assert_eq!(ground.mounts("outside"), 0);
        std::fs::remove_file(ground.path("rootfs")).unwrap();
        symlink(&outside, ground.path("source/away")).unwrap();
        let away = Mount { target: "away".to_owned(), ..bind.clone() };
        mount_all(&[bind, away], &ground.path("rootfs")).unwrap_err();
        assert_eq!((ground.mounts("outside"), ground.mounts("rootfs")), (0, 0));
    });
}
