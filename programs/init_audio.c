#include "programs/init_audio.h"

#include "base/file.h"
#include "base/program.h"
#include "programs/delegate.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* Starts it with its stdout in *out. */
static bool start(const char *folder, const char *csv_path, pid_t *pid, FILE **out, struct err *e)
{
    char program[PATH_BYTES];
    int fds[2];
    delegate_locate("refrain-scan", program);
    const char *const args[] = {"refrain-scan", folder, "-o", csv_path, NULL};
    posix_spawn_file_actions_t actions;
    if (pipe2(fds, O_CLOEXEC) != 0)
        return err_set_errno(e, ERR_FATAL, errno, "cannot make a pipe");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    int rc = posix_spawnp(pid, program, &actions, NULL, (char *const *)(uintptr_t)args, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    *out = rc == 0 ? fdopen(fds[0], "r") : NULL;
    if (*out == NULL)
        close(fds[0]);
    return rc == 0 || err_set_errno(e, ERR_FATAL, rc, "cannot run %s", program);
}

bool audio_scan_run(const char *folder, const char *csv_path, struct audio_scan *out, struct err *e)
{
    pid_t pid;
    FILE *words = NULL;
    char line[256] = "";
    int status = 0;
    *out = (struct audio_scan){0};
    if (!start(folder, csv_path, &pid, &words, e))
        return false;
    bool has_line = words != NULL && fgets(line, sizeof line, words) != NULL;
    if (words != NULL)
        fclose(words);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    bool has_ended = WIFEXITED(status);
    if (!has_ended || WEXITSTATUS(status) != 0)
        return err_set(e, has_ended && WEXITSTATUS(status) == EXIT_USAGE ? ERR_USAGE : ERR_FATAL,
                       "refrain-scan could not make a catalogue of %s", folder);
    if (!has_line ||
        sscanf(line,
               "%" SCNu64 " songs, %" SCNu64 " skipped, %*u other files, largest "
               "%" SCNu64 " bytes, longest %" SCNu64 " ms",
               &out->n_songs, &out->n_skipped, &out->largest_bytes, &out->longest_ms) != 4)
        return err_set(e, ERR_FATAL, "refrain-scan said \"%.80s\", which is not understood", line);
    return true;
}

static void raise_to(uint64_t *value, const char *key, uint64_t least)
{
    for (size_t i = 0; i < settings_table.n_keys; i++)
        if (strcmp(settings_table.keys[i].name, key) == 0)
            least = u64_min(least, (uint64_t)settings_table.keys[i].max);
    *value = u64_max(*value, least);
}

void audio_scan_apply(const struct audio_scan *scan, struct settings *settings)
{
    raise_to(&settings->fetch.max_bytes, "fetch.max_bytes", scan->largest_bytes);
    raise_to(&settings->extract.max_ms, "extract.max_ms", scan->longest_ms + 1000);
}
