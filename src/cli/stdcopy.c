#include "cli/stdcopy.h"

#include "base/error.h"

#include <string.h>

ssize_t stdcopy_next(struct stdcopy *stdcopy, const uint8_t *data, size_t length,
                     struct stdcopy_part *ret, struct error *err)
{
    const uint8_t *header = stdcopy->header;
    struct stdcopy_part part = {.stream = STDCOPY_STDOUT};
    size_t used = 0;

    while (stdcopy->left == 0 && used < length) {
        stdcopy->header[stdcopy->n_header++] = data[used++];
        if (stdcopy->n_header < STDCOPY_HEADER_LENGTH)
            continue;
        if (header[0] >= STDCOPY_STREAM_MAX || header[1] || header[2] || header[3])
            return error_set(err, -EPROTO, "Unrecognized input header: %d", header[0]);
        stdcopy->left = (uint32_t)header[4] << 24 | (uint32_t)header[5] << 16 |
                        (uint32_t)header[6] << 8 | (uint32_t)header[7];
        stdcopy->n_header = 0;
    }
    if (stdcopy->left > 0 && used < length) {
        part.stream = header[0] == STDCOPY_STDIN ? STDCOPY_STDOUT : (enum stdcopy_stream)header[0];
        part.data = data + used;
        part.length = length - used;
        if (part.length > stdcopy->left)
            part.length = stdcopy->left;
        stdcopy->left -= (uint32_t)part.length;
        used += part.length;
    }
    *ret = part;
    return (ssize_t)used;
}
