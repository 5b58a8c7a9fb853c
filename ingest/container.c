#include "ingest/container.h"

#include <string.h>

enum {
    SYNC_SEARCH_BYTES = 64 << 10, /* as far as FFmpeg's own MP3 demuxer looks */
    RIFF_HEADER_BYTES = 12,
    CHUNK_HEADER_BYTES = 8,
};
static const uint32_t wav_unknown_bytes = 0x7ffff000; /* from here up a size is a placeholder */

const char *audio_container_name(enum audio_container c)
{
    static const char *const names[AUDIO_CONTAINERS] = {"none", "MP3", "MP4", "Ogg", "FLAC", "WAV"};
    assert(c < AUDIO_CONTAINERS);
    return names[c];
}

static bool has_at(struct span file, size_t at, const char *word)
{
    size_t n = strlen(word);
    return file.len >= at + n && memcmp((const uint8_t *)file.ptr + at, word, n) == 0;
}

enum audio_container audio_sniff(struct span file, struct mpeg_header *mp3)
{
    static const char *const mp4_boxes[] = {"ftyp", "moov", "mdat", "free", "skip", "wide"};
    struct mpeg_header header;
    size_t at = mpeg_id3_bytes(file);
    if (at >= file.len)
        return AUDIO_NONE;
    file = (struct span){(const uint8_t *)file.ptr + at, file.len - at};

    if (has_at(file, 0, "fLaC"))
        return AUDIO_FLAC;
    if (has_at(file, 0, "OggS"))
        return AUDIO_OGG;
    if (has_at(file, 0, "RIFF") && has_at(file, 8, "WAVE"))
        return AUDIO_WAV;
    for (size_t i = 0; i < ARRAY_LEN(mp4_boxes); i++)
        if (has_at(file, 4, mp4_boxes[i]))
            return AUDIO_MP4;
    if (mpeg_find_frame(file, 0, SYNC_SEARCH_BYTES, &at, mp3 != NULL ? mp3 : &header))
        return AUDIO_MP3;
    return AUDIO_NONE;
}

bool wav_data_bytes(struct span file, uint64_t *promised, uint64_t *present)
{
    const uint8_t *bytes = file.ptr;
    size_t at = RIFF_HEADER_BYTES;
    while (at < file.len && file.len - at >= CHUNK_HEADER_BYTES) {
        uint32_t size;
        memcpy(&size, bytes + at + 4, sizeof size);
        size_t body_at = at + CHUNK_HEADER_BYTES;
        if (has_at(file, at, "data")) {
            *promised = size;
            *present = u64_min(size, file.len - body_at);
            return size > 0 && size < wav_unknown_bytes;
        }
        at = body_at + size + (size & 1); /* chunks begin at even places */
    }
    return false;
}
