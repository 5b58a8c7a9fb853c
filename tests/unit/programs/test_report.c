/* Escaping, number formats, metrics, and whole pages made from hostile catalogues. */
#include "programs/report.h"

#include "programs/html.h"
#include "programs/metrics.h"
#include "programs/plot.h"
#include "programs/report_data.h"
#include "tests/unit/programs/fixture.h"

enum { PAGE_BYTES_MAX = 8 << 20 };

static char *text_of(const char *text, size_t n_max)
{
    char *out_text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&out_text, &len);
    html_text_cut(out, text, n_max);
    fclose(out);
    return out_text;
}

static void check_text(const char *text, const char *want)
{
    char *got = text_of(text, SIZE_MAX);
    CHECK_STR(got, want);
    free(got);
}

#define FFFD "\xEF\xBF\xBD"

static void test_escaping(void)
{
    check_text("a<b>&\"c'", "a&lt;b&gt;&amp;&quot;c&#39;");
    check_text("Bj\xC3\xB6rk \xE6\x97\xA5 \xF0\x9F\x8E\xB5",
               "Bj\xC3\xB6rk \xE6\x97\xA5 \xF0\x9F\x8E\xB5");
    check_text("\x01\x08\x7f", FFFD FFFD FFFD);
    check_text("a\tb\n", "a\tb\n");
    check_text("\xC3", FFFD);                   /* cut */
    check_text("\xC0\xBC", FFFD FFFD);          /* an overlong '<' */
    check_text("\xE0\x80\xBC", FFFD FFFD FFFD); /* and a longer one */
    check_text("\xED\xA0\x80", FFFD FFFD FFFD); /* a surrogate */
    check_text("\xF4\x90\x80\x80x", FFFD FFFD FFFD FFFD "x");
    check_text("", "");
    char *cut = text_of("\xC3\xA9<\xC3\xA9\xC3\xA9", 2);
    CHECK_STR(cut, "\xC3\xA9&lt;\xE2\x80\xA6");
    free(cut);
}

static void test_data_uri(void)
{
    static const struct {
        const char *bytes, *want;
    } cases[] = {/* RFC 4648 section 10 */
                 {"", "data:x/y;base64,"},
                 {"f", "data:x/y;base64,Zg=="},
                 {"fo", "data:x/y;base64,Zm8="},
                 {"foo", "data:x/y;base64,Zm9v"},
                 {"foob", "data:x/y;base64,Zm9vYg=="},
                 {"\xff\xfe\xfd", "data:x/y;base64,//79"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *text = NULL;
        size_t len = 0;
        FILE *out = open_memstream(&text, &len);
        html_data_uri(out, "x/y", (struct span){cases[i].bytes, strlen(cases[i].bytes)});
        fclose(out);
        CHECK_STR(text, cases[i].want);
        free(text);
    }
}

static void test_numbers(void)
{
    char text[COUNT_TEXT_BYTES];
    CHECK_STR(count_text(0, text), "0");
    CHECK_STR(count_text(999, text), "999");
    CHECK_STR(count_text(50683, text), "50 683");
    CHECK_STR(count_text(UINT64_MAX, text), "18 446 744 073 709 551 615");
    CHECK_STR(bytes_text(0, text), "0 B");
    CHECK_STR(bytes_text(999.4, text), "999 B");
    CHECK_STR(bytes_text(999.6, text), "1.00 KB");
    CHECK_STR(bytes_text(35912, text), "35.9 KB");
    CHECK_STR(bytes_text(220672, text), "221 KB");
    CHECK_STR(bytes_text(24.3e9, text), "24.3 GB");
    CHECK_STR(duration_text(59.4, text), "59 s");
    CHECK_STR(duration_text(61, text), "1 min 1 s");
    CHECK_STR(duration_text(7830, text), "2 h 10 min");
    CHECK_STR(duration_text(200000, text), "2 d 7 h");
    CHECK_STR(duration_text(NAN, text), "unknown");
    CHECK_STR(duration_text(-1, text), "unknown");
}

static void test_axes(void)
{
    CHECK_NEAR(plot_step(10, 6), 2, 1e-12);
    CHECK_NEAR(plot_step(2278, 4), 1000, 1e-9);
    CHECK_NEAR(plot_step(0.3, 6), 0.05, 1e-12);
    /* Slaney's scale: 200/3 Hz a mel up to 1000 Hz, then 27 mels to a factor of 6.4. The lowest of
     * 128 bands peaks at 1/129 of the range, and its centre is half a row above the lower edge. */
    double mel_max = 15 + 27 * log(11.025) / log(6.4);
    CHECK_NEAR(plot_mel_height(mel_max / 129 * 200 / 3, FEATURE_MEL_SLANEY, 0, 11025, 128),
               0.5 / 128, 1e-9);
    CHECK(plot_mel_height(0, FEATURE_MEL_SLANEY, 0, 11025, 128) < 0);
    CHECK(plot_mel_height(11025, FEATURE_MEL_SLANEY, 0, 11025, 128) > 1);
    CHECK_NEAR(plot_mel_height(1000, FEATURE_MEL_SLANEY, 0, 11025, 128),
               (15 / mel_max * 129 - 0.5) / 128, 1e-9);
    CHECK_NEAR(plot_mel_height(6400, FEATURE_MEL_SLANEY, 0, 11025, 128),
               (42 / mel_max * 129 - 0.5) / 128, 1e-9);
}

static void metrics_of(const char *text, struct metrics *out)
{
    metrics_parse((struct span){text, strlen(text)}, out);
}

static void test_metrics(void)
{
    struct metrics m;
    metrics_of("", &m);
    CHECK_U64(m.n_lines, 0);
    metrics_of("step,extra,epoch,val_loss,train_loss,baseline_loss\r\n"
               "10,x,1,0.9,1.0,0.8\r\n"
               "20,,2,0.5,0.7,0.8\r\n"
               "25,,2\r\n" /* a line that was cut */
               "30,y,3,0.6,0.4,0.8\r\n"
               "40,y,4,0.1,0.1,0.8", /* still being written: no newline */
               &m);
    CHECK_U64(m.n_lines, 3);
    CHECK_NEAR(m.best.val_loss, 0.5, 0);
    CHECK_NEAR(m.best.epoch, 2, 0);
    CHECK_NEAR(m.last.step, 30, 0);
    CHECK_NEAR(m.last.baseline_loss, 0.8, 0);
    metrics_of("epoch,val_loss\n1,nan\n2,0.3\n", &m);
    CHECK_NEAR(m.best.epoch, 2, 0);
    CHECK(isnan(m.best.baseline_loss));
}

static void test_tags(void)
{
    struct tally *t = tally_new(16);
    report_add_tags(t, " rock, indie pop ,,rock,\t90s", true);
    report_add_tags(t, "", true);
    report_add_tags(t, ",", true);
    size_t n;
    const struct tally_item *items = tally_sorted(t, &n);
    CHECK_U64(n, 3);
    CHECK_STR(items[0].name, "rock");
    CHECK_U64(items[0].n, 2);
    CHECK_STR(items[1].name, "90s");
    CHECK_STR(items[2].name, "indie pop");
    tally_free(t);
}

/* ---------------------------------------------------------------- pages */

/* The page as a string in `out`. */
static void page_make(const struct dataset *d, struct buf *out)
{
    struct err e = {0};
    char path[PATH_BYTES];
    buf_init(out, PAGE_BYTES_MAX);
    CHECK_OK(path_join(path, d->dir, "report.html", &e), &e);
    CHECK_OK(report_write(d, path, &e), &e);
    CHECK_OK(file_read_all(path, out, &e) && buf_terminate(out, &e), &e);
}

static size_t count_of(const struct buf *page, const char *needle)
{
    size_t n = 0;
    for (const char *at = (const char *)page->data; (at = strstr(at, needle)) != NULL; at++)
        n++;
    return n;
}

/* Every src and href is a data URI or a place in the page; no element that could load or run. */
static void check_stands_alone(const struct buf *page)
{
    CHECK_U64(count_of(page, "href=\"") + count_of(page, "src=\""),
              count_of(page, "href=\"data:image/") + count_of(page, "href=\"#") +
                  count_of(page, "src=\"data:image/"));
    static const char *const forbidden[] = {"<script", "<link",   "<iframe", "<object",
                                            "<embed",  "@import", "url("};
    for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
        CHECK_U64(count_of(page, forbidden[i]), 0);
}

static void test_empty_page(void)
{
    struct dataset d;
    struct buf page;
    fixture_dataset(&d);
    page_make(&d, &page);
    CHECK_U64(count_of(&page, "</html>"), 1);
    CHECK_U64(count_of(&page, "None yet"), 1);
    check_stands_alone(&page);
    buf_release(&page);
    fixture_remove(d.dir);
}

#define HOSTILE "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&"

static void test_hostile_page(void)
{
    static const struct catalog_row row = {.track_id = "A",
                                           .state = ROW_DONE,
                                           .name = HOSTILE,
                                           .artist = HOSTILE,
                                           .genre = HOSTILE,
                                           .tags = HOSTILE ", </span></p><svg onload=x>",
                                           .year = 1999};
    static const struct catalog_row lost = {
        .track_id = "B", .state = ROW_REJECTED, .cause = "<b>bad</b>", .genre = "Jazz"};
    struct catalog_row rows[] = {row, lost};
    struct dataset d;
    struct buf page;
    fixture_dataset(&d);
    snprintf(d.settings.catalog.csv, sizeof d.settings.catalog.csv, "/x/<i>&.csv");
    fixture_catalog(&d, rows, ARRAY_LEN(rows), 2, 0);
    fixture_store(&d, 1, "A",
                  "<u>time_stretch</u> rate=1.2275 noise=22ce7078dffb3ea6; gain db=-4.5");
    page_make(&d, &page);
    check_stands_alone(&page);
    static const char *const injected[] = {
        "<script", "<img src=x", "onerror=alert(2)>", "<svg onload", "<b>bad", "<u>1", "<i>&"};
    for (size_t i = 0; i < ARRAY_LEN(injected); i++)
        CHECK_U64(count_of(&page, injected[i]), 0);
    CHECK(count_of(&page, "&lt;script&gt;") > 0);
    CHECK_U64(count_of(&page, ": &lt;u&gt;time stretch&lt;/u&gt; rate 1.23; gain db -4.5."), 1);
    CHECK_U64(count_of(&page, "data:image/png;base64,"), 2); /* the clip and its positive */
    CHECK_U64(count_of(&page, "<figure"), count_of(&page, "</figure>"));
    CHECK_U64(count_of(&page, "<div"), count_of(&page, "</div>"));
    buf_release(&page);
    fixture_remove(d.dir);
}

static void model_file(const struct dataset *d, const char *name, const char *text)
{
    struct err e = {0};
    char dir[PATH_BYTES], path[PATH_BYTES];
    CHECK_OK(path_join(dir, d->dir, "models", &e) && file_make_dir(dir, &e), &e);
    CHECK_OK(path_join(dir, d->dir, "models/first", &e) && file_make_dir(dir, &e), &e);
    CHECK_OK(path_join(path, dir, name, &e), &e);
    CHECK_OK(file_write_atomic(path, (struct span){text, strlen(text)}, &e), &e);
}

static void test_models(void)
{
    struct dataset d;
    struct buf page;
    fixture_dataset(&d);
    model_file(
        &d, "metrics.csv",
        "epoch,step,train_loss,val_loss,baseline_loss\n1,10,0.8,0.6,0.8\n2,20,0.5,0.7,0.8\n");
    model_file(&d, "curves.svg", "<svg><script>alert(3)</script></svg>");
    page_make(&d, &page);
    CHECK_U64(count_of(&page, "25.0 % better"), 1); /* 0.6 against 0.8 */
    CHECK_U64(count_of(&page, "data:image/svg+xml;base64,"), 1);
    CHECK_U64(count_of(&page, "refrain eval"), 0);
    buf_release(&page);
    model_file(&d, "distances.svg", "<svg><script>alert(4)</script></svg>");
    page_make(&d, &page);
    CHECK_U64(count_of(&page, "data:image/svg+xml;base64,"), 2);
    CHECK_U64(count_of(&page, "refrain eval"), 1);
    check_stands_alone(&page);
    buf_release(&page);
    fixture_remove(d.dir);
}

int main(void)
{
    RUN(test_escaping);
    RUN(test_data_uri);
    RUN(test_numbers);
    RUN(test_axes);
    RUN(test_metrics);
    RUN(test_tags);
    RUN(test_empty_page);
    RUN(test_hostile_page);
    RUN(test_models);
    return test_done();
}
