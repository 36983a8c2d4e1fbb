/* What a file of test-layer's images has: each byte is given by its place, so that guest and host
 * need not tell each other. */
#ifndef HULL_TEST_LAYER_PATTERN_H
#define HULL_TEST_LAYER_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATTERN_HOLE = 1024 * 1024 }; /* where a sparse file has a hole, as long as this */

static inline unsigned char pattern_at(uint64_t at, bool sparse)
{
    uint64_t word = (at / 8 + 1) * 0x9e3779b97f4a7c15U;

    if (sparse && at / PATTERN_HOLE % 2)
        return 0;
    return (unsigned char)(word >> (at % 8 * 8) ^ word >> 56);
}

static inline bool pattern_holds(const unsigned char *data, size_t length, uint64_t at, bool sparse)
{
    for (size_t i = 0; i < length; i++)
        if (data[i] != pattern_at(at + i, sparse))
            return false;
    return true;
}

#endif
