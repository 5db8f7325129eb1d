//! What a client may ask of the runtime: the options of a request, whichever of the forms that containerd's clients have they
//! come in.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use runtime_core::{CgroupDriver, CreateOptions, Keyring, RootSwitch, Runtime};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::api::Any;
use crate::api::options::{RuncOptions, RuntimeOptions};
use crate::status::{Answer, Failure};

/// The directory below which the states of a namespace's containers are. It is not runc's: no runtime reads another's states.
pub(crate) const ROOT: &str = "/run/containerd/planc";

/// The name of the runc options' type, for what is answered.
pub(crate) const NAME: &str = "containerd.runc.v1.Options";

/// Where a bundle keeps them for `delete`.
const FILE: &str = "options.json";

/// More is no configuration.
const LONGEST: u64 = 1 << 20;

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    /// The root is moved, not pivoted.
    pub(crate) no_pivot_root: bool,
    /// The container has the shim's session keyring.
    pub(crate) no_new_keyring: bool,
    /// The cgroup that the shim itself is to be in; empty: containerd's.
    pub(crate) shim_cgroup: String,
    /// Who owns the ends of the container's standard streams.
    pub(crate) io_uid: u32,
    pub(crate) io_gid: u32,
    /// The directory in which each namespace has one of states; empty: [`ROOT`].
    pub(crate) root: String,
    /// systemd makes the cgroups.
    pub(crate) systemd_cgroup: bool,
    /// The program criu; empty: where the system has it.
    pub(crate) criu_path: String,
    /// Where a checkpoint's images and criu's own files go, where the request says nothing.
    pub(crate) criu_image_path: String,
    pub(crate) criu_work_path: String,
}

/// The forms of options, by the ends of their types' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The runc options, as a message or as JSON.
    Runc,
    /// The general ones, with TOML inside.
    Runtime,
}

impl Form {
    /// Older versions of containerd, and its plugins, have other packages in front.
    fn of(name: &str) -> Option<Self> {
        let is = |end: &str| name.strip_suffix(end).is_some_and(|package| package.is_empty() || package.ends_with('.'));
        // A type URL inside is written by people, and some write it in small letters.
        if is("runc.v1.Options") || is("runc.v1.options") {
            Some(Self::Runc)
        } else if is("runtimeoptions.v1.Options") || is("runtimeoptions.v1.options") {
            Some(Self::Runtime)
        } else {
            None
        }
    }
}

impl Options {
    /// Whether `any` is of a type that [`Self::read`] knows.
    pub(crate) fn are(any: &Any) -> bool {
        Form::of(any.name()).is_some()
    }

    /// The options of a request; without any, the usual ones.
    ///
    /// # Errors
    /// [`Code::InvalidArgument`](crate::status::Code) with the type, the key or the value that is wrong.
    pub(crate) fn read(any: Option<&Any>) -> Answer<Self> {
        let Some(any) = any.filter(|any| !any.type_url.is_empty() || !any.value.is_empty()) else {
            return Ok(Self::default());
        };
        let options = match Form::of(any.name()) {
            // No message begins like an object.
            Some(Form::Runc) if any.value.first() == Some(&b'{') => of_json(&any.value)?,
            Some(Form::Runc) => of_runc(&any.value)?,
            Some(Form::Runtime) => of_runtime(&any.value)?,
            None => return Err(Failure::invalid(format!("unknown type of options {:?}", any.type_url))),
        };
        options.checked()
    }

    fn checked(self) -> Answer<Self> {
        let paths = [
            ("Root", &self.root),
            ("CriuPath", &self.criu_path),
            ("CriuImagePath", &self.criu_image_path),
            ("CriuWorkPath", &self.criu_work_path),
        ];
        for (name, path) in paths {
            let odd = path.contains('\0') || Path::new(path).components().any(|part| part.as_os_str() == "..");
            if !path.is_empty() && (!path.starts_with('/') || odd) {
                return Err(Failure::invalid(format!("option {name}: {path:?} is no absolute path without \"..\"")));
            }
        }
        Ok(self)
    }

    /// The containers of a namespace.
    pub(crate) fn runtime(&self, namespace: &str) -> Runtime {
        let root = if self.root.is_empty() { ROOT } else { &self.root };
        Runtime::new(Path::new(root).join(namespace))
    }

    /// What they say of the making of a container.
    pub(crate) fn create_options(&self) -> CreateOptions {
        CreateOptions {
            root_switch: if self.no_pivot_root { RootSwitch::Move } else { RootSwitch::Pivot },
            keyring: if self.no_new_keyring { Keyring::Keep } else { Keyring::New },
            cgroup_driver: if self.systemd_cgroup { CgroupDriver::Systemd } else { CgroupDriver::Cgroupfs },
            ..CreateOptions::default()
        }
    }

    /// What they say of a checkpoint, or of a restore, whose request names these directories, or none.
    #[cfg(feature = "criu")]
    pub(crate) fn criu(&self, images: &str, work: &str) -> runtime_core::Criu {
        let given = |path: &str| Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty());
        runtime_core::Criu {
            program: given(&self.criu_path),
            images: given(images).or_else(|| given(&self.criu_image_path)).unwrap_or_default(),
            work: given(work).or_else(|| given(&self.criu_work_path)),
            ..runtime_core::Criu::default()
        }
    }

    /// Their form that containerd's own clients read.
    pub(crate) fn to_any(&self) -> Any {
        let options = RuncOptions {
            no_pivot_root: self.no_pivot_root,
            no_new_keyring: self.no_new_keyring,
            shim_cgroup: self.shim_cgroup.clone(),
            io_uid: self.io_uid,
            io_gid: self.io_gid,
            root: self.root.clone(),
            criu_path: self.criu_path.clone(),
            systemd_cgroup: self.systemd_cgroup,
            criu_image_path: self.criu_image_path.clone(),
            criu_work_path: self.criu_work_path.clone(),
            ..RuncOptions::default()
        };
        Any::of(NAME, &options)
    }

    /// Keeps them in the bundle, where a `delete` finds them when the shim is dead.
    pub(crate) fn save(&self, bundle: &Path) -> io::Result<()> {
        replace(&bundle.join(FILE), &serde_json::to_vec(self)?)
    }

    /// Those that were kept in the bundle; the usual ones where none were.
    pub(crate) fn load(bundle: &Path) -> io::Result<Self> {
        match read_small(&bundle.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            read => Ok(serde_json::from_slice(&read?)?),
        }
    }
}

/// Writes a file (0600) of which nobody ever sees a part.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(name);
    let write = || {
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        std::fs::rename(&new, path)
    };
    write().inspect_err(|_| drop(std::fs::remove_file(&new)))
}

/// A file that somebody writes by hand, or a program of containerd's.
fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    // A FIFO of this name would keep the caller waiting.
    let file = File::options().read(true).custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 1 MiB"));
    }
    Ok(bytes)
}

fn of_runc(value: &[u8]) -> Answer<Options> {
    let malformed = |error| Failure::invalid(format!("malformed {NAME}: {error}"));
    // What a message is skipped for would be an option that has no effect.
    if let Some(number) = unknown_field(value, 13).map_err(malformed)? {
        return Err(Failure::invalid(format!("unknown field {number} of {NAME}")));
    }
    let runc = RuncOptions::decode(value).map_err(malformed)?;
    without_effect("BinaryName", !runc.binary_name.is_empty());
    without_effect("TaskApiAddress", !runc.task_api_address.is_empty());
    Ok(Options {
        no_pivot_root: runc.no_pivot_root,
        no_new_keyring: runc.no_new_keyring,
        shim_cgroup: runc.shim_cgroup,
        io_uid: runc.io_uid,
        io_gid: runc.io_gid,
        root: runc.root,
        systemd_cgroup: runc.systemd_cgroup,
        criu_path: runc.criu_path,
        criu_image_path: runc.criu_image_path,
        criu_work_path: runc.criu_work_path,
    })
}

/// The first field of a message whose number is above `last`.
fn unknown_field(mut message: &[u8], last: u32) -> Result<Option<u32>, prost::DecodeError> {
    while message.has_remaining() {
        let (number, kind) = decode_key(&mut message)?;
        if number > last {
            return Ok(Some(number));
        }
        skip_field(kind, number, &mut message, DecodeContext::default())?;
    }
    Ok(None)
}

fn of_runtime(value: &[u8]) -> Answer<Options> {
    let given = RuntimeOptions::decode(value)
        .map_err(|error| Failure::invalid(format!("malformed runtimeoptions.v1.Options: {error}")))?;
    of_type(&given.type_url)?;
    if given.config_path.is_empty() {
        return of_toml(&given.config_body);
    }
    let within = |why: &dyn std::fmt::Display| Failure::invalid(format!("options file {}: {why}", given.config_path));
    let text = read_small(Path::new(&given.config_path)).map_err(|error| within(&error))?;
    of_toml(&text).map_err(|failure| within(&failure))
}

/// What is inside is TOML, of whichever of the two it is said to be the keys.
fn of_type(url: &str) -> Answer<()> {
    let any = Any { type_url: url.to_owned(), value: Vec::new() };
    let is_known = url.is_empty() || Options::are(&any);
    if is_known { Ok(()) } else { Err(Failure::invalid(format!("unknown type of options inside: {url:?}"))) }
}

fn of_toml(text: &[u8]) -> Answer<Options> {
    let malformed = |why: String| Failure::invalid(format!("malformed TOML of options: {}", one_line(&why)));
    let text = std::str::from_utf8(text).map_err(|error| malformed(error.to_string()))?;
    of_table(toml::from_str(text).map_err(|error| malformed(error.message().to_owned()))?)
}

fn of_json(text: &[u8]) -> Answer<Options> {
    let malformed = |error| Failure::invalid(format!("malformed JSON of options: {error}"));
    of_table(serde_json::from_slice(text).map_err(malformed)?)
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

/// Keys are as in Go (`SystemdCgroup`), as in the message (`systemd_cgroup`), or in letters of any case.
fn of_table(table: Map<String, Value>) -> Answer<Options> {
    let mut options = Options::default();
    for (key, value) in table {
        let name: String = key.chars().filter(|c| *c != '_').map(|c| c.to_ascii_lowercase()).collect();
        match name.as_str() {
            "nopivotroot" => options.no_pivot_root = typed(&key, value)?,
            "nonewkeyring" => options.no_new_keyring = typed(&key, value)?,
            "shimcgroup" => options.shim_cgroup = typed(&key, value)?,
            "iouid" => options.io_uid = typed(&key, value)?,
            "iogid" => options.io_gid = typed(&key, value)?,
            "root" => options.root = typed(&key, value)?,
            "systemdcgroup" => options.systemd_cgroup = typed(&key, value)?,
            "criupath" => options.criu_path = typed(&key, value)?,
            "criuimagepath" => options.criu_image_path = typed(&key, value)?,
            "criuworkpath" => options.criu_work_path = typed(&key, value)?,
            // containerd passes the table on whole, with what it is about itself.
            "typeurl" => of_type(&typed::<String>(&key, value)?)?,
            "configpath" => without_effect(&key, !typed::<String>(&key, value)?.is_empty()),
            "binaryname" | "taskapiaddress" => without_effect(&key, !typed::<String>(&key, value)?.is_empty()),
            "taskapiversion" => without_effect(&key, typed::<u32>(&key, value)? != 0),
            _ => return Err(Failure::invalid(format!("unknown option {key:?}"))),
        }
    }
    Ok(options)
}

fn typed<T: serde::de::DeserializeOwned>(key: &str, value: Value) -> Answer<T> {
    serde_json::from_value(value).map_err(|error| Failure::invalid(format!("option {key}: {error}")))
}

/// No other program is run, and nobody else serves the task.
fn without_effect(key: &str, is_given: bool) {
    if is_given {
        log::debug!("option {key} has no effect: the runtime is part of this shim");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::status::Code;

    fn of(url: &str, value: impl Into<Vec<u8>>) -> Any {
        Any { type_url: url.to_owned(), value: value.into() }
    }

    /// As CRI sends it for any runtime that is not called io.containerd.runc.v2.
    fn toml(body: &str) -> Any {
        let options = RuntimeOptions { config_body: body.as_bytes().to_vec(), ..RuntimeOptions::default() };
        of("runtimeoptions.v1.Options", options.encode_to_vec())
    }

    fn refused(any: &Any) -> String {
        let failure = Options::read(Some(any)).unwrap_err();
        assert_eq!(failure.code, Code::InvalidArgument);
        assert!(!failure.message.contains('\n'), "{failure}");
        failure.message
    }

    #[test]
    fn none_are_the_usual_ones() {
        assert_eq!(Options::read(None).unwrap(), Options::default());
        assert_eq!(Options::read(Some(&Any::default())).unwrap(), Options::default());
        assert_eq!(Options::default().runtime("k8s.io").root(), Path::new("/run/containerd/planc/k8s.io"));
    }

    #[test]
    fn the_message_whatever_its_host() {
        let options = RuncOptions {
            systemd_cgroup: true,
            root: "/r".to_owned(),
            io_uid: 7,
            binary_name: "crun".to_owned(),
            ..RuncOptions::default()
        };
        let wanted = Options { systemd_cgroup: true, root: "/r".to_owned(), io_uid: 7, ..Options::default() };
        for url in ["containerd.runc.v1.Options", "type.googleapis.com/containerd.runc.v1.Options", "runc.v1.Options"] {
            assert_eq!(Options::read(Some(&of(url, options.encode_to_vec()))).unwrap(), wanted, "{url}");
        }
        assert_eq!(wanted.runtime("moby").root(), Path::new("/r/moby"));
        assert_eq!(Options::read(Some(&wanted.to_any())).unwrap(), wanted);
    }

    /// containerd#9671: read as runc options, the text would be the shim's cgroup.
    #[test]
    fn toml_inside() {
        let body =
            "SystemdCgroup = true\nBinaryName = \"/usr/bin/planc\"\nRoot = '/r'\nIoGid = 3\nNoPivotRoot = true\n";
        let wanted = Options {
            systemd_cgroup: true,
            root: "/r".to_owned(),
            io_gid: 3,
            no_pivot_root: true,
            ..Options::default()
        };
        assert_eq!(Options::read(Some(&toml(body))).unwrap(), wanted);
        let names = ["cri.runtimeoptions.v1.Options", "x.y/io.containerd.runtimeoptions.v1.Options"];
        for url in names {
            assert_eq!(Options::read(Some(&of(url, toml(body).value))).unwrap(), wanted, "{url}");
        }
        let create = wanted.create_options();
        assert_eq!((create.root_switch, create.cgroup_driver), (RootSwitch::Move, CgroupDriver::Systemd));
        assert_eq!(Options::read(Some(&toml(""))).unwrap(), Options::default());
        assert!(Options::read(Some(&toml("systemd_cgroup = true"))).unwrap().systemd_cgroup);
        let typed = "TypeUrl = \"containerd.runc.v1.Options\"\nConfigPath = \"\"\nShimCgroup = \"/s\"";
        assert_eq!(Options::read(Some(&toml(typed))).unwrap().shim_cgroup, "/s");
    }

    #[test]
    fn toml_in_a_file() {
        let path = std::env::temp_dir().join(format!("planc-shim-options-{}.toml", std::process::id()));
        let file = |url: &str| RuntimeOptions {
            type_url: url.to_owned(),
            config_path: path.to_str().unwrap().to_owned(),
            ..RuntimeOptions::default()
        };
        let file_of = |url: &str| of("runtimeoptions.v1.Options", file(url).encode_to_vec());
        assert!(refused(&file_of("")).contains("planc-shim-options-"));
        std::fs::write(&path, "NoNewKeyring = true").unwrap();
        assert!(Options::read(Some(&file_of("containerd.runc.v1.Options"))).unwrap().no_new_keyring);
        assert!(refused(&file_of("io.katacontainers.Config")).contains("io.katacontainers.Config"));
        std::fs::write(&path, "Nonsense = true").unwrap();
        assert!(refused(&file_of("")).contains("unknown option \"Nonsense\""));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn json_in_place_of_the_message() {
        let json_of = |text: &str| of("types.containerd.io/containerd.runc.v1.Options", text);
        let options = Options::read(Some(&json_of("{\"systemd_cgroup\":true,\"criuWorkPath\":\"/w\"}"))).unwrap();
        assert!(options.systemd_cgroup);
        assert_eq!(options.criu_work_path, "/w");
        assert!(refused(&json_of("{\"x\":1}")).contains("unknown option \"x\""));
        assert!(refused(&json_of("{\"root\":1}")).contains("option root: "));
        assert!(refused(&json_of("{")).contains("malformed JSON"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (given, named) in [
            (of("io.containerd.runhcs.v1.Options", ""), "runhcs.v1.Options"),
            (of("", "x"), "unknown type of options \"\""),
            (of("containerd.evilrunc.v1.Options", ""), "evilrunc"),
            (of(NAME, vec![0x08]), "malformed containerd.runc.v1.Options"),
            (of(NAME, vec![0x72, 0x00]), "unknown field 14"),
            (of("runtimeoptions.v1.Options", vec![0xff]), "malformed runtimeoptions"),
            (toml("SystemdCgroups = true"), "unknown option \"SystemdCgroups\""),
            (toml("SystemdCgroup = 1"), "option SystemdCgroup: "),
            (toml("IoUid = -1"), "option IoUid: "),
            (toml("SystemdCgroup ="), "malformed TOML"),
            (toml("Root = 'relative'"), "option Root: "),
            (toml("Root = '/a/../b'"), "option Root: "),
        ] {
            let why = refused(&given);
            assert!(why.contains(named), "{why}");
        }
    }

    #[cfg(feature = "criu")]
    #[test]
    fn a_request_counts_more_for_criu() {
        let options = Options {
            criu_path: "/c".to_owned(),
            criu_image_path: "/i".to_owned(),
            criu_work_path: "/w".to_owned(),
            ..Options::default()
        };
        let usual = options.criu("", "");
        assert_eq!((usual.program, usual.images, usual.work), (Some("/c".into()), "/i".into(), Some("/w".into())));
        let named = options.criu("/ri", "/rw");
        assert_eq!((named.images, named.work), ("/ri".into(), Some("/rw".into())));
        assert_eq!(Options::default().criu("", "").program, None);
    }

    #[test]
    fn kept_in_the_bundle() {
        let bundle = std::env::temp_dir().join(format!("planc-shim-bundle-{}", std::process::id()));
        std::fs::create_dir(&bundle).unwrap();
        assert_eq!(Options::load(&bundle).unwrap(), Options::default());
        let options = Options { root: "/r".to_owned(), io_uid: 3, ..Options::default() };
        options.save(&bundle).unwrap();
        options.save(&bundle).unwrap();
        assert_eq!(Options::load(&bundle).unwrap(), options);
        assert_eq!(std::fs::read_dir(&bundle).unwrap().count(), 1);
        std::fs::write(bundle.join(FILE), "{").unwrap();
        Options::load(&bundle).unwrap_err();
        std::fs::remove_dir_all(&bundle).unwrap();
    }

    proptest! {
        #[test]
        fn no_bytes_panic(url in 0..3, bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let url = [NAME, "runtimeoptions.v1.Options", ""][url as usize];
            let _ = Options::read(Some(&of(url, bytes)));
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z=\\[\\]\"'\n 0-9{}.#-]{0,60}") {
            let _ = Options::read(Some(&toml(&text)));
            let _ = Options::read(Some(&of(NAME, format!("{{{text}"))));
        }
    }
}
