//! ROOM 1: config.json loaded and checked; the default one of `planc spec`.
use oci_spec::runtime::Spec;
use std::path::Path;
/// tmp
pub fn load(_bundle: &Path) -> crate::Result<(Spec, Vec<String>)> {
    Ok((Spec::default(), vec![]))
}
