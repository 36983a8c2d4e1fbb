/* Docker's multiplexed stream: frames of an 8-byte header (stream, 0, 0, 0, length as big-endian
 * 32 bits) and content. See "Stream format" under ContainerAttach in the Docker Engine API.
 *
 * The decoder holds no content: it tells which part of the given bytes belongs to which stream,
 * so a frame of any length costs no memory. */
#ifndef HULL_CLI_STDCOPY_H
#define HULL_CLI_STDCOPY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct error;

enum stdcopy_stream {
    STDCOPY_STDIN = 0, /* treated as stdout, as docker does */
    STDCOPY_STDOUT = 1,
    STDCOPY_STDERR = 2,
    STDCOPY_SYSTEM_ERROR = 3, /* the engine failed; the content says why */
    STDCOPY_STREAM_MAX,
};

enum { STDCOPY_HEADER_LENGTH = 8 };

struct stdcopy {
    uint8_t header[STDCOPY_HEADER_LENGTH];
    size_t n_header;
    uint32_t left; /* content bytes of the current frame still to come */
};

#define STDCOPY_INIT  \
    {                 \
        .n_header = 0 \
    }

struct stdcopy_part {
    enum stdcopy_stream stream;
    const uint8_t *data; /* points into the input */
    size_t length;       /* 0: only header bytes were consumed */
};

/* Takes bytes from the input until a piece of content is known or the input ends. Returns how many
 * bytes were used (header and content), at least 1 for a non-empty input, or -EPROTO for a header
 * that cannot be. */
ssize_t stdcopy_next(struct stdcopy *stdcopy, const uint8_t *data, size_t length,
                     struct stdcopy_part *ret, struct error *err);

#endif
