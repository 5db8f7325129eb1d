//! What a unit of systemd's is asked for: its properties, as systemd's bus takes them, and at which bus.

use core::fmt;

use super::codec::{List, Reader, Sink, Text, Wire};

/// Which systemd is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Systemd {
    /// The host's, pid 1, at the system bus.
    System,
    /// That of the caller's user, at the user bus (user@.service(5)).
    User,
}

impl Systemd {
    const ALL: [Self; 2] = [Self::System, Self::User];
}

impl Wire<'_> for Systemd {
    fn put(&self, out: &mut impl Sink) {
        (*self as u8).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Option<Self> {
        Self::ALL.get(usize::from(u8::get(from)?)).copied()
    }
}

impl fmt::Display for Systemd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "systemd",
            Self::User => "the user's systemd",
        })
    }
}

/// The value of a property, with the types that units' properties have (org.freedesktop.systemd1(5)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// D-Bus type `b`
    Bool(bool),
    /// D-Bus type `y`
    Byte(u8),
    /// D-Bus type `i`
    I32(i32),
    /// D-Bus type `u`
    U32(u32),
    /// D-Bus type `x`
    I64(i64),
    /// D-Bus type `t`; of limits the greatest number is none.
    U64(u64),
    /// D-Bus type `s`
    Text(Text<'a>),
    /// D-Bus type `as`
    Texts(List<'a, Text<'a>>),
    /// D-Bus type `ay`: a set of CPUs or memory nodes, the lowest bit of the first byte is number 0.
    Set(&'a [u8]),
}

impl<'a> Wire<'a> for Value<'a> {
    fn put(&self, out: &mut impl Sink) {
        match self {
            Self::Bool(value) => (b'b', *value).put(out),
            Self::Byte(value) => (b'y', *value).put(out),
            Self::I32(value) => (b'i', *value).put(out),
            Self::U32(value) => (b'u', *value).put(out),
            Self::I64(value) => (b'x', *value as u64).put(out),
            Self::U64(value) => (b't', *value).put(out),
            Self::Text(value) => (b's', *value).put(out),
            Self::Texts(value) => (b'a', *value).put(out),
            Self::Set(value) => (b'S', *value).put(out),
        }
    }

    fn get(from: &mut Reader<'a>) -> Option<Self> {
        Some(match u8::get(from)? {
            b'b' => Self::Bool(bool::get(from)?),
            b'y' => Self::Byte(u8::get(from)?),
            b'i' => Self::I32(i32::get(from)?),
            b'u' => Self::U32(u32::get(from)?),
            b'x' => Self::I64(u64::get(from)? as i64),
            b't' => Self::U64(u64::get(from)?),
            b's' => Self::Text(Text::get(from)?),
            b'a' => Self::Texts(List::get(from)?),
            b'S' => Self::Set(<&[u8]>::get(from)?),
            _ => return None,
        })
    }
}

/// A kind, and the value behind it.
impl<'a, T: Wire<'a>> Wire<'a> for (u8, T) {
    fn put(&self, out: &mut impl Sink) {
        self.0.put(out);
        self.1.put(out);
    }
    fn get(from: &mut Reader<'a>) -> Option<Self> {
        Some((u8::get(from)?, T::get(from)?))
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Byte(value) => value.fmt(f),
            Self::I32(value) => value.fmt(f),
            Self::U32(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::U64(u64::MAX) => f.write_str("infinity"),
            Self::U64(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
            Self::Texts(values) => {
                for (n, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if n == 0 { "" } else { " " })?;
                }
                Ok(())
            }
            Self::Set(bytes) => {
                let numbers =
                    (0..bytes.len() * 8).filter(|n| bytes.get(n / 8).is_some_and(|byte| byte >> (n % 8) & 1 == 1));
                for (n, number) in numbers.enumerate() {
                    write!(f, "{}{number}", if n == 0 { "" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// A property of a unit (systemd.resource-control(5), systemd.unit(5)).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Property<'a> {
    /// Its name at the bus.
    pub name: Text<'a>,
    /// Its value.
    pub value: Value<'a>,
    /// The first version of systemd that has it; an older one is not asked. 0 for what every version has.
    pub since: u16,
}

impl<'a> Wire<'a> for Property<'a> {
    fn put(&self, out: &mut impl Sink) {
        self.name.put(out);
        self.value.put(out);
        self.since.put(out);
    }
    fn get(from: &mut Reader<'a>) -> Option<Self> {
        Some(Self { name: Text::get(from)?, value: Value::get(from)?, since: u16::get(from)? })
    }
}

impl fmt::Display for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name.bytes().escape_ascii(), self.value)?;
        if self.since == 0 { Ok(()) } else { write!(f, ", from systemd {} on", self.since) }
    }
}
