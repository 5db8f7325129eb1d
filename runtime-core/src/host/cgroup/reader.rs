//! The figures of a cgroup, read through its open directory.

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::Cgroup;
use super::figures::{self, limit, number};
use crate::statistics::{Figures, Hugetlb, Memory, Pids, Statistics};

/// What memory.stat of Linux 6.18 needs twice: so each file is one read.
const ROOM: usize = 8192;

/// Reads a cgroup's files.
#[derive(Debug)]
pub(crate) struct Reader {
    cgroup: Cgroup,
}

/// Which file could not be read, and why. ENOENT and ENODEV: the cgroup is gone.
type Failed = (String, Errno);

impl Reader {
    pub(crate) fn new(cgroup: Cgroup) -> Self {
        Self { cgroup }
    }

    pub(crate) fn read(&self) -> Result<Statistics, Failed> {
        let mut files = Files { cgroup: &self.cgroup, buffer: vec![0; ROOM] };
        // A directory that is gone has no files any more: all would be missing, and that is no error.
        let controllers = files.whole("cgroup.controllers")?.to_owned();
        let mut found = Statistics {
            cpu: files.parse("cpu.stat", figures::cpu)?,
            cpu_pressure: files.parse("cpu.pressure", figures::pressure)?,
            memory_pressure: files.parse("memory.pressure", figures::pressure)?,
            io_pressure: files.parse("io.pressure", figures::pressure)?,
            ..Statistics::default()
        };
        for controller in controllers.split_ascii_whitespace() {
            match controller {
                "memory" => found.memory = Some(files.memory()?),
                "pids" => {
                    let (current, max) = (files.number("pids.current")?, files.parse("pids.max", limit)?);
                    found.pids = Some(Pids { current, max });
                }
                "io" => found.io = files.parse("io.stat", figures::io)?,
                "hugetlb" => {
                    for size in page_sizes(&self.cgroup).map_err(|errno| (".".to_owned(), errno))? {
                        let figures = files.hugetlb(&size)?;
                        found.hugetlb.insert(size, figures);
                    }
                }
                "rdma" => {
                    let current = files.parse("rdma.current", str::to_owned)?;
                    found.rdma = files.parse("rdma.max", |max| figures::rdma(&current, max))?;
                }
                "cpuset" => {
                    let cpus = files.parse("cpuset.cpus.effective", figures::list)?;
                    let mems = files.parse("cpuset.mems.effective", figures::list)?;
                    found.cpuset = Some(crate::statistics::Cpuset { cpus, mems });
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The files of a cgroup, with room for one of them.
struct Files<'a> {
    cgroup: &'a Cgroup,
    buffer: Vec<u8>,
}

impl Files<'_> {
    fn memory(&mut self) -> Result<Memory, Failed> {
        Ok(Memory {
            current: self.number("memory.current")?,
            peak: self.parse("memory.peak", number)?,
            max: self.parse("memory.max", limit)?,
            swap_current: self.number("memory.swap.current")?,
            swap_peak: self.parse("memory.swap.peak", number)?,
            swap_max: self.parse("memory.swap.max", limit)?,
            stat: self.parse("memory.stat", Figures::new)?,
            events: self.parse("memory.events", Figures::new)?,
            events_local: self.parse("memory.events.local", Figures::new)?,
        })
    }

    fn hugetlb(&mut self, size: &str) -> Result<Hugetlb, Failed> {
        let file = |what: &str| format!("hugetlb.{size}.{what}");
        Ok(Hugetlb {
            current: self.number(&file("current"))?,
            max: self.parse(&file("max"), limit)?,
            reserved: self.number(&file("rsvd.current"))?,
            reserved_max: self.parse(&file("rsvd.max"), limit)?,
            refused: self.parse(&file("events"), |text| figures::value(text, "max"))?.unwrap_or(0),
        })
    }

    fn number(&mut self, name: &str) -> Result<u64, Failed> {
        Ok(self.parse(name, number)?.unwrap_or(0))
    }

    /// What a parser makes of a file; nothing of one that is not there, or that this kernel has switched off.
    fn parse<T: Default>(&mut self, name: &str, parse: impl FnOnce(&str) -> T) -> Result<T, Failed> {
        match self.whole(name) {
            Ok(text) => Ok(parse(text)),
            // EOPNOTSUPP: pressure is not accounted for (psi=0, cgroup.pressure).
            Err((_, Errno::ENOENT | Errno::EOPNOTSUPP)) => Ok(T::default()),
            Err(failed) => Err(failed),
        }
    }

    /// What is in a file. What is no text is none of the kernel's figures.
    fn whole(&mut self, name: &str) -> Result<&str, Failed> {
        let count = self.cgroup.read_into(name, &mut self.buffer).map_err(|errno| (name.to_owned(), errno))?;
        Ok(std::str::from_utf8(&self.buffer[..count]).unwrap_or_default())
    }
}

/// The sizes of huge pages that it has files for.
fn page_sizes(cgroup: &Cgroup) -> nix::Result<Vec<String>> {
    let dir = openat(cgroup.fd(), ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut sizes = Vec::new();
    for entry in Dir::from_fd(dir)?.iter() {
        let entry = entry?;
        let size = entry.file_name().to_str().ok().and_then(figures::page_size);
        sizes.extend(size.map(str::to_owned));
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of plain files is as good as a cgroup for what reads them.
    fn with(files: &[(&str, &str)], look: impl FnOnce(&Reader)) {
        let unique = std::thread::current().id();
        let dir = std::env::temp_dir().join(format!("planc-reader-{}-{unique:?}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        for (name, text) in files {
            std::fs::write(dir.join(name), text).unwrap();
        }
        look(&Reader::new(Cgroup::open(&dir).unwrap()));
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn what_is_missing_is_nothing() {
        with(&[("cgroup.controllers", "")], |reader| assert_eq!(reader.read().unwrap(), Statistics::default()));
        with(&[("cgroup.controllers", "memory pids\n")], |reader| {
            let found = reader.read().unwrap();
            assert_eq!((found.memory, found.pids), (Some(Memory::default()), Some(Pids::default())));
        });
    }

    #[test]
    fn a_cgroup_that_is_gone_is_an_error() {
        with(&[], |reader| assert_eq!(reader.read().unwrap_err().1, Errno::ENOENT));
    }

    #[test]
    fn a_file_of_any_size_is_read_whole() {
        let long: String = (0..10_000).map(|n| format!("key{n} {n}\n")).collect();
        let files = [("cgroup.controllers", "memory\n"), ("memory.stat", &long), ("memory.max", "max\n")];
        with(&files, |reader| {
            let memory = reader.read().unwrap().memory.unwrap();
            assert_eq!(memory.stat.iter().count(), 10_000);
            assert_eq!(memory.stat.get("key9999"), Some(9999));
            assert_eq!(memory.max, None);
        });
    }

    #[test]
    fn every_size_of_huge_pages() {
        let files = [
            ("cgroup.controllers", "hugetlb\n"),
            ("hugetlb.2MB.current", "4194304\n"),
            ("hugetlb.2MB.rsvd.current", "2097152\n"),
            ("hugetlb.2MB.max", "max\n"),
            ("hugetlb.2MB.events", "max 3\n"),
            ("hugetlb.1GB.current", "0\n"),
            ("hugetlb.1GB.max", "1073741824\n"),
        ];
        with(&files, |reader| {
            let hugetlb = reader.read().unwrap().hugetlb;
            let small = Hugetlb { current: 4 << 20, reserved: 2 << 20, refused: 3, ..Hugetlb::default() };
            let large = Hugetlb { max: Some(1 << 30), ..Hugetlb::default() };
            assert_eq!(hugetlb.into_iter().collect::<Vec<_>>(), [("1GB".into(), large), ("2MB".into(), small)]);
        });
    }
}
