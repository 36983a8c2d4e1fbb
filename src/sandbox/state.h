/* What the files of the sandbox share about one container. Private to the sandbox library. */
#ifndef HULL_SANDBOX_STATE_H
#define HULL_SANDBOX_STATE_H

#include "base/process.h"
#include "sandbox/sandbox.h"
#include "sandbox/seccomp-filter.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroup;

enum { SANDBOX_EXECS_MAX = 4096 };

enum sandbox_phase {
    SANDBOX_NEW = 0,
    SANDBOX_CREATED, /* pid 1 waits */
    SANDBOX_STARTED, /* pid 1 is the user's program, or was */
    SANDBOX_DEAD,    /* destroyed, or nothing came of it */
};

struct sandbox {
    enum sandbox_phase phase;
    char *id;
    const struct spec_runtime *config;
    struct sandbox_root root;
    const struct sandbox_interface *interfaces;
    size_t n_interfaces;
    bool is_guest;
    int stage_timeout_ms;

    char **warnings;
    uint64_t host_capabilities; /* this host's bounding set */
    struct seccomp_filter filter;
    struct cgroup *cgroup;
    unsigned new_namespaces;  /* CLONE_NEW* to be made */
    unsigned join_namespaces; /* CLONE_NEW* that the configuration names by path */

    struct process init; /* a pidfd of our own; the caller waits for it */
    int channel;         /* to pid 1, until it is started */
    bool root_mounted;
    bool frozen;
    struct process *execs; /* pidfds of our own, for destroy */
    size_t n_execs;
};

#endif
