//! A jail for a program that reads strangers' bytes: limits on CPU time, memory,
//! files and processes, a closed environment, no network and no other process in
//! sight where the kernel allows it.
//!
//! Built of small programs that every Linux has, one around the other: `unshare`
//! (namespaces), `setpriv` (no privileges), `sh` (`ulimit`). So nothing here is
//! unsafe, and a machine that lacks one still has the others.

use std::{ffi::OsStr, io, path::Path, process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt, process::Command};

/// The most output that is read.
const MAX_OUTPUT: u64 = 256 * 1024;

/// Ten seconds of CPU, 2 GiB of address space, nothing written, no core dump,
/// 64 descriptors, and as many processes as `$1` says. Shells name the last
/// limit differently.
const LIMITS: &str = "ulimit -t 10; ulimit -v 2097152; ulimit -f 0; ulimit -c 0; ulimit -n 64; \
    ulimit -u \"$1\" 2>/dev/null || ulimit -p \"$1\" 2>/dev/null; shift; exec \"$@\"";

/// Enough for a program's threads. Where processes are counted together with all
/// others of our user, that many more than anybody has.
const PROCESSES: &str = "64";
const SHARED_PROCESSES: &str = "4096";

/// Namespaces of its own: of a user who is nobody outside, for those who are not
/// root. All in it end with it.
const OWN_SPACES: [&[&str]; 2] = [
    &["unshare", "--net", "--ipc", "--pid", "--fork", "--kill-child"],
    &["unshare", "--user", "--map-current-user", "--net", "--ipc", "--pid", "--fork", "--kill-child"],
];

/// Root becomes nobody, who may read the clip all the same and nothing else that
/// root may do.
const AS_NOBODY: &[&str] = &[
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--bounding-set=-all,+dac_read_search",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--no-new-privs",
];
const NO_NEW_PRIVILEGES: &[&str] = &["setpriv", "--no-new-privs"];

/// What the machine allows beside the limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// No network, and no process that outlives it.
    pub own_spaces: bool,
    /// No privileges, nor a way to gain any.
    pub unprivileged: bool,
}

/// The programs around the program.
pub(super) struct Jail {
    around: Vec<&'static str>,
    isolation: Isolation,
    processes: &'static str,
}

impl Jail {
    /// Finds out what works here.
    pub(super) async fn build() -> Self {
        let mut jail = Self { around: Vec::new(), isolation: Isolation::default(), processes: SHARED_PROCESSES };
        for wall in OWN_SPACES {
            if !jail.isolation.own_spaces && jail.raise(wall).await {
                jail.isolation.own_spaces = true;
                jail.processes = PROCESSES;
            }
        }
        if jail.raise(AS_NOBODY).await {
            jail.isolation.unprivileged = true;
            jail.processes = PROCESSES;
        } else {
            jail.isolation.unprivileged = jail.raise(NO_NEW_PRIVILEGES).await;
        }
        jail
    }

    pub(super) const fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// Adds a wall, if a program runs within it.
    async fn raise(&mut self, wall: &[&'static str]) -> bool {
        const PATIENCE: Duration = Duration::from_secs(5);
        let before = self.around.len();
        self.around.extend(wall);
        let tried = tokio::time::timeout(PATIENCE, self.run(Path::new("/bin/true"), [])).await;
        let holds = matches!(tried, Ok(Ok(_)));
        if !holds {
            self.around.truncate(before);
        }
        holds
    }

    /// Runs a program and answers what it wrote. Dropping the future kills it and
    /// its group; in spaces of its own, all that it started.
    pub(super) async fn run<'a>(
        &self,
        program: &Path,
        args: impl IntoIterator<Item = &'a OsStr>,
    ) -> io::Result<Vec<u8>> {
        let mut words =
            self.around.iter().map(OsStr::new).chain(["/bin/sh", "-c", LIMITS, "sh", self.processes].map(OsStr::new));
        let mut command = Command::new(words.next().expect("the shell is there"));
        command.args(words).arg(program).args(args);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("LC_ALL", "C").current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
        let mut child = command.spawn()?;
        // From here on whatever ends this future ends the whole group.
        let _group = Group(child.id());
        let output = child.stdout.take().ok_or_else(|| io::Error::other("no output"))?;
        let mut bytes = Vec::new();
        output.take(MAX_OUTPUT + 1).read_to_end(&mut bytes).await?;
        if bytes.len() as u64 > MAX_OUTPUT {
            return Err(io::Error::other("it wrote too much"));
        }
        let status = child.wait().await?;
        if status.success() { Ok(bytes) } else { Err(io::Error::other(format!("it ended with {status}"))) }
    }
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
