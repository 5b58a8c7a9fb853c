/*
 * SHA-256 (FIPS 180-4) of a file's bytes, as `sha256sum` prints it: what says in a year that this
 * was the file. FFmpeg's, which is linked already.
 */
#ifndef REFRAIN_DIGEST_H
#define REFRAIN_DIGEST_H

#include "base/buf.h"

enum { DIGEST_TEXT_BYTES = 65 };
void digest_sha256(struct span bytes, char out[DIGEST_TEXT_BYTES]);

#endif
