//! A still of a clip: its first frame that shows something, its picture, or the
//! waveform of its sound, as a JPEG.

use std::{ffi::OsString, io, path::Path, time::Duration};

use clipkeep_core::generation::Kind;

use super::{Ffmpeg, jail::Job};

/// How long one may take once it is its turn, however much CPU time is left. What
/// works at its leisure may get little of that on a busy machine.
const DRAW_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a still waits for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest JPEG that is taken. 640 pixels a side of noise are less.
const MAX_STILL: u64 = 1024 * 1024;

/// At most 640 pixels wide and 1280 high, as it is shown, never enlarged; JPEG
/// wants whole-range colours.
const SCALED: &str = "scale=w='max(2,trunc(min(iw*sar,min(640,1280*iw*sar/ih))/2)*2)'\
    :h='max(2,trunc(ow/(iw*sar)*ih/2)*2)',setsar=1,format=yuvj420p";
/// Lets only frames through on which there is something to be seen: neither dark
/// (black is 16) nor all the same.
const GOOD: &str = "signalstats,metadata=mode=select:key=lavfi.signalstats.YAVG:value=64:function=greater,\
    entropy,metadata=mode=select:key=lavfi.entropy.normalized_entropy.normal.Y:value=0.25:function=greater";
/// Where there is none, the one of the first two seconds that has most of what
/// the others have.
const TYPICAL: &str = "thumbnail=48";
/// What can be seen through is black behind.
const OPAQUE: &str = "format=gbrap,premultiply=inplace=1";
const WAVEFORM: &str = "color=c=0x10141a:s=640x240[back];[0:a:0]aformat=channel_layouts=mono,\
    showwavespic=s=640x240:colors=0x7aa2ff:scale=sqrt[wave];[back][wave]overlay=format=auto:shortest=1,format=yuvj420p";

/// Why there is no still.
#[derive(Debug, thiserror::Error)]
pub enum NoStill {
    /// There is none in it, as far as ffmpeg can tell.
    #[error("ffmpeg found nothing to show in it")]
    Nothing(#[source] Option<io::Error>),
    #[error("too many posters are being made")]
    Busy,
    /// It hangs, or the machine has no time for it.
    #[error("ffmpeg took longer than {DRAW_TIMEOUT:?}")]
    Late,
    /// ffmpeg never saw it.
    #[error("ffmpeg's jail could not be built")]
    NoJail(#[source] io::Error),
}

impl Ffmpeg {
    /// The still of the media of this kind at `path`. Its name's ending should be
    /// the clip's. Dropping the future ends the program.
    ///
    /// # Errors
    /// Why there is none. What floods, crashes or uses up its CPU time counts as
    /// nothing to show.
    pub async fn still(&self, path: &Path, kind: Kind) -> Result<Vec<u8>, NoStill> {
        let ways = match kind {
            Kind::Video => vec![format!("{GOOD},{SCALED}"), format!("{SCALED},{TYPICAL}")],
            Kind::Image => vec![format!("{OPAQUE},{SCALED}")],
            Kind::Audio => vec![WAVEFORM.to_owned()],
            Kind::Model | Kind::Archive => return Err(NoStill::Nothing(None)),
        };
        let turn = tokio::time::timeout(QUEUE_TIMEOUT, self.still_turns.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or(NoStill::Busy)?;
        let mut why = None;
        for filters in ways {
            match tokio::time::timeout(DRAW_TIMEOUT, self.draw(path, kind, &filters)).await {
                Ok(Ok(jpeg)) if !jpeg.is_empty() => return Ok(jpeg),
                Ok(Ok(_)) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::Unsupported => return Err(NoStill::NoJail(error)),
                Ok(Err(error)) => why = Some(error),
                Err(_) => return Err(NoStill::Late),
            }
        }
        Err(NoStill::Nothing(why))
    }

    async fn draw(&self, path: &Path, kind: Kind, filters: &str) -> io::Result<Vec<u8>> {
        let jail = self.jail().await;
        let span = if kind == Kind::Audio { "600" } else { "10" };
        let mut args: Vec<OsString> = ["-v", "quiet", "-nostdin", "-threads", "1", "-filter_threads", "1"]
            .into_iter()
            .chain(["-protocol_whitelist", "file,pipe", "-t", span, "-i"])
            .map(Into::into)
            .collect();
        args.push(jail.url(path)?);
        let filter = if kind == Kind::Audio { "-filter_complex" } else { "-vf" };
        let output = ["-frames:v", "1", "-c:v", "mjpeg", "-q:v", "4", "-threads", "1", "-f", "image2pipe", "pipe:1"];
        args.extend([filter, filters].into_iter().chain(["-an", "-sn", "-dn"]).chain(output).map(Into::into));
        let job = Job { program: &self.ffmpeg, args: &args, input: path, most: MAX_STILL, is_at_leisure: true };
        jail.run(&job).await
    }
}
