#include "ingest/url.h"

#include "ingest/address.h"
#include "tests/test.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static void check_url(const char *text, const char *want)
{
    char out[URL_BYTES_MAX];
    CHECK_U64(url_normalize(text, true, out), want == NULL ? URL_BAD : URL_OK);
    CHECK_STR(out, want == NULL ? "" : want);
}

static void test_good_links(void)
{
    check_url("https://p.scdn.co/mp3-preview/4d26?cid=774b",
              "https://p.scdn.co/mp3-preview/4d26?cid=774b");
    check_url("  HTTPS://P.SCDN.CO/A/b \n", "https://p.scdn.co/A/b");
    check_url("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x");
    check_url("http://[::1]:80/x", "http://[::1]:80/x");
    check_url("https://host", "https://host/");
    check_url("https://host?q=1", "https://host/?q=1");
    check_url("https://host/a#part", "https://host/a");
    check_url("https://host/a b\"c", "https://host/a%20b%22c");
    check_url("https://host/caf\xC3\xA9.mp3", "https://host/caf%C3%A9.mp3");
    check_url("https://host/100%/%41%4", "https://host/100%25/%41%254");
}

static void test_bad_links(void)
{
    static const char *const bad[] = {
        "ftp://host/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "host/x",
        "/x",
        "http://",
        "http:///x",
        "http://a b/x",
        "http://host:0/x",
        "http://host:99999/x",
        "http://host:/x",
        "http://user:pw@host/x",
        "http://[::1/x",
        "http://[zz]/x",
        "http://a..b/x",
        "http://.a/x",
        "http://h\xC3\xB6st/x",
        "http://host\x01/x",
        "https:/host/x",
        "http//host",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check_url(bad[i], NULL);
    char longest[URL_BYTES_MAX + 64], out[URL_BYTES_MAX];
    memset(longest, 'a', sizeof longest);
    memcpy(longest, "https://host/", 13);
    longest[URL_BYTES_MAX] = '\0';
    CHECK_U64(url_normalize(longest, true, out), URL_BAD);
    longest[URL_BYTES_MAX - 4] = '\0';
    CHECK_U64(url_normalize(longest, true, out), URL_OK);
    CHECK_U64(url_normalize("http://host/x", false, out), URL_BAD);
    CHECK_U64(url_normalize("https://host/x", false, out), URL_OK);
}

static void test_missing_links(void)
{
    static const char *const missing[] = {"",     "  ",  "nan", "NaN", "NULL",
                                          "None", "N/A", "\\N", "-"};
    char out[URL_BYTES_MAX];
    for (size_t i = 0; i < ARRAY_LEN(missing); i++)
        CHECK_U64(url_normalize(missing[i], true, out), URL_MISSING);
}

static void check_host(const char *url, const char *want)
{
    char host[HOST_BYTES_MAX];
    url_host(url, host);
    CHECK_STR(host, want);
}

static void test_hosts(void)
{
    check_host("https://p.scdn.co/a:b@c", "p.scdn.co");
    check_host("https://P.Scdn.co:443/a", "p.scdn.co");
    check_host("http://[::1]:80/a", "::1");
    CHECK(host_has_suffix("cdnt-preview.dzcdn.net", "dzcdn.net"));
    CHECK(host_has_suffix("dzcdn.net", "DZCDN.net"));
    CHECK(!host_has_suffix("xdzcdn.net", "dzcdn.net"));
    CHECK(!host_has_suffix("dzcdn.net", "a.dzcdn.net"));
    CHECK(!host_has_suffix("dzcdn.net", ""));
}

static bool is_public(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return address_is_public((struct sockaddr *)&in);
    CHECK(inet_pton(AF_INET6, text, &in6.sin6_addr) == 1);
    return address_is_public((struct sockaddr *)&in6);
}

static void test_addresses(void)
{
    static const char *const refused[] = {
        "127.0.0.1",
        "127.255.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "2001::1",
    };
    static const char *const allowed[] = {
        "1.1.1.1",         "8.8.8.8",        "172.15.0.1",       "172.32.0.1",
        "100.63.0.1",      "100.128.0.1",    "11.0.0.1",         "223.255.255.255",
        "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808",
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (is_public(refused[i]))
            CHECK_STR(refused[i], "refused");
    for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
        if (!is_public(allowed[i]))
            CHECK_STR(allowed[i], "allowed");
    struct sockaddr other = {.sa_family = AF_UNIX};
    CHECK(!address_is_public(&other));
}

int main(void)
{
    RUN(test_good_links);
    RUN(test_bad_links);
    RUN(test_missing_links);
    RUN(test_hosts);
    RUN(test_addresses);
    return test_done();
}
