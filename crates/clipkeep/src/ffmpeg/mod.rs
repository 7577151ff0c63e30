//! ffmpeg and ffprobe, where the machine has them: other people's large parsers
//! on strangers' bytes, so they run in a jail and nothing depends on them.

mod facts;
mod jail;
mod still;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clipkeep_core::{
    generation::{Kind, MediaInfo},
    media_type::MediaType,
};
use parking_lot::Mutex;
use tokio::{
    sync::{OnceCell, Semaphore},
    time::Instant,
};

use self::jail::{Jail, Job};
pub use self::{jail::Isolation, still::NoStill};

/// How long one clip may wait for its turn and its answer, all in all.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// After so many failures by time in a row it is left alone for a while, so that
/// a program that hangs does not hold up one fill after the other.
const MAX_LATE: u32 = 3;
const DISABLED_FOR: Duration = Duration::from_secs(300);

/// The most that ffprobe may say.
const MAX_FACTS_OUTPUT: u64 = 256 * 1024;

/// The programs, ready to run.
pub struct Ffmpeg {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
    /// Built when it is first needed.
    jail: OnceCell<Jail>,
    /// One per core at a time, for fills that wait for facts.
    turns: Semaphore,
    /// The same for stills, which nobody's fill waits for.
    still_turns: Semaphore,
    late: Mutex<Late>,
}

#[derive(Default)]
struct Late {
    in_a_row: u32,
    until: Option<Instant>,
}

impl Ffmpeg {
    /// Looks for what the key `ffmpeg` names: a path, or a name on the PATH. None
    /// if it is not there; ffprobe must stand beside it.
    pub fn find(program: &Path) -> Option<Arc<Self>> {
        let ffmpeg = located(program)?;
        let ffprobe = located(&ffmpeg.with_file_name("ffprobe"))?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let [turns, still_turns] = [(); 2].map(|()| Semaphore::new(cores));
        Some(Arc::new(Self { ffmpeg, ffprobe, jail: OnceCell::new(), turns, still_turns, late: Mutex::default() }))
    }

    pub fn ffprobe(&self) -> &Path {
        &self.ffprobe
    }

    /// What holds it in.
    pub async fn isolation(&self) -> Isolation {
        self.jail().await.isolation()
    }

    async fn jail(&self) -> &Jail {
        self.jail.get_or_init(|| Jail::build(&self.ffprobe)).await
    }

    /// Fills in what `info` lacks of the file at `path`. Whatever goes wrong, it
    /// stays as it is. Takes ten seconds at the most. Dropping the future ends
    /// the program.
    pub async fn complete(&self, info: &mut MediaInfo, path: &Path) {
        if !lacks(info) || self.is_resting() {
            return;
        }
        match tokio::time::timeout(PROBE_TIMEOUT, self.ask(path)).await {
            Ok(Ok(output)) => {
                self.late.lock().in_a_row = 0;
                facts::add(info, &output);
            }
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                tracing::warn!(%error, "ffprobe could not be asked what a clip is");
            }
            Ok(Err(error)) => tracing::debug!(%error, "ffprobe did not tell what a clip is"),
            Err(_) => self.was_late(),
        }
    }

    async fn ask(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        const WANTED: &str = "format=duration:stream=codec_type,codec_name,width,height,avg_frame_rate,duration:\
            stream_side_data=rotation:stream_disposition=attached_pic";
        let _turn = self.turns.acquire().await.map_err(std::io::Error::other)?;
        let jail = self.jail().await;
        let args = ["-v", "error", "-protocol_whitelist", "file,pipe", "-of", "json", "-show_entries", WANTED, "-i"];
        let args: Vec<_> = args.iter().map(Into::into).chain([jail.url(path)?]).collect();
        let program = &self.ffprobe;
        jail.run(&Job { program, args: &args, input: path, most: MAX_FACTS_OUTPUT, is_at_leisure: false }).await
    }

    fn is_resting(&self) -> bool {
        self.late.lock().until.is_some_and(|until| Instant::now() < until)
    }

    fn was_late(&self) {
        let mut late = self.late.lock();
        late.in_a_row += 1;
        if late.in_a_row >= MAX_LATE {
            *late = Late { in_a_row: 0, until: Some(Instant::now() + DISABLED_FOR) };
            tracing::warn!(rest = ?DISABLED_FOR, "ffprobe takes too long; it is not asked for a while");
        }
    }
}

/// Whether something is missing that a program could know. What carries no mark
/// of its own it could only guess at.
fn lacks(info: &MediaInfo) -> bool {
    let is_unmarked = MediaType::by_name(&info.content_type).is_some_and(|media| media.is_unmarked);
    let no_size = info.width.is_none() || info.height.is_none();
    let no_sound = info.duration.is_none() || info.codec.is_none();
    match info.kind {
        _ if is_unmarked => false,
        Kind::Video => no_size || no_sound || info.fps.is_none(),
        Kind::Audio => no_sound,
        Kind::Image => no_size,
        Kind::Model | Kind::Archive => false,
    }
}

/// The program's absolute path: as it is if it names a folder, else found on the
/// PATH. None if it is not there.
fn located(program: &Path) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        use std::os::unix::fs::PermissionsExt;
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if program.components().count() > 1 {
        return std::path::absolute(program).ok().filter(is_program);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(program)).find(is_program)
}
