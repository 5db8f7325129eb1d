//! What containerd says to `start`, and how each of its versions is answered.

use std::path::PathBuf;

use prost::Message;

use crate::api::Any;
use crate::api::bootstrap::{BootstrapParams, BootstrapResult};
use crate::flags::Flags;
use crate::options::Options;
use crate::status::{Answer, Failure};

/// How the caller speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// containerd ≥ 2.3: parameters, and a result.
    Bootstrap,
    /// Older ones: options or nothing, and a line.
    Line,
}

/// The level from which on the log is talkative, as BootstrapParams numbers it.
const DEBUG: i32 = -4;

/// What is asked of `start`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) dialect: Dialect,
    pub(super) options: Options,
    pub(super) socket_dir: Option<PathBuf>,
    /// containerd's own address, by which two of them are told apart.
    pub(super) address: String,
    /// Where events go, where it is not what the environment says.
    pub(super) ttrpc_address: Option<String>,
    pub(super) debug: bool,
}

impl Request {
    /// Reads the standard input's bytes.
    pub(super) fn read(input: &[u8], flags: &Flags) -> Answer<Self> {
        // Options can pass for parameters, so those have to repeat what the flags say.
        match BootstrapParams::decode(input) {
            Ok(params) if params.instance_id == flags.id && params.namespace == flags.namespace => {
                Self::of_params(params, flags)
            }
            _ => Self::of_any(input, flags),
        }
    }

    fn of_params(params: BootstrapParams, flags: &Flags) -> Answer<Self> {
        // Extensions are also about things that are no business of a shim's.
        let options =
            params.extensions.iter().filter_map(|extension| extension.value.as_ref()).find(|any| Options::are(any));
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Self {
            dialect: Dialect::Bootstrap,
            options: Options::read(options)?,
            socket_dir: params.socket_dir.and_then(given).map(PathBuf::from),
            address: given(params.containerd_grpc_address).unwrap_or_else(|| flags.address.clone()),
            ttrpc_address: given(params.containerd_ttrpc_address),
            debug: flags.debug || params.log_level <= DEBUG,
        })
    }

    fn of_any(input: &[u8], flags: &Flags) -> Answer<Self> {
        let any = Any::decode(input)
            .map_err(|error| Failure::invalid(format!("cannot read the standard input as options: {error}")))?;
        Ok(Self {
            dialect: Dialect::Line,
            options: Options::read(Some(&any))?,
            socket_dir: None,
            address: flags.address.clone(),
            ttrpc_address: None,
            debug: flags.debug,
        })
    }

    /// The answer: the shim is reached at `address`.
    pub(super) fn answer(&self, address: &str) -> Vec<u8> {
        match self.dialect {
            Dialect::Bootstrap => {
                BootstrapResult { version: 3, address: address.to_owned(), protocol: "ttrpc".to_owned() }
                    .encode_to_vec()
            }
            // containerd 1.7 refuses version 3, 1.6 knows no JSON, and 2.0 calls as 1.7 does: with the same flags and the
            // same environment. All take a line for version 2, which this shim speaks as well.
            Dialect::Line => format!("{address}\n").into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::bootstrap::Extension;
    use crate::api::options::RuncOptions;

    fn flags() -> Flags {
        Flags {
            namespace: "k8s.io".to_owned(),
            id: "a".to_owned(),
            address: "/run/c.sock".to_owned(),
            ..Flags::default()
        }
    }

    fn options() -> Any {
        let runc = RuncOptions { shim_cgroup: "/s".to_owned(), ..RuncOptions::default() };
        Any::of("containerd.runc.v1.Options", &runc)
    }

    fn params() -> BootstrapParams {
        let extension = |any| Extension { value: Some(any) };
        BootstrapParams {
            instance_id: "a".to_owned(),
            namespace: "k8s.io".to_owned(),
            log_level: -4,
            containerd_ttrpc_address: "/run/c.sock.ttrpc".to_owned(),
            extensions: vec![
                extension(Any { type_url: "containerd.io/x".to_owned(), value: vec![0xff] }),
                extension(options()),
            ],
            socket_dir: Some("/run/s".to_owned()),
            ..BootstrapParams::default()
        }
    }

    #[test]
    fn parameters_are_answered_by_a_result() {
        let request = Request::read(&params().encode_to_vec(), &flags()).unwrap();
        let wanted = Request {
            dialect: Dialect::Bootstrap,
            options: Options { shim_cgroup: "/s".to_owned(), ..Options::default() },
            socket_dir: Some("/run/s".into()),
            address: "/run/c.sock".to_owned(),
            ttrpc_address: Some("/run/c.sock.ttrpc".to_owned()),
            debug: true,
        };
        assert_eq!(request, wanted);
        let result = BootstrapResult::decode(&*request.answer("unix:///s")).unwrap();
        assert_eq!((result.version, result.address.as_str(), result.protocol.as_str()), (3, "unix:///s", "ttrpc"));
        let bytes = b"\x08\x03\x12\x09unix:///s\x1a\x05ttrpc";
        assert_eq!(request.answer("unix:///s"), bytes);
    }

    #[test]
    fn options_or_nothing_are_answered_by_a_line() {
        let request = Request::read(&options().encode_to_vec(), &flags()).unwrap();
        assert_eq!((request.dialect, request.options.shim_cgroup.as_str()), (Dialect::Line, "/s"));
        assert_eq!(request.answer("unix:///s"), b"unix:///s\n");
        let request = Request::read(b"", &flags()).unwrap();
        assert_eq!((request.dialect, request.options, request.debug), (Dialect::Line, Options::default(), false));
    }

    /// The numbers of their fields are the same, so one passes for the other.
    #[test]
    fn options_are_not_taken_for_parameters() {
        let toml = Any { type_url: "runtimeoptions.v1.Options".to_owned(), value: Vec::new() };
        BootstrapParams::decode(&*toml.encode_to_vec()).unwrap();
        assert_eq!(Request::read(&toml.encode_to_vec(), &flags()).unwrap().dialect, Dialect::Line);
        // Of another container they are none of ours either, and no options.
        let other = BootstrapParams { instance_id: "b".to_owned(), ..params() };
        Request::read(&other.encode_to_vec(), &flags()).unwrap_err();
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Request::read(&bytes, &flags());
        }

        #[test]
        fn no_cut_panics(length in 0usize..80) {
            let whole = params().encode_to_vec();
            let _ = Request::read(&whole[..length.min(whole.len())], &flags());
        }
    }
}
