/* Requests to search APIs, letter by letter, and what their answers mean. */
#include "ingest/source.h"

#include "tests/test.h"

static struct err e;

static const char *request(enum source_id id, enum source_form form, const char *artist,
                           const char *title, uint32_t index)
{
    static char url[URL_BYTES_MAX];
    const struct source_query q = {
        .form = form, .artist = artist, .title = title, .country = "US", .index = index};
    CHECK(source_request(source_get(id), "https://api.test", &q, url));
    return url;
}

static void test_requests(void)
{
    CHECK_STR(request(SOURCE_DEEZER, FORM_ARTIST, "Sigur Rós", "", 100),
              "https://api.test/search?q=artist%3A%22Sigur%20R%C3%B3s%22&limit=100&index=100");
    CHECK_STR(
        request(SOURCE_DEEZER, FORM_TRACK, "AC/DC", "T.N.T. \"live\"&x=1", 0),
        "https://api.test/search?q=artist%3A%22AC%2FDC%22%20track%3A%22T.N.T.%20%20live%20%26x"
        "%3D1%22&limit=100&index=0");
    CHECK_STR(request(SOURCE_ITUNES, FORM_WORDS, "A\tB", "100%", 7),
              "https://api.test/search?term=A%20B%20100%25&country=US&media=music&entity=song&"
              "limit=200");
    char name[600], url[URL_BYTES_MAX];
    memset(name, '%', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct source_query q = {.form = FORM_TRACK, .artist = name, .title = name, .country = "US"};
    CHECK(!source_request(source_get(SOURCE_DEEZER), "https://api.test", &q, url));
    /* What the catalogue can hold fits, whatever it is. */
    name[255] = '\0';
    char base[SOURCE_BASE_BYTES_MAX + 1];
    memset(base, 'a', sizeof base - 1);
    base[sizeof base - 1] = '\0';
    CHECK(source_request(source_get(SOURCE_DEEZER), base, &q, url));
    CHECK(!strcmp(url + strlen(url) - 18, "&limit=100&index=0"));
}

static void test_lists(void)
{
    enum source_id ids[SOURCES];
    size_t n;
    CHECK_OK(source_list_parse("", ids, &n, &e), &e);
    CHECK_U64(n, 0);
    CHECK_OK(source_list_parse(" itunes, deezer ", ids, &n, &e), &e);
    CHECK(n == 2 && ids[0] == SOURCE_ITUNES && ids[1] == SOURCE_DEEZER);
    CHECK(!source_list_parse("deezer,napster", ids, &n, &e));
    CHECK_STR(e.msg, "'napster' is no source; there are deezer and itunes");
    CHECK(!source_list_parse("deezer deezer", ids, &n, &e));
}

static struct source_page page;

static enum source_verdict read_text(enum source_id id, unsigned status, const char *body)
{
    return source_read(source_get(id), status, (struct span){body, strlen(body)}, &page);
}

static void test_a_page_of_deezer(void)
{
    enum source_verdict v = read_text(
        SOURCE_DEEZER, 200,
        "\xEF\xBB\xBF \r\n{\"data\":[{\"id\":3135556,\"title\":\"Get Lucky\",\"duration\":248,"
        "\"preview\":\"https://cdn.test/"
        "1?hdnea=exp=1798761600~hmac=0\",\"artist\":{\"name\":\"Daft "
        "Punk\"}},{\"title\":\"No "
        "preview\",\"duration\":1,\"preview\":\"\",\"artist\":{\"name\":\"X\"}},"
        "{\"title\":\"A\\u0000B\",\"preview\":\"https://x\",\"artist\":{\"name\":\"X\"}},"
        "{\"title\":7,\"preview\":\"https://x\",\"artist\":{\"name\":\"X\"}},"
        "{\"title\":\"T\",\"preview\":\"https://x\",\"artist\":[]},null,5,"
        "{\"title\":\"Long\",\"duration\":1e300,\"preview\":\"https://"
        "x\",\"artist\":{\"name\":\"X\"}}],"
        "\"total\":75,\"next\":\"https://api.deezer.com/search?q=x&index=8\"}");
    CHECK_U64(v, SOURCE_PAGE);
    CHECK_U64(page.n, 2);
    CHECK_U64(page.n_listed, 8);
    CHECK(page.has_more);
    CHECK_STR(page.items[0].title, "Get Lucky");
    CHECK_STR(page.items[0].artist, "Daft Punk");
    CHECK_U64(page.items[0].duration_ms, 248000);
    CHECK_U64(page.items[1].duration_ms, 0);
    CHECK(url_expires_s(page.items[0].url) == 1798761600);
    source_page_release(&page);
    CHECK_U64(read_text(SOURCE_DEEZER, 200, "{\"data\":[],\"total\":0}"), SOURCE_PAGE);
    CHECK(page.n == 0 && !page.has_more);
    source_page_release(&page);
}

static void test_a_page_of_itunes(void)
{
    enum source_verdict v = read_text(
        SOURCE_ITUNES, 200,
        "\n\n\n{\"resultCount\":3,\"results\":[{\"kind\":\"song\",\"trackName\":\"T\","
        "\"artistName\":\"A\",\"trackTimeMillis\":124564,\"artworkUrl100\":null,"
        "\"previewUrl\":\"https://a.test/x.m4a\"},{\"kind\":\"music-video\",\"trackName\":"
        "\"T\",\"artistName\":\"A\",\"previewUrl\":\"https://a.test/x.m4v\"},{\"kind\":"
        "\"song\",\"trackName\":\"T\",\"artistName\":\"A\",\"previewUrl\":null}]}");
    CHECK_U64(v, SOURCE_PAGE);
    CHECK_U64(page.n, 1);
    CHECK_U64(page.items[0].duration_ms, 124564);
    CHECK(!page.has_more);
    source_page_release(&page);
}

/* Status alone would misclassify nearly all of these. */
static void test_errors(void)
{
    static const struct {
        enum source_id id;
        unsigned status;
        const char *body;
        enum source_verdict want;
    } cases[] = {
        {SOURCE_DEEZER, 200,
         "{\"error\":{\"type\":\"Exception\",\"message\":\"Quota limit exceeded\",\"code\":4}}",
         SOURCE_THROTTLED},
        {SOURCE_DEEZER, 200, "{\"error\":{\"code\":700}}", SOURCE_THROTTLED},
        {SOURCE_DEEZER, 200, "{\"error\":{\"message\":\"no data\",\"code\":800}}", SOURCE_NOTHING},
        {SOURCE_DEEZER, 200, "{\"error\":{\"message\":\"empty parameter\",\"code\":500}}",
         SOURCE_NOTHING},
        {SOURCE_DEEZER, 200, "{\"error\":{\"code\":200}}", SOURCE_REFUSED},
        {SOURCE_DEEZER, 200, "{\"error\":{\"code\":12345}}", SOURCE_BROKEN},
        {SOURCE_DEEZER, 200, "{\"error\":{\"code\":\"4\"}}", SOURCE_BROKEN},
        {SOURCE_DEEZER, 200, "{\"error\":{}}", SOURCE_BROKEN},
        {SOURCE_DEEZER, 200, "", SOURCE_BROKEN},
        {SOURCE_DEEZER, 200, "<html>", SOURCE_BROKEN},
        {SOURCE_DEEZER, 200, "[]", SOURCE_BROKEN},
        {SOURCE_DEEZER, 200, "{\"data\":{}}", SOURCE_BROKEN},
        {SOURCE_DEEZER, 403, "", SOURCE_REFUSED},
        {SOURCE_DEEZER, 429, "", SOURCE_THROTTLED},
        {SOURCE_DEEZER, 503, "", SOURCE_THROTTLED},
        {SOURCE_DEEZER, 500, "", SOURCE_BROKEN},
        {SOURCE_DEEZER, 302, "", SOURCE_BROKEN},
        {SOURCE_ITUNES, 403, "", SOURCE_THROTTLED},
        {SOURCE_ITUNES, 404, "", SOURCE_NOTHING},
        {SOURCE_ITUNES, 400, "{}", SOURCE_NOTHING},
        {SOURCE_ITUNES, 200, "{\"resultCount\":0,\"results\":[]}", SOURCE_PAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum source_verdict got = read_text(cases[i].id, cases[i].status, cases[i].body);
        if (got != cases[i].want)
            printf("# %u %s\n", cases[i].status, cases[i].body);
        CHECK_U64(got, cases[i].want);
        source_page_release(&page);
    }
}

static void test_expiry(void)
{
    CHECK(url_expires_s("https://c.test/a.mp3?hdnea=exp=1798761600~acl=/a*~hmac=00") == 1798761600);
    CHECK(url_expires_s("https://c.test/a.mp3?Expires=1798761600&Signature=x") == 1798761600);
    CHECK(url_expires_s("https://c.test/a.mp3?x=1&exp=17987616001") == 17987616001);
    CHECK(url_expires_s("https://c.test/a.mp3") == 0);
    CHECK(url_expires_s("https://c.test/exp=1798761600") == 0);
    CHECK(url_expires_s("https://c.test/?X-Amz-Expires=900") == 0);
    CHECK(url_expires_s("https://c.test/?exp=900") == 0);
    CHECK(url_expires_s("https://c.test/?exp=999999999999999") == 0);
}

int main(void)
{
    RUN(test_requests);
    RUN(test_lists);
    RUN(test_a_page_of_deezer);
    RUN(test_a_page_of_itunes);
    RUN(test_errors);
    RUN(test_expiry);
    return test_done();
}
