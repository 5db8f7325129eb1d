//! What `planc demo` runs: a program that tells what it sees from inside the container. Like init it has no libc, so
//! that it needs nothing in the root filesystem but itself.
#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]

#[path = "../../runtime-core/init/memory.rs"]
mod memory;
mod sys;

use core::fmt::{self, Write};
use core::str::{Lines, from_utf8};

/// The names of the capabilities (capabilities(7)), by number.
#[rustfmt::skip]
const CAPABILITIES: [&str; 41] = [
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
];

/// Called by the entry.
extern "C" fn start() -> ! {
    let mut page = Page { bytes: [0; 32 << 10], length: 0 };
    let told = tell(&mut page);
    let written = sys::write_all(1, page.bytes.get(..page.length).unwrap_or_default());
    sys::exit(i32::from(told.is_err() || !written))
}

/// What is printed, in one piece.
struct Page {
    bytes: [u8; 32 << 10],
    length: usize,
}

impl Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

/// A small file, read at once.
struct Text {
    bytes: [u8; 32 << 10],
    length: usize,
}

impl Text {
    /// The file at a path that ends with a NUL.
    fn read(path: &core::ffi::CStr) -> Result<Self, fmt::Error> {
        let mut text = Self { bytes: [0; 32 << 10], length: 0 };
        text.length = sys::read_file(path, &mut text.bytes).ok_or(fmt::Error)?;
        Ok(text)
    }

    fn lines(&self) -> Lines<'_> {
        self.bytes.get(..self.length).and_then(|bytes| from_utf8(bytes).ok()).unwrap_or("(no text)").lines()
    }
}

fn tell(page: &mut Page) -> fmt::Result {
    writeln!(page, "  pid           {}", sys::pid())?;
    let mut name = [0; 65];
    let name = sys::hostname(&mut name).and_then(|name| from_utf8(name).ok()).ok_or(fmt::Error)?;
    writeln!(page, "  hostname      {name}")?;
    writeln!(page, "  user, group   {}, {}", sys::uid(), sys::gid())?;
    for (what, path) in [("uid map", c"/proc/self/uid_map"), ("gid map", c"/proc/self/gid_map")] {
        for line in Text::read(path)?.lines() {
            let mut fields = line.split_ascii_whitespace();
            let mut field = || fields.next().unwrap_or("?");
            match (field(), field(), field()) {
                ("0", "0", "4294967295") => writeln!(page, "  {what}       as outside")?,
                (inside, host, count) => writeln!(page, "  {what}       {inside} is {host} outside, {count} in a row")?,
            }
        }
    }
    tell_confinement(page)?;
    for line in Text::read(c"/proc/self/cgroup")?.lines() {
        writeln!(page, "  cgroup        {line}")?;
    }
    tell_mounts(page)
}

fn tell_confinement(page: &mut Page) -> fmt::Result {
    let status = Text::read(c"/proc/self/status")?;
    writeln!(page, "  capabilities")?;
    for line in status.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let value = value.trim_ascii();
        match key {
            "CapInh" => tell_capabilities(page, "inheritable", value)?,
            "CapPrm" => tell_capabilities(page, "permitted", value)?,
            "CapEff" => tell_capabilities(page, "effective", value)?,
            "CapBnd" => tell_capabilities(page, "bounding", value)?,
            "CapAmb" => tell_capabilities(page, "ambient", value)?,
            "NoNewPrivs" => writeln!(page, "  no_new_privs  {value}")?,
            "Seccomp" => {
                let mode = match value {
                    "0" => "no filter",
                    "2" => "filtered",
                    _ => value,
                };
                writeln!(page, "  seccomp       {mode}")?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn tell_capabilities(page: &mut Page, set: &str, hex: &str) -> fmt::Result {
    let bits = u64::from_str_radix(hex, 16).map_err(|_| fmt::Error)?;
    write!(page, "    {set:<11}")?;
    match bits.count_ones() as usize {
        0 => return writeln!(page, " none"),
        count if count >= CAPABILITIES.len() => return writeln!(page, " all"),
        _ => {}
    }
    for (number, name) in CAPABILITIES.iter().enumerate() {
        if bits >> number & 1 == 1 {
            write!(page, " {name}")?;
        }
    }
    writeln!(page)
}

/// proc_pid_mountinfo(5): the mount point is the 5th field, its options the 6th; the type follows a lone dash.
fn tell_mounts(page: &mut Page) -> fmt::Result {
    let mounts = Text::read(c"/proc/self/mountinfo")?;
    writeln!(page, "  mounts        {}", mounts.lines().count())?;
    for line in mounts.lines() {
        let mut fields = line.split(' ').skip(4);
        let mut field = || fields.next().unwrap_or("?");
        let (point, options) = (field(), field());
        let kind = line.split_once(" - ").and_then(|(_, rest)| rest.split(' ').next()).unwrap_or("?");
        writeln!(page, "    {point:<28} {kind:<8} {options}")?;
    }
    Ok(())
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    sys::exit(101)
}
