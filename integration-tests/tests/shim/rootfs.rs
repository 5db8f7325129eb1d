//! The root filesystem as containerd hands it over: mounts on `<bundle>/rootfs`, made by `Create` and undone by `Delete`.

use std::fs;
use std::path::{Path, PathBuf};

use containerd_shim_protos::api::{CreateTaskRequest, Mount};
use containerd_shim_protos::events::task::TaskCreate;
use integration_tests::bundle::Bundle;
use integration_tests::harness::Need;
use integration_tests::hostmount::HostMount;
use integration_tests::mountinfo;
use integration_tests::scene::Scene;
use integration_tests::shim::Engine;
use integration_tests::shim::task::Task;
use nix::mount::MsFlags;

integration_tests::tests! {
    none,
    bind,
    bind_read_only,
    the_directory_is_made,
    overlay,
    overlay_of_many_layers,
    overlay_of_many_layers_with_long_names [Need::Planc],
    one_mount_over_another,
    an_unknown_type_undoes_what_was_mounted,
    an_option_that_the_filesystem_refuses,
    a_source_that_is_not_there_is_refused,
    a_container_that_cannot_be_created_undoes_the_mounts,
    delete_unmounts_what_is_below_too,
    no_mount_leaves_the_bundle [Need::Planc],
}

/// A bundle whose root filesystem is elsewhere: the bundle, and where it is.
fn image(engine: &Engine<'_>) -> (Bundle, PathBuf) {
    let mut bundle = engine.bundle();
    let image = engine.scene.path(&format!("image-{}", engine.scene.id()));
    fs::rename(bundle.rootfs(""), &image).unwrap();
    fs::create_dir(bundle.rootfs("")).unwrap();
    bundle.set("/root/readonly", false);
    (bundle, image)
}

fn mount(fstype: &str, source: impl AsRef<Path>, options: &[&str]) -> Mount {
    let (fstype, source) = (fstype.to_owned(), source.as_ref().to_str().unwrap().to_owned());
    Mount { type_: fstype, source, options: options.iter().map(|&o| o.to_owned()).collect(), ..Default::default() }
}

fn request(task: &Task<'_, '_>, rootfs: &[Mount]) -> CreateTaskRequest {
    CreateTaskRequest { rootfs: rootfs.to_vec(), ..task.request() }
}

/// The mounts at and below the root filesystem of a bundle, as the host has them.
fn mounted(task: &Task<'_, '_>) -> Vec<mountinfo::Mount> {
    let mut mounts = mountinfo::parse(&fs::read_to_string("/proc/self/mountinfo").unwrap());
    mounts.retain(|mount| mount.point.starts_with(task.bundle.join("rootfs")));
    mounts
}

/// A container with these mounts, which runs a script.
#[track_caller]
fn runs(engine: &Engine<'_>, bundle: &Bundle, rootfs: &[Mount], script: &str, count: usize) {
    let task = engine.task(bundle);
    task.client.create(&request(&task, rootfs)).unwrap();
    assert_eq!(mounted(&task).len(), count);
    let event: TaskCreate = task.expect("create").decode();
    let told: Vec<_> =
        event.rootfs.iter().map(|it| (it.type_.clone(), it.source.clone(), it.options.clone())).collect();
    let asked: Vec<_> = rootfs.iter().map(|it| (it.type_.clone(), it.source.clone(), it.options.clone())).collect();
    assert_eq!(told, asked);
    task.start();
    assert_eq!(task.run("e", script), 0);
    task.kill();
    task.delete();
    assert_eq!(mounted(&task), []);
    task.shutdown();
}

fn none(scene: &Scene) {
    let engine = Engine::new(scene);
    runs(&engine, &engine.bundle(), &[], "test -x /bin/busybox", 0);
}

fn bind(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    runs(&engine, &bundle, &[mount("bind", &image, &["rbind", "rw"])], "echo text > /written", 1);
    assert_eq!(fs::read_to_string(image.join("written")).unwrap(), "text\n");
}

fn bind_read_only(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    runs(&engine, &bundle, &[mount("bind", &image, &["rbind", "ro"])], "! echo text > /written", 1);
    assert!(!image.join("written").exists());
}

fn the_directory_is_made(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    fs::remove_dir(bundle.rootfs("")).unwrap();
    runs(&engine, &bundle, &[mount("bind", &image, &["rbind", "rw"])], "true", 1);
}

/// Layers on a tmpfs: an overlay does not take those of another one.
struct Layers(HostMount);

impl Layers {
    fn new(scene: &Scene) -> Self {
        Self(HostMount::tmpfs(scene.path("layers"), MsFlags::empty()))
    }

    fn layer(&self, name: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A layer that is an image.
    fn image(&self, from: &Path) -> PathBuf {
        let to = self.0.path().join("image");
        assert!(std::process::Command::new("cp").arg("-a").args([from, &to]).status().unwrap().success());
        to
    }
}

fn overlay_options(lower: &[PathBuf], upper: &Path, work: &Path) -> Vec<String> {
    let lower = lower.iter().map(|path| path.to_str().unwrap()).collect::<Vec<_>>().join(":");
    vec![format!("workdir={}", work.display()), format!("upperdir={}", upper.display()), format!("lowerdir={lower}")]
}

fn overlay_mount(options: &[String]) -> Mount {
    mount("overlay", "overlay", &options.iter().map(String::as_str).collect::<Vec<_>>())
}

fn overlay(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    let layers = Layers::new(scene);
    let (upper, work, top) = (layers.layer("upper"), layers.layer("work"), layers.layer("top"));
    fs::write(top.join("above"), "above\n").unwrap();
    let options = overlay_options(&[top, layers.image(&image)], &upper, &work);
    let script = "grep -qx above /above && test -x /bin/busybox && echo text > /written && rm /etc/passwd";
    runs(&engine, &bundle, &[overlay_mount(&options)], script, 1);
    assert_eq!(fs::read_to_string(upper.join("written")).unwrap(), "text\n");
    assert!(image.join("etc/passwd").exists());
}

/// The options of mount(2) are one page; sixty layers of an image are more.
fn overlay_of_many_layers(scene: &Scene) {
    layered(scene, "layer");
}

/// The Go shim has them relative to what they have in common, which is a page, too, some time.
fn overlay_of_many_layers_with_long_names(scene: &Scene) {
    layered(scene, &"long".repeat(20));
}

fn layered(scene: &Scene, name: &str) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    let layers = Layers::new(scene);
    let (upper, work) = (layers.layer("upper"), layers.layer("work"));
    let name = |number| format!("snapshots/{number}-{name}/fs");
    let mut lower: Vec<PathBuf> = (0..60).map(|number| layers.layer(&name(number))).collect();
    for (number, path) in lower.iter().enumerate() {
        fs::write(path.join(format!("of-{number}")), "").unwrap();
        fs::write(path.join("topmost"), format!("{number}\n")).unwrap();
    }
    lower.push(layers.image(&image));
    let options = overlay_options(&lower, &upper, &work);
    assert!(options.join(",").len() > 4096);
    let script = "[ $(ls / | grep -c ^of-) = 60 ] && grep -qx 0 /topmost && echo text > /written";
    runs(&engine, &bundle, &[overlay_mount(&options)], script, 1);
    assert!(upper.join("written").exists());
}

fn one_mount_over_another(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    let other = scene.path("other");
    fs::create_dir(&other).unwrap();
    let mounts = [mount("bind", &other, &["rbind", "rw"]), mount("bind", &image, &["rbind", "rw"])];
    runs(&engine, &bundle, &mounts, "true", 2);
}

/// Creates with mounts that cannot all be made; nothing is mounted then, and the shim can be asked once more.
#[track_caller]
fn refused(scene: &Scene, mounts: impl FnOnce(&Path) -> Vec<Mount>, text: &str) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    let task = engine.task(&bundle);
    let failure = task.client.create(&request(&task, &mounts(&image))).unwrap_err();
    assert!(failure.message.to_lowercase().contains(text), "{failure:?}");
    assert_eq!(mounted(&task), []);
    assert!(task.words().is_empty());
    task.client.create(&request(&task, &[mount("bind", &image, &["rbind", "rw"])])).unwrap();
    task.start();
    task.end();
}

fn an_unknown_type_undoes_what_was_mounted(scene: &Scene) {
    let mounts = |image: &Path| vec![mount("bind", image, &["rbind", "rw"]), mount("moonfs", "moon", &[])];
    refused(scene, mounts, "no such device");
}

fn an_option_that_the_filesystem_refuses(scene: &Scene) {
    refused(scene, |_| vec![mount("tmpfs", "tmpfs", &["moon=7"])], "invalid argument");
}

fn a_source_that_is_not_there_is_refused(scene: &Scene) {
    let mounts = |image: &Path| vec![mount("bind", image, &["rbind", "rw"]), mount("bind", "/not/there", &["rbind"])];
    refused(scene, mounts, "no such file or directory");
}

fn a_container_that_cannot_be_created_undoes_the_mounts(scene: &Scene) {
    let engine = Engine::new(scene);
    let (mut bundle, image) = image(&engine);
    bundle.args(&["/not/there"]);
    let task = engine.task(&bundle);
    task.client.create(&request(&task, &[mount("bind", &image, &["rbind", "rw"])])).unwrap_err();
    assert_eq!(mounted(&task), []);
    task.shutdown();
}

/// What somebody mounted in it on the host (a volume plugin, an operator) does not keep it.
fn delete_unmounts_what_is_below_too(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    fs::create_dir(image.join("below")).unwrap();
    let task = engine.task(&bundle);
    task.client.create(&request(&task, &[mount("bind", &image, &["rbind", "rw"])])).unwrap();
    task.start();
    task.kill();
    let below = HostMount::tmpfs(bundle.rootfs("below"), MsFlags::empty());
    let deleted = task.client.delete(&task.id, "");
    if deleted.is_err() {
        // EBUSY is an answer, too, as long as a second try succeeds.
        drop(below);
        task.delete();
    }
    assert_eq!(mounted(&task), []);
    task.shutdown();
}

/// A `rootfs` that is a link would have the mount elsewhere.
fn no_mount_leaves_the_bundle(scene: &Scene) {
    let engine = Engine::new(scene);
    let (bundle, image) = image(&engine);
    let elsewhere = scene.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::remove_dir(bundle.rootfs("")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, bundle.dir().join("rootfs")).unwrap();
    let task = engine.task(&bundle);
    task.client.create(&request(&task, &[mount("bind", &image, &["rbind", "rw"])])).unwrap_err();
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mountinfo::parse(&text).iter().any(|mount| mount.point == elsewhere));
    task.shutdown();
}
