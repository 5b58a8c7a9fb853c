#include "match/workers.h"

#include <pthread.h>

struct worker {
    pthread_t id;
    worker_fn *work;
    void *arg;
    bool ok;
    struct err why;
};

static void *run(void *arg)
{
    struct worker *w = arg;
    w->ok = w->work(w->arg, &w->why);
    return NULL;
}

bool workers_run(unsigned n, worker_fn *work, void *arg, struct err *e)
{
    struct worker workers[WORKERS_MAX];
    unsigned n_started = 0;
    bool ok = true;
    while (n_started < n && n_started < WORKERS_MAX) {
        struct worker *w = &workers[n_started];
        *w = (struct worker){.work = work, .arg = arg};
        if (pthread_create(&w->id, NULL, run, w) != 0)
            break;
        n_started++;
    }
    if (n_started == 0)
        return err_set(e, ERR_FATAL, "no thread can be started");
    for (unsigned i = 0; i < n_started; i++) {
        pthread_join(workers[i].id, NULL);
        if (ok && !workers[i].ok)
            *e = workers[i].why;
        ok = ok && workers[i].ok;
    }
    return ok;
}
