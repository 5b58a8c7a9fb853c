/*
 * Is an address one that a link from a stranger's CSV may lead to? Refuses what IANA's
 * special-purpose registries (RFC 6890 and successors) list as not global: loopback, private,
 * link-local with the cloud metadata services, shared, documentation, multicast, reserved; for
 * IPv6 also the ranges that carry an IPv4 address which is refused.
 */
#ifndef REFRAIN_ADDRESS_H
#define REFRAIN_ADDRESS_H

#include "base/base.h"

#include <sys/socket.h>

bool address_is_public(const struct sockaddr *address);

#endif
