#include "programs/match_provenance.h"

#include "ingest/decode.h"
#include "match/copy.h"
#include "programs/html.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

const char match_law_shipped[] =
    "shipped with the program, set on 185,170 pairs of unrelated composed songs";

enum { SIDES = 2 };

bool match_date(int64_t *out, struct err *e)
{
    const char *fixed = getenv("SOURCE_DATE_EPOCH");
    char *end;
    *out = time(NULL);
    if (fixed == NULL)
        return true;
    errno = 0;
    long long s = strtoll(fixed, &end, 10);
    if (errno != 0 || end == fixed || *end != '\0' || s < 0)
        return err_set(e, ERR_USAGE,
                       "SOURCE_DATE_EPOCH=%.40s is not a number of seconds since 1970", fixed);
    *out = s;
    return true;
}

const char *match_date_text(int64_t made_s, char out[MATCH_DATE_BYTES])
{
    const time_t made = (time_t)made_s;
    struct tm utc;
    if (gmtime_r(&made, &utc) == NULL ||
        strftime(out, MATCH_DATE_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        out[0] = '\0';
    return out;
}

/* ---------------------------------------------------------------- JSON */

void match_file_json(const struct match_song *s, struct json *j)
{
    json_u64(j, "bytes", s->n_bytes);
    json_str(j, "sha256", s->sha256);
    json_str(j, "format", s->format);
    json_u64(j, "rate_hz", s->rate_hz);
    json_u64(j, "channels", s->n_channels);
}

void match_made_json(int64_t made_s, const char *law, struct json *j)
{
    char date[MATCH_DATE_BYTES], decoder[DECODE_ID_BYTES], spec[24];
    decode_id(decoder);
    snprintf(spec, sizeof spec, "%016" PRIx64, sequence_spec_hash());
    json_object(j, "made");
    json_str(j, "program", "refrain " REFRAIN_VERSION);
    json_str(j, "date", match_date_text(made_s, date));
    json_str(j, "sequence_spec", spec);
    json_str(j, "decoder", decoder);
    json_str(j, "chromaprint", fingerprint_version());
    json_str(j, "law", law);
    json_end(j);
}

/* ---------------------------------------------------------------- page */

static const struct match_song *song_of(const struct match_pair *pair, int side)
{
    return side == 0 ? &pair->a : &pair->b;
}

static void file_row(const char *name, const char *of_a, const char *of_b, FILE *out)
{
    fprintf(out, "<tr><th>%s</th><td>", name);
    html_text(out, of_a);
    fputs("</td><td>", out);
    html_text(out, of_b);
    fputs("</td></tr>\n", out);
}

static void files(const struct match_pair *pair, FILE *out)
{
    char size[SIDES][MATCH_TEXT_BYTES], length[SIDES][MATCH_TEXT_BYTES],
        format[SIDES][MATCH_TEXT_BYTES], count[COUNT_TEXT_BYTES];
    for (int side = 0; side < SIDES; side++) {
        const struct match_song *s = song_of(pair, side);
        snprintf(size[side], sizeof size[side], "%s bytes", count_text(s->n_bytes, count));
        snprintf(length[side], sizeof length[side], "%" PRIu64 ".%03" PRIu64 " s", s->len_ms / 1000,
                 s->len_ms % 1000);
        snprintf(format[side], sizeof format[side], "%s, %" PRIu32 " Hz, %" PRIu32 " channel%s",
                 s->format != NULL ? s->format : "", s->rate_hz, s->n_channels,
                 s->n_channels == 1 ? "" : "s");
    }
    fputs("<div class=\"scroll\"><table class=\"files\"><tr><th></th><th>A</th><th>B</th></tr>\n",
          out);
    file_row("file", pair->a.name, pair->b.name, out);
    file_row("SHA-256", pair->a.sha256, pair->b.sha256, out);
    file_row("size", size[0], size[1], out);
    file_row("duration", length[0], length[1], out);
    file_row("format", format[0], format[1], out);
    fputs("</table></div>\n", out);
}

void match_provenance_html(const struct match_pair *pair, int64_t made_s, FILE *out)
{
    char date[MATCH_DATE_BYTES], decoder[DECODE_ID_BYTES];
    decode_id(decoder);
    fputs("<h2 id=\"provenance\">What was compared, and with what</h2>\n", out);
    files(pair, out);
    fprintf(out,
            "<p>Analysed on %s by refrain " REFRAIN_VERSION ", sequences by specification "
            "%016" PRIx64
            ", decoded by %s, fingerprints by Chromaprint %s. Law of chance: %s.</p>\n"
            "<p class=\"soft\">The same files, program and libraries give the same page, but for "
            "its date. Check a file with <code>sha256sum</code>.</p>\n",
            match_date_text(made_s, date), sequence_spec_hash(), decoder, fingerprint_version(),
            match_law_shipped);
}
