#include "programs/delegate.h"

#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { WORD_MAX_BYTES = 32 };

const struct delegate delegates[] = {
    {"scan", "refrain-scan", NULL, "a catalogue of the audio files in a folder"},
    {"fetch", "refrain-fetch", NULL, "fetch the previews of the catalogue"},
    {"extract", "refrain-extract", NULL, "turn fetched previews into stored tensors"},
    {"features", "refrain-extract", "features", "the log-mel of one audio file"},
    {"store", "refrain-store", NULL, "look into the store: stat, ls, get, verify ..."},
    {"train", "refrain-train", "train", "train a model on the store"},
    {"eval", "refrain-train", "eval", "measure a model on held-out tracks"},
    {"embed", "refrain-train", "embed", "vectors of clips by a trained model"},
    {"match", "refrain-match", NULL, "what two songs share, and where"},
    {"search", "refrain-match", "search", "one song against the data set"},
};
const size_t n_delegates = ARRAY_LEN(delegates);

void delegate_locate(const char *program, char out[PATH_BYTES])
{
    char self[PATH_BYTES];
    struct err ignored = {0}; /* too long a path: PATH is left */
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0) {
        self[len] = '\0';
        char *slash = strrchr(self, '/');
        if (slash != NULL)
            *slash = '\0';
        if (path_join(out, self, program, &ignored) && access(out, X_OK) == 0)
            return;
    }
    snprintf(out, PATH_BYTES, "%s", program);
}

/* A command becomes part of a file name: nothing that could leave the directory. */
static bool command_is_plain(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && len < WORD_MAX_BYTES && name[len] == '\0' && name[0] != '-';
}

/* What the alignment and the fingerprints are worth is measured by the program that knows them:
 * `refrain eval DIR --by align`. */
static bool is_measured_by_match(int argc, char **argv)
{
    if (strcmp(argv[1], "eval") != 0)
        return false;
    for (int i = 2; i < argc && argv[i] != NULL; i++) {
        const char *by = strncmp(argv[i], "--by=", 5) == 0              ? argv[i] + 5
                         : strcmp(argv[i], "--by") == 0 && i + 1 < argc ? argv[i + 1]
                                                                        : NULL;
        if (by != NULL && strcmp(by, "model") != 0)
            return true;
    }
    return false;
}

bool delegate_exec(int argc, char **argv, struct err *e)
{
    static const struct delegate eval_by_match = {"eval", "refrain-match", "eval", ""};
    const char *name = argv[1];
    if (!command_is_plain(name))
        return err_set(e, ERR_USAGE, "there is no command '%.64s'", name);
    const struct delegate *known = NULL;
    for (size_t i = 0; i < n_delegates; i++)
        if (strcmp(delegates[i].command, name) == 0)
            known = &delegates[i];
    if (is_measured_by_match(argc, argv))
        known = &eval_by_match;

    char program[WORD_MAX_BYTES + sizeof "refrain-"], path[PATH_BYTES];
    snprintf(program, sizeof program, "refrain-%s", name);
    const char *file = known != NULL ? known->program : program;
    delegate_locate(file, path);

    char **args = mem_zalloc((size_t)argc + 2, sizeof args[0]);
    size_t n = 0;
    args[n++] = (char *)file; /* execv promises to leave the strings alone */
    if (known != NULL && known->subcommand != NULL)
        args[n++] = (char *)known->subcommand;
    for (int i = 2; i < argc; i++)
        args[n++] = argv[i];
    execvp(path, args);
    int saved = errno;
    mem_free(args);
    if (saved != ENOENT)
        return err_set_errno(e, ERR_USAGE, saved, "cannot run %s", path);
    if (known != NULL)
        return err_set(e, ERR_USAGE,
                       "'%s' needs the program %s, which is neither beside refrain nor in PATH",
                       name, file);
    return err_set(e, ERR_USAGE, "there is no command '%s'", name);
}

/* ---------------------------------------------------------------- suggestions */

/* Optimal string alignment: rows of the dynamic programme for i, i-1 and i-2 letters of `a`. */
static size_t word_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    size_t rows[3][WORD_MAX_BYTES + 1];
    assert(n_a <= WORD_MAX_BYTES);
    assert(n_b <= WORD_MAX_BYTES);
    for (size_t j = 0; j <= n_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n_a; i++) {
        size_t *now = rows[i % 3];
        const size_t *before = rows[(i - 1) % 3], *before2 = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            size_t change = before[j - 1] + (a[i - 1] != b[j - 1]);
            now[j] = size_min(change, size_min(before[j], now[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = size_min(now[j], before2[j - 2] + 1);
        }
    }
    return rows[n_a % 3][n_b];
}

const char *nearest_word(const char *typed, const char *const *candidates, size_t n)
{
    size_t len = strlen(typed);
    if (len > WORD_MAX_BYTES)
        return NULL;
    const char *best = NULL;
    size_t best_distance = size_max(1, len / 3) + 1;
    for (size_t i = 0; i < n; i++) {
        size_t len_i = strlen(candidates[i]);
        if (len_i > WORD_MAX_BYTES)
            continue;
        size_t distance = word_distance(typed, len, candidates[i], len_i);
        if (distance < best_distance) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}
