//! oci-spec compiles one expression with regex, whose tables of Unicode are a third of planc's data. regex-lite has the same
//! interface, and no tables.

pub use regex_lite::*;
