/* The word that wakes a utility VM which was saved before it knew its container (vm/template.h),
 * said on the link before the compute protocol begins there.
 *
 * A guest that boots to be saved says WIRE_WAKE_HELD and waits. The one that is made from what was
 * saved waits at the same place, and the host says the word: what all VMs of one template would
 * otherwise share, the state of the random number generator and the time of day, is in it. Then the
 * guest goes on with its hello. */
#ifndef HULL_WIRE_WAKE_H
#define HULL_WIRE_WAKE_H

#include <stdint.h>

#define WIRE_WAKE_HELD "hull: held\n"

enum { WIRE_WAKE_SEED = 64, WIRE_WAKE_SIZE = 8 + 8 + WIRE_WAKE_SEED };

struct wire_wake {
    int64_t clock; /* ns since the epoch */
    uint8_t seed[WIRE_WAKE_SEED];
};

/* As bytes: "HULLWAKE", the clock big-endian, the seed. */
void wire_wake_encode(const struct wire_wake *wake, uint8_t ret[WIRE_WAKE_SIZE]);
/* 0, or -EBADMSG for bytes that are no such word or a clock before 1970. */
int wire_wake_decode(const uint8_t bytes[WIRE_WAKE_SIZE], struct wire_wake *ret);

#endif
