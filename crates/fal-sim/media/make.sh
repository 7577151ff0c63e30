#!/bin/sh
# Makes the clips in this folder. Run it inside the folder; needs ffmpeg.
set -eu
bits="-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1"
video() { echo "-f lavfi -i testsrc2=size=$1:rate=$2:duration=$3"; }
audio() { echo "-f lavfi -i sine=frequency=$1:duration=$2"; }
h264="-c:v libx264 -preset veryslow -crf 34 -pix_fmt yuv420p -threads 1"
aac="-c:a aac -b:a 48k -shortest"
ff() { ffmpeg -hide_banner -loglevel error -y "$@"; }

ff $(video 320x180 24 3) $(audio 440 3) $h264 $aac $bits -movflags +faststart moov-first.mp4
ff $(video 320x180 25 4) $(audio 330 4) $h264 $aac $bits moov-last.mp4
ff $(video 256x144 30 2) $h264 $bits silent.mp4
ff $(video 320x180 24 5) $(audio 550 5) $h264 -g 24 $aac $bits \
    -movflags +frag_keyframe+empty_moov+default_base_moof fragmented.mp4
ff $(video 320x180 24 3.5) $(audio 220 3.5) -c:v libvpx -b:v 120k -threads 1 -c:a libopus -b:a 32k $bits clip.webm
ff $(video 180x320 30 2.5) $h264 $bits portrait.mov
ff $(audio 440 3) -c:a libmp3lame -b:a 48k $bits tone.mp3
ff $(video 320x180 1 1) -frames:v 1 $bits still.png
ff $(video 320x180 1 1) -frames:v 1 $bits still.jpg
