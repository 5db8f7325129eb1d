//! `cargo xtask bats`: runc's own test suite, from a checkout of runc, with the runc of that checkout beside planc.

use std::path::{Path, PathBuf};

use super::judge::{self, Measure};
use super::report::{self, Report};
use super::{Job, Left, Options, Runtime, commit, distinct, reasons, tap, verdict};
use crate::lane::Lane;
use crate::packages;
use crate::run::{self, Result, bounded, succeed};

/// The variable that names the checkout.
const CHECKOUT: &str = "RUNC_SRC";

/// Seconds after which a test and a file are ended, and minutes for the whole suite on two runtimes.
const NATIVE: Limits = Limits { test: 45, file: 300, minutes: 60 };
/// A program starts some ten times as slowly there.
const UML: Limits = Limits { test: 240, file: 3000, minutes: 300 };

struct Limits {
    test: u32,
    file: u32,
    minutes: u32,
}

/// What the suite asks for in each test instead of fetching its images: it is told where they are.
const IMAGES: &str = r#"#!/bin/sh
images=$(readlink -f "$(dirname "$0")/../../images")
echo "BUSYBOX_IMAGE=$images/busybox.tar DEBIAN_IMAGE=$images/debian.tar"
"#;

/// Makes the images from Debian's packages. runc's tests want a busybox without /proc, /sys and /sbin.
const MAKE_IMAGES: &str = r#"set -e
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
if [ ! -e busybox.tar ]; then
  mkdir -p "$root"/busybox/{bin,dev,etc,home,root,usr/bin,usr/sbin,var/spool/mail,var/www}
  mkdir -m 1777 "$root/busybox/tmp"
  cp "$(command -v busybox)" "$root/busybox/bin/busybox"
  for name in $(busybox --list); do
    [ "$name" = busybox ] || ln "$root/busybox/bin/busybox" "$root/busybox/bin/$name"
  done
  cat > "$root/busybox/etc/passwd" <<END
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
nobody:x:65534:65534:nobody:/home:/bin/false
END
  printf '%s\n' root:x:0: daemon:x:1: nogroup:x:65534: > "$root/busybox/etc/group"
  tar -C "$root/busybox" --numeric-owner --owner=0 --group=0 -cf busybox.part . && mv busybox.part busybox.tar
fi
if [ ! -e debian.tar ]; then
  debootstrap --variant=minbase bookworm "$root/debian"
  tar -C "$root/debian" --exclude './dev/*' --exclude './var/cache/apt/archives/*.deb' --exclude './var/lib/apt/lists/*' \
    -cf debian.part . && mv debian.part debian.tar
fi
"#;

/// Where and as whom the suite is run.
struct Place {
    lane: Lane,
    rootless: bool,
}

impl Place {
    fn name(&self) -> String {
        format!("{}{}", self.lane.name(), if self.rootless { "-rootless" } else { "" })
    }
}

/// `bats [--lane native|uml]… [--rootless] [--runtime PATH]… [--planc PATH] [--judge FOLDER] [--write] [FILE.bats…]`:
/// natively, unless told otherwise. With `--judge` nothing is run: FOLDER is what runs of some files each left, copied
/// into one, since the whole suite takes hours in the uml lane.
pub(crate) fn main(arguments: &[String]) -> Result<()> {
    let options = super::options(arguments)?;
    if options.beside {
        return Err("--beside is for conformance: here the checkout's runc always is".to_owned());
    }
    let Some(checkout) = std::env::var_os(CHECKOUT).map(PathBuf::from) else {
        println!(
            "NOT RUN bats: {CHECKOUT} names no checkout of runc; git clone github.com/opencontainers/runc somewhere, and \
             {CHECKOUT}=somewhere cargo xtask bats"
        );
        return Ok(());
    };
    let checkout = checkout.canonicalize().map_err(|why| format!("{CHECKOUT}={}: {why}", checkout.display()))?;
    let all = files(&checkout)?;
    if let Some(unknown) = options.wanted.iter().find(|wanted| !all.contains(wanted)) {
        return Err(format!("the suite has no file {unknown:?}; it has {}", all.join(" ")));
    }
    let wanted = if options.wanted.is_empty() { &all } else { &options.wanted };
    let lanes = if options.lanes.is_empty() { &[Lane::Native][..] } else { &options.lanes };
    let places = lanes.iter().map(|&lane| Place { lane, rootless: options.rootless });
    let run: Vec<(Place, Left)> = match &options.judge {
        Some(folder) => places.map(|place| Ok((place, Left::read(folder)?))).collect::<Result<_>>()?,
        None => {
            packages::ensure(&[packages::BATS])?;
            let folder = run::target_directory()?.join("bats");
            lay_out(&checkout, &folder)?;
            let runtimes = runtimes(&options, &checkout, &folder)?;
            places.map(|place| in_place(place, wanted, &runtimes, &folder)).collect::<Result<_>>()?
        }
    };
    let mut faults = Vec::new();
    for (place, left) in run {
        let wanted: Vec<&String> =
            wanted.iter().filter(|file| options.judge.is_none() || left.has("planc", name(file))).collect();
        let of = (wanted.len() < all.len()).then(|| format!("{} of its {} files, ", wanted.len(), all.len()));
        let source = format!("{}runc {}, kernel {}", of.unwrap_or_default(), commit(&checkout)?, left.kernel);
        let report = report(&place, &wanted, &left, source);
        println!("{}", report::table(&report, false));
        let whole = wanted.len() == all.len();
        faults.extend(judge::faults(Measure::Others, &place.name(), &report.runs, reasons::BATS, whole));
        if options.write {
            report::write(&report, reasons::BATS, &place.name())?;
        }
    }
    verdict(&faults)
}

/// What tests are called by: their file, without its end.
fn name(file: &str) -> &str {
    file.trim_end_matches(".bats")
}

fn report(place: &Place, files: &[&String], left: &Left, source: String) -> Report {
    let (runs, versions) = left.runs(|runtime| {
        files.iter().map(|file| name(file)).flat_map(|file| tap::file(file, &left.printed(runtime, file))).collect()
    });
    let who = if place.rootless { ", without privilege" } else { "" };
    Report {
        name: format!("bats {}", place.name()),
        title: format!("runc's suite, lane {}{who}", place.lane.name()),
        source,
        runs,
        versions,
    }
}

/// planc is called runc: some tests look for that name.
fn runtimes(options: &Options, checkout: &Path, folder: &Path) -> Result<Vec<Runtime>> {
    let runc = folder.join("runc");
    let version = format!("-X main.gitCommit={}", commit(checkout)?);
    let build = ["build", "-mod=vendor", "-tags", "seccomp", "-ldflags", &version, "-o"];
    succeed(bounded(15, "go", &build).arg(&runc).arg(".").env("CGO_ENABLED", "1").current_dir(checkout))?;
    let mut runtimes = vec![Runtime::planc(options, "runc", folder)?, Runtime::beside(&runc)?];
    for path in &options.runtimes {
        runtimes.push(Runtime::beside(path)?);
    }
    distinct(runtimes)
}

/// The suite's files.
fn files(checkout: &Path) -> Result<Vec<String>> {
    let folder = checkout.join("tests/integration");
    let entries = std::fs::read_dir(&folder).map_err(|why| format!("{}: {why}", folder.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut files: Vec<String> = names.filter(|name| name.ends_with(".bats")).collect();
    files.sort_unstable();
    Ok(files)
}

/// A copy of the suite with its helpers built and its images.
fn lay_out(checkout: &Path, folder: &Path) -> Result<()> {
    let suite = folder.join("suite");
    let (tests, images, shim) = (suite.join("tests"), folder.join("images"), suite.join("shim"));
    let failed = |why: std::io::Error| format!("{}: {why}", suite.display());
    let _ = std::fs::remove_dir_all(&suite);
    for folder in [&tests, &images, &shim] {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let copy = [checkout.join("tests/integration"), checkout.join("tests/cmd")];
    succeed(bounded(1, "cp", &["-a"]).args(copy).arg(&tests))?;
    std::fs::copy(checkout.join("go.mod"), suite.join("go.mod")).map_err(failed)?;
    let helpers = ["build", "-mod=vendor", "-tags", "seccomp", "-o"];
    let mut go = bounded(15, "go", &helpers);
    go.arg(tests.join("cmd/_bin/")).arg("./tests/cmd/...").env("CGO_ENABLED", "1").current_dir(checkout);
    succeed(&mut go)?;
    succeed(bounded(15, "bash", &["-c", MAKE_IMAGES]).current_dir(&images).stdout(std::io::stderr()))?;
    succeed(bounded(1, "cp", &["-a"]).arg(&images).arg(&suite))?;
    executable(&tests.join("integration/get-images.sh"), IMAGES)?;
    // The tests of network devices wait for it; nobody makes device nodes in a lane.
    executable(&shim.join("udevadm"), "#!/bin/sh\nexit 0\n")
}

fn executable(path: &Path, text: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text)
        .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)))
        .map_err(|why| format!("{}: {why}", path.display()))
}

fn in_place(place: Place, files: &[String], runtimes: &[Runtime], folder: &Path) -> Result<(Place, Left)> {
    println!("     runc's suite, {}", place.name());
    let limits = if place.lane == Lane::Native { NATIVE } else { UML };
    let rootless = if place.rootless { "1" } else { "" };
    let job = Job {
        script: "bats",
        lane: place.lane,
        suite: &folder.join("suite"),
        out: &folder.join(place.name()),
        runtimes,
        what: files,
        environment: &[
            ("TEST_SECONDS", limits.test.to_string()),
            ("FILE_SECONDS", limits.file.to_string()),
            ("ROOTLESS", rootless.to_owned()),
        ],
        minutes: limits.minutes,
    };
    let left = job.run()?;
    Ok((place, left))
}
