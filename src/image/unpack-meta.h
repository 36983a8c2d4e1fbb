/* Owner, mode, times and extended attributes of an entry of a layer. */
#ifndef HULL_IMAGE_UNPACK_META_H
#define HULL_IMAGE_UNPACK_META_H

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

struct archive_entry;

struct unpack_metadata {
    struct archive_entry *entry;
    uid_t uid;
    gid_t gid;
    mode_t mode; /* permission bits with set-uid, set-gid, sticky */
    struct timespec times[2];
};

void metadata_read(struct archive_entry *entry, struct unpack_metadata *ret);

/* Owner, then mode (chown clears set-uid), then attributes (chown clears capabilities); no times. 0
 * or -errno. */
int metadata_apply_fd(const struct unpack_metadata *metadata, int fd);
/* The same and the times, for what cannot be opened: links, devices, fifos. */
int metadata_apply_at(const struct unpack_metadata *metadata, int parent, const char *base,
                      bool is_link);

#endif
