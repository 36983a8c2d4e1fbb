/* Whether the host has the memory for one more utility VM. Private to engine/.
 *
 * A VM's memory is sparse: a limit of 1 GiB costs what the guest touches, 8 to 16 MiB when it is
 * idle. So limits may add up to more than there is, and what counts at a start is what the host has
 * left: MemAvailable (proc_meminfo(5)), less a reserve for the host's own and less what was
 * promised to VMs that are starting and have not taken it yet, must hold what a VM needs at once.
 * Beyond that the sum of the limits is bounded by --vm-memory-overcommit times MemTotal, because a
 * host on which every guest does what it was allowed to is to have a chance. What runs is never
 * ended for what wants to start. */
#ifndef HULL_ENGINE_ADMISSION_H
#define HULL_ENGINE_ADMISSION_H

#include <stddef.h>
#include <stdint.h>

#include "vm/vm.h"

struct container;
struct error;

enum { ADMISSION_RATIO_UNIT = 1024 }; /* of `overcommit` */

/* All in bytes. */
struct admission {
    uint64_t total;      /* MemTotal */
    uint64_t available;  /* MemAvailable */
    uint64_t promised;   /* to VMs that are starting */
    uint64_t limits;     /* of the VMs that run, start, or wait for their start, in sum */
    size_t n;            /* how many those are */
    uint64_t overcommit; /* in 1 / ADMISSION_RATIO_UNIT of `total`; 0: the sum is not bounded */
};

/* total and available from a file like /proc/meminfo. */
int admission_read_memory(const char *path, struct admission *ret, struct error *err);
/* What stays for the host: a sixteenth, at least 128 MiB and at most 1 GiB. */
uint64_t admission_reserve(uint64_t total);
/* What a VM of this engine takes by being there, up to its limit. */
uint64_t admission_cost(enum vm_engine engine, uint64_t limit);
/* 0, or ERROR_UNAVAILABLE with the numbers. */
int admission_check(const struct admission *state, uint64_t limit, uint64_t cost,
                    struct error *err);

/* The same for a container that is about to start in a VM (others: 0), and holds its cost until
 * admission_end(), which must follow a success once the start is over. */
int admission_begin(struct container *container, struct error *err);
/* The same for a VM that is not the container's own: it converts it. */
int admission_begin_vm(struct container *container, enum vm_engine engine, uint64_t limit,
                       struct error *err);
void admission_end(struct container *container);

#endif
