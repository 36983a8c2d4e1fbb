#include "wire/wake.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static const char magic[8] = {'H', 'U', 'L', 'L', 'W', 'A', 'K', 'E'};

void wire_wake_encode(const struct wire_wake *wake, uint8_t ret[WIRE_WAKE_SIZE])
{
    uint64_t clock = htobe64((uint64_t)wake->clock);

    memcpy(ret, magic, sizeof(magic));
    memcpy(ret + sizeof(magic), &clock, sizeof(clock));
    memcpy(ret + sizeof(magic) + sizeof(clock), wake->seed, sizeof(wake->seed));
}

int wire_wake_decode(const uint8_t bytes[WIRE_WAKE_SIZE], struct wire_wake *ret)
{
    uint64_t clock;

    memcpy(&clock, bytes + sizeof(magic), sizeof(clock));
    clock = be64toh(clock);
    if (memcmp(bytes, magic, sizeof(magic)) != 0 || clock > INT64_MAX)
        return -EBADMSG;
    ret->clock = (int64_t)clock;
    memcpy(ret->seed, bytes + sizeof(magic) + sizeof(clock), sizeof(ret->seed));
    return 0;
}
