/* linux.resources of the OCI runtime configuration: what a cgroup limits (config-linux.md).
 *
 * Absent is 0 (or has_... false); -1 in the signed members means "no limit". Applied to a running
 * container (sandbox_update()) absent members stay as they are. */
#ifndef HULL_SPEC_RESOURCES_H
#define HULL_SPEC_RESOURCES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;

/* One rule of the device cgroup; later rules win. */
struct spec_device_rule {
    bool allow;
    char type;     /* 'a', 'b' or 'c' */
    int64_t major; /* -1: any */
    int64_t minor; /* -1: any */
    bool read;
    bool write;
    bool make; /* mknod */
};

/* weight 0: absent; per-device limits in bytes or operations a second. */
struct spec_throttle {
    int64_t major;
    int64_t minor;
    uint64_t rate;
};

struct spec_hugepage_limit {
    char *page_size; /* "2MB" */
    uint64_t limit;  /* bytes */
};

enum spec_throttle_kind {
    SPEC_THROTTLE_READ_BPS = 0,
    SPEC_THROTTLE_WRITE_BPS,
    SPEC_THROTTLE_READ_IOPS,
    SPEC_THROTTLE_WRITE_IOPS,
    SPEC_THROTTLE_MAX,
};

struct spec_throttles {
    struct spec_throttle *throttles;
    size_t n_throttles;
};

struct spec_resources {
    struct spec_device_rule *devices;
    size_t n_devices;

    int64_t memory_limit; /* bytes */
    int64_t memory_reservation;
    int64_t memory_swap; /* memory + swap, as v1 and docker count it */
    bool has_swappiness;
    uint64_t swappiness;     /* 0..100, v1 only */
    bool disable_oom_killer; /* v1 only */

    uint64_t cpu_shares;    /* 2..262144 */
    int64_t cpu_quota;      /* microseconds a period */
    uint64_t cpu_period;    /* microseconds */
    int64_t cpu_rt_runtime; /* microseconds */
    uint64_t cpu_rt_period;
    char *cpus; /* "0-2,7" */
    char *mems;

    int64_t pids_limit;

    unsigned blkio_weight; /* 10..1000 */
    struct spec_throttles throttles[SPEC_THROTTLE_MAX];

    struct spec_hugepage_limit *hugepages;
    size_t n_hugepages;

    char **unified; /* cgroup v2 "file=value", written as they are */
};

/* Reads one object (NULL: nothing) into *ret, which the caller zeroed and releases, also after a
 * failure. ERROR_INVALID names the wrong member. */
int spec_resources_from_json(const json_t *json, struct spec_resources *ret, struct error *err);

/* New reference; NULL when out of memory. */
json_t *spec_resources_to_json(const struct spec_resources *resources);

void spec_resources_release(struct spec_resources *resources); /* accepts a zeroed struct */

/* Copies what the builder is given; 0, -ENOMEM, -E2BIG. access: of "rwm". */
int spec_resources_add_device(struct spec_resources *resources, bool allow, char type,
                              int64_t major, int64_t minor, const char *access);

#endif
