//! Which files are made: containers × codecs, as far as Debian's ffmpeg writes them.

/// One container with the codecs that are tried in it. Each pair becomes a file,
/// and each alone, unless a list says otherwise.
pub(crate) struct Container {
    /// The file's ending.
    pub(crate) ending: &'static str,
    /// More options for the container, each making files of its own.
    pub(crate) variants: &'static [&'static str],
    /// ffmpeg's options for the picture.
    pub(crate) video: &'static [&'static str],
    /// ffmpeg's options for the sound.
    pub(crate) audio: &'static [&'static str],
}

/// No picture, or no sound.
pub(crate) const NONE: &str = "";

const H264: &str = "libx264 -preset ultrafast";
const H265: &str = "libx265 -preset ultrafast -x265-params log-level=none";
const H265_MP4: &str = "libx265 -preset ultrafast -x265-params log-level=none -tag:v hvc1";
const VP8: &str = "libvpx -deadline realtime -cpu-used 8";
const VP9: &str = "libvpx-vp9 -deadline realtime -cpu-used 8";
const AV1: &str = "libsvtav1 -preset 13";

const fn of(
    ending: &'static str,
    variants: &'static [&'static str],
    video: &'static [&'static str],
    audio: &'static [&'static str],
) -> Container {
    Container { ending, variants, video, audio }
}

pub(crate) const CONTAINERS: &[Container] = &[
    of(
        "mp4",
        &["", "-movflags +faststart", "-movflags frag_keyframe+empty_moov"],
        &[H264, "mpeg4", VP9, NONE],
        &["aac", "libmp3lame", "libopus", "flac -strict -2", "alac", "ac3", NONE],
    ),
    of("mp4", &[""], &[H265_MP4, AV1, "mjpeg"], &["aac", NONE]),
    of("mp4", &["-movflags dash", "-movflags cmaf", "-brand isml"], &[H264], &["aac"]),
    of("m4v", &["-f mp4", "-f ipod"], &[H264], &["aac"]),
    of("f4v", &[""], &[H264], &["aac"]),
    of("m4a", &["", "-movflags +faststart"], &[NONE], &["aac", "alac"]),
    of("mov", &[""], &[H264, "mpeg4", "prores_ks", "mjpeg", "qtrle", "png", NONE], &["aac", "pcm_s16le", "alac", NONE]),
    of("mov", &["-movflags +faststart"], &[H264, H265_MP4], &["aac"]),
    of("3gp", &[""], &["h263 -s 128x96", H264, "mpeg4", NONE], &["aac", NONE]),
    of("3g2", &[""], &[H264], &["aac", NONE]),
    of(
        "mkv",
        &[""],
        &[H264, VP8, "mpeg4", "mjpeg", "ffv1", "libtheora", "mpeg2video", NONE],
        &["aac", "libmp3lame", "libopus", "libvorbis", "flac", "pcm_s16le", "ac3", NONE],
    ),
    of("mkv", &["", "-live 1", "-cluster_time_limit 100"], &[H265, VP9], &["aac", NONE]),
    of("mka", &[""], &[NONE], &["aac", "flac", "libopus", "wavpack", "tta"]),
    of("webm", &["", "-live 1"], &[VP8, VP9, NONE], &["libopus", "libvorbis", NONE]),
    of("webm", &[""], &[AV1], &["libopus", NONE]),
    of(
        "avi",
        &[""],
        &["mpeg4", "mjpeg", H264, "rawvideo", "ffv1", "msmpeg4v2", NONE],
        &["libmp3lame", "pcm_s16le", "ac3", NONE],
    ),
    of("flv", &["", "-flvflags no_duration_filesize"], &["flv", H264, NONE], &["libmp3lame", "aac", NONE]),
    of("ts", &[""], &["mpeg2video", H264, NONE], &["aac", "mp2", "ac3", "libmp3lame", NONE]),
    of("ts", &["-mpegts_m2ts_mode 1"], &[H264, H265], &["aac", NONE]),
    of("mpg", &["-f mpeg", "-f vob", "-f dvd"], &["mpeg1video -r 25", "mpeg2video -r 25"], &["mp2", NONE]),
    of("mpg", &["-f mpeg1video"], &["mpeg1video -r 25"], &[NONE]),
    of("mpg", &["-f mpeg2video"], &["mpeg2video -r 25"], &[NONE]),
    of("ogv", &[""], &["libtheora"], &["libvorbis", "libopus", "flac", "libspeex -ar 16000", NONE]),
    of("wmv", &[""], &["wmv1", "wmv2", "msmpeg4"], &["wmav1", "wmav2", NONE]),
    of("wma", &["-f asf"], &[NONE], &["wmav1", "wmav2"]),
    of("mxf", &[""], &["mpeg2video -r 25", H264], &["pcm_s16le -ar 48000", NONE]),
    of("nut", &[""], &["mpeg4", H264], &["libmp3lame", "libvorbis", NONE]),
    of("ivf", &[""], &[VP8, VP9, AV1], &[NONE]),
    of("y4m", &[""], &["wrapped_avframe"], &[NONE]),
    of("h264", &[""], &[H264], &[NONE]),
    of("h265", &["-f hevc"], &[H265], &[NONE]),
    of("mjpeg", &[""], &["mjpeg"], &[NONE]),
    of("rm", &[""], &["rv10", "rv20"], &["ac3", NONE]),
    of("dv", &[""], &["dvvideo -s 720x576 -r 25 -pix_fmt yuv420p"], &["pcm_s16le -ar 48000 -ac 2"]),
    of("mp3", &["", "-write_xing 0", "-id3v2_version 4 -metadata title=x -write_id3v1 1"], &[NONE], MP3),
    of("mp2", &[""], &[NONE], &["mp2 -b:a 192k", "mp2 -ar 22050"]),
    of("aac", &["", "-write_id3v2 1"], &[NONE], &["aac", "aac -ar 22050 -ac 1", "aac -ac 6"]),
    of("ac3", &[""], &[NONE], &["ac3", "ac3 -ar 44100", "ac3 -ar 32000 -b:a 96k"]),
    of("eac3", &[""], &[NONE], &["eac3"]),
    of("dts", &[""], &[NONE], &["dca -strict -2 -ar 48000 -ac 2"]),
    of("flac", &[""], &[NONE], &["flac", "flac -sample_fmt s32 -ar 96000"]),
    of("ogg", &[""], &[NONE], &["libvorbis", "libopus", "flac", "libspeex -ar 8000", "libspeex -ar 32000"]),
    of("opus", &[""], &[NONE], &["libopus", "libopus -frame_duration 2.5"]),
    of("wav", &["", "-rf64 always", "-write_peak on"], &[NONE], WAV),
    of("w64", &[""], &[NONE], &["pcm_s16le"]),
    of("aiff", &[""], &[NONE], &["pcm_s16be", "pcm_s24be", "pcm_s8", "pcm_mulaw", "pcm_f32be", "pcm_s16le"]),
    of("caf", &[""], &[NONE], &["pcm_s16le", "pcm_s16be", "pcm_f32le", "alac", "pcm_mulaw", "pcm_alaw"]),
    of("au", &[""], &[NONE], &["pcm_s16be", "pcm_mulaw", "pcm_f32be", "pcm_s8"]),
    of("tta", &[""], &[NONE], &["tta"]),
    of("wv", &[""], &[NONE], &["wavpack"]),
    of("voc", &[""], &[NONE], &["pcm_u8", "pcm_s16le"]),
    of("gif", &[""], &["gif"], &[NONE]),
    of("png", &["-f apng"], &["apng"], &[NONE]),
    of("png", &["-frames:v 1 -update 1"], &["png", "png -pix_fmt pal8", "png -pix_fmt rgba64be"], &[NONE]),
    of("webp", &[""], &["libwebp_anim", "libwebp -frames:v 1", "libwebp -lossless 1 -frames:v 1"], &[NONE]),
    of("jpg", &["-frames:v 1 -update 1"], &["mjpeg", "mjpeg -pix_fmt yuvj444p", "mjpeg -huffman 0"], &[NONE]),
    of("bmp", STILL, &["bmp", "bmp -pix_fmt pal8", "bmp -pix_fmt bgra"], &[NONE]),
    of(
        "tif",
        STILL,
        &["tiff", "tiff -compression_algo raw", "tiff -compression_algo deflate", "tiff -pix_fmt rgb48le"],
        &[NONE],
    ),
    of("jxl", STILL, &["libjxl -effort 1"], &[NONE]),
    of("exr", STILL, &["exr", "exr -compression zip16"], &[NONE]),
    of("jp2", STILL, &["jpeg2000", "libopenjpeg"], &[NONE]),
    of("j2c", &["-frames:v 1 -f image2 -update 1"], &["jpeg2000 -format j2k"], &[NONE]),
    of("jls", STILL, &["jpegls"], &[NONE]),
    of("qoi", STILL, &["qoi"], &[NONE]),
    of("dpx", STILL, &["dpx"], &[NONE]),
    of("tga", STILL, &["targa"], &[NONE]),
    of("sgi", STILL, &["sgi"], &[NONE]),
    of("pbm", STILL, &["pbm"], &[NONE]),
    of("pgm", STILL, &["pgm"], &[NONE]),
    of("ppm", STILL, &["ppm"], &[NONE]),
    of("pam", STILL, &["pam"], &[NONE]),
    of("pfm", STILL, &["pfm"], &[NONE]),
    of("fits", STILL, &["fits"], &[NONE]),
    of("ico", &["-frames:v 1"], &["png -pix_fmt rgba", "bmp -pix_fmt bgra"], &[NONE]),
    of("avif", &["-frames:v 1"], &["libaom-av1 -cpu-used 8"], &[NONE]),
];

const STILL: &[&str] = &["-frames:v 1 -update 1"];

const MP3: &[&str] = &[
    "libmp3lame -b:a 128k",
    "libmp3lame -q:a 2",
    "libmp3lame -q:a 9 -ar 22050",
    "libmp3lame -b:a 16k -ar 8000 -ac 1",
    "libmp3lame -b:a 320k -ar 48000",
];

const WAV: &[&str] = &[
    "pcm_u8",
    "pcm_s16le",
    "pcm_s24le",
    "pcm_s32le",
    "pcm_f32le",
    "pcm_f64le",
    "pcm_mulaw",
    "pcm_alaw",
    "adpcm_ms",
    "adpcm_ima_wav",
    "pcm_s16le -ac 6",
];
