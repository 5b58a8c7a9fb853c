#include "ingest/local.h"
#include "tests/test.h"

static void test_links(void)
{
    static const struct {
        const char *text, *link; /* "": none */
    } cases[] = {
        {"file:///m/a.mp3", "file:///m/a.mp3"},
        {"FILE:///m/a.mp3", "file:///m/a.mp3"},
        {"file://localhost/m/a.mp3", "file:///m/a.mp3"},
        {"file:///m/a b", "file:///m/a%20b"},
        {"file:///m/a%20b", "file:///m/a%20b"},
        {"file:///m/%41", "file:///m/A"},
        {"file:///m/\xc3\xa4?#%25", "file:///m/%C3%A4%3F%23%25"},
        {"file:///m/../a", ""},
        {"file:///m/%2e%2e/a", ""},
        {"file:///m/./a", ""},
        {"file:///m//a", ""},
        {"file:///m/", ""},
        {"file:///m/a%00b", ""},
        {"file:///m/a%2", ""},
        {"file:///m/a%zz", ""},
        {"file://host/m/a", ""},
        {"file:a", ""},
        {"file:", ""},
        {"http://x/a", ""},
        {"/m/a", ""},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[URL_BYTES_MAX];
        CHECK(local_normalize(cases[i].text, out) == (cases[i].link[0] != '\0'));
        CHECK_STR(out, cases[i].link);
    }
}

static void test_paths_come_back(void)
{
    char path[300], link[URL_BYTES_MAX], back[PATH_BYTES];
    path[0] = '/';
    for (int i = 1; i < 256; i++) /* every byte that a name may have */
        path[i] = i == '/' ? 'x' : (char)i;
    path[256] = '\0';
    CHECK(local_link(path, link));
    CHECK(local_path(link, back));
    CHECK_STR(back, path);
}

static void test_long_paths(void)
{
    char path[PATH_BYTES], link[URL_BYTES_MAX];
    memset(path, 'a', sizeof path);
    path[0] = '/';
    path[URL_BYTES_MAX - sizeof "file://" + 1] = '\0';
    CHECK(!local_link(path, link));
    path[URL_BYTES_MAX - sizeof "file://"] = '\0';
    CHECK(local_link(path, link));
    CHECK_U64(strlen(link), URL_BYTES_MAX - 1);
}

int main(void)
{
    RUN(test_links);
    RUN(test_paths_come_back);
    RUN(test_long_paths);
    return test_done();
}
