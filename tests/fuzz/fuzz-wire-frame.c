/* The frame decoder: whatever the bytes are, it stays inside them and makes progress. */
#include "wire/frame.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t used = 0; used < size;) {
        struct frame frame;
        const char *violation = NULL;
        size_t n = 0;
        int r = frame_decode(data + used, size - used, &frame, &n, &violation);

        if (r == 0)
            break;
        if (r < 0) {
            if (r != -EPROTO || !violation)
                abort();
            break;
        }
        if (n < FRAME_HEADER_SIZE || n > size - used || frame.length != n - FRAME_HEADER_SIZE ||
            frame.payload != data + used + FRAME_HEADER_SIZE)
            abort();
        /* What was read can be written, and is the same. */
        uint8_t header[FRAME_HEADER_SIZE];
        frame_encode_header(header, frame.type, frame.flags, frame.length, frame.channel);
        if (memcmp(header, data + used, sizeof(header)) != 0)
            abort();
        used += n;
    }
    return 0;
}
