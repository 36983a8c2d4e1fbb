/* From a seccomp profile to a filter program of the kernel (seccomp(2)).
 *
 * Theory of operation. libseccomp would build the program too, but takes 15 to 20 ms for docker's
 * profile and its three architectures, more than all the rest of a container's start; it serves
 * here as the table of system call numbers only. The profile becomes, for each audit architecture,
 * a sorted list of ranges of numbers with one outcome each; the program finds the range by binary
 * search, so that a system call costs about ten instructions whatever its number. Calls with
 * conditions on arguments are ranges of one number whose outcome is a small block of comparisons.
 *
 * Where several rules name one call, those with conditions are tried first, in their order, then
 * the first without. A call that is newer than every call the profile names gets ENOSYS instead of
 * the default errno, as runc does, so that the C library falls back to what the profile does know.
 */
#ifndef HULL_SANDBOX_SECCOMP_FILTER_H
#define HULL_SANDBOX_SECCOMP_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct sock_filter;
struct spec_seccomp;

struct seccomp_filter {
    struct sock_filter *code; /* NULL: none */
    size_t n;
    unsigned flags; /* SECCOMP_FILTER_FLAG_* */
};

/* seccomp NULL gives an empty filter. ERROR_INVALID for an unknown architecture or flag and for a
 * profile that does not fit into a program. */
int seccomp_filter_build(const struct spec_seccomp *seccomp, struct seccomp_filter *ret,
                         struct error *err);

/* Whether the filter lets this program make the call: `first` is the first argument, all others are
 * 0. True without a filter. */
bool seccomp_filter_allows(const struct seccomp_filter *filter, long nr, uint64_t first);

/* Puts the filter on this thread, for good. Wants no_new_privs or CAP_SYS_ADMIN. */
int seccomp_filter_install(const struct seccomp_filter *filter, struct error *err);

void seccomp_filter_release(struct seccomp_filter *filter);

#endif
