//! Classic BPF over `struct seccomp_data`, as the kernel checks and runs it (seccomp(2), linux/filter.h).

/// `struct seccomp_data`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Data {
    pub(crate) number: u32,
    pub(crate) arch: u32,
    pub(crate) args: [u64; 6],
}

impl Data {
    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            0 => Some(self.number),
            4 => Some(self.arch),
            // The instruction pointer is nobody's business.
            16..64 if offset.is_multiple_of(4) => {
                let arg = self.args[(offset as usize - 16) / 8];
                Some(if offset.is_multiple_of(8) { arg } else { arg >> 32 } as u32)
            }
            _ => None,
        }
    }
}

/// What a program returns, and how many instructions that took; `None` where the kernel would have refused the program.
pub(crate) fn run(program: &[u8], data: &Data) -> Option<(u32, usize)> {
    let (mut at, mut word, mut x) = (0, 0u32, 0u32);
    let mut memory = [0u32; 16];
    for count in 1.. {
        let [a, b, yes, no, k @ ..] = *program.get(at * 8..)?.first_chunk::<8>()?;
        let (code, k) = (u16::from_ne_bytes([a, b]), u32::from_ne_bytes(k));
        at += 1;
        let mut jump = |condition: bool| at += usize::from(if condition { yes } else { no });
        match code {
            0x20 => word = data.word(k)?,
            0x54 => word &= k,
            0x05 => at += k as usize,
            0x15 => jump(word == k),
            0x25 => jump(word > k),
            0x35 => jump(word >= k),
            0x45 => jump(word & k != 0),
            0x06 => return Some((k, count)),
            // Only libseccomp's.
            0x02 => *memory.get_mut(k as usize)? = word,
            0x60 => word = *memory.get(k as usize)?,
            0x07 => x = word,
            0x87 => word = x,
            _ => return None,
        }
    }
    None
}

/// What the kernel checks of every program: known opcodes, jumps that go forward to an instruction, an end.
pub(crate) fn is_valid(program: &[u8]) -> bool {
    let count = program.len() / 8;
    let instructions = program.as_chunks::<8>().0.iter().enumerate();
    let mut last_returns = false;
    for (at, &[a, b, yes, no, k @ ..]) in instructions {
        let k = u32::from_ne_bytes(k) as usize;
        let code = u16::from_ne_bytes([a, b]);
        let lands = |distance: usize| at + 1 + distance < count;
        let is_right = match code {
            0x20 => k < 64 && k.is_multiple_of(4),
            0x54 | 0x06 => true,
            0x05 => lands(k),
            0x15 | 0x25 | 0x35 | 0x45 => lands(yes.into()) && lands(no.into()),
            _ => false,
        };
        if !is_right {
            return false;
        }
        last_returns = code == 0x06;
    }
    last_returns && (1..=4096).contains(&count) && program.len().is_multiple_of(8)
}
