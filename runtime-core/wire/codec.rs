//! How values lie in a plan: little-endian integers, and runs of bytes behind their length. Decoding borrows; it never
//! allocates, never panics, and answers `None` to whatever was not written by [`Wire::put`].

use core::ffi::CStr;
use core::fmt;
use core::marker::PhantomData;

/// A string the kernel will be given: it carries its NUL. Shown in quotes, with what is not ASCII escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub &'a CStr);

impl<'a> Text<'a> {
    /// Its bytes, without the NUL.
    pub const fn bytes(self) -> &'a [u8] {
        self.0.to_bytes()
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// Where encoded bytes go.
pub trait Sink {
    /// Appends `bytes`.
    fn write(&mut self, bytes: &[u8]);
}

/// What can stand in a plan.
pub trait Wire<'a>: Sized {
    /// Appends the value.
    fn put(&self, out: &mut impl Sink);
    /// Reads a value where `from` stands; `None` where none is.
    fn get(from: &mut Reader<'a>) -> Option<Self>;
}

/// A place in an encoded plan.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// The next run: a length, then that many bytes.
    pub fn run(&mut self) -> Option<&'a [u8]> {
        let count = u32::get(self)?;
        self.take(count as usize)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Wire<'_> for $int {
            fn put(&self, out: &mut impl Sink) {
                out.write(&self.to_le_bytes());
            }
            fn get(from: &mut Reader<'_>) -> Option<Self> {
                Some(Self::from_le_bytes(*from.take(size_of::<Self>())?.first_chunk()?))
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i32);

impl Wire<'_> for bool {
    fn put(&self, out: &mut impl Sink) {
        u8::from(*self).put(out);
    }
    fn get(from: &mut Reader<'_>) -> Option<Self> {
        match u8::get(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    fn put(&self, out: &mut impl Sink) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn get(from: &mut Reader<'a>) -> Option<Self> {
        if bool::get(from)? { T::get(from).map(Some) } else { Some(None) }
    }
}

impl<'a> Wire<'a> for &'a [u8] {
    fn put(&self, out: &mut impl Sink) {
        // A plan is bounded far below 4 GiB: spec::load refuses a config.json of more than 16 MiB.
        (self.len() as u32).put(out);
        out.write(self);
    }
    fn get(from: &mut Reader<'a>) -> Option<Self> {
        from.run()
    }
}

impl<'a> Wire<'a> for Text<'a> {
    fn put(&self, out: &mut impl Sink) {
        self.0.to_bytes_with_nul().put(out);
    }
    fn get(from: &mut Reader<'a>) -> Option<Self> {
        CStr::from_bytes_with_nul(from.run()?).ok().map(Text)
    }
}

/// A list: before encoding a slice, after decoding the encoded run, read as it is walked.
#[derive(Clone, Copy)]
pub struct List<'a, T>(Items<'a, T>);

#[derive(Clone, Copy)]
enum Items<'a, T> {
    Slice(&'a [T]),
    Encoded { count: u32, run: &'a [u8], of: PhantomData<T> },
}

impl<'a, T: Wire<'a> + Copy> List<'a, T> {
    /// The list of the elements of `slice`.
    pub const fn new(slice: &'a [T]) -> Self {
        Self(Items::Slice(slice))
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        match self.0 {
            Items::Slice(slice) => slice.len(),
            Items::Encoded { count, .. } => count as usize,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its elements, in order.
    pub fn iter(&self) -> ListIter<'a, T> {
        ListIter(match self.0 {
            Items::Slice(slice) => Rest::Slice(slice),
            Items::Encoded { run, .. } => Rest::Encoded(Reader::new(run)),
        })
    }
}

/// The elements of a [`List`].
#[derive(Clone, Debug)]
pub struct ListIter<'a, T>(Rest<'a, T>);

#[derive(Clone, Debug)]
enum Rest<'a, T> {
    Slice(&'a [T]),
    Encoded(Reader<'a>),
}

impl<'a, T: Wire<'a> + Copy> Iterator for ListIter<'a, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match &mut self.0 {
            Rest::Slice(slice) => {
                let (first, rest) = slice.split_first()?;
                *slice = rest;
                Some(*first)
            }
            Rest::Encoded(reader) => T::get(reader),
        }
    }
}

impl<'a, T: Wire<'a> + Copy> Wire<'a> for List<'a, T> {
    fn put(&self, out: &mut impl Sink) {
        let mut size = Measure(0);
        self.iter().for_each(|item| item.put(&mut size));
        (self.len() as u32).put(out);
        size.0.put(out);
        self.iter().for_each(|item| item.put(out));
    }

    fn get(from: &mut Reader<'a>) -> Option<Self> {
        let count = u32::get(from)?;
        let run = from.run()?;
        // Every element is decoded once here, so that a walk over the list cannot end early.
        let mut check = Reader::new(run);
        for _ in 0..count {
            T::get(&mut check)?;
        }
        check.is_empty().then_some(Self(Items::Encoded { count, run, of: PhantomData }))
    }
}

impl<'a, T: Wire<'a> + Copy + PartialEq> PartialEq for List<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Wire<'a> + Copy + fmt::Debug> fmt::Debug for List<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Counts what would be written.
struct Measure(u32);

impl Sink for Measure {
    fn write(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u32;
    }
}
