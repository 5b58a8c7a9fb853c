#include "ingest/session.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The monotonic clock means something only within one boot; the kernel names it (random(4)). */
enum { BOOT_ID_BYTES = 36 };

struct note {
    uint64_t last_ns; /* 0: open */
    char boot_id[BOOT_ID_BYTES];
    uint8_t zero[4];
};

static void read_boot_id(char out[BOOT_ID_BYTES])
{
    memset(out, 0, BOOT_ID_BYTES);
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (read(fd, out, BOOT_ID_BYTES) != BOOT_ID_BYTES)
        memset(out, 0, BOOT_ID_BYTES);
    close(fd);
}

bool session_read(struct catalog *c, uint64_t now_ns, struct session *out, struct err *e)
{
    uint8_t bytes[CATALOG_NOTE_BYTES_MAX];
    size_t n;
    struct note note;
    char boot_id[BOOT_ID_BYTES];
    if (!catalog_note_get(c, "session", bytes, &n, e))
        return false;
    *out = (struct session){.hold = n > 0, .held_since_ns = now_ns};
    if (n != sizeof note)
        return true;
    memcpy(&note, bytes, sizeof note);
    read_boot_id(boot_id);
    bool same_boot = boot_id[0] != '\0' && memcmp(boot_id, note.boot_id, BOOT_ID_BYTES) == 0;
    if (same_boot && note.last_ns != 0 && note.last_ns < now_ns)
        out->held_since_ns = note.last_ns;
    return true;
}

static bool write_note(struct catalog *c, const char *name, struct span note, struct err *e)
{
    struct catalog_write *w;
    if (!catalog_begin(c, &w, e))
        return false;
    if (!catalog_note_set(w, name, note, e)) {
        catalog_abort(w);
        return false;
    }
    return catalog_commit(w, e);
}

static bool write_session(struct catalog *c, uint64_t last_ns, struct err *e)
{
    struct note note = {.last_ns = last_ns};
    read_boot_id(note.boot_id);
    return write_note(c, "session", (struct span){&note, sizeof note}, e);
}

bool session_read_hosts(struct catalog *c, uint8_t out[CATALOG_NOTE_BYTES_MAX], size_t *out_bytes,
                        struct err *e)
{
    return catalog_note_get(c, "hosts", out, out_bytes, e);
}

bool session_write_hosts(struct catalog *c, struct span note, struct err *e)
{
    return write_note(c, "hosts", note, e);
}

bool session_mark_open(struct catalog *c, struct err *e)
{
    return write_session(c, 0, e);
}

bool session_mark_closed(struct catalog *c, uint64_t last_ns, struct err *e)
{
    return write_session(c, last_ns, e);
}
