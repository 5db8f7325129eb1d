//! `-info` and `-version`: what the runtime is and can do. Neither looks at the host, or needs a namespace.

use std::collections::BTreeMap;

use prost::Message;

use crate::api::Any;
use crate::api::bootstrap::{RuntimeInfo, RuntimeVersion};
use crate::options::Options;
use crate::status::{Answer, Failure};

/// What containerd's configuration calls the runtime.
const NAME: &str = "io.containerd.planc.v2";

/// The name under which containerd knows the type of features.md.
const FEATURES: &str = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

const REVISION: Option<&str> = option_env!("PLANC_COMMIT");

/// The answer to `-info`, as bytes; `input` are options, or nothing.
pub(crate) fn info(input: &[u8]) -> Answer<Vec<u8>> {
    let any = Any::decode(input)
        .map_err(|error| Failure::invalid(format!("cannot read the standard input as options: {error}")))?;
    // Wrong ones are an error here already: containerd asks when it starts, and people look then.
    let options = Options::read(Some(&any))?;
    let features = runtime_core::features_json()?.to_string().into_bytes();
    let version = RuntimeVersion {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: REVISION.unwrap_or_default().to_owned(),
    };
    let info = RuntimeInfo {
        name: NAME.to_owned(),
        version: Some(version),
        options: (!any.type_url.is_empty()).then(|| options.to_any()),
        features: Some(Any { type_url: FEATURES.to_owned(), value: features }),
        annotations: BTreeMap::new(),
    };
    Ok(info.encode_to_vec())
}

/// The lines of `-version`.
pub(crate) fn version() -> String {
    format!(
        "containerd-shim-planc-v2:\n  Version:  {}\n  Revision: {}\n  rustc:    {}\n\n",
        env!("CARGO_PKG_VERSION"),
        REVISION.unwrap_or("unknown"),
        option_env!("PLANC_RUSTC").unwrap_or("unknown"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::options::RuncOptions;

    #[test]
    fn features_are_json_without_nulls() {
        let info = RuntimeInfo::decode(&*info(b"").unwrap()).unwrap();
        assert_eq!((info.name.as_str(), info.options), (NAME, None));
        let features = info.features.unwrap();
        assert_eq!(features.type_url, FEATURES);
        assert!(!String::from_utf8(features.value.clone()).unwrap().contains(":null"));
        let json: serde_json::Value = serde_json::from_slice(&features.value).unwrap();
        // What containerd itself looks for before it makes idmapped mounts.
        assert_eq!(json["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert_eq!(info.version.unwrap().version, env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn options_come_back() {
        let runc = RuncOptions { systemd_cgroup: true, ..RuncOptions::default() };
        let given = Any::of(crate::options::NAME, &runc);
        let info = RuntimeInfo::decode(&*info(&given.encode_to_vec()).unwrap()).unwrap();
        assert_eq!(info.options, Some(given));
    }

    #[test]
    fn wrong_options_are_an_error() {
        let odd = Any { type_url: "x.y/z".to_owned(), value: Vec::new() };
        assert!(info(&odd.encode_to_vec()).unwrap_err().message.contains("x.y/z"));
        assert!(info(&[0xff]).is_err());
    }
}
