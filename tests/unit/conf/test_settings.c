/*
 * The table of keys, the example file conf/refrain.conf and a data set's file are one truth.
 * `test_settings --write FILE` prints the table: how conf/refrain.conf is made.
 */
#include "base/file.h"
#include "conf/settings.h"
#include "tests/test.h"

#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXT_BYTES = 1 << 20 };

static bool print_defaults(struct buf *out, struct err *e)
{
    static struct settings s;
    conf_defaults(&settings_table, &s);
    return conf_print(&settings_table, &s, out, e);
}

static void test_the_example_file_is_the_table(void)
{
    struct err e = {0};
    struct buf table, file;
    buf_init(&table, TEXT_BYTES);
    buf_init(&file, TEXT_BYTES);
    CHECK_OK(print_defaults(&table, &e), &e);
    CHECK_OK(file_read_all("conf/refrain.conf", &file, &e), &e);
    bool same = table.len == file.len && memcmp(table.data, file.data, file.len) == 0;
    CHECK(same);
    if (!same)
        printf("# run `make conf/refrain.conf`\n");
    buf_release(&table);
    buf_release(&file);
}

static void test_every_key_says_what_it_is(void)
{
    for (size_t i = 0; i < settings_table.n_keys; i++) {
        const struct conf_key *k = &settings_table.keys[i];
        CHECK(strlen(k->reason) > 10);
        CHECK((k->type == CONF_ENUM) == (k->choices != NULL));
        CHECK(k->type != CONF_U64 || k->min < k->max);
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(k->name, settings_table.keys[j].name) != 0);
        for (const char *c = k->name; *c != '\0'; c++)
            CHECK(islower((unsigned char)*c) || isdigit((unsigned char)*c) ||
                  strchr("._*", *c) != NULL);
    }
}

static bool load(const char *text, struct settings *out, struct err *e)
{
    char path[] = "/tmp/refrain-test-settings-XXXXXX";
    int fd = mkstemp(path);
    bool ok = fd >= 0 && file_write_fd(fd, (struct span){text, strlen(text)}, e) &&
              settings_load(path, out, e);
    close(fd);
    unlink(path);
    return ok;
}

static void test_a_newer_directory_is_refused(void)
{
    static struct settings s;
    struct err e = {0};
    CHECK_OK(load("version = 1\nseed = 9\n", &s, &e), &e);
    CHECK_U64(s.seed, 9);
    CHECK(!load("version = 2\n", &s, &e));
    CHECK(e.kind == ERR_USAGE && strstr(e.msg, "use a newer refrain") != NULL);
    /* A newer version may have keys that we do not know: its version is what has to be said. */
    CHECK(!load("version = 2\nfuture.key = 1\n", &s, &e));
    CHECK(strstr(e.msg, "use a newer refrain") != NULL);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        struct err e = {0};
        struct buf text;
        buf_init(&text, TEXT_BYTES);
        bool ok = print_defaults(&text, &e) && file_write_atomic(argv[2], buf_span(&text), &e);
        buf_release(&text);
        return ok ? 0 : 1;
    }
    RUN(test_the_example_file_is_the_table);
    RUN(test_every_key_says_what_it_is);
    RUN(test_a_newer_directory_is_refused);
    return test_done();
}
