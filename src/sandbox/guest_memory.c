#include "sandbox/guest_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

enum { NUMBER_MAX = 64, INFO_MAX = 16 * 1024, ROUNDS_MAX = 64, TOLERANCE_PART = 100 };

static int read_total(const char *file, uint64_t *ret, struct error *err)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(NUMBER_MAX);
    int r = file_read(AT_FDCWD, file, &text, err);

    if (r < 0)
        return r;
    *ret = strtoull(buffer_string(&text), NULL, 10);
    return 0;
}

static int write_total(const char *file, uint64_t bytes, struct error *err)
{
    char text[NUMBER_MAX];

    (void)snprintf(text, sizeof(text), "%" PRIu64, bytes);
    return file_write(AT_FDCWD, file, text, err);
}

int guest_memory_check(const char *file, uint64_t bytes, struct error *err)
{
    uint64_t total = 0;

    if (read_total(file, &total, NULL) < 0)
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "the guest kernel is too old to be given a size while it runs: "
                               "build it with `make kernel`");
    if (total > bytes + bytes / TOLERANCE_PART || total < bytes - bytes / TOLERANCE_PART)
        return error_set_class(err, ERROR_UNAVAILABLE,
                               "the guest kernel has %" PRIu64 " bytes of memory and not the "
                               "%" PRIu64 " asked for: build it with `make kernel`",
                               total, bytes);
    return 0;
}

static uint64_t field(const char *info, const char *name)
{
    const char *line = strstr(info, name);

    return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

/* What cannot be had back, at least: there is no swap, so shared memory stays. */
static uint64_t in_use(const char *path)
{
    static const char *const reclaimable[] = {
        "\nMemFree:", "\nBuffers:", "\nCached:", "\nSReclaimable:"};
    CLEANUP(buffer_release) struct buffer info = BUFFER_INIT(INFO_MAX);
    uint64_t used;

    if (file_read(AT_FDCWD, path, &info, NULL) < 0)
        return 0;
    used = field(buffer_string(&info), "MemTotal:") + field(buffer_string(&info), "\nShmem:");
    for (size_t i = 0; i < sizeof(reclaimable) / sizeof(reclaimable[0]); i++) {
        uint64_t part = field(buffer_string(&info), reclaimable[i]);

        used -= part < used ? part : used;
    }
    return used;
}

static int too_much(uint64_t bytes, uint64_t used, struct error *err)
{
    return error_set_class(err, ERROR_CONFLICT,
                           "unable to set memory limit to %" PRIu64 " (current usage: %" PRIu64 ")",
                           bytes, used);
}

int guest_memory_set(const char *file, const char *info, uint64_t bytes, uint64_t *ret_old,
                     struct error *err)
{
    struct error failure = ERROR_INIT;
    uint64_t used = in_use(info);
    uint64_t old;
    uint64_t last;
    uint64_t now;
    int r = read_total(file, &old, err);

    if (r < 0)
        return r;
    /* To try would leave next to nothing for a moment. */
    if (bytes < old && used > bytes)
        return too_much(bytes, used, err);
    last = old;
    r = write_total(file, bytes, &failure);
    /* It gives what it can at a time, and tries for each page only once to make one free. */
    for (int i = 0; i < ROUNDS_MAX && r == -ENOMEM; i++) {
        if (read_total(file, &now, NULL) < 0 || now >= last)
            break;
        last = now;
        error_clear(&failure);
        r = write_total(file, bytes, &failure);
    }
    if (r < 0)
        (void)write_total(file, old, NULL);
    if (r == -ENOMEM)
        return too_much(bytes, last, err);
    if (r < 0)
        return error_copy(err, &failure);
    if (ret_old)
        *ret_old = old;
    return 0;
}
