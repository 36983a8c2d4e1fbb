/* What docker tells about a path in a container: GET and HEAD /containers/{id}/archive, header
 * X-Docker-Container-Path-Stat (base64 of the JSON). */
#ifndef HULL_SANDBOX_TREE_STAT_H
#define HULL_SANDBOX_TREE_STAT_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct error;

/* Owns its strings. Zeroed is empty. */
struct tree_stat {
    char *name; /* the last component; "/" of the root, "." where the path ends so */
    int64_t size;
    uint32_t mode; /* Go's os.FileMode */
    struct timespec mtime;
    char *link_target; /* of a symbolic link: where it leads at last, in the root; else "" */
};

/* A link at the end of `path` is itself what is looked at, unless "/" or "/." follows it. root_fd
 * is borrowed, O_PATH will do. -ENOENT is ERROR_NOT_FOUND. */
int tree_stat(int root_fd, const char *path, struct tree_stat *ret, struct error *err);
void tree_stat_release(struct tree_stat *stat);

/* {"name", "size", "mode", "mtime" (RFC 3339, UTC), "linkTarget"}; new reference, NULL when out of
 * memory. */
json_t *tree_stat_to_json(const struct tree_stat *stat);

/* Go's os.FileMode of a st_mode. */
uint32_t tree_stat_go_mode(mode_t mode);

/* Go's time.RFC3339Nano, UTC: no zeros at the end of the fraction. Years are cut to 0..9999, which
 * is what Go can read. */
enum { TREE_TIME_SIZE = 40 };
const char *tree_stat_format_time(struct timespec time, char text[TREE_TIME_SIZE]);

#endif
