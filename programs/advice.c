#include "programs/advice.h"

#include <string.h>

/* Causes of the catalogue are small letters (csv.h, plan.c, retry.c), those of extract capitals
 * (decode.h, clip.h). A row that waits is tried again by itself, fetch.attempts times in all. */
const struct advice advice_table[] = {
    /* the CSV */
    {"no_link", "the row has no usable preview link", "give it one in the CSV, or leave it"},
    {"not_found", "no source has this song", "nothing to do; another source may have it"},
    {"same_track_id", "the track id stands in the CSV twice", "nothing to do: the first counts"},
    {"same_link", "another track id has the same link", "nothing to do: the first counts"},
    {"few_fields", "the row has fewer fields than the header", "mend the row in the CSV"},
    {"many_fields", "the row has more fields than the header",
     "mend the row in the CSV: a comma needs quotes"},
    {"lone_quote", "a quote is opened and never closed", "mend the row in the CSV"},
    {"nul_byte", "the row holds a NUL byte", "mend the row in the CSV"},
    {"bad_utf8", "the row is not UTF-8", "write the CSV as UTF-8"},
    {"too_long", "the row is longer than a row may be", "mend the row in the CSV"},
    {"no_track_id", "the row has no track id", "give it one in the CSV"},
    {"long_track_id", "the track id is longer than 64 bytes", "shorten it in the CSV"},
    /* the network */
    {"dns", "the host's name was not found", "check the network and the link"},
    {"connect", "no connection to the host", "check the network"},
    {"tls", "no secure connection to the host", "check the clock and the CA certificates"},
    {"timeout", "the transfer took too long", "on a slow line raise fetch.timeout"},
    {"reset", "the connection broke", "nothing to do if they are few"},
    {"truncated", "less came than was announced", "nothing to do if they are few"},
    {"redirects", "the link redirects too often, in a circle or to no link",
     "open one of the links and see"},
    {"protocol", "the answer was not HTTP", "open one of the links and see"},
    {"encoding", "the host compressed the preview in a way that is not known, or broke it",
     "open one of the links and see"},
    {"private_address", "the host has a private or loopback address",
     "if the server is yours set fetch.allow_private = on"},
    {"too_large", "the body is larger than fetch.max_bytes",
     "raise fetch.max_bytes if such previews are meant"},
    {"expired", "the link says that it has expired", "refresh the link in the CSV"},
    {"source_refused", "a source will not serve us",
     "the log says why; then fetch --retry cause=source_refused"},
    {"source_broken", "what a source answered was no answer",
     "try again later: fetch --retry cause=source_broken"},
    {"source_", "a source could not be asked", "try again later: fetch --retry cause=..."},
    /* what came */
    {"empty", "the host sent nothing", "open one of the links and see"},
    {"short", "the host sent a few bytes only", "open one of the links and see"},
    {"html", "a page came in place of audio", "open one of the links: has the preview gone?"},
    {"xml", "an XML document came in place of audio", "open one of the links and see"},
    {"json", "a JSON document came in place of audio", "open one of the links and see"},
    {"not_audio", "what came is not audio", "open one of the links and see"},
    {"cut", "the preview ends too early, however often it is asked for",
     "nothing to do if they are few; if previews are meant to be short set fetch.preview_ms"},
    {"damaged", "much of the preview is no audio", "open one of the links and see"},
    {"file_refused", "the link names a file that does not lie beneath fetch.file_root",
     "set fetch.file_root to its folder, then fetch --retry cause=file_refused"},
    {"file_gone", "the file is not there", "put it back, then fetch --retry cause=file_gone"},
    {"file_unreadable", "the file may not be read, or is none",
     "see to its permissions, then fetch --retry cause=file_unreadable"},
    {"http_403", "the host refuses the link", "the link may have expired: refresh the CSV"},
    {"http_404", "the link is dead", "refresh the link in the CSV, or leave it"},
    {"http_410", "the preview was taken away", "nothing to do"},
    {"http_429", "the host asks for fewer requests",
     "nothing to do: its rows wait; if it comes often lower fetch.limit for the host"},
    {"http_503", "the host asks for fewer requests, or rests",
     "nothing to do: its rows wait; if it comes often lower fetch.limit for the host"},
    {"http_3xx", "a redirect that leads nowhere", "open one of the links and see"},
    {"http_4xx", "the host refuses the request", "open one of the links and see"},
    {"http_5xx", "the host failed", "nothing to do if they are few"},
    /* extract */
    {"NOT_AUDIO", "the preview is no audio that is understood", "look at it in spool/bad"},
    {"EMPTY", "the preview is empty", "nothing to do"},
    {"CORRUPT", "the preview is damaged or cut short", "nothing to do if they are few"},
    {"TOO_LONG", "the audio is longer than a preview may be", "check the link"},
    {"NONFINITE", "the samples are not numbers", "nothing to do"},
    {"CRASHED", "the process that decoded the preview died, twice",
     "nothing to do if they are few; the sentence in spool/bad says of what"},
    {"TOO_SHORT", "the preview is shorter than clip.ms",
     "nothing to do; a new data set may have shorter clips, or clip.short = pad"},
    {"SILENT", "the clip is silence", "nothing to do"},
    {"UNREADABLE", "the preview's file could not be read", "check the disk"},
};

const size_t n_advice = ARRAY_LEN(advice_table);

static const struct advice *find(const char *cause)
{
    for (size_t i = 0; i < n_advice; i++)
        if (strcmp(advice_table[i].cause, cause) == 0)
            return &advice_table[i];
    return NULL;
}

const struct advice *advice_find(const char *cause)
{
    static const char *const classes[] = {"http_3xx", "http_4xx", "http_5xx"};
    static const char source[] = "source_";
    const struct advice *found = find(cause);
    if (found == NULL && strncmp(cause, source, strlen(source)) == 0)
        return find(source);
    for (size_t i = 0; found == NULL && i < ARRAY_LEN(classes); i++)
        if (strncmp(cause, classes[i], strlen("http_4")) == 0)
            found = find(classes[i]);
    return found;
}
