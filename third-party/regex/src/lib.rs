//! oci-spec compiles one expression with regex, whose tables of Unicode have two thirds of the pages that
//! planc's relocations touch. regex-lite has the same
//! interface, and no tables.

pub use regex_lite::*;
