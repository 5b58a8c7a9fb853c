#include "programs/advice.h"

#include <string.h>

/* Causes of fetch are small letters, those of extract capitals, as in decode.h and clip.h. */
const struct advice advice_table[] = {
    {"no_link", "the row has no usable preview link",
     "nothing to do; a resolver may find one later"},
    {"bad_url", "the link is not a well-formed http(s) link",
     "mend the link in the CSV and run fetch again"},
    {"private_address", "the host's address is private or loopback",
     "set fetch.allow_private = on if the server is your own"},
    {"throttled", "the host asked to slow down",
     "nothing to do: its rows wait; lower fetch.limit for that host if it comes often"},
    {"timeout", "a transfer took too long", "run fetch again; raise fetch.timeout on a slow line"},
    {"connect", "no connection to the host", "check the network, then run fetch again"},
    {"dns", "the host's name was not found", "check the network and the name in the CSV"},
    {"tls", "no secure connection to the host", "check the clock and the CA certificates"},
    {"too_large", "the body is larger than fetch.max_bytes",
     "raise fetch.max_bytes if such previews are meant"},
    {"html", "the host sent a page in place of audio", "open the link; the preview may have gone"},
    {"not_audio", "the host sent something that is not audio", "open the link and see"},
    {"empty", "the host sent nothing", "run fetch again later"},
    {"http_403", "the host refuses the link", "run fetch again later; the link may have expired"},
    {"http_404", "the link is dead", "nothing to do"},
    {"http_410", "the preview was taken away", "nothing to do"},
    {"http_429", "the host asked to slow down",
     "nothing to do: its rows wait; lower fetch.limit for that host if it comes often"},
    {"http_4xx", "the host refuses the request", "open one of the links and see"},
    {"http_5xx", "the host failed", "run fetch again later"},
    {"NOT_AUDIO", "the preview is not audio that is understood", "look at the file in spool/bad"},
    {"EMPTY", "the preview is empty", "nothing to do"},
    {"CORRUPT", "the preview is damaged or cut short", "fetch it again; the copy may be bad"},
    {"TOO_LONG", "the audio is longer than a preview may be", "check the link"},
    {"NONFINITE", "the samples are not numbers", "nothing to do"},
    {"TOO_SHORT", "the preview is shorter than clip.ms",
     "nothing to do, or a data set with shorter clips"},
    {"SILENT", "the clip is silence", "nothing to do"},
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
    const struct advice *found = find(cause);
    if (found == NULL && strncmp(cause, "http_4", 6) == 0)
        return find("http_4xx");
    if (found == NULL && strncmp(cause, "http_5", 6) == 0)
        return find("http_5xx");
    return found;
}
