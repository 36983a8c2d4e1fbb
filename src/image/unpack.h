/* Unpacks a layer's tar (image-spec layer.md) into a directory that overlay can use as a lower
 * layer.
 *
 * Every entry is hostile. Names are taken lexically clean; one that climbs above the root is
 * refused, and all the rest resolve inside the root with openat2(RESOLVE_IN_ROOT), so an absolute
 * name, a symbolic link or a hard link that points out of the root reaches only what is in it.
 * Maxima bound entries, depth, length of names and bytes (stream.h for bombs).
 *
 * Like docker: device nodes and fifos are made as the archive has them (the layers' directory is
 * closed to all but root, and a container's device rules decide what it may open); set-uid bits,
 * owners, nanosecond times, hard links and extended attributes are kept; `.wh.NAME` becomes
 * overlay's whiteout (character device 0/0), `.wh..wh..opq` its opaque mark, other `.wh..wh.` names
 * are aufs's own and left out. Unlike docker: `trusted.overlay.*` and `user.overlay.*` attributes
 * are dropped, because they would steer overlay itself, and entries of a layer are never hidden by
 * whiteouts of the same layer (image-spec). */
#ifndef HULL_IMAGE_UNPACK_H
#define HULL_IMAGE_UNPACK_H

#include <stdint.h>

#include "image/stream.h"

struct error;

enum {
    UNPACK_DEPTH_MAX = 256,       /* components of a name */
    UNPACK_NAME_MAX = 4095,       /* bytes of a name or link target */
    UNPACK_ENTRIES_MAX = 4000000, /* of one layer */
    UNPACK_TIMES_MAX =
        64 * 1024 * 1024, /* bytes of directories' names remembered for their times */
};

/* What a layer may unfold into: see stream.h. 1,100 is a little more than gzip can reach. */
#define UNPACK_LIMITS                                                           \
    {                                                                           \
        .bytes = INT64_C(1) << 40, .allowance = INT64_C(1) << 30, .ratio = 1100 \
    }

struct unpack_result {
    char diff_id[DIGEST_TEXT_SIZE];
    int64_t size; /* bytes of regular files, docker's size of a layer */
    int64_t entries;
};

/* Unpacks the (compressed) tar that `options` describes below `root_fd`. ERROR_INVALID for a bad
 * archive, with the entry's name. On failure the directory holds an unusable part. */
int unpack_layer(const struct stream_options *options, int root_fd, struct unpack_result *ret,
                 struct error *err);

/* Go's filepath.Clean of a tar name, relative, "" for the root itself; NULL in *ret is never given.
 * ERROR_INVALID when it climbs out ("..") or passes a maximum. *ret malloc'd. */
int unpack_clean_name(const char *name, char **ret, struct error *err);

#endif
