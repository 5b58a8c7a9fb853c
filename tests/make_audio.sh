#!/bin/sh
# Makes audio files for tests, all from one synthetic signal (own work, no recording): every
# container and codec that decode accepts, each with FFmpeg's own 16-bit decoding beside it.
#
#     tests/make_audio.sh DIR             all formats, 12 s each, NAME and NAME.s16
#     tests/make_audio.sh DIR mp3 N [S]   N different MP3 previews of S (30) seconds: 000.mp3 ...
#     tests/make_audio.sh DIR mp3kinds    MP3s of all frame shapes and sizes, 3 s each
#     tests/make_audio.sh DIR few         one or two of each container, 5 s each, to be damaged
set -eu
dir=$1
mkdir -p "$dir"

# Plucked notes over a bass with a little noise; $1 varies pitch and tempo, $2 is the seconds.
signal() {
    pitch=$((110 + $1 * 37 % 331))
    beat="0.$((3 + $1 % 5))"
    printf "aevalsrc='0.35*sin(2*PI*%s*t)*exp(-5*mod(t,%s))+0.2*sin(2*PI*%s*1.5*t+sin(9*t))" \
        "$pitch" "$beat" "$pitch"
    printf "+0.02*(random(0)-0.5)|0.3*sin(2*PI*%s*2*t)*exp(-3*mod(t,2*%s))" "$pitch" "$beat"
    printf "+0.25*sin(2*PI*%s/2*t)+0.02*(random(1)-0.5)':s=44100:d=%s" "$pitch" "$2"
}

run() {
    ffmpeg -v error -nostdin -y "$@"
}

if [ "${2:-}" = mp3 ]; then
    i=0
    while [ "$i" -lt "$3" ]; do
        run -f lavfi -i "$(signal "$i" "${4:-30}")" -c:a libmp3lame -b:a 96k \
            "$dir/$(printf %03d "$i").mp3"
        i=$((i + 1))
    done
    exit 0
fi

make() {
    name=$1
    shift
    run -i "$dir/source.wav" "$@" "$dir/$name"
}

if [ "${2:-}" = mp3kinds ]; then
    run -f lavfi -i "$(signal 1 3)" -c:a pcm_f32le "$dir/source.wav"
    make vbr5.mp3 -c:a libmp3lame -q:a 5
    make vbr9.mp3 -c:a libmp3lame -q:a 9
    make abr.mp3 -c:a libmp3lame -abr 1 -b:a 80k
    make cbr320.mp3 -c:a libmp3lame -b:a 320k
    make cbr96.mp3 -c:a libmp3lame -b:a 96k
    make no_info.mp3 -c:a libmp3lame -b:a 128k -write_xing 0
    make mono32.mp3 -c:a libmp3lame -ac 1 -b:a 32k
    make mono48k.mp3 -c:a libmp3lame -ac 1 -ar 48000 -b:a 32k
    make stereo32k.mp3 -c:a libmp3lame -ar 32000 -b:a 40k
    make lsf24.mp3 -c:a libmp3lame -ac 1 -ar 22050 -b:a 24k
    make lsf_stereo.mp3 -c:a libmp3lame -ar 24000 -b:a 16k
    make lsf8.mp3 -c:a libmp3lame -ac 1 -ar 24000 -b:a 8k
    make mpeg25.mp3 -c:a libmp3lame -ac 1 -ar 8000 -b:a 8k
    exit 0
fi

if [ "${2:-}" = few ]; then
    run -f lavfi -i "$(signal 1 5)" -c:a pcm_f32le "$dir/source.wav"
    make vbr.mp3 -c:a libmp3lame -q:a 5
    make no_info.mp3 -c:a libmp3lame -b:a 96k -write_xing 0
    make moov_end.m4a -c:a aac -b:a 96k
    make vorbis.ogg -c:a libvorbis -q:a 3
    make opus.ogg -c:a libopus -b:a 64k
    make s16.flac -c:a flac -sample_fmt s16 -ar 22050
    make f32.wav -c:a pcm_f32le -ar 8000
    exit 0
fi

run -f lavfi -i "$(signal 1 12)" -c:a pcm_f32le "$dir/source.wav"
make cbr96.mp3 -c:a libmp3lame -b:a 96k
make cbr320.mp3 -c:a libmp3lame -b:a 320k
make vbr.mp3 -c:a libmp3lame -q:a 5
make no_info.mp3 -c:a libmp3lame -b:a 128k -write_xing 0
make mono.mp3 -c:a libmp3lame -ac 1 -b:a 32k
make lsf.mp3 -c:a libmp3lame -ac 1 -ar 22050 -b:a 24k
make mpeg25.mp3 -c:a libmp3lame -ac 1 -ar 8000 -b:a 8k
make moov_end.m4a -c:a aac -b:a 96k
make faststart.m4a -c:a aac -b:a 96k -movflags +faststart
make vorbis.ogg -c:a libvorbis -q:a 3
make opus.ogg -c:a libopus -b:a 64k
make s16.flac -c:a flac -sample_fmt s16
make s24_96k.flac -c:a flac -sample_fmt s32 -ar 96000
make u8.wav -c:a pcm_u8 -ar 8000 -ac 1
make s16.wav -c:a pcm_s16le -ar 48000
make s24.wav -c:a pcm_s24le
make s32.wav -c:a pcm_s32le
make f32.wav -c:a pcm_f32le -af volume=9dB
make f64.wav -c:a pcm_f64le
make surround.wav -c:a pcm_s16le -ac 6
make surround.ogg -c:a libvorbis -ac 6

for file in "$dir"/*.mp3 "$dir"/*.m4a "$dir"/*.ogg "$dir"/*.flac "$dir"/*.wav; do
    run -i "$file" -vn -c:a pcm_s16le -f s16le "$file.s16"
done
