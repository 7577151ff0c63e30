//! A jail for a program that reads strangers' bytes: limits on CPU time, memory,
//! files and processes, a closed environment, no network and no other process in
//! sight where the kernel allows it, nor any file but the one that it reads.
//!
//! Built of small programs that every Linux has, one around the other: `unshare`
//! (namespaces), `mount` and `chroot` (files), `setpriv` (no privileges), `sh`
//! (`ulimit`). So nothing here is unsafe, and a machine that lacks one still has
//! the others.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{self, Path},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::{io::AsyncReadExt, process::Command};

/// Ten seconds of CPU, 2 GiB of address space, nothing written, no core dump,
/// 64 descriptors, and as many processes as `$1` says. Shells name the last
/// limit differently.
const LIMITS: &str = "ulimit -t 10; ulimit -v 2097152; ulimit -f 0; ulimit -c 0; ulimit -n 64; \
    ulimit -u \"$1\" 2>/dev/null || ulimit -p \"$1\" 2>/dev/null; shift; exec \"$@\"";

/// Enough for a program's threads. Where processes are counted together with all
/// others of our user, that many more than anybody has.
const PROCESSES: &str = "64";
const SHARED_PROCESSES: &str = "4096";

/// A root folder of its own, which holds programs, their libraries and the one
/// file `$1`, as `/clip/` and its name; `$2` is where the program stands. It is
/// put up over `/proc`, since that is everywhere and holds nothing of ours. If it
/// cannot be, the status says so, and not what the program would have said.
const OWN_ROOT: &str = "set -e; trap 'exit 113' EXIT; mount -t tmpfs -o mode=755 none /proc; cd /proc; \
    for d in bin sbin lib lib32 lib64 usr etc/alternatives etc/ld.so.cache dev/null dev/urandom; do \
    if [ -L /$d ]; then ln -s \"$(readlink /$d)\" $d; \
    elif [ -d /$d ]; then mkdir -p $d; mount --rbind /$d $d; \
    elif [ -e /$d ]; then mkdir -p \"${d%/*}\"; : > $d; mount --bind /$d $d; fi; done; \
    mkdir clip; f=\"clip/${1##*/}\"; : > \"$f\"; mount --bind \"$1\" \"$f\"; \
    case \"$2\" in /usr/*) ;; *) mkdir -p \".$2\"; mount --bind \"$2\" \".$2\" ;; esac; \
    shift 2; exec chroot . \"$@\"";

const NO_ROOT: i32 = 113;

/// Namespaces of its own, all of which end with their first process. The first
/// two allow for a root folder of its own; the second and the last are for those
/// who are not root, as whom the program runs anyway.
const OWN_SPACES: [(&[&str], bool); 4] = [
    (&["unshare", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child"], true),
    (&["unshare", "--user", "--map-root-user", "--mount", "--net", "--ipc", "--pid", "--fork", "--kill-child"], true),
    (&["unshare", "--net", "--ipc", "--pid", "--fork", "--kill-child"], false),
    (&["unshare", "--user", "--map-current-user", "--net", "--ipc", "--pid", "--fork", "--kill-child"], false),
];

/// Root becomes a user whom nobody else is, see [`own_user`], and who may read the
/// clip all the same and nothing else that root may do. Who is root in its own
/// namespace alone gives up what it may there.
const UNPRIVILEGED: [&[&str]; 4] = [
    &[
        "setpriv",
        "--clear-groups",
        "--bounding-set=-all,+dac_read_search",
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--no-new-privs",
    ],
    &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"],
    &["setpriv", "--no-new-privs"],
    &[],
];

/// Behind all who have work to do, with a tenth of what they get.
const AT_LEISURE: [&str; 3] = ["nice", "-n", "10"];

/// What the machine allows beside the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// No file but the clip, programs and their libraries.
    pub own_root: bool,
    /// No network, and no process that outlives it.
    pub own_spaces: bool,
    /// No privileges, nor a way to gain any.
    pub unprivileged: bool,
}

/// The programs around the program.
#[derive(Default)]
pub(super) struct Jail {
    spaces: &'static [&'static str],
    unprivileged: &'static [&'static str],
    isolation: Isolation,
    has_own_user: bool,
    shares_processes: bool,
}

/// What is to be run.
pub(super) struct Job<'a> {
    pub(super) program: &'a Path,
    pub(super) args: &'a [OsString],
    /// The file that it reads; see [`Jail::url`].
    pub(super) input: &'a Path,
    /// The most output that is read.
    pub(super) most: u64,
    pub(super) is_at_leisure: bool,
}

impl Jail {
    /// Finds out what works here for `program`.
    pub(super) async fn build(program: &Path) -> Self {
        let none: (&[&str], bool) = (&[], false);
        // Whom root is within its own space is root outside: nothing counts its processes.
        let is_root = rustix::process::geteuid().is_root();
        let may = |spaces: &[&str]| !(is_root && spaces.contains(&"--user"));
        for (spaces, own_root) in OWN_SPACES.into_iter().filter(|(spaces, _)| may(spaces)).chain([none]) {
            for (nth, unprivileged) in UNPRIVILEGED.into_iter().enumerate() {
                let isolation =
                    Isolation { own_root, own_spaces: !spaces.is_empty(), unprivileged: !unprivileged.is_empty() };
                let has_own_user = nth == 0;
                // Root's processes are not limited at all.
                let shares_processes = spaces.is_empty() && !has_own_user;
                let walled = Self { spaces, unprivileged, isolation, has_own_user, shares_processes };
                if !walled.holds(Path::new("/bin/true")).await {
                    continue;
                }
                // Whether it finds its libraries there, only the program itself can
                // tell; it runs behind all the walls already.
                if !own_root || walled.holds(program).await {
                    return walled;
                }
                break;
            }
        }
        Self { shares_processes: true, ..Self::default() }
    }

    pub(super) const fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Whether `program` runs within it.
    async fn holds(&self, program: &Path) -> bool {
        const SELF_TEST_TIMEOUT: Duration = Duration::from_secs(5);
        let args = [OsString::from("-version")];
        let job = Job { program, args: &args, input: program, most: 256 * 1024, is_at_leisure: false };
        matches!(tokio::time::timeout(SELF_TEST_TIMEOUT, self.run(&job)).await, Ok(Ok(_)))
    }

    /// What the program is to call its input.
    pub(super) fn url(&self, input: &Path) -> io::Result<OsString> {
        let mut url = OsString::from("file:");
        match input.file_name().filter(|_| self.isolation.own_root) {
            Some(name) => url.push(Path::new("/clip").join(name)),
            None => url.push(path::absolute(input)?),
        }
        Ok(url)
    }

    /// Runs a program and answers what it wrote. Dropping the future kills it and
    /// its group; in spaces of its own, all that it started.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if the jail could not be built around it;
    /// else what became of the program.
    pub(super) async fn run(&self, job: &Job<'_>) -> io::Result<Vec<u8>> {
        // It runs in another folder than we do.
        let (input, program) = (path::absolute(job.input)?, path::absolute(job.program)?);
        let mut words: Vec<&OsStr> = Vec::new();
        if job.is_at_leisure {
            words.extend(AT_LEISURE.map(OsStr::new));
        }
        words.extend(self.spaces.iter().map(OsStr::new));
        if self.isolation.own_root {
            words.extend(["/bin/sh", "-c", OWN_ROOT, "sh"].map(OsStr::new));
            words.push(input.as_os_str());
            words.push(program.parent().unwrap_or(Path::new("/usr")).as_os_str());
        }
        let own_user = if self.has_own_user { own_user() } else { Vec::new() };
        let (setpriv, options) = self.unprivileged.split_at(self.unprivileged.len().min(1));
        words.extend(setpriv.iter().map(OsStr::new));
        words.extend(own_user.iter().map(OsStr::new));
        words.extend(options.iter().map(OsStr::new));
        let processes = if self.shares_processes { SHARED_PROCESSES } else { PROCESSES };
        words.extend(["/bin/sh", "-c", LIMITS, "sh", processes].map(OsStr::new));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).arg(&program).args(job.args);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        // From here on whatever ends this future ends the whole group.
        let _group = Group(child.id());
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let mut bytes = Vec::new();
        output.take(job.most + 1).read_to_end(&mut bytes).await?;
        if bytes.len() as u64 > job.most {
            return Err(io::Error::other("it wrote too much"));
        }
        let status = child.wait().await?;
        match status.code() {
            Some(0) => Ok(bytes),
            Some(NO_ROOT) => Err(io::Error::new(io::ErrorKind::Unsupported, "no root folder could be put up for it")),
            _ => Err(io::Error::other(format!("it ended with {status}"))),
        }
    }
}

/// Options of `setpriv` that make it a user of which no other program is at the
/// time, so that each has its processes counted apart, and may not touch another's.
/// systemd takes the users of its services from the same range ("DynamicUser").
fn own_user() -> Vec<String> {
    const FIRST: u32 = 61_184;
    const COUNT: u32 = 4_336;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let user = FIRST + NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id()) % COUNT;
    vec![format!("--reuid={user}"), format!("--regid={user}")]
}

/// A process group by its leader's id, killed when dropped: what the program
/// left behind, too. The id stays the group's while anybody is in it.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        if let Some(leader) = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
