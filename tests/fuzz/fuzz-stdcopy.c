/* The stdcopy decoder must give the same parts however the bytes are split, never point outside its
 * input, and always make progress. */
#include "cli/stdcopy.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct totals {
    size_t bytes[STDCOPY_STREAM_MAX];
    int failed;
};

static void decode(const uint8_t *data, size_t size, size_t step, struct totals *totals)
{
    struct stdcopy copy = STDCOPY_INIT;

    for (size_t at = 0; at < size && !totals->failed;) {
        struct stdcopy_part part;
        size_t length = size - at < step ? size - at : step;
        ssize_t n = stdcopy_next(&copy, data + at, length, &part, NULL);

        if (n < 0) {
            totals->failed = 1;
            return;
        }
        if (n == 0 || (size_t)n > length)
            abort();
        if (part.length > 0) {
            if (part.data < data + at || part.data + part.length != data + at + n)
                abort();
            totals->bytes[part.stream] += part.length;
        }
        at += (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct totals whole = {.failed = 0};
    struct totals single = {.failed = 0};

    decode(data, size, size ? size : 1, &whole);
    decode(data, size, 1, &single);
    if (whole.failed != single.failed)
        abort();
    for (int i = 0; i < STDCOPY_STREAM_MAX; i++)
        if (whole.bytes[i] != single.bytes[i])
            abort();
    return 0;
}
