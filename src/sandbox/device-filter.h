/* The device rules of a cgroup v2 container as an eBPF program (BPF_PROG_TYPE_CGROUP_DEVICE). */
#ifndef HULL_SANDBOX_DEVICE_FILTER_H
#define HULL_SANDBOX_DEVICE_FILTER_H

#include <stddef.h>

struct bpf_insn;
struct error;
struct spec_device_rule;

/* The program for rules as device_rules_effective() makes them; what no rule names is denied. *ret
 * is the caller's to free. */
int device_filter_compile(const struct spec_device_rule *rules, size_t n, struct bpf_insn **ret,
                          size_t *ret_n, struct error *err);

/* Loads that program and attaches it to the cgroup directory. An earlier program of ours there is
 * replaced. The program lives as long as the cgroup.
 * -EOPNOTSUPP when the kernel was built without bpf(2). */
int device_filter_attach(int cgroup_fd, const struct spec_device_rule *rules, size_t n,
                         struct error *err);

#endif
