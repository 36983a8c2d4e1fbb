/* Makes the files of a tar stream below a directory of a container's root, or of a new writable
 * layer.
 *
 * Runs where the files go: on the host for `process`, in the utility VM for `hyperv`. It may run
 * beside the container. The archive is hostile and so is the container, which may put a symbolic
 * link in a directory's place at any moment:
 *
 * - Names are taken lexically clean; one that climbs above the top is refused.
 * - The directory of each member is opened inside the root (openat2(2), RESOLVE_IN_ROOT); what is
 *   done then is one component below that descriptor, and never follows a link. So whatever is
 *   swapped, the files land somewhere in the root.
 * - Files are made new (O_EXCL), never opened: what is there is removed first. Their owner, mode
 *   and attributes are set through the descriptor they were made with. Things that cannot be opened
 *   (links, devices, fifos, sockets) are held by an O_PATH descriptor and must still be what was
 *   made.
 * - The target of a hard link is a name of the archive, found like any member; it is not followed.
 *
 * Directories' times are set at the end. It blocks; the calling process has /proc and is root as
 * far as the root goes. Memory is bounded. */
#ifndef HULL_SANDBOX_TREE_EXTRACT_H
#define HULL_SANDBOX_TREE_EXTRACT_H

#include <stdint.h>
#include <sys/types.h>

#include "sandbox/tree-content.h"

struct error;
struct tar_source;

enum {
    TREE_ENTRIES_MAX = 16 * 1000 * 1000, /* of one archive, when the caller has no limit */
    TREE_ENTRY_COST = 4096,              /* bytes that a member takes by being there */
    TREE_TRAILER_MAX = 16 * 1024 * 1024, /* bytes after the archive's end that are read */
};

enum tree_extract_flags {
    /* The archive was written with TREE_WRITE_RAW: every attribute must be taken, and a stream
     * without its end is refused. Implies devices. */
    TREE_EXTRACT_RAW = 1 << 0,
    TREE_EXTRACT_DEVICES = 1 << 1, /* without it a member that is a device is refused */
    /* docker's noOverwriteDirNonDir: a directory is not replaced by something else, nor something
     * else by a directory. Without it, it is. */
    TREE_EXTRACT_KEEP_TYPES = 1 << 2,
};

struct tree_extract_owner {
    uid_t uid;
    gid_t gid;
};

struct tree_extract_options {
    unsigned flags;
    const struct tree_extract_owner *owner; /* of everything, in place of the archive's; NULL */
    /* Where a member's name begins with the component `rename_from` (""; always), that is replaced
     * by rename_to. NULL: no. Both clean. */
    const char *rename_from;
    const char *rename_to;
    /* With TREE_EXTRACT_RAW: where the content is that members refer to (tree-content.h); its
     * descriptors are borrowed. */
    struct tree_content_way content;
    uint64_t max_entries; /* 0: TREE_ENTRIES_MAX */
    /* Of content written; with TREE_EXTRACT_RAW also TREE_ENTRY_COST for each member but hard
     * links, and its attributes' and the target's, or a hard link's, length. 0: no limit of ours.
     */
    uint64_t max_bytes;
};

struct tree_extract_result {
    uint64_t entries;
    uint64_t bytes;
};

/* `path`, links followed inside root_fd (borrowed), must be a directory: else -ENOENT
 * (ERROR_NOT_FOUND) or -EINVAL ("extraction point is not a directory", as docker). A bad archive is
 * ERROR_INVALID and says where; what was made before stays. The source is read beyond the archive's
 * end, to its own. *ret may be NULL. */
int tree_extract(int root_fd, const char *path, const struct tree_extract_options *options,
                 const struct tar_source *source, struct tree_extract_result *ret,
                 struct error *err);

#endif
