//! The device filter of a cgroup: a program of ours beside those of others, never two.
//!
//! Which one is ours its name says, which the kernel keeps with it: so nothing has to be recorded, and a creator that was
//! killed between two calls leaves nothing that cannot be told. Only who may attach programs may give them names.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;

use super::Cgroup;
use crate::sys::bpf;

/// The name of our programs, as `bpftool cgroup list` shows it.
const NAME: &CStr = c"planc_devices";

impl Cgroup {
    /// Has `program` filter the devices from now on. One of ours that is there is replaced at once: at no instant is there
    /// none, or both. Programs that are not ours stay, and all must allow an access. EPROTO where the kernel says that it
    /// is attached and it is not.
    pub(crate) fn replace_device_filter(&self, program: &[u8]) -> nix::Result<()> {
        let loaded = bpf::load_cgroup_device(program, NAME)?;
        let before = self.device_filter()?;
        bpf::attach_cgroup_device(self.fd(), loaded.as_fd(), before.as_ref().map(AsFd::as_fd))?;
        let id = bpf::describe(loaded.as_fd())?.id;
        if bpf::attached_cgroup_device(self.fd())?.contains(&id) { Ok(()) } else { Err(Errno::EPROTO) }
    }

    /// Takes our program away, where there is one.
    pub(crate) fn stop_filtering_devices(&self) -> nix::Result<()> {
        match self.device_filter()? {
            Some(program) => bpf::detach_cgroup_device(self.fd(), program.as_fd()),
            None => Ok(()),
        }
    }

    /// Our program.
    fn device_filter(&self) -> nix::Result<Option<OwnedFd>> {
        for id in bpf::attached_cgroup_device(self.fd())? {
            let program = match bpf::open(id) {
                // Detached, and gone, since it was listed.
                Err(Errno::ENOENT) => continue,
                program => program?,
            };
            if bpf::describe(program.as_fd())?.has_name(NAME) {
                return Ok(Some(program));
            }
        }
        Ok(None)
    }
}

/// Why a device filter cannot be attached: a container that may not use all devices is not made without one.
pub(crate) fn not_filtered(errno: Errno) -> String {
    let why = match errno {
        Errno::EPERM | Errno::EACCES => {
            "it takes CAP_SYS_ADMIN in the host's user namespace, or CAP_BPF and CAP_NET_ADMIN, and no seccomp filter \
             around the runtime that denies it"
        }
        Errno::ENOSYS => "the kernel needs CONFIG_BPF_SYSCALL and CONFIG_CGROUP_BPF, or a seccomp filter denies it",
        Errno::EINVAL => "has the kernel CONFIG_CGROUP_BPF?",
        Errno::EPROTO => "the kernel took it and does not list it",
        _ => return format!("bpf(2): {}", errno.desc()),
    };
    format!("bpf(2): {}: {why}", errno.desc())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::compile::device_filter;
    use crate::sys::bpf::tests as kernel;

    fn program(rules: &str) -> Vec<u8> {
        device_filter::compile(&serde_json::from_str::<Vec<_>>(rules).unwrap()).unwrap()
    }

    /// A cgroup of this test's, or nothing, which is said.
    fn cgroup(test: &str) -> Option<(kernel::Cgroup, Cgroup)> {
        match kernel::may_load().and_then(|()| kernel::Cgroup::new(test)) {
            Err(why) => {
                kernel::skip(test, &why);
                None
            }
            Ok(made) => {
                let opened = Cgroup::open(&made.0).unwrap();
                Some((made, opened))
            }
        }
    }

    fn ids(cgroup: &Cgroup) -> Vec<u32> {
        bpf::attached_cgroup_device(cgroup.fd()).unwrap()
    }

    fn is_gone_soon(id: u32) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if bpf::open(id).is_err() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    #[test]
    fn one_takes_the_place_of_another_and_none_is_left() {
        let Some((made, cgroup)) = cgroup("devices_replaced") else { return };
        let other = bpf::load_cgroup_device(&program(r#"[{"allow": true}]"#), kernel::TEST).unwrap();
        bpf::attach_cgroup_device(cgroup.fd(), other.as_fd(), None).unwrap();
        let [foreign] = ids(&cgroup)[..] else { panic!("{:?}", ids(&cgroup)) };

        let mut seen = Vec::new();
        for major in 0..50 {
            let rule = format!(r#"[{{"allow": true, "type": "b", "major": {major}}}]"#);
            cgroup.replace_device_filter(&program(&rule)).unwrap();
            let mut own = ids(&cgroup);
            own.retain(|id| *id != foreign);
            let [own] = own[..] else { panic!("{own:?}") };
            assert!(ids(&cgroup).contains(&foreign), "what is not ours stays");
            seen.push(own);
        }
        let last = seen.pop().unwrap();
        assert!(seen.iter().all(|id| *id != last && is_gone_soon(*id)), "{seen:?} {last}");
        cgroup.stop_filtering_devices().unwrap();
        cgroup.stop_filtering_devices().unwrap();
        assert_eq!(ids(&cgroup), [foreign]);
        assert!(is_gone_soon(last));
        drop((cgroup, made, other));
        assert!(is_gone_soon(foreign), "a program ends with its cgroup");
    }

    /// Nothing gets through between two filters that both deny it, nor is anything held back between two that both allow it.
    #[test]
    fn there_is_no_instant_without_one_or_with_two() {
        let Some((made, cgroup)) = cgroup("devices_at_once") else { return };
        let kmsg = r#"{"allow": true, "type": "c", "major": 1, "minor": 11}"#;
        for (filters, wrong) in [
            (["[]".to_owned(), r#"[{"allow": true, "type": "b"}]"#.to_owned()], "opened"),
            ([format!("[{kmsg}]"), format!(r#"[{{"allow": true, "type": "b"}}, {kmsg}]"#)], "denied"),
        ] {
            let programs = filters.each_ref().map(|rules| program(rules));
            cgroup.replace_device_filter(&programs[0]).unwrap();
            let script = r#"echo 0 > "$0/cgroup.procs"; echo begun; while [ ! -e "$1" ]; do
                            if (: < /dev/kmsg) 2>/dev/null; then echo opened; else echo denied; fi; done"#;
            let stop = std::env::temp_dir().join(format!("planc-stop-{}-{wrong}", std::process::id()));
            let mut child =
                Command::new("sh").args(["-c", script]).args([&made.0, &stop]).stdout(Stdio::piped()).spawn().unwrap();
            let mut output = BufReader::new(child.stdout.take().unwrap());
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            let reader = std::thread::spawn(move || {
                let mut rest = String::new();
                output.read_to_string(&mut rest).unwrap();
                rest
            });
            for turn in 0..400 {
                cgroup.replace_device_filter(&programs[turn % 2]).unwrap();
            }
            File::create(&stop).unwrap();
            child.wait().unwrap();
            fs::remove_file(&stop).unwrap();
            let said = reader.join().unwrap();
            assert!(!said.is_empty() && !said.contains(wrong), "{filters:?}: {said}");
        }
    }
}
