//! A disk of its own, which fills, and which forgets what was not synced when its
//! power fails. It takes root to mount one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::eventually::eventually;

/// `EXT4_IOC_SHUTDOWN` without a flush of the journal: from here on nothing reaches
/// the disk, as when its power fails.
const POWER_OFF: &str = "import fcntl, os, struct, sys; \
    fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Sparse: it takes what is written.
const SIZE: u64 = 6 << 30;

pub(super) struct Disk {
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    /// An ext4 file system in a file, mounted at `at`.
    pub(super) fn new(image: PathBuf, at: PathBuf) -> Self {
        fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
        fs::create_dir(&at).unwrap();
        let disk = Self { image, at };
        run("mkfs.ext4", &["-q".as_ref(), "-m".as_ref(), "0".as_ref(), disk.image.as_ref()]);
        disk.mount();
        disk
    }

    fn mount(&self) {
        run("mount", &["-o".as_ref(), "loop".as_ref(), self.image.as_ref(), self.at.as_ref()]);
    }

    /// The power fails. Nobody may have a file open when it comes back.
    pub(super) fn power_off(&self) {
        run("python3", &["-c".as_ref(), POWER_OFF.as_ref(), self.at.as_ref()]);
    }

    /// What the disk has kept is there again. Until then nobody may hold on to it:
    /// another test's program in a mount namespace of its own has it mounted, too.
    pub(super) async fn power_on(&self) {
        eventually("nobody holds on to the disk", async || {
            Command::new("umount").arg(&self.at).output().unwrap().status.success().then_some(())
        })
        .await;
        eventually("it is let go", async || {
            let devices = Command::new("losetup").arg("-j").arg(&self.image).env("PATH", PATH).output().unwrap();
            devices.stdout.is_empty().then_some(())
        })
        .await;
        self.mount();
        // That it was removed may have been forgotten, too.
        self.free();
    }

    /// Not a byte is left.
    pub(super) fn fill(&self) {
        let free = rustix::fs::statvfs(&self.at).unwrap();
        let ballast = fs::File::create(self.ballast()).unwrap();
        // Its own map takes a few blocks: what is left is filled byte by byte.
        let most = (free.f_bavail * free.f_frsize).saturating_sub(8 << 20);
        // Clips that come meanwhile do the same: what fails is full.
        let _ = rustix::fs::fallocate(&ballast, rustix::fs::FallocateFlags::empty(), 0, most.max(1));
        let mut rest = fs::File::create(self.rest()).unwrap();
        let _ = std::io::copy(&mut std::io::repeat(0), &mut rest);
        let _ = rest.sync_all();
    }

    pub(super) fn free(&self) {
        for path in [self.ballast(), self.rest()] {
            if let Err(error) = fs::remove_file(path) {
                assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
            }
        }
    }

    fn rest(&self) -> PathBuf {
        self.at.join("rest")
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l".as_ref(), self.at.as_path()]).status();
    }
}

fn run(program: &str, args: &[&Path]) {
    let ended = Command::new(program).args(args).env("PATH", PATH).output();
    let ended = ended.unwrap_or_else(|error| panic!("{program}: {error}: run ./test, it installs what is missing"));
    assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
}
