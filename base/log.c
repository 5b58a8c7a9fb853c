#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOG_LINE_BYTES = 2048 };

/* The process has one standard error; this is its state. Set before threads start, but for the
 * transient line, which the mutex guards. */
static enum log_level log_max = LOG_INFO;
static const char *log_name = "refrain";
static pthread_mutex_t log_mu = PTHREAD_MUTEX_INITIALIZER;
static char log_last[512]; /* under log_mu: the transient line on the terminal now */

void log_set_level(enum log_level level)
{
    log_max = level;
}

void log_set_name(const char *program)
{
    log_name = program;
}

static void log_write(const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* nowhere left to say it */
        bytes += n;
        len -= (size_t)n;
    }
}

/* "level event fields": under systemd the journal adds time and name, elsewhere we do. */
static size_t log_head(char *line, size_t cap, enum log_level level)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    static const char *const priorities[] = {"<3>", "<4>", "<6>", "<7>"};
    assert((size_t)level < ARRAY_LEN(names));
    int n;
    if (getenv("JOURNAL_STREAM") != NULL) {
        n = snprintf(line, cap, "%slevel=%s ", priorities[level], names[level]);
    } else {
        char when[32];
        time_t now = time(NULL);
        struct tm tm;
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
        n = snprintf(line, cap, "%s %s level=%s ", when, log_name, names[level]);
    }
    return size_min((size_t)n, cap - 1);
}

void log_line(enum log_level level, const char *event, const char *fields, ...)
{
    if (level > log_max)
        return;
    int saved = errno;
    char line[LOG_LINE_BYTES];
    size_t len = log_head(line, sizeof line - 1, level);
    len += (size_t)snprintf(line + len, sizeof line - 1 - len, "event=\"%s\"%s", event,
                            *fields == '\0' ? "" : " ");
    len = size_min(len, sizeof line - 2);
    va_list ap;
    va_start(ap, fields);
    len += (size_t)vsnprintf(line + len, sizeof line - 1 - len, fields, ap);
    va_end(ap);
    len = size_min(len, sizeof line - 2);
    for (size_t i = 0; i < len; i++) /* one event, one line, whatever a field held */
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' ';
    line[len++] = '\n';

    pthread_mutex_lock(&log_mu);
    /* Another process may have its progress line there: refrain run above its stages. */
    if (log_last[0] != '\0' || isatty(STDERR_FILENO) == 1)
        log_write("\r\033[K", 4);
    log_write(line, len);
    log_write(log_last, strlen(log_last));
    pthread_mutex_unlock(&log_mu);
    errno = saved;
}

void log_transient(const char *text)
{
    if (log_max < LOG_INFO && *text != '\0') /* quiet */
        return;
    pthread_mutex_lock(&log_mu);
    if (log_last[0] != '\0' || *text != '\0')
        log_write("\r\033[K", 4);
    snprintf(log_last, sizeof log_last, "%s", text);
    log_write(log_last, strlen(log_last));
    pthread_mutex_unlock(&log_mu);
}
