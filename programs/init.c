#include "programs/init.h"

#include "base/mem.h"
#include "ingest/csv.h"
#include "programs/init_audio.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { CONF_FILE_BYTES = 1 << 20 };

/* ---------------------------------------------------------------- the directory */

static bool make_parents(const char *dir, struct err *e)
{
    char path[PATH_BYTES];
    int len = snprintf(path, sizeof path, "%s", dir);
    if (len < 0 || (size_t)len >= sizeof path)
        return err_set(e, ERR_USAGE, "the path is longer than %d bytes", PATH_BYTES - 1);
    for (char *slash = path + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        if (!file_make_dir(path, e))
            return false;
        *slash = '/';
    }
    return file_make_dir(path, e);
}

static const char audio_csv[] = "music_info.csv"; /* of a folder, in the data set */

/* An interrupted init leaves at most the temporary file of refrain.conf, and the catalogue of a
 * folder: that is still empty. */
static bool dir_is_empty(const char *dir, bool *out, struct err *e)
{
    DIR *d = opendir(dir);
    if (d == NULL)
        return err_set_errno(e, ERR_USAGE, errno, "cannot read the directory %s", dir);
    *out = true;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strncmp(entry->d_name, "refrain.conf.", strlen("refrain.conf.")) != 0 &&
            strncmp(entry->d_name, audio_csv, strlen(audio_csv)) != 0)
            *out = false;
    closedir(d);
    return true;
}

/* ---------------------------------------------------------------- the settings */

/* Relative paths would mean another file after the next cd: the absolute one is kept. */
static bool apply_csv(const char *csv, struct settings *settings, struct err *e)
{
    char *absolute = realpath(csv, NULL);
    if (absolute == NULL)
        return err_set_errno(e, ERR_USAGE, errno, "cannot read the catalogue %s", csv);
    bool ok = catalog_check_csv(absolute, e);
    if (!ok)
        e->kind = ERR_USAGE;
    else if (strlen(absolute) >= sizeof settings->catalog.csv)
        ok = err_set(e, ERR_USAGE, "the path of the catalogue is longer than %zu bytes: %.80s...",
                     sizeof settings->catalog.csv - 1, absolute);
    else
        snprintf(settings->catalog.csv, sizeof settings->catalog.csv, "%s", absolute);
    free(absolute);
    return ok;
}

/* The folder becomes the one that file:// links may lie beneath. */
static bool apply_audio(const char *folder, struct settings *settings, struct err *e)
{
    char *absolute = realpath(folder, NULL);
    if (absolute == NULL)
        return err_set_errno(e, ERR_USAGE, errno, "cannot read the folder %s", folder);
    bool fits = strlen(absolute) < sizeof settings->fetch.file_root;
    if (fits) {
        snprintf(settings->fetch.file_root, sizeof settings->fetch.file_root, "%s", absolute);
        snprintf(settings->catalog.csv, sizeof settings->catalog.csv, "%s", audio_csv);
    } else {
        err_set(e, ERR_USAGE, "the path of the folder is longer than %zu bytes: %.80s...",
                sizeof settings->fetch.file_root - 1, absolute);
    }
    free(absolute);
    return fits;
}

/* Makes the catalogue of the folder, once the directory is there. */
static bool scan_audio(const struct init_request *request, struct settings *settings, struct err *e)
{
    char path[PATH_BYTES];
    struct audio_scan scan;
    if (request->audio == NULL)
        return true;
    if (!path_join(path, request->dir, audio_csv, e) ||
        !audio_scan_run(settings->fetch.file_root, path, &scan, e))
        return false;
    audio_scan_apply(&scan, settings);
    return true;
}

static bool apply(const struct init_request *request, struct settings *settings, struct err *e)
{
    if (request->csv != NULL && request->audio != NULL)
        return err_set(e, ERR_USAGE, "--csv and --audio exclude each other");
    for (size_t i = 0; i < request->sets->n; i++) {
        const char *assignment = request->sets->items[i];
        if (strncmp(assignment, "version", strcspn(assignment, "= ")) == 0)
            return err_set(e, ERR_USAGE, "version is the layout of the directory, not a choice");
        if (!conf_set(&settings_table, assignment, settings, e)) {
            e->kind = ERR_USAGE;
            return err_wrap(e, "--set %.100s", assignment);
        }
    }
    if (request->audio != NULL)
        return apply_audio(request->audio, settings, e);
    return request->csv == NULL || apply_csv(request->csv, settings, e);
}

/* The file must read back as what was meant: a path with a line end in it, say, does not. */
static bool write_conf(const char *path, const struct settings *settings, struct err *e)
{
    struct buf text, again_text;
    struct settings *again = mem_zalloc(1, sizeof *again);
    buf_init(&text, CONF_FILE_BYTES);
    buf_init(&again_text, CONF_FILE_BYTES);
    conf_defaults(&settings_table, again);
    bool ok = conf_print(&settings_table, settings, &text, e) &&
              conf_parse(&settings_table, buf_span(&text), path, again, e) &&
              conf_print(&settings_table, again, &again_text, e);
    if (ok && (text.len != again_text.len || memcmp(text.data, again_text.data, text.len) != 0))
        ok = err_set(e, ERR_USAGE,
                     "a value cannot be written to %s such that it reads back the "
                     "same: does a path have a line end or a space at its end?",
                     path);
    else if (!ok)
        e->kind = ERR_USAGE;
    ok = ok && file_write_atomic(path, buf_span(&text), e);
    buf_release(&text);
    buf_release(&again_text);
    mem_free(again);
    return ok;
}

static bool rate_equal(const struct conf_rate *a, const struct conf_rate *b)
{
    return a->n == b->n && a->window_s == b->window_s;
}

static bool limit_equal(const struct conf_limit *a, const struct conf_limit *b)
{
    bool equal = rate_equal(&a->rate, &b->rate) && a->gap_s == b->gap_s;
    for (size_t i = 0; equal && i < CONF_RATES_ALSO; i++)
        equal = rate_equal(&a->also[i], &b->also[i]);
    return equal;
}

static bool rates_equal(const struct conf_rate_list *a, const struct conf_rate_list *b)
{
    bool equal = a->n == b->n;
    for (size_t i = 0; equal && i < a->n; i++)
        equal = strcmp(a->items[i].name, b->items[i].name) == 0 &&
                limit_equal(&a->items[i].limit, &b->items[i].limit);
    return equal;
}

static bool value_equal(const struct conf_key *key, const struct settings *a,
                        const struct settings *b)
{
    const void *x = (const uint8_t *)a + key->offset, *y = (const uint8_t *)b + key->offset;
    switch (key->type) {
    case CONF_BOOL:
        return *(const bool *)x == *(const bool *)y;
    case CONF_U64:
        return *(const uint64_t *)x == *(const uint64_t *)y;
    case CONF_F64:
        return *(const double *)x == *(const double *)y;
    case CONF_STR:
        return strcmp(x, y) == 0;
    case CONF_ENUM:
        return *(const int *)x == *(const int *)y;
    case CONF_RATES:
        return rates_equal(x, y);
    }
    return false;
}

/* In the recipe of the store (programs/extract_plan.c): extract would refuse the store afterwards,
 * so the change is refused where it is asked for. */
static bool decides_the_store(const char *name)
{
    static const char *const starts[] = {"seed",     "clip.",       "features.",
                                         "augment.", "store.dtype", "store.zstd_level"};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if (strncmp(name, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* What changed: anything at all, and the first key that decides what is stored, or NULL. */
static bool find_changes(const struct settings *before, const struct settings *after,
                         const char **out_recipe_key)
{
    bool any = false;
    *out_recipe_key = NULL;
    for (size_t i = 0; i < settings_table.n_keys; i++) {
        const struct conf_key *key = &settings_table.keys[i];
        if (value_equal(key, before, after))
            continue;
        any = true;
        if (*out_recipe_key == NULL && decides_the_store(key->name))
            *out_recipe_key = key->name;
    }
    return any;
}

static bool change_dataset(const struct init_request *request, const char *conf_path,
                           struct dataset *out, enum init_result *result, struct err *e)
{
    if (!dataset_open(request->dir, out, e))
        return false;
    struct settings before = out->settings;
    char store_path[PATH_BYTES];
    if (!apply(request, &out->settings, e) || !scan_audio(request, &out->settings, e) ||
        !path_join(store_path, request->dir, "features.mdb", e))
        return false;
    const char *recipe_key;
    *result = INIT_UNCHANGED;
    if (!find_changes(&before, &out->settings, &recipe_key))
        return true;
    if (recipe_key != NULL && file_exists(store_path))
        return err_set(e, ERR_USAGE,
                       "%s decides what is stored, and %s was made with another value: make a new "
                       "data set for the new one",
                       recipe_key, store_path);
    *result = INIT_CHANGED;
    return write_conf(conf_path, &out->settings, e);
}

static bool make_dataset(const struct init_request *request, const char *conf_path,
                         struct dataset *out, enum init_result *result, struct err *e)
{
    if (request->csv == NULL && request->audio == NULL)
        return err_set(e, ERR_USAGE,
                       "a new data set needs --csv FILE, its music_info.csv, or --audio FOLDER");
    /* Everything that can be wrong is looked at before anything is made. */
    memset(out, 0, sizeof *out);
    conf_defaults(&settings_table, &out->settings);
    if (!apply(request, &out->settings, e))
        return false;
    bool is_empty = false;
    if (!make_parents(request->dir, e) || !dir_is_empty(request->dir, &is_empty, e))
        return false;
    if (!is_empty)
        return err_set(e, ERR_USAGE,
                       "%s holds other things and no refrain.conf: give a new or empty directory",
                       request->dir);
    *result = INIT_MADE;
    return scan_audio(request, &out->settings, e) && write_conf(conf_path, &out->settings, e) &&
           dataset_open(request->dir, out, e);
}

bool init_dataset(const struct init_request *request, struct dataset *out, enum init_result *result,
                  struct err *e)
{
    struct stat st;
    char conf_path[PATH_BYTES];
    if (stat(request->dir, &st) == 0 && !S_ISDIR(st.st_mode))
        return err_set(e, ERR_USAGE, "%s is not a directory", request->dir);
    if (!path_join(conf_path, request->dir, "refrain.conf", e))
        return false;
    return file_exists(conf_path) ? change_dataset(request, conf_path, out, result, e)
                                  : make_dataset(request, conf_path, out, result, e);
}

void init_print(const struct dataset *d, enum init_result result, FILE *out)
{
    static const char *const words[] = {[INIT_MADE] = "made",
                                        [INIT_CHANGED] = "changed",
                                        [INIT_UNCHANGED] = "nothing to change in"};
    fprintf(out, "%s the data set %s\n", words[result], d->dir);
    fprintf(out, "  catalogue  %s\n", d->settings.catalog.csv);
    fprintf(out, "  settings   %s/refrain.conf  (every key with its reason)\n", d->dir);
    for (size_t i = 0; i < d->settings.fetch.limit.n; i++) {
        const char *name = d->settings.fetch.limit.items[i].name;
        const struct conf_rate *rate = &d->settings.fetch.limit.items[i].limit.rate;
        fprintf(out, "  limit      %s: ", strcmp(name, "default") == 0 ? "each host" : name);
        if (rate->n == 0)
            fprintf(out, "none\n");
        else
            fprintf(out, "%" PRIu32 " requests in %g s\n", rate->n, rate->window_s);
    }
    fprintf(out,
            "next\n"
            "  refrain run %s      # fetch and extract until the catalogue is drained\n"
            "  refrain status %s   # how far it is\n"
            "  refrain train %s    # a model of what is stored\n",
            d->dir, d->dir, d->dir);
}
