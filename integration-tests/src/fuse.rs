//! A filesystem that does not answer (FUSE): what looks up a name in it waits in the kernel, where no signal reaches it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

// linux/fuse.h: enum fuse_opcode.
const FUSE_LOOKUP: u32 = 1;
const FUSE_FORGET: u32 = 2;
const FUSE_GETATTR: u32 = 3;
const FUSE_INIT: u32 = 26;
const FUSE_INTERRUPT: u32 = 36;

/// How many bytes `struct fuse_in_header` has.
const HEADER: usize = 40;

/// The filesystem, mounted; it has a root directory and nothing else.
#[derive(Debug)]
pub struct Hanging {
    path: PathBuf,
    asked: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Hanging {
    /// Mounts it at a new directory.
    pub fn mount(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        mount(Some("hanging"), &path, Some("fuse"), MsFlags::empty(), Some(options.as_str())).unwrap();
        let (asked, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let server = std::thread::spawn({
            let (asked, stop) = (Arc::clone(&asked), Arc::clone(&stop));
            move || serve(device, &asked, &stop)
        });
        Self { path, asked, stop, server: Some(server) }
    }

    /// Whether somebody waits for it.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends it: what waits goes on, with an error.
    pub fn end(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            let _ = server.join();
            let _ = umount2(&self.path, MntFlags::MNT_DETACH);
        }
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Answers until it is told to stop; the connection ends with the device.
fn serve(mut device: File, asked: &AtomicBool, stop: &AtomicBool) {
    let mut request = vec![0; 1 << 17];
    while !stop.load(Ordering::Relaxed) {
        let ready = poll(&mut [PollFd::new(device.as_fd(), PollFlags::POLLIN)], PollTimeout::from(50_u8));
        if ready != Ok(1) {
            continue;
        }
        let Ok(count) = device.read(&mut request) else { return };
        if count < HEADER {
            return;
        }
        let opcode = u32::from_le_bytes(request[4..8].try_into().unwrap());
        let answer = match opcode {
            FUSE_INIT => Ok(init()),
            FUSE_GETATTR => Ok(root()),
            FUSE_LOOKUP => {
                asked.store(true, Ordering::Relaxed);
                continue;
            }
            FUSE_FORGET | FUSE_INTERRUPT => continue,
            _ => Err(nix::errno::Errno::ENOSYS),
        };
        let (errno, body) = answer.map_or_else(|errno| (errno as i32, Vec::new()), |body| (0, body));
        let mut bytes = (16 + body.len() as u32).to_le_bytes().to_vec();
        bytes.extend((-errno).to_le_bytes());
        bytes.extend(&request[8..16]);
        bytes.extend(body);
        let _ = device.write(&bytes);
    }
}

/// `struct fuse_init_out`: version 7.31, and nothing that can be chosen.
fn init() -> Vec<u8> {
    let mut bytes = [7_u32, 31, 0, 0].map(u32::to_le_bytes).concat();
    // max_background, congestion_threshold; max_write; the rest is 0.
    bytes.extend([0; 4]);
    bytes.extend(4096_u32.to_le_bytes());
    bytes.resize(64, 0);
    bytes
}

/// `struct fuse_attr_out` of the root directory, good for an hour.
fn root() -> Vec<u8> {
    const DIRECTORY: u32 = 0o40_755;
    let mut bytes = 3600_u64.to_le_bytes().to_vec();
    bytes.resize(16, 0);
    bytes.extend(1_u64.to_le_bytes());
    bytes.resize(16 + 60, 0);
    bytes.extend(DIRECTORY.to_le_bytes());
    bytes.extend(2_u32.to_le_bytes());
    bytes.resize(104, 0);
    bytes
}
