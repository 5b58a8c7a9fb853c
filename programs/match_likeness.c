#include "programs/match_likeness.h"

#include "programs/delegate.h"
#include "store/json_scan.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---------------------------------------------------------------- the model */

static bool model_exists(const struct likeness_model *m, struct err *e)
{
    char models[PATH_BYTES], model[PATH_BYTES], path[PATH_BYTES];
    if (!path_join(models, m->dataset.dir, "models", e) || !path_join(model, models, m->name, e) ||
        !path_join(path, model, "best.safetensors", e))
        return false;
    return file_exists(path) ||
           err_set(e, ERR_USAGE,
                   "%.200s has no model '%s': train it with `refrain train %.200s%s%s`",
                   m->dataset.dir, m->name, m->dataset.dir,
                   strcmp(m->name, "default") == 0 ? "" : " --name ",
                   strcmp(m->name, "default") == 0 ? "" : m->name);
}

bool likeness_model_find(const char *text, struct likeness_model *out, struct err *e)
{
    char dir[PATH_BYTES], config[PATH_BYTES];
    const char *name = "default";
    size_t len = strlen(text);
    while (len > 1 && text[len - 1] == '/')
        len--;
    if (len >= sizeof dir)
        return err_set(e, ERR_USAGE, "--model: the path is longer than %d bytes", PATH_BYTES - 1);
    memcpy(dir, text, len);
    dir[len] = '\0';
    char *slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir && path_join(config, dir, "refrain.conf", e) &&
        !file_exists(config)) {
        *slash = '\0';
        name = slash + 1;
    }
    if (strlen(name) >= sizeof out->name)
        return err_set(e, ERR_USAGE, "--model: %.32s... is longer than %zu bytes", name,
                       sizeof out->name - 1);
    snprintf(out->name, sizeof out->name, "%s", name);
    return (dataset_open(dir, &out->dataset, e) && model_exists(out, e)) || err_wrap(e, "--model");
}

/* ---------------------------------------------------------------- its answer */

static bool parse_pair(struct json_scan *j, struct likeness *out, struct err *e)
{
    char name[JSON_SCAN_KEY_BYTES];
    bool more = false;
    bool ok = json_scan_begin(j, '{', e) && json_scan_member(j, name, &more, e);
    while (ok && more) {
        double *number = strcmp(name, "cosine") == 0       ? &out->cosine
                         : strcmp(name, "percentile") == 0 ? &out->percentile
                                                           : NULL;
        ok = (number != NULL ? json_scan_number(j, number, e) : json_scan_skip(j, e)) &&
             json_scan_member(j, name, &more, e);
    }
    return ok;
}

static bool parse_pairs(struct json_scan *j, struct likeness *out, struct err *e)
{
    bool more = false;
    bool ok = json_scan_begin(j, '[', e) && json_scan_item(j, &more, e);
    while (ok && more)
        ok = parse_pair(j, out, e) && json_scan_item(j, &more, e);
    return ok;
}

bool likeness_parse(struct span json, struct likeness *out, struct err *e)
{
    struct json_scan j;
    char name[JSON_SCAN_KEY_BYTES];
    bool more = false;
    out->cosine = out->percentile = NAN;
    json_scan_init(&j, json);
    bool ok = json_scan_begin(&j, '{', e) && json_scan_member(&j, name, &more, e);
    while (ok && more) {
        if (strcmp(name, "pairs") == 0)
            ok = parse_pairs(&j, out, e);
        else if (strcmp(name, "cohort_pairs") == 0)
            ok = json_scan_u64(&j, &out->cohort_pairs, e);
        else
            ok = json_scan_skip(&j, e);
        ok = ok && json_scan_member(&j, name, &more, e);
    }
    if (ok && !(fabs(out->cosine) <= 1.001 && out->percentile >= 0 && out->percentile <= 100))
        ok = err_set(e, ERR_PERM, "no cosine from -1 to 1 with a percentile is in it");
    return ok || err_wrap(e, "the answer of refrain embed");
}

/* ---------------------------------------------------------------- refrain-train */

/* Its stdout and stderr go to files without a name: no pipe that could fill up. */
static bool run_embed(const struct likeness_model *m, const char *path_a, const char *path_b,
                      uint64_t start_ms, FILE *answer, FILE *complaint, bool *out_done,
                      struct err *e)
{
    char program[PATH_BYTES], start[32];
    delegate_locate("refrain-train", program);
    snprintf(start, sizeof start, "%" PRIu64, start_ms);
    const char *argv[] = {"refrain-train", "embed", "--audio",    "--json", "--quiet",
                          "--name",        m->name, "--start-ms", start,    "--",
                          m->dataset.dir,  path_a,  path_b,       NULL};
    pid_t pid;
    int status = 0;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fileno(answer), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, fileno(complaint), STDERR_FILENO);
    int failed =
        posix_spawnp(&pid, program, &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
        return err_set_errno(e, ERR_FATAL, failed, "%s cannot be started", program);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    *out_done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return true;
}

/* The last line that is not empty: the program's own sentence, without its name. */
static void last_line(FILE *f, char *out, size_t out_bytes)
{
    static const char prefix[] = "refrain-train embed: ";
    char line[ERR_MSG_BYTES];
    snprintf(out, out_bytes, "refrain embed gave no figure");
    rewind(f);
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\r\n")] = '\0';
        bool named = strncmp(line, prefix, sizeof prefix - 1) == 0;
        if (line[0] != '\0')
            snprintf(out, out_bytes, "%s", line + (named ? sizeof prefix - 1 : 0));
    }
}

bool likeness_compare(const struct likeness_model *m, const char *path_a, const char *path_b,
                      uint64_t shorter_ms, struct likeness *out, struct err *e)
{
    enum { ANSWER_MAX_BYTES = 1 << 16 };
    char text[ANSWER_MAX_BYTES];
    uint64_t clip_ms = m->dataset.settings.clip.ms;
    FILE *answer = tmpfile(), *complaint = tmpfile();
    bool ok = false, done = false;
    *out = (struct likeness){.asked = true,
                             .clip_ms = clip_ms,
                             .from_ms = shorter_ms > clip_ms ? (shorter_ms - clip_ms) / 2 : 0};
    snprintf(out->model, sizeof out->model, "%s/%s", m->dataset.dir, m->name);
    if (answer == NULL || complaint == NULL) {
        err_set_errno(e, ERR_FATAL, errno, "cannot make a temporary file");
        goto out;
    }
    if (!run_embed(m, path_a, path_b, out->from_ms, answer, complaint, &done, e))
        goto out;
    if (done) {
        rewind(answer);
        size_t len = fread(text, 1, sizeof text, answer);
        ok = likeness_parse((struct span){text, len}, out, e);
        out->known = ok;
    } else {
        last_line(complaint, out->why_not, sizeof out->why_not);
        ok = true;
    }
out:
    if (answer != NULL)
        fclose(answer);
    if (complaint != NULL)
        fclose(complaint);
    return ok;
}
