#include "ingest/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

struct block4 {
    uint8_t net[4];
    unsigned bits;
};

struct block6 {
    uint8_t net[16];
    unsigned bits;
};

static const struct block4 refused4[] = {
    {{0, 0, 0, 0}, 8},      {{10, 0, 0, 0}, 8},     {{100, 64, 0, 0}, 10}, {{127, 0, 0, 0}, 8},
    {{169, 254, 0, 0}, 16}, {{172, 16, 0, 0}, 12},  {{192, 0, 0, 0}, 24},  {{192, 0, 2, 0}, 24},
    {{192, 88, 99, 0}, 24}, {{192, 168, 0, 0}, 16}, {{198, 18, 0, 0}, 15}, {{198, 51, 100, 0}, 24},
    {{203, 0, 113, 0}, 24}, {{224, 0, 0, 0}, 4},    {{240, 0, 0, 0}, 4},
};

/* Only 2000::/3 is given out for unicast; of it these are not. */
static const struct block6 refused6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 32}, /* Teredo */
    {{0x20, 0x01, 0x0D, 0xB8}, 32}, /* documentation */
    {{0x3F, 0xFF, 0x00}, 20},       /* documentation, RFC 9637 */
};

static bool in_block(const uint8_t *address, const uint8_t *net, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;
    if (memcmp(address, net, whole) != 0)
        return false;
    return rest == 0 || ((address[whole] ^ net[whole]) >> (8 - rest)) == 0;
}

static bool is_public4(const uint8_t address[4])
{
    for (size_t i = 0; i < ARRAY_LEN(refused4); i++)
        if (in_block(address, refused4[i].net, refused4[i].bits))
            return false;
    return true;
}

static bool is_public6(const uint8_t a[16])
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF}; /* ::ffff:0:0/96 */
    static const uint8_t nat64[12] = {0x00, 0x64, 0xFF, 0x9B};    /* 64:ff9b::/96 */
    static const uint8_t six_to_four[2] = {0x20, 0x02};           /* 2002::/16 */
    if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0)
        return is_public4(a + 12);
    if (memcmp(a, six_to_four, 2) == 0)
        return is_public4(a + 2);
    if (a[0] >> 5 != 1)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(refused6); i++)
        if (in_block(a, refused6[i].net, refused6[i].bits))
            return false;
    return true;
}

bool address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        return is_public4((const uint8_t *)&in.sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, address, sizeof in6);
        return is_public6(in6.sin6_addr.s6_addr);
    }
    return false;
}
