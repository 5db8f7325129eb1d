//! What the gates want to know of an ELF file (elf(5)): 64 bits, little-endian.

/// A file that was looked at.
pub(crate) struct Elf<'a> {
    image: &'a [u8],
    /// ET_EXEC, ET_DYN …
    kind: usize,
    /// Type, offset and length in the file of each segment.
    segments: Vec<(usize, usize, usize)>,
    /// The types of the sections.
    sections: Vec<usize>,
}

const ET_DYN: usize = 3;
const PT_LOAD: usize = 1;
const PT_INTERP: usize = 3;
const SHT_SYMTAB: usize = 2;

impl<'a> Elf<'a> {
    /// `None` of what is no such file.
    pub(crate) fn parsed(image: &'a [u8]) -> Option<Self> {
        let number = |at: usize, bytes: usize| -> Option<usize> {
            let field = image.get(at..at + bytes)?;
            Some(field.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte)))
        };
        // ELFMAG, ELFCLASS64, ELFDATA2LSB.
        if image.get(..6)? != [0x7f, b'E', b'L', b'F', 2, 1] {
            return None;
        }
        let mut segments = Vec::new();
        let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        for header in (0..count).map(|index| headers + index * size) {
            segments.push((number(header, 4)?, number(header + 8, 8)?, number(header + 32, 8)?));
        }
        let mut sections = Vec::new();
        let (headers, size, count) = (number(40, 8)?, number(58, 2)?, number(60, 2)?);
        for header in (0..count).map(|index| headers + index * size) {
            sections.push(number(header + 4, 4)?);
        }
        Some(Self { image, kind: number(16, 2)?, segments, sections })
    }

    /// The bytes of each loaded segment; `None` where the file is shorter than it says.
    pub(crate) fn loaded(&self) -> Option<Vec<&'a [u8]>> {
        let loaded = self.segments.iter().filter(|(kind, ..)| *kind == PT_LOAD);
        loaded.map(|(_, offset, length)| self.image.get(*offset..offset.checked_add(*length)?)).collect()
    }

    /// Whether it can be loaded at any address.
    pub(crate) fn is_position_independent(&self) -> bool {
        self.kind == ET_DYN
    }

    /// Whether the kernel starts a dynamic linker first.
    pub(crate) fn has_interpreter(&self) -> bool {
        self.segments.iter().any(|(kind, ..)| *kind == PT_INTERP)
    }

    /// Whether it has a table of symbols.
    pub(crate) fn has_symbols(&self) -> bool {
        self.sections.contains(&SHT_SYMTAB)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_program_is_dynamic_and_has_symbols() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::parsed(&own).unwrap();
        assert!(elf.has_interpreter() && elf.has_symbols() && elf.is_position_independent());
        assert!(elf.loaded().unwrap().len() > 1);
    }

    #[test]
    fn what_is_no_elf_file() {
        assert!(Elf::parsed(b"#!/bin/sh\n").is_none());
        assert!(Elf::parsed(b"\x7fELF\x02\x01").is_none());
    }
}
