/* The device rules of a cgroup v2 container as an eBPF program (BPF_PROG_TYPE_CGROUP_DEVICE). */
#ifndef HULL_SANDBOX_DEVICE_FILTER_H
#define HULL_SANDBOX_DEVICE_FILTER_H

#include <stddef.h>

struct error;
struct spec_device_rule;

/* Loads a program for the rules, of which the last that matches decides (as v1's files have it),
 * and attaches it to the cgroup directory; nothing matches: allowed, as in a new v1 group. An
 * earlier program of ours there is replaced. The program lives as long as the cgroup.
 * -EOPNOTSUPP when the kernel was built without bpf(2). */
int device_filter_attach(int cgroup_fd, const struct spec_device_rule *rules, size_t n,
                         struct error *err);

#endif
