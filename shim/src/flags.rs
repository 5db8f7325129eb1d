//! The command line, as Go's package flag reads one: that is what containerd writes.

use std::ffi::OsString;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub(crate) namespace: String,
    pub(crate) id: String,
    /// containerd's own address.
    pub(crate) address: String,
    pub(crate) bundle: String,
    pub(crate) socket: String,
    /// Known, and of no effect: there is no second socket.
    pub(crate) debug_socket: String,
    /// Known, and of no effect: events go to TTRPC_ADDRESS.
    pub(crate) publish_binary: String,
    pub(crate) debug: bool,
    pub(crate) version: bool,
    pub(crate) info: bool,
    pub(crate) help: bool,
    pub(crate) action: Option<String>,
}

/// What `-help` prints.
pub(crate) const USAGE: &str = "\
Usage: containerd-shim-planc-v2 [FLAGS] [start | delete]
containerd starts it; without an action it serves.
  -namespace NAME       the namespace of containerd that owns the container
  -id ID                the container, or the sandbox
  -address ADDRESS      containerd's own address
  -bundle DIR           the bundle of delete, where it is not the working directory
  -socket PATH          the socket to serve at, where none is inherited
  -debug                log what helps to find faults
  -info                 read options from the standard input, print what the runtime can do, and exit
  -v, -version          print the version, and exit
  -debug-socket PATH    of no effect
  -publish-binary PATH  of no effect
";

/// Where a flag's value goes.
enum Place<'a> {
    Text(&'a mut String),
    Switch(&'a mut bool),
}

impl Flags {
    /// Reads the words behind the program's name. The first that is no flag is the action, and what follows it is not read.
    ///
    /// # Errors
    /// Which word is wrong, and why.
    pub(crate) fn read(words: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut words = words.into_iter().map(|word| word.into_string().map_err(|odd| format!("no UTF-8: {odd:?}")));
        while let Some(word) = words.next().transpose()? {
            let Some(flag) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                flags.action = Some(word);
                break;
            };
            if flag == "-" {
                flags.action = words.next().transpose()?;
                break;
            }
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            if name.is_empty() || name.starts_with('-') {
                return Err(format!("bad flag syntax: {word}"));
            }
            match (flags.place(name), value) {
                (None, _) => return Err(format!("flag provided but not defined: -{name}")),
                (Some(Place::Switch(place)), value) => *place = truth(name, value.unwrap_or("true"))?,
                (Some(Place::Text(place)), Some(value)) => value.clone_into(place),
                (Some(Place::Text(place)), None) => {
                    *place = words.next().transpose()?.ok_or_else(|| format!("flag needs an argument: -{name}"))?;
                }
            }
        }
        Ok(flags)
    }

    fn place(&mut self, name: &str) -> Option<Place<'_>> {
        Some(match name {
            "namespace" => Place::Text(&mut self.namespace),
            "id" => Place::Text(&mut self.id),
            "address" => Place::Text(&mut self.address),
            "bundle" => Place::Text(&mut self.bundle),
            "socket" => Place::Text(&mut self.socket),
            "debug-socket" => Place::Text(&mut self.debug_socket),
            "publish-binary" => Place::Text(&mut self.publish_binary),
            "debug" => Place::Switch(&mut self.debug),
            "v" | "version" => Place::Switch(&mut self.version),
            "info" => Place::Switch(&mut self.info),
            "h" | "help" => Place::Switch(&mut self.help),
            _ => return None,
        })
    }
}

/// What Go's strconv.ParseBool takes.
fn truth(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("invalid boolean value {value:?} for -{name}")),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    fn read(words: &[&str]) -> Result<Flags, String> {
        Flags::read(words.iter().map(OsString::from))
    }

    #[test]
    fn as_every_containerd_writes_it() {
        let words =
            ["-namespace", "k8s.io", "-address", "/run/c.sock", "-publish-binary", "/c", "-id", "a", "-debug", "start"];
        let wanted = Flags {
            namespace: "k8s.io".to_owned(),
            address: "/run/c.sock".to_owned(),
            publish_binary: "/c".to_owned(),
            id: "a".to_owned(),
            debug: true,
            action: Some("start".to_owned()),
            ..Flags::default()
        };
        assert_eq!(read(&words).unwrap(), wanted);
        let delete = read(&["--id=a", "--bundle", "/b", "--debug=false", "delete", "-id", "other"]).unwrap();
        assert_eq!((delete.id.as_str(), delete.bundle.as_str(), delete.debug), ("a", "/b", false));
        assert_eq!(delete.action.as_deref(), Some("delete"));
    }

    #[test]
    fn corners_of_gos_flags() {
        // A value may look like a flag, be empty, and have an equals sign.
        assert_eq!(read(&["-id", "-debug"]).unwrap().id, "-debug");
        assert_eq!(read(&["-id="]).unwrap().id, "");
        assert_eq!(read(&["-id=a=b"]).unwrap().id, "a=b");
        assert_eq!(read(&["--", "-v"]).unwrap().action.as_deref(), Some("-v"));
        assert_eq!(read(&["-", "-v"]).unwrap(), Flags { action: Some("-".to_owned()), ..Flags::default() });
        assert!(read(&["-v"]).unwrap().version && read(&["--version"]).unwrap().version);
        assert!(read(&["-info", "-debug", "true"]).unwrap().info);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, why) in [
            (&["-x"][..], "flag provided but not defined: -x"),
            (&["-id"], "flag needs an argument: -id"),
            (&["---id", "a"], "bad flag syntax: ---id"),
            (&["-=a"], "bad flag syntax: -=a"),
            (&["-debug=maybe"], "invalid boolean value \"maybe\" for -debug"),
        ] {
            assert_eq!(read(words).unwrap_err(), why);
        }
        assert!(Flags::read([OsString::from_vec(vec![0xff])]).is_err());
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec("[-=a-z]{0,8}", 0..6)) {
            let _ = Flags::read(words.into_iter().map(OsString::from));
        }
    }
}
