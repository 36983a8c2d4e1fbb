/* Frames: the unit in which the compute protocol travels on a byte stream.
 *
 *      0        1        2        3        4        5        6        7
 *     +--------+--------+--------+--------+--------+--------+--------+--------+
 *     | type   | flags  | length          | channel                           |  big-endian
 *     +--------+--------+--------+--------+--------+--------+--------+--------+
 *     | length bytes of payload ...
 *
 *     CONTROL  channel 0 only; a piece of a JSON message, FRAME_MORE when another piece follows
 *     DATA     1 or more bytes of the stream
 *     CREDIT   4 bytes, big-endian, not 0: how many more bytes of the stream may be sent
 *     END      no payload: the sender has no more bytes (half-close)
 *     RESET    no payload: the stream is over at once, from either side
 *
 * Pure functions over memory: no allocation, no state. The input is hostile. */
#ifndef HULL_WIRE_FRAME_H
#define HULL_WIRE_FRAME_H

#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_HEADER_SIZE = 8,
    FRAME_PAYLOAD_MAX = 65528,
    FRAME_SIZE_MAX = FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX,
};

enum frame_type {
    FRAME_CONTROL = 1,
    FRAME_DATA,
    FRAME_CREDIT,
    FRAME_END,
    FRAME_RESET,
    FRAME_TYPE_MAX,
};

enum frame_flags { FRAME_MORE = 1 << 0 };

struct frame {
    enum frame_type type;
    unsigned flags; /* enum frame_flags */
    uint32_t channel;
    uint32_t credit;        /* of a CREDIT frame */
    const uint8_t *payload; /* points into the caller's bytes */
    size_t length;
};

/* Reads the frame at the beginning of `data`. 1: *ret is the frame and *ret_used its whole size;
 * 0: more bytes are needed (a bad header is found as soon as it is complete); -EPROTO: the bytes
 * break the rules above, and *ret_violation (a constant) says which one. */
int frame_decode(const void *data, size_t length, struct frame *ret, size_t *ret_used,
                 const char **ret_violation);

/* Writes a header; the arguments are the caller's own and must be in range (asserted). */
void frame_encode_header(uint8_t header[FRAME_HEADER_SIZE], enum frame_type type, unsigned flags,
                         size_t length, uint32_t channel);

/* The payload of a CREDIT frame. */
void frame_encode_credit(uint8_t payload[4], uint32_t credit);

const char *frame_type_to_string(enum frame_type type);

#endif
