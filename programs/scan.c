#include "programs/scan.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/program.h"
#include "base/progress.h"
#include "ingest/local.h"
#include "ingest/media.h"
#include "ingest/verify.h"
#include "programs/csv_out.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 64, ID_BYTES = 33, TAG_BYTES = 256, SKIPS_LOGGED = 20 };
static const uint64_t FILES_MAX = 1000000, FILE_BYTES_MAX = UINT64_C(1) << 30;

struct scan {
    struct scan_result *result;
    struct csv_out csv;
    struct progress progress;
    char path[PATH_BYTES];
};

/* ---------------------------------------------------------------- one file */

struct song {
    char id[ID_BYTES];
    char title[TAG_BYTES], artist[TAG_BYTES], genre[TAG_BYTES];
    uint64_t year, ms; /* 0: not known */
};

static void take_tag(const struct media *m, const char *name, char out[TAG_BYTES])
{
    const char *text = media_tag(m, name);
    snprintf(out, TAG_BYTES, "%s", text != NULL ? text : "");
}

/* "2004-05-01", "2004" */
static uint64_t year_of(const char *date)
{
    uint64_t year = 0;
    for (size_t i = 0; i < 4; i++) {
        if (date[i] < '0' || date[i] > '9')
            return 0;
        year = year * 10 + (uint64_t)(date[i] - '0');
    }
    return year;
}

/* The file's name without its folder and ending. */
static void title_of_path(const char *path, char out[TAG_BYTES])
{
    const char *name = strrchr(path, '/') + 1;
    const char *dot = strrchr(name, '.');
    size_t n = dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name);
    snprintf(out, TAG_BYTES, "%.*s", (int)size_min(n, TAG_BYTES - 1), name);
}

/* False with a sentence for what is no audio, or is none that extract would take. */
static bool read_song(struct span file, const char *path, struct song *out, bool *out_is_audio,
                      struct err *e)
{
    static const struct verify_facts facts = {.has_length = true};
    struct verify v = {0};
    struct mpeg_header mp3 = {0};
    struct media *m = NULL;
    enum decode_verdict verdict;
    char date[TAG_BYTES];
    enum sniff_verdict sniff = verify_end(&v, file, &facts);
    *out_is_audio = v.has_container;
    if (sniff != SNIFF_AUDIO)
        return err_set(e, ERR_PERM, "%s", retry_classify(NET_OK, 200, sniff).cause);
    enum audio_container container = audio_sniff(file, &mp3);
    if (!media_open(file, container, &mp3, &m, &verdict, e))
        return false;
    *out = (struct song){.ms = v.walk_ms};
    take_tag(m, "title", out->title);
    take_tag(m, "artist", out->artist);
    take_tag(m, "genre", out->genre);
    take_tag(m, "date", date);
    media_close(m);
    out->year = year_of(date);
    if (out->title[0] == '\0')
        title_of_path(path, out->title);
    snprintf(out->id, sizeof out->id, "%016" PRIx64 "%016" PRIx64, hash64(file.ptr, file.len, 0),
             hash64(file.ptr, file.len, 1));
    return true;
}

static bool write_song(struct scan *s, const struct song *song, struct err *e)
{
    char link[URL_BYTES_MAX], number[24] = "";
    if (!local_link(s->path, link))
        return err_set(e, ERR_PERM, "its path is longer than a link may be");
    csv_out_text(&s->csv, song->id);
    csv_out_text(&s->csv, song->title);
    csv_out_text(&s->csv, song->artist);
    csv_out_text(&s->csv, link);
    csv_out_text(&s->csv, song->genre);
    if (song->year > 0)
        snprintf(number, sizeof number, "%" PRIu64, song->year);
    csv_out_text(&s->csv, number);
    number[0] = '\0';
    if (song->ms > 0)
        snprintf(number, sizeof number, "%" PRIu64, song->ms);
    csv_out_text(&s->csv, number);
    (void)csv_out_end(&s->csv); /* the close tells */
    return true;
}

static void take_bytes(struct scan *s, struct span file)
{
    struct song song;
    struct err e = {0};
    bool is_audio = false;
    if (read_song(file, s->path, &song, &is_audio, &e) && write_song(s, &song, &e)) {
        s->result->n_taken++;
        s->result->largest_bytes = u64_max(s->result->largest_bytes, file.len);
        s->result->longest_ms = u64_max(s->result->longest_ms, song.ms);
    } else if (!is_audio) {
        s->result->n_other++;
    } else if (++s->result->n_skipped <= SKIPS_LOGGED) {
        log_warn("file skipped", "path=\"%s\" why=\"%s\"", s->path, e.msg);
    }
}

static void take_file(struct scan *s, int dir_fd, const char *name)
{
    struct stat st;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    void *bytes = MAP_FAILED;
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (uint64_t)st.st_size <= FILE_BYTES_MAX)
        bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (fd >= 0)
        close(fd);
    if (bytes == MAP_FAILED) {
        s->result->n_other++;
        return;
    }
    take_bytes(s, (struct span){bytes, (size_t)st.st_size});
    munmap(bytes, (size_t)st.st_size);
}

/* ---------------------------------------------------------------- the folder */

static int name_order(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool scan_names(struct scan *s, int dir_fd, unsigned depth, struct err *e);

/* s->path is the folder's and gets the name of the entry for the while. */
static bool take_entry(struct scan *s, int dir_fd, const char *name, unsigned depth, struct err *e)
{
    struct stat st;
    size_t len = strlen(s->path);
    bool is_root = len == 1;
    bool ok = true;
    if (name[0] == '.' || len + strlen(name) + 2 > sizeof s->path ||
        fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        s->result->n_other += strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
        return true;
    }
    snprintf(s->path + len, sizeof s->path - len, "%s%s", is_root ? "" : "/", name);
    if (S_ISREG(st.st_mode)) {
        take_file(s, dir_fd, name);
    } else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX) {
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            log_warn("folder skipped", "path=\"%s\" why=\"%s\"", s->path, strerror(errno));
        else
            ok = scan_names(s, fd, depth + 1, e);
        if (fd >= 0)
            close(fd);
    } else {
        s->result->n_other++;
    }
    s->path[len] = '\0';
    return ok;
}

static bool scan_names(struct scan *s, int dir_fd, unsigned depth, struct err *e)
{
    struct dirent **names = NULL;
    int n = scandirat(dir_fd, ".", &names, NULL, name_order);
    if (n < 0)
        return err_set_errno(e, ERR_USAGE, errno, "cannot read the folder %s", s->path);
    bool ok = true;
    for (int i = 0; i < n; i++) {
        uint64_t n_seen = s->result->n_taken + s->result->n_skipped + s->result->n_other;
        if (ok && program_stop_requested())
            ok = err_set(e, ERR_STOP, "stopped");
        if (ok && s->result->n_taken == FILES_MAX)
            ok = err_set(e, ERR_USAGE, "%s holds more than %" PRIu64 " songs: scan its folders",
                         s->path, FILES_MAX);
        ok = ok && take_entry(s, dir_fd, names[i]->d_name, depth, e);
        free(names[i]);
        progress_update(&s->progress, clock_now_ns(), n_seen, "songs=%" PRIu64, s->result->n_taken);
    }
    free(names);
    return ok;
}

bool scan_folder(const char *folder, const char *csv_path, struct scan_result *out, struct err *e)
{
    static const char *const columns[] = {"track_id", "name", "artist",     "spotify_preview_url",
                                          "genre",    "year", "duration_ms"};
    struct scan s = {.result = out};
    *out = (struct scan_result){0};
    if (realpath(folder, s.path) == NULL) /* POSIX: at most PATH_MAX bytes, which PATH_BYTES is */
        return err_set_errno(e, ERR_USAGE, errno, "cannot read the folder %s", folder);
    int fd = open(s.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set_errno(e, ERR_USAGE, errno, "cannot read the folder %s", folder);
    progress_init(&s.progress, "scan", "files", 0);
    bool ok = csv_out_open(&s.csv, csv_path, e);
    for (size_t i = 0; ok && i < ARRAY_LEN(columns); i++)
        csv_out_text(&s.csv, columns[i]);
    ok = ok && csv_out_end(&s.csv) && scan_names(&s, fd, 0, e);
    if (ok && out->n_taken == 0)
        ok = err_set(e, ERR_USAGE,
                     "%s holds no audio that is read: MP3, AAC in MP4, Ogg, FLAC, WAV", s.path);
    ok = csv_out_close(&s.csv, ok, e);
    close(fd);
    progress_finish(&s.progress, clock_now_ns());
    return ok;
}
