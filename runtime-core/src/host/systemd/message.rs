//! D-Bus messages (D-Bus Specification, "Message Protocol"): the few types that systemd's calls are made of.

use crate::wire::{Property, Value};

/// The longest message that is taken; what systemd answers has a few hundred bytes.
const LONGEST: usize = 1 << 20;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Return,
    Error,
    Signal,
}

/// A message that came in.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    pub(super) reply_to: u32,
    pub(super) member: String,
    pub(super) error: String,
    signature: String,
    body: Vec<u8>,
}

/// A method that is called: of which object, and with which arguments.
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'static str,
    pub(super) signature: &'a str,
    pub(super) body: Writer,
}

impl Call<'_> {
    /// Its bytes.
    pub(super) fn bytes(&self, serial: u32) -> Vec<u8> {
        let mut out = Writer::default();
        // Little-endian; a call; no flags; version 1.
        out.0.extend([b'l', 1, 0, 1]);
        out.number(self.body.0.len() as u32);
        out.number(serial);
        out.array(8, |out| {
            let fields =
                [(1, "o", self.path), (2, "s", self.interface), (3, "s", self.member), (6, "s", self.destination)];
            for (code, kind, value) in fields {
                out.pad(8);
                out.0.push(code);
                out.signature(kind);
                out.text(value.as_bytes());
            }
            if !self.signature.is_empty() {
                out.pad(8);
                out.0.push(8);
                out.signature("g");
                out.signature(self.signature);
            }
        });
        out.pad(8);
        out.0.extend_from_slice(&self.body.0);
        out.0
    }
}

/// Values one after the other, each where its alignment wants it.
#[derive(Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    fn pad(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    /// `u`
    pub(super) fn number(&mut self, value: u32) {
        self.pad(4);
        self.0.extend(value.to_le_bytes());
    }

    fn wide(&mut self, value: u64) {
        self.pad(8);
        self.0.extend(value.to_le_bytes());
    }

    /// `s` or `o`
    pub(super) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u32);
        self.0.extend_from_slice(text);
        self.0.push(0);
    }

    /// `b`
    pub(super) fn truth(&mut self, value: bool) {
        self.number(value.into());
    }

    /// `g`
    fn signature(&mut self, signature: &str) {
        self.0.push(signature.len() as u8);
        self.0.extend_from_slice(signature.as_bytes());
        self.0.push(0);
    }

    /// `a…`, whose elements have this alignment. The padding before the first one does not count.
    pub(super) fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Self)) {
        self.number(0);
        let at = self.0.len() - 4;
        self.pad(alignment);
        let start = self.0.len();
        elements(self);
        let length = (self.0.len() - start) as u32;
        self.0[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// `au`
    pub(super) fn numbers(&mut self, numbers: &[u32]) {
        self.array(4, |out| numbers.iter().for_each(|number| out.number(*number)));
    }

    /// `a(sv)`: properties, and behind them the pids to put into the unit.
    pub(super) fn properties(&mut self, properties: &[Property<'_>], pids: &[u32]) {
        self.array(8, |out| {
            for property in properties {
                out.pad(8);
                out.text(property.name.bytes());
                out.value(&property.value);
            }
            if !pids.is_empty() {
                out.pad(8);
                out.text(b"PIDs");
                out.signature("au");
                out.numbers(pids);
            }
        });
    }

    /// `v`
    fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Bool(value) => {
                self.signature("b");
                self.truth(*value);
            }
            Value::Byte(value) => {
                self.signature("y");
                self.0.push(*value);
            }
            Value::I32(value) => {
                self.signature("i");
                self.number(*value as u32);
            }
            Value::U32(value) => {
                self.signature("u");
                self.number(*value);
            }
            Value::I64(value) => {
                self.signature("x");
                self.wide(*value as u64);
            }
            Value::U64(value) => {
                self.signature("t");
                self.wide(*value);
            }
            Value::Text(value) => {
                self.signature("s");
                self.text(value.bytes());
            }
            Value::Texts(values) => {
                self.signature("as");
                self.array(4, |out| values.iter().for_each(|value| out.text(value.bytes())));
            }
            Value::Set(bytes) => {
                self.signature("ay");
                self.array(1, |out| out.0.extend_from_slice(bytes));
            }
        }
    }
}

/// What is no message, or none that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// How long the message is that begins with these bytes; `None` while they are too few to tell.
pub(super) fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if bytes.len() < 16 {
        return Ok(None);
    }
    let mut from = Reader { bytes, at: 0 };
    let [endian, _, _, version] = *from.take(4)?.first_chunk().ok_or(Malformed)?;
    // Whoever speaks on this bus is a process of this machine.
    if endian != b'l' || version != 1 {
        return Err(Malformed);
    }
    let (body, _serial, fields) = (from.number()? as usize, from.number()?, from.number()? as usize);
    if body > LONGEST || fields > LONGEST {
        return Err(Malformed);
    }
    Ok(Some((16 + fields).next_multiple_of(8) + body))
}

impl Message {
    /// Reads a whole one.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader { bytes, at: 1 };
        let kind = match from.byte()? {
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => return Err(Malformed),
        };
        from.take(2)?;
        let (body, _serial, fields) = (from.number()? as usize, from.number()?, from.number()? as usize);
        let end = from.at.checked_add(fields).ok_or(Malformed)?;
        let (mut member, mut error, mut signature, mut reply_to) = (String::new(), String::new(), String::new(), 0);
        while from.at < end {
            from.pad(8)?;
            let code = from.byte()?;
            match (from.signature()?.as_str(), code) {
                ("u", 5) => reply_to = from.number()?,
                ("s", 3) => member = from.text()?,
                ("s", 4) => error = from.text()?,
                ("g", 8) => signature = from.signature()?,
                ("s" | "o", _) => drop(from.text()?),
                ("g", _) => drop(from.signature()?),
                ("u", _) => drop(from.number()?),
                _ => return Err(Malformed),
            }
        }
        from.pad(8)?;
        let body = from.take(body)?.to_vec();
        Ok(Self { kind, reply_to, member, error, signature, body })
    }

    /// Its arguments, which must have this signature.
    fn arguments(&self, signature: &str) -> Result<Reader<'_>, Malformed> {
        (self.signature == signature).then_some(Reader { bytes: &self.body, at: 0 }).ok_or(Malformed)
    }

    /// The only argument, a text or a path.
    pub(super) fn text(&self) -> Result<String, Malformed> {
        self.arguments("s").or_else(|_| self.arguments("o"))?.text()
    }

    /// The only argument, a variant with a text in it.
    pub(super) fn text_in_variant(&self) -> Result<String, Malformed> {
        let mut from = self.arguments("v")?;
        if from.signature()? == "s" { from.text() } else { Err(Malformed) }
    }

    /// What an error says.
    pub(super) fn said(&self) -> String {
        if self.signature.starts_with('s') {
            Reader { bytes: &self.body, at: 0 }.text().unwrap_or_default()
        } else {
            String::new()
        }
    }

    /// Of the signal JobRemoved: the job, and its result.
    pub(super) fn removed_job(&self) -> Result<(String, String), Malformed> {
        let mut from = self.arguments("uoss")?;
        let (_number, job, _unit, result) = (from.number()?, from.text()?, from.text()?, from.text()?);
        Ok((job, result))
    }
}

/// A place in a message's bytes; alignment counts from their begin.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let end = self.at.checked_add(count).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn pad(&mut self, to: usize) -> Result<(), Malformed> {
        self.take(self.at.next_multiple_of(to) - self.at).map(drop)
    }

    fn byte(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed)
    }

    fn number(&mut self) -> Result<u32, Malformed> {
        self.pad(4)?;
        self.take(4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(Malformed)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = self.number()? as usize;
        self.string(length)
    }

    fn signature(&mut self) -> Result<String, Malformed> {
        let length = self.byte()?.into();
        self.string(length)
    }

    fn string(&mut self, length: usize) -> Result<String, Malformed> {
        let text = std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)?.to_owned();
        if self.byte()? == 0 { Ok(text) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{List, Text};

    fn call(signature: &str, body: Writer) -> Call<'_> {
        Call { destination: "org.d", path: "/org/p", interface: "org.i", member: "Do", signature, body }
    }

    /// Made by hand from the specification's rules, not by this code.
    #[test]
    fn a_call_lies_as_the_specification_says() {
        let mut body = Writer::default();
        body.text(b"x.scope");
        body.properties(&[Property { name: Text(c"Delegate"), value: Value::Bool(true), since: 0 }], &[258]);
        let bytes = call("sa(sv)", body).bytes(7);
        assert_eq!(length(&bytes), Ok(Some(bytes.len())));
        let fields: &[u8] =
            b"\x01\x01o\0\x06\0\0\0/org/p\0\0\x02\x01s\0\x05\0\0\0org.i\0\0\0\x03\x01s\0\x02\0\0\0Do\0\0\0\0\0\0\
            \x06\x01s\0\x05\0\0\0org.d\0\0\0\x08\x01g\0\x06sa(sv)\0";
        let body: &[u8] = b"\x07\0\0\0x.scope\0\x30\0\0\0\x08\0\0\0Delegate\0\x01b\0\x01\0\0\0\0\0\0\0\
            \x04\0\0\0PIDs\0\x02au\0\0\0\0\x04\0\0\0\x02\x01\0\0";
        let mut wanted = b"l\x01\0\x01".to_vec();
        wanted.extend((body.len() as u32).to_le_bytes());
        wanted.extend(7_u32.to_le_bytes());
        wanted.extend((fields.len() as u32).to_le_bytes());
        wanted.extend(fields);
        wanted.resize(wanted.len().next_multiple_of(8), 0);
        wanted.extend(body);
        assert_eq!(bytes, wanted, "{}\n{}", bytes.escape_ascii(), wanted.escape_ascii());
    }

    #[test]
    fn what_is_written_is_read() {
        let mut body = Writer::default();
        body.number(9);
        [&b"/job/9"[..], b"x.scope", b"done"].iter().for_each(|text| body.text(text));
        let bytes = call("uoss", body).bytes(1);
        let message = Message::read(&bytes).unwrap();
        assert_eq!((message.kind, message.member.as_str()), (Kind::Call, "Do"));
        assert_eq!(message.removed_job(), Ok(("/job/9".into(), "done".into())));
        assert_eq!(message.text(), Err(Malformed));
    }

    #[test]
    fn a_cut_or_spoilt_message_is_refused_and_nothing_panics() {
        let texts = [Text(c"a.slice"), Text(c"")];
        let values = [
            Value::Byte(1),
            Value::I32(-1),
            Value::U32(2),
            Value::I64(-3),
            Value::U64(u64::MAX),
            Value::Text(Text(c"t")),
            Value::Texts(List::new(&texts)),
            Value::Set(&[3, 4]),
        ];
        let properties = values.map(|value| Property { name: Text(c"Name"), value, since: 0 });
        let mut body = Writer::default();
        body.properties(&properties, &[]);
        let bytes = call("a(sv)", body).bytes(1);
        assert!(Message::read(&bytes).is_ok());
        for cut in 0..bytes.len() {
            assert!(Message::read(&bytes[..cut]).is_err(), "{cut} bytes");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut spoilt = bytes.clone();
                spoilt[at] = value;
                let _ = length(&spoilt);
                if let Ok(message) = Message::read(&spoilt) {
                    let _ = (message.said(), message.text(), message.text_in_variant(), message.removed_job());
                }
            }
        }
        assert_eq!(length(b"B\x01\0\x01\0\0\0\0\0\0\0\0\0\0\0\0"), Err(Malformed), "big-endian");
        assert_eq!(length(b"l\x01\0\x01\xff\xff\xff\xff\0\0\0\0\0\0\0\0"), Err(Malformed), "4 GiB");
        assert_eq!(length(b"l\x01\0"), Ok(None));
    }
}
