//! Makes the files once, with what ffprobe says of each, and keeps them in
//! `target` for the next run, by ffmpeg's version.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;

use super::table::{CONTAINERS, NONE};

const PICTURE: &str = "testsrc=size=96x64:rate=25:duration=0.8,format=yuv420p";
const SOUND: &str = "sine=frequency=440:sample_rate=44100:duration=0.8";

/// One file, and what ffprobe says of it.
pub(crate) struct Made {
    /// How it was made: what the exceptions are named by.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) told: Value,
}

struct Recipe {
    name: String,
    ending: &'static str,
    args: Vec<String>,
}

/// All files that ffmpeg was willing to write.
pub(crate) fn all() -> Vec<Made> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("corpus-{}", version()));
    fs::create_dir_all(&folder).unwrap();
    let recipes = recipes();
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some(recipe) = recipes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    make(recipe, &folder);
                }
            });
        }
    });
    recipes.iter().filter_map(|recipe| made(recipe, &folder)).collect()
}

fn version() -> String {
    let said = run("ffmpeg", &["-version"]).stdout;
    let word = String::from_utf8(said).unwrap().split_whitespace().nth(2).unwrap().to_owned();
    word.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

fn recipes() -> Vec<Recipe> {
    let mut recipes = Vec::new();
    for container in CONTAINERS {
        for (variant, video, audio) in container.variants.iter().flat_map(|variant| {
            container
                .video
                .iter()
                .flat_map(move |video| container.audio.iter().map(move |audio| (*variant, *video, *audio)))
        }) {
            if (video, audio) != (NONE, NONE) {
                recipes.push(recipe(container.ending, variant, video, audio));
            }
        }
    }
    recipes
}

fn recipe(ending: &'static str, variant: &str, video: &str, audio: &str) -> Recipe {
    let mut args: Vec<&str> = vec!["-v", "error", "-y", "-threads", "1"];
    let (has_video, has_audio) = (video != NONE, audio != NONE);
    for (wanted, source) in [(has_video, PICTURE), (has_audio, SOUND)] {
        if wanted {
            args.extend(["-f", "lavfi", "-i", source]);
        }
    }
    if has_video {
        args.push("-c:v");
        args.extend(video.split_whitespace());
        args.extend(["-threads", "1"]);
    }
    if has_audio {
        args.push("-c:a");
        args.extend(audio.split_whitespace());
    }
    args.extend(variant.split_whitespace());
    let words = [ending, variant, video, audio].into_iter().filter(|words| !words.is_empty());
    let name = words.collect::<Vec<_>>().join(" ");
    Recipe { name, ending, args: args.into_iter().map(str::to_owned).collect() }
}

impl Recipe {
    fn path(&self, folder: &Path) -> PathBuf {
        let stem = self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        folder.join(format!("{stem}.{}", self.ending))
    }
}

fn told_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// Makes the file, unless it is there: what ffprobe says is written last, and
/// nothing of a pair that ffmpeg refuses.
fn make(recipe: &Recipe, folder: &Path) {
    let path = recipe.path(folder);
    let told = told_path(&path);
    if told.exists() {
        return;
    }
    let mut args: Vec<&str> = recipe.args.iter().map(String::as_str).collect();
    args.push(path.to_str().unwrap());
    let output = run("ffmpeg", &args);
    let is_made = output.status.success() && path.metadata().is_ok_and(|made| made.len() > 0);
    let new = path.with_extension("new");
    fs::write(&new, if is_made { probed(&path) } else { b"null".to_vec() }).unwrap();
    fs::rename(new, told).unwrap();
}

fn probed(path: &Path) -> Vec<u8> {
    let args = ["-v", "error", "-of", "json", "-show_format", "-show_streams", path.to_str().unwrap()];
    run("ffprobe", &args).stdout
}

fn made(recipe: &Recipe, folder: &Path) -> Option<Made> {
    let path = recipe.path(folder);
    let told: Value = serde_json::from_slice(&fs::read(told_path(&path)).unwrap()).unwrap();
    (!told.is_null()).then(|| Made { name: recipe.name.clone(), path, told })
}

pub(crate) fn run(program: &str, args: &[&str]) -> Output {
    let output = Command::new(program).args(args).output();
    output.unwrap_or_else(|error| panic!("{program} must be installed: {error}"))
}
