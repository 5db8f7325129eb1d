//! Where a stream goes, as a URI: a path or `fifo://`, `file://`, `binary://`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::status::{Answer, Failure};

/// Where a stream goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Nothing,
    Fifo(PathBuf),
    File(PathBuf),
    Program(Program),
}

/// A program that logs, and what it is called with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<OsString>,
}

impl Place {
    /// What `uri` means, which is of the stream with this name.
    pub(crate) fn read(name: &str, uri: &str) -> Answer<Self> {
        if uri.is_empty() {
            return Ok(Self::Nothing);
        }
        let (scheme, rest) = uri.split_once("://").unwrap_or(("fifo", uri));
        let wrong = |why: &str| Failure::invalid(format!("{name} {uri:?}: {why}"));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let plain = if scheme == "fifo" && !uri.contains("://") { rest.into() } else { decoded(path, false) };
        if !["fifo", "file", "binary"].contains(&scheme) {
            return Err(wrong("unknown STDIO scheme"));
        }
        let path = PathBuf::from(plain);
        if !path.is_absolute() {
            return Err(wrong("the path is not absolute"));
        }
        match scheme {
            "fifo" => Ok(Self::Fifo(path)),
            "file" => Ok(Self::File(path)),
            _ => Ok(Self::Program(Program { path, args: arguments(query) })),
        }
    }
}

/// The arguments that a query stands for: of each `name=value` first one and then the other, by name.
fn arguments(query: &str) -> Vec<OsString> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut pairs: Vec<_> = pairs.map(|(name, value)| (decoded(name, true), decoded(value, true))).collect();
    // The first of those with the same name counts.
    pairs.sort_by(|(one, _), (other, _)| one.cmp(other));
    pairs.dedup_by(|(later, _), (earlier, _)| later == earlier);
    pairs.into_iter().flat_map(|(name, value)| [name, value]).collect()
}

/// A text with its %XX (RFC 3986), and in a query its +, as they are meant; what is no such thing stays as it is.
fn decoded(text: &str, is_query: bool) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let digits = after.first_chunk::<2>().filter(|_| *first == b'%');
        let digits = digits.and_then(|two| str::from_utf8(two).ok()).filter(|two| !two.starts_with('+'));
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None if *first == b'+' && is_query => bytes.push(b' '),
            None => bytes.push(*first),
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(uri: &str) -> Place {
        Place::read("stdout", uri).unwrap()
    }

    #[test]
    fn each_scheme() {
        assert_eq!(place(""), Place::Nothing);
        assert_eq!(place("/run/a%20?b"), Place::Fifo("/run/a%20?b".into()));
        assert_eq!(place("fifo:///run/a"), Place::Fifo("/run/a".into()));
        assert_eq!(place("file:///var/log/a%20b"), Place::File("/var/log/a b".into()));
        let program = Program { path: "/bin/log".into(), args: ["a", "1 2", "b", "+"].map(Into::into).to_vec() };
        assert_eq!(place("binary:///bin/log?b=%2B&a=1+2&a=3"), Place::Program(program));
        let bare = Program { path: "/bin/log".into(), args: ["x", ""].map(Into::into).to_vec() };
        assert_eq!(place("binary:///bin/log?x"), Place::Program(bare));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (uri, why) in [
            ("npipe:///a", "unknown STDIO scheme"),
            ("run/a", "the path is not absolute"),
            ("file://a", "the path is not absolute"),
            ("binary://", "the path is not absolute"),
        ] {
            let failure = Place::read("stderr", uri).unwrap_err();
            assert_eq!(failure, Failure::invalid(format!("stderr {uri:?}: {why}")));
        }
    }

    #[test]
    fn a_percent_that_means_nothing_stays() {
        assert_eq!(decoded("100%", false), "100%");
        assert_eq!(decoded("%+1%zz%4", true), "% 1%zz%4");
    }
}
