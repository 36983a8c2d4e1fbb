/* Files between a container and this machine: the two ends of `hull cp`.
 *
 * The tar stream is made or taken by a thread of its own, which blocks; the request runs in the
 * caller's. */
#ifndef HULL_CLI_CONTAINER_ARCHIVE_H
#define HULL_CLI_CONTAINER_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct client;
struct error;

/* docker's ContainerPathStat. */
struct path_stat {
    uint32_t mode; /* Go's os.FileMode */
    char *link_target;
};
void path_stat_release(struct path_stat *stat);
bool path_stat_is_directory(const struct path_stat *stat);
bool path_stat_is_link(const struct path_stat *stat);
/* Neither a file nor a directory nor a link: a device, a fifo ... */
bool path_stat_is_special(const struct path_stat *stat);

/* -ENOENT when it is not there, or when the container is not. */
int container_path_stat(struct client *client, const char *container, const char *path,
                        struct path_stat *ret, struct error *err);

/* Writes the tar of a path to a descriptor. */
int container_archive_save(struct client *client, const char *container, const char *path, int fd,
                           struct error *err);
/* Makes its files below the directory `target` of this machine, as the caller's. What the archive
 * calls `rename_from` is called `rename_to`; NULL: no. *ret_bytes: of content. */
int container_archive_extract(struct client *client, const char *container, const char *path,
                              const char *target, const char *rename_from, const char *rename_to,
                              uint64_t *ret_bytes, struct error *err);

/* Sends a tar from a descriptor to a directory of the container. own: everything becomes the
 * container's user's. */
int container_archive_send(struct client *client, const char *container, const char *path, bool own,
                           int fd, struct error *err);
/* The same of a path of this machine (absolute), called `name` in the archive. */
int container_archive_upload(struct client *client, const char *container, const char *path,
                             bool own, const char *source, const char *name, bool follow,
                             struct error *err);

#endif
