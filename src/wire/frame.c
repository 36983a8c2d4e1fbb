#include "wire/frame.h"

#include <assert.h>
#include <errno.h>

static const char *const type_names[] = {
    [FRAME_CONTROL] = "control", [FRAME_DATA] = "data",   [FRAME_CREDIT] = "credit",
    [FRAME_END] = "end",         [FRAME_RESET] = "reset",
};
_Static_assert(sizeof(type_names) / sizeof(type_names[0]) == FRAME_TYPE_MAX, "a type lacks a name");

const char *frame_type_to_string(enum frame_type type)
{
    return type >= FRAME_CONTROL && type < FRAME_TYPE_MAX ? type_names[type] : "unknown";
}

static uint32_t read_u32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void write_u32(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 24);
    bytes[1] = (uint8_t)(value >> 16);
    bytes[2] = (uint8_t)(value >> 8);
    bytes[3] = (uint8_t)value;
}

/* NULL, or which rule the header breaks. */
static const char *check_header(unsigned type, unsigned flags, size_t length, uint32_t channel)
{
    if (type < FRAME_CONTROL || type >= FRAME_TYPE_MAX)
        return "unknown frame type";
    if (flags & ~(unsigned)(type == FRAME_CONTROL ? FRAME_MORE : 0))
        return "unknown frame flags";
    if (length > FRAME_PAYLOAD_MAX)
        return "frame too long";
    if ((type == FRAME_CONTROL) != (channel == 0))
        return type == FRAME_CONTROL ? "control frame on a channel other than 0"
                                     : "stream frame on channel 0";
    switch ((enum frame_type)type) {
    case FRAME_CONTROL:
        return length == 0 ? "empty control frame" : NULL;
    case FRAME_DATA:
        return length == 0 ? "empty data frame" : NULL;
    case FRAME_CREDIT:
        return length != 4 ? "credit frame of wrong length" : NULL;
    case FRAME_END:
    case FRAME_RESET:
        return length != 0 ? "end or reset frame with a payload" : NULL;
    case FRAME_TYPE_MAX:
        break;
    }
    return "unknown frame type";
}

int frame_decode(const void *data, size_t length, struct frame *ret, size_t *ret_used,
                 const char **ret_violation)
{
    const uint8_t *bytes = data;

    if (length < FRAME_HEADER_SIZE)
        return 0;
    size_t payload = (size_t)bytes[2] << 8 | bytes[3];
    uint32_t channel = read_u32(bytes + 4);
    const char *violation = check_header(bytes[0], bytes[1], payload, channel);
    if (violation) {
        *ret_violation = violation;
        return -EPROTO;
    }
    if (length - FRAME_HEADER_SIZE < payload)
        return 0;

    struct frame frame = {
        .type = (enum frame_type)bytes[0],
        .flags = bytes[1],
        .channel = channel,
        .payload = bytes + FRAME_HEADER_SIZE,
        .length = payload,
    };
    if (frame.type == FRAME_CREDIT) {
        frame.credit = read_u32(frame.payload);
        if (frame.credit == 0) {
            *ret_violation = "credit frame that grants nothing";
            return -EPROTO;
        }
    }
    *ret = frame;
    *ret_used = FRAME_HEADER_SIZE + payload;
    return 1;
}

void frame_encode_header(uint8_t header[FRAME_HEADER_SIZE], enum frame_type type, unsigned flags,
                         size_t length, uint32_t channel)
{
    assert(!check_header((unsigned)type, flags, length, channel));
    header[0] = (uint8_t)type;
    header[1] = (uint8_t)flags;
    header[2] = (uint8_t)(length >> 8);
    header[3] = (uint8_t)length;
    write_u32(header + 4, channel);
}

void frame_encode_credit(uint8_t payload[4], uint32_t credit)
{
    write_u32(payload, credit);
}
