#include "ingest/title.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

/* How alike texts must be, 1 for equal. Found on real catalogues: below these, songs of one artist
 * with similar names begin to pass for each other. */
static const double TITLE_LEAST = 0.85, ARTIST_LEAST = 0.8;
static const double ARTIST_WITHIN = 0.9; /* "A" and "A & B" */

enum version {
    LIVE = 1,
    REMIX = 2,
    ACOUSTIC = 4,
    INSTRUMENTAL = 8,
    COVER = 16,
    DEMO = 32,
    TEMPO = 64
};

/* Words that mark "(...)" and "- ..." as being about the recording. 0: the same recording. */
static const struct {
    const char *word;
    uint32_t version;
} marks[] = {
    {"live", LIVE},
    {"concert", LIVE},
    {"remix", REMIX},
    {"rmx", REMIX},
    {"mix", REMIX},
    {"dub", REMIX},
    {"acoustic", ACOUSTIC},
    {"unplugged", ACOUSTIC},
    {"instrumental", INSTRUMENTAL},
    {"karaoke", COVER},
    {"tribute", COVER},
    {"cover", COVER},
    {"demo", DEMO},
    {"rehearsal", DEMO},
    {"slowed", TEMPO},
    {"sped", TEMPO},
    {"nightcore", TEMPO},
    {"remaster", 0},
    {"remastered", 0},
    {"mono", 0},
    {"stereo", 0},
    {"deluxe", 0},
    {"bonus", 0},
    {"explicit", 0},
    {"clean", 0},
    {"version", 0},
    {"album", 0},
    {"single", 0},
    {"radio", 0},
    {"edit", 0},
    {"feat", 0},
    {"ft", 0},
    {"featuring", 0},
    {"original", 0},
    {"anniversary", 0},
    {"edition", 0},
    {"lp", 0},
};

/* ---------------------------------------------------------------- text to words */

/* Case and accents away. Bytes that are no UTF-8 stay as they are. */
static void fold(const char *text, char out[TITLE_BYTES])
{
    utf8proc_uint8_t *folded = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text, 0, &folded,
                     UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE |
                         UTF8PROC_CASEFOLD | UTF8PROC_STRIPMARK | UTF8PROC_IGNORE);
    snprintf(out, TITLE_BYTES, "%s", n < 0 ? text : (const char *)folded);
    free(folded);
}

static bool is_word_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

/* Appends the words of a text; "&" is "and", an apostrophe is nothing. */
static size_t append_words(char *out, size_t n, const char *text, size_t len)
{
    bool in_word = false;
    for (size_t i = 0; i < len && n + 5 < TITLE_BYTES; i++) {
        unsigned char c = (unsigned char)text[i];
        bool is_quote = c == '\'' || c == '`' ||
                        (c == 0xE2 && i + 2 < len && text[i + 1] == '\x80' &&
                         (text[i + 2] == '\x98' || text[i + 2] == '\x99'));
        if (is_quote) {
            i += c == 0xE2 ? 2 : 0;
            continue;
        }
        if (c == '&' || is_word_byte(c)) {
            if (!in_word && n > 0)
                out[n++] = ' ';
            if (c == '&') {
                memcpy(out + n, "and", 3);
                n += 3;
            } else {
                out[n++] = (char)c;
            }
        }
        in_word = is_word_byte(c);
    }
    out[n] = '\0';
    return n;
}

/* True when the text speaks of the recording; its kinds are added to *versions. */
static bool is_about_recording(const char *text, size_t len, uint32_t *versions)
{
    char words[TITLE_BYTES];
    bool is_about = false;
    (void)append_words(words, 0, text, len);
    char *rest = words;
    for (char *word; (word = strsep(&rest, " ")) != NULL;)
        for (size_t i = 0; i < ARRAY_LEN(marks); i++)
            if (strcmp(word, marks[i].word) == 0) {
                *versions |= marks[i].version;
                is_about = true;
            }
    return is_about;
}

/* Where the part that begins at `at` ends: a bracket at its partner, a dash at the next part. */
static const char *part_end(const char *at)
{
    static const char pairs[] = "()[]{}";
    const char *open = strchr("([{", *at);
    if (open != NULL) {
        const char *close = strchr(at, pairs[(strchr(pairs, *at) - pairs) + 1]);
        return close == NULL ? at + strlen(at) : close + 1;
    }
    const char *end = at + 1;
    while (*end != '\0' && strchr("([{", *end) == NULL && strncmp(end, " - ", 3) != 0)
        end++;
    return end;
}

static bool is_featuring(const char *at)
{
    return strncmp(at, " feat. ", 7) == 0 || strncmp(at, " feat ", 6) == 0 ||
           strncmp(at, " ft. ", 5) == 0 || strncmp(at, " featuring ", 11) == 0;
}

/* Words of a title, without the parts in brackets and behind dashes that are about the recording.
 */
static void set_title(struct song *s, const char *text)
{
    char folded[TITLE_BYTES];
    size_t n = 0;
    fold(text, folded);
    for (const char *at = folded; *at != '\0';) {
        const char *end = at;
        bool is_part = at != folded && (strchr("([{", *at) != NULL || strncmp(at, " - ", 3) == 0);
        if (is_featuring(at))
            break;
        if (is_part) {
            end = part_end(at);
            if (is_about_recording(at, (size_t)(end - at), &s->versions)) {
                at = end;
                continue;
            }
        } else {
            for (end++; *end != '\0' && strchr("([{", *end) == NULL &&
                        strncmp(end, " - ", 3) != 0 && !is_featuring(end);
                 end++)
                continue;
        }
        n = append_words(s->title, n, at, (size_t)(end - at));
        at = end;
    }
    if (n == 0) /* "???" is a title too */
        memcpy(s->title, folded, sizeof s->title);
}

static size_t set_words(char out[TITLE_BYTES], const char *text)
{
    char folded[TITLE_BYTES];
    fold(text, folded);
    size_t n = append_words(out, 0, folded, strlen(folded));
    if (n == 0)
        memcpy(out, folded, TITLE_BYTES);
    return n;
}

static void set_artist(char out[TITLE_BYTES], const char *text)
{
    size_t n = set_words(out, text);
    if (n > 4 && strncmp(out, "the ", 4) == 0)
        memmove(out, out + 4, n - 3);
}

void song_init(struct song *s, const char *title, const char *artist, uint32_t duration_ms)
{
    *s = (struct song){.duration_ms = duration_ms};
    set_title(s, title);
    set_artist(s->artist, artist);
}

uint64_t title_artist_key(const char *artist)
{
    char words[TITLE_BYTES];
    (void)set_words(words, artist);
    return hash64(words, strlen(words), 0);
}

/* ---------------------------------------------------------------- how alike */

/* 1 - Levenshtein distance / length of the longer; 0 as soon as it is below `least`. */
static double likeness(const char *a, const char *b, double least)
{
    uint16_t row[TITLE_BYTES];
    size_t n = strlen(a), m = strlen(b), longer = size_max(n, m), shorter = size_min(n, m);
    if (longer == 0 || (double)shorter < least * (double)longer)
        return 0;
    if (n == m && memcmp(a, b, n) == 0)
        return 1;
    for (size_t j = 0; j <= m; j++)
        row[j] = (uint16_t)j;
    for (size_t i = 1; i <= n; i++) {
        uint16_t diagonal = row[0];
        row[0] = (uint16_t)i;
        for (size_t j = 1; j <= m; j++) {
            uint16_t change = (uint16_t)(diagonal + (a[i - 1] != b[j - 1]));
            uint16_t add = (uint16_t)((row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1);
            diagonal = row[j];
            row[j] = change < add ? change : add;
        }
    }
    double alike = 1 - (double)row[m] / (double)longer;
    return alike < least ? 0 : alike;
}

/* `part` stands in `whole` as words. */
static bool has_words(const char *whole, const char *part)
{
    size_t n = strlen(part);
    for (const char *at = whole; (at = strstr(at, part)) != NULL; at++)
        if ((at == whole || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return n > 0;
    return false;
}

static double artist_likeness(const char *a, const char *b)
{
    double alike = likeness(a, b, ARTIST_LEAST);
    if (alike < ARTIST_WITHIN && (has_words(a, b) || has_words(b, a)))
        return ARTIST_WITHIN;
    return alike;
}

uint16_t song_score(const struct song *wanted, const struct song *found, uint32_t grain_ms)
{
    double in_time = 0.5; /* not known */
    if (wanted->duration_ms > 0 && found->duration_ms > 0) {
        uint32_t a = wanted->duration_ms, b = found->duration_ms, off_ms = a > b ? a - b : b - a;
        if (off_ms > TITLE_TOLERANCE_MS + grain_ms)
            return 0;
        in_time = 1 - 0.5 * off_ms / (TITLE_TOLERANCE_MS + grain_ms);
    }
    if (wanted->versions != found->versions)
        return 0;
    double title = likeness(wanted->title, found->title, TITLE_LEAST);
    double artist = title > 0 ? artist_likeness(wanted->artist, found->artist) : 0;
    if (artist <= 0)
        return 0;
    return (uint16_t)(550 * title + 350 * artist + 100 * in_time + 0.5);
}
