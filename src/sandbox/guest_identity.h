/* What makes one utility VM another than its twin: VMs are booted ahead of time, and templates are
 * restored many times from one saved state, with the same random numbers in their kernels. */
#ifndef HULL_SANDBOX_GUEST_IDENTITY_H
#define HULL_SANDBOX_GUEST_IDENTITY_H

#include <jansson.h>

struct error;

enum { GUEST_SEED_SIZE = 64 }; /* bytes; `seed` of a request is their hexadecimal digits */

/* Of a create or files request, before anything of a container runs or is mounted: feeds `seed` to
 * the kernel's random numbers and has them reseeded at once, sets the wall clock to `clock` (ns
 * since the epoch) unless it is right already, and the host name to the one of `config`. Without
 * `seed` the kernel goes on with what it has.
 *
 * The kernel's boot id (/proc/sys/kernel/random/boot_id) needs nothing: it is made when it is first
 * read, and nothing reads it before this. */
int guest_take_identity(const json_t *request, struct error *err);

/* The first of it, of a text of 2 * GUEST_SEED_SIZE hexadecimal digits. */
int guest_reseed(const char *seed, struct error *err);

#endif
