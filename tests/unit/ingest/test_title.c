/* Titles and artists that people take for the same, and those that they do not. */
#include "ingest/title.h"

#include "tests/test.h"

static uint16_t score(const char *title, const char *artist, uint32_t ms, const char *found_title,
                      const char *found_artist, uint32_t found_ms)
{
    struct song wanted, found;
    song_init(&wanted, title, artist, ms);
    song_init(&found, found_title, found_artist, found_ms);
    return song_score(&wanted, &found, 1000);
}

static void test_the_same_song(void)
{
    static const char *const pairs[][4] = {
        {"Wonderwall", "Oasis", "Wonderwall", "Oasis"},
        {"Wonderwall", "Oasis", "WONDERWALL (Remastered 2014)", "oasis"},
        {"Heroes", "David Bowie", "\"Heroes\" - 2017 Remaster", "David Bowie"},
        {"Get Lucky", "Daft Punk", "Get Lucky (Radio Edit - feat. Pharrell Williams)", "Daft Punk"},
        {"Get Lucky", "Daft Punk", "Get Lucky feat. Pharrell Williams", "Daft Punk & Nile Rodgers"},
        {"Hoppípolla", "Sigur Rós", "Hoppipolla", "Sigur Ros"},
        {"Für immer", "Die Ärzte", "FUR IMMER", "DIE A\xCC\x88RZTE"},
        {"(I Can't Get No) Satisfaction", "The Rolling Stones",
         "(I Can\xE2\x80\x99t Get No) Satisfaction - Mono Version", "Rolling Stones"},
        {"Rock & Roll", "Led Zeppelin", "Rock and Roll", "Led Zeppelin"},
        {"Come Together (Live)", "Aerosmith", "Come Together - Live at Fulton", "Aerosmith"},
        {"???", "!!!", "???", "!!!"},
        {"東京", "きのこ", "東京", "きのこ"},
        {"Straße", "X", "STRASSE", "x"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        uint16_t got = score(pairs[i][0], pairs[i][1], 200000, pairs[i][2], pairs[i][3], 201000);
        if (got < 850)
            printf("# %u for %s\n", got, pairs[i][2]);
        CHECK(got >= 850 && got <= 1000);
    }
}

static void test_another_song(void)
{
    static const char *const pairs[][4] = {
        {"Wonderwall", "Oasis", "Wonderwall", "Ryan Adams"},
        {"Wonderwall", "Oasis", "Wonderwall (Live)", "Oasis"},
        {"Wonderwall", "Oasis", "Wonderwall (Karaoke Version)", "Oasis"},
        {"Wonderwall", "Oasis", "Wonderwall - Acoustic", "Oasis"},
        {"Halo (Remix)", "Beyoncé", "Halo", "Beyoncé"},
        {"Symphony No. 5", "Beethoven", "Symphony No. 9", "Mozart"},
        {"Part 1", "Band", "Part (2)", "Band"},
        {"Song 2", "Blur", "Song", "Blur"},
        {"One", "U2", "Two", "U2"},
        {"東京", "きのこ", "大阪", "きのこ"},
        {"Air", "Air", "Airbag", "Airbag"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        uint16_t got = score(pairs[i][0], pairs[i][1], 200000, pairs[i][2], pairs[i][3], 200000);
        if (got != 0)
            printf("# %u for %s\n", got, pairs[i][2]);
        CHECK_U64(got, 0);
    }
}

static void test_duration(void)
{
    CHECK(score("A", "B", 200000, "A", "B", 200000) == 1000);
    CHECK(score("A", "B", 200000, "A", "B", 203900) > 900); /* 3 s, and one for whole seconds */
    CHECK_U64(score("A", "B", 200000, "A", "B", 204100), 0);
    CHECK_U64(score("A", "B", 200000, "A", "B", 195900), 0);
    CHECK_U64(score("A", "B", 0, "A", "B", 195900), 950); /* not known */
    CHECK_U64(score("A", "B", 200000, "A", "B", 0), 950);
    CHECK(score("A", "B", 200000, "A", "B", 200500) > score("A", "B", 200000, "A", "B", 202500));
}

static void test_artist_key(void)
{
    CHECK(title_artist_key("Die Ärzte") == title_artist_key("die arzte"));
    CHECK(title_artist_key("AC/DC") == title_artist_key("ac dc"));
    CHECK(title_artist_key("Simon & Garfunkel") == title_artist_key("Simon and Garfunkel"));
    CHECK(title_artist_key("The Ark") != title_artist_key("Ark"));
    CHECK(title_artist_key("!!!") != title_artist_key("???"));
}

/* Bytes that are no UTF-8, brackets that do not close, and texts beyond the limit. */
static void test_any_bytes(void)
{
    char lengthy[2000];
    struct song s;
    memset(lengthy, '&', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    static const char *const texts[] = {"",       "\xFF\xFE(", "((((",       ")]}",
                                        " - ",    " - - live", "(live",      "\xE2\x80",
                                        "feat. ", " feat. x",  "{a[b(c)d]e}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        song_init(&s, texts[i], texts[i], 0);
        (void)song_score(&s, &s, 1);
    }
    for (size_t n = 0; n < sizeof lengthy; n += 37) {
        song_init(&s, lengthy + n, lengthy + n, 0);
        CHECK(strlen(s.title) < TITLE_BYTES && strlen(s.artist) < TITLE_BYTES);
        (void)title_artist_key(lengthy + n);
    }
}

int main(void)
{
    RUN(test_the_same_song);
    RUN(test_another_song);
    RUN(test_duration);
    RUN(test_artist_key);
    RUN(test_any_bytes);
    return test_done();
}
