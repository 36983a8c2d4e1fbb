/* What a child of the agent does with a container's files: shared by agent_archive.c, which runs
 * it, and agent_archive_child.c. */
#ifndef HULL_SANDBOX_AGENT_ARCHIVE_H
#define HULL_SANDBOX_AGENT_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct sandbox_root;
struct spec_runtime;

enum archive_kind { ARCHIVE_STAT, ARCHIVE_READ, ARCHIVE_WRITE, ARCHIVE_CHANGES };

/* All pointers are borrowed. */
struct archive_task {
    enum archive_kind kind;
    const struct spec_runtime *config;
    const struct sandbox_root *root;
    const char *path;
    const char *name;       /* ARCHIVE_READ: of the thing itself; NULL: only what is in it */
    bool follow;            /* ARCHIVE_READ: a link that the path ends in */
    bool layers;            /* without volumes */
    unsigned extract_flags; /* enum tree_extract_flags */
    bool own;               /* ARCHIVE_WRITE: everything becomes the container's user's */
    char **hidden;          /* ARCHIVE_CHANGES */
};

/* What the child says, as messages on a SOCK_SEQPACKET socket: results, and then maybe a failure.
 */
enum archive_report_kind { ARCHIVE_REPORT_RESULT = 1, ARCHIVE_REPORT_FAILED };
enum { ARCHIVE_REPORT_MAX = 128 * 1024 };

struct archive_report {
    uint32_t kind;
    union {
        struct error error;
        char text[ARCHIVE_REPORT_MAX]; /* JSON, to the end of the message */
    };
};

/* The child gives up what it does not need for files: all capabilities but theirs and, with
 * `admin`, CAP_SYS_ADMIN, which trusted.* attributes are for. */
int agent_archive_confine(bool admin, struct error *err);

/* Does it and ends. data: the pipe's end of the archive (ARCHIVE_STAT: -EBADF). */
_Noreturn void agent_archive_child(const struct archive_task *task, int data, int report);

#endif
