//! The socket of a shim: a name that a group of containers shares, in a directory that is nobody else's (CVE-2020-15257).

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};

use super::sha256;
use crate::status::{Answer, Failure};

/// Where sockets are, unless containerd says otherwise.
const DIRECTORY: &str = "/run/containerd/s";

/// What an address has room for, with its NUL (unix(7)); one byte is left to clients that count differently.
const LONGEST: usize = 106;

/// How many may wait to be accepted: as many as the host allows.
const BACKLOG: i32 = 4096;

/// What is at a socket's path.
enum Found {
    Nothing,
    /// A socket at which nobody listens any more.
    Stale,
    /// Somebody listens.
    Alive,
}

/// The place of a group's socket, locked: no other `start` looks at it, or makes it, meanwhile.
pub(super) struct Place {
    path: PathBuf,
    _lock: Flock<File>,
}

/// The name of the socket that a group of containers has, of one containerd and one namespace. Nobody who chooses two of the
/// three can make it another group's. It is not the name that another shim would give it.
pub(super) fn name(address: &str, namespace: &str, group: &str) -> String {
    sha256::hex(["planc", address, namespace, group].join("\0").as_bytes())
}

/// How clients write the address of a socket.
pub(super) fn address(path: &Path) -> String {
    format!("unix://{}", path.display())
}

impl Place {
    /// The place of this name. Its directory is made (0700) where it is missing.
    pub(super) fn lock(directory: Option<&Path>, name: &str) -> Answer<Self> {
        let directory = directory.unwrap_or(Path::new(DIRECTORY));
        let path = directory.join(name);
        if !directory.is_absolute() || path.as_os_str().len() > LONGEST {
            let why = format!("the socket {} would be relative, or longer than {LONGEST} bytes", path.display());
            return Err(Failure::invalid(why));
        }
        Self::in_directory(directory, path.clone())
            .map_err(|error| Failure::host(&format!("use the sockets' directory {}", directory.display()), error))
    }

    fn in_directory(directory: &Path, path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let opened = File::open(directory)?;
        let metadata = opened.metadata()?;
        let is_private = metadata.uid() == nix::unistd::geteuid().as_raw() && metadata.mode() & 0o022 == 0;
        if !is_private {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may write there"));
        }
        let lock = Flock::lock(opened, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        Ok(Self { path, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A new socket that listens here; `None` where one does already. A stale one is replaced.
    pub(super) fn bind(&self) -> Answer<Option<UnixListener>> {
        let failed = |error| Failure::host(&format!("make the socket {}", self.path.display()), error);
        match self.look().map_err(failed)? {
            Found::Alive => return Ok(None),
            Found::Stale => self.remove().map_err(failed)?,
            Found::Nothing => {}
        }
        self.listen().map(Some).map_err(failed)
    }

    fn listen(&self) -> io::Result<UnixListener> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        // The file gets the mode of the socket, so there is no moment at which others could connect.
        rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o600))?;
        bind(&socket, &SocketAddrUnix::new(self.path.as_os_str().as_bytes())?)?;
        if let Err(errno) = listen(&socket, BACKLOG) {
            self.remove()?;
            return Err(errno.into());
        }
        Ok(socket.into())
    }

    fn look(&self) -> io::Result<Found> {
        match self.path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            found => {
                if !found?.file_type().is_socket() {
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, "no socket is there"));
                }
            }
        }
        // One whose queue is full does not answer, but it is alive.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let probe = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        match connect(&probe, &SocketAddrUnix::new(self.path.as_os_str().as_bytes())?) {
            Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT) => Ok(Found::Stale),
            Ok(()) | Err(rustix::io::Errno::AGAIN) => Ok(Found::Alive),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes the socket, whoever listens.
    pub(super) fn remove(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// Removes the socket of a dead shim, by its address; that of another is left alone.
pub(crate) fn remove_stale(address: &str) -> io::Result<()> {
    let Some(path) = address.trim().strip_prefix("unix://").map(PathBuf::from) else { return Ok(()) };
    let is_name = |name: &std::ffi::OsStr| name.len() == 64 && name.as_bytes().iter().all(u8::is_ascii_hexdigit);
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    if !is_name(name) || !directory.is_absolute() || !directory.is_dir() {
        return Ok(());
    }
    let place = Place::in_directory(directory, path.clone())?;
    if matches!(place.look()?, Found::Stale) { place.remove() } else { Ok(()) }
}

/// Ends the listening of this shim's own. Its socket goes first: a `start` of the group that comes now makes another shim,
/// and is not sent to one that ends.
pub(crate) fn retire(listener: UnixListener) -> io::Result<()> {
    let address = listener.local_addr()?;
    let Some((directory, path)) = address.as_pathname().and_then(|path| Some((path.parent()?, path))) else {
        return Ok(());
    };
    let place = Place::in_directory(directory, path.to_owned())?;
    place.remove()?;
    // Within the lock: nobody has made another at this path.
    drop(listener);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("planc-shim-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn a_name_for_each_group() {
        let one = name("/run/c.sock", "k8s.io", "pod");
        assert_eq!(one.len(), 64);
        for other in [("/run/d.sock", "k8s.io", "pod"), ("/run/c.sock", "moby", "pod"), ("/run/c.sock", "k8s.io", "p")]
        {
            assert_ne!(name(other.0, other.1, other.2), one);
        }
        assert_ne!(name("a", "b", "c"), name("a", "b\0c", ""));
        assert!(Path::new(DIRECTORY).join(one).as_os_str().len() <= LONGEST);
    }

    /// T-55
    #[test]
    fn private_from_its_birth_on() {
        let directory = directory("private");
        let place = Place::lock(Some(&directory), &name("", "", "a")).unwrap();
        let listener = place.bind().unwrap().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&directory), mode(place.path())), (0o700, 0o600));
        drop((listener, place));
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(0o777)).unwrap();
        let refused = Place::lock(Some(&directory), "a").err().unwrap();
        assert!(refused.message.contains("others may write there"), "{refused}");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn one_listens_and_a_stale_one_is_replaced() {
        let directory = directory("stale");
        let name = name("", "", "a");
        let place = Place::lock(Some(&directory), &name).unwrap();
        let listener = place.bind().unwrap().unwrap();
        assert!(place.bind().unwrap().is_none());
        let address = address(place.path());
        drop(place);
        remove_stale(&address).unwrap();
        UnixStream::connect(directory.join(&name)).unwrap();
        drop(listener);
        let place = Place::lock(Some(&directory), &name).unwrap();
        let listener = place.bind().unwrap().unwrap();
        UnixStream::connect(place.path()).unwrap();
        drop((listener, place));
        remove_stale(&address).unwrap();
        assert!(!directory.join(&name).exists());
        remove_stale(&address).unwrap();
        std::fs::write(directory.join(&name), "").unwrap();
        let refused = Place::lock(Some(&directory), &name).unwrap().bind().unwrap_err();
        assert!(refused.message.contains("no socket is there"), "{refused}");
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn who_ends_is_found_no_more() {
        let directory = directory("retire");
        let first = Place::lock(Some(&directory), "a").unwrap().bind().unwrap().unwrap();
        retire(first).unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        let second = Place::lock(Some(&directory), "a").unwrap().bind().unwrap();
        assert!(second.is_some());
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn one_whose_queue_is_full_is_alive() {
        let directory = directory("full");
        let place = Place::lock(Some(&directory), "a").unwrap();
        let _listener = place.bind().unwrap().unwrap();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let address = SocketAddrUnix::new(place.path().as_os_str().as_bytes()).unwrap();
        let mut clients = Vec::new();
        loop {
            let client = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
            match connect(&client, &address) {
                Ok(()) => clients.push(client),
                Err(errno) => break assert_eq!(errno, rustix::io::Errno::AGAIN),
            }
            // Where the host allows very many, there is nothing to see.
            if clients.len() > 900 {
                break;
            }
        }
        assert!(place.bind().unwrap().is_none());
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn what_no_address_has_room_for() {
        let long = format!("/run/{}", "x".repeat(LONGEST));
        assert!(Place::lock(Some(Path::new(&long)), "a").is_err());
        assert!(Place::lock(Some(Path::new("relative")), "a").is_err());
    }
}
