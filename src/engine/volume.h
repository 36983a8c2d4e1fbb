/* Named and anonymous volumes: directories that outlive containers. Private to engine/.
 *
 * Theory of operation. A volume is a row in the store and <root>/volumes/<name>/_data. The row
 * comes first and goes last, and says what was under way, so that a killed engine's successor makes
 * the directory, ends the removal, or empties what was half filled (volume_table_settle()).
 * Directories without a row are nobody's and are left alone.
 *
 * Whoever works on a volume has it for himself between volume_acquire() or volume_make() and
 * volume_put(): others who want it wait. A container refers to its volumes from the moment that it
 * is in the table, before they are made; who removes one looks at the table while he has the
 * volume. So either the container's creation finds the volume gone and makes it anew, or the
 * removal finds it in use. Never hold the state lock when acquiring.
 *
 * The one driver is "local". With options it is a file system that is mounted on _data, from the
 * start of the first run that uses it to the end of the last. */
#ifndef HULL_ENGINE_VOLUME_H
#define HULL_ENGINE_VOLUME_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct container;
struct engine;
struct error;
struct volume_table;

enum {
    VOLUME_NAME_MAX = 255, /* a file's name */
    VOLUMES_MAX = 65536,
};

/* Name, created, labels and options do not change; the rest is for whoever has it. */
struct volume {
    struct list node;
    char *name;
    int64_t created;
    json_t *labels;  /* object, or NULL */
    json_t *options; /* object, or NULL: a plain directory */
    bool busy;       /* under the table's lock */
    bool removing;   /* saved */
    char *filler;    /* saved: id of the container whose image's content goes in; NULL */
    unsigned users;  /* mounts of running containers, with options only */
};

struct volume_spec {
    const char *name; /* "": made up */
    const json_t *labels;
    const json_t *options;
    bool anonymous; /* labelled so, which prune looks at; without a name always */
};

struct volume_table *volume_table_new(void);
struct volume_table *volume_table_free(struct volume_table *table);
/* Before the containers are known to run, and after. */
int volume_table_load(struct engine *engine, struct error *err);
void volume_table_settle(struct engine *engine);
/* Calls `each` under the table's lock, oldest first; a negative return stops and is returned. */
int volume_table_each(struct engine *engine, int (*each)(const struct volume *volume, void *data),
                      void *data);

/* The existing one, whatever its options, or a new one (with the event "create"). */
int volume_make(struct engine *engine, const struct volume_spec *spec, struct volume **ret,
                struct error *err);
/* ERROR_NOT_FOUND "get X: no such volume". */
int volume_acquire(struct engine *engine, const char *name, struct volume **ret, struct error *err);
void volume_put(struct engine *engine, struct volume *volume);
int volume_save(struct engine *engine, struct volume *volume, struct error *err);
/* Removes it for good, with its content and the event "destroy", unless a container refers to it:
 * ERROR_CONFLICT. Consumes what acquire gave, also on failure. */
int volume_remove(struct engine *engine, struct volume *volume, struct error *err);

/* <root>/volumes/<name>/_data; malloc'd, NULL when out of memory. */
char *volume_path(const struct engine *engine, const char *name);
/* One run more or less. Mounts and unmounts what has options. */
int volume_use(struct engine *engine, struct volume *volume, struct error *err);
void volume_unuse(struct engine *engine, struct volume *volume);

/* --- volume_driver.c --- */
/* ERROR_INVALID in docker's words. */
int volume_driver_check(const json_t *options, struct error *err);
int volume_driver_mount(const char *name, const char *path, const json_t *options,
                        struct error *err);
/* Not mounted is success. */
void volume_driver_unmount(const char *path);

/* --- volume_copy.c --- */
/* Copies what the directory `path` of the root contains, and its owner, mode and attributes, to an
 * empty directory: links are resolved inside the root, and nothing outside of either is touched
 * (sandbox/tree-write.h, tree-extract.h). No such path is success; a path that is no directory is
 * ERROR_INVALID. Descriptors are borrowed. */
int volume_copy(int root_fd, const char *path, int volume_fd, struct error *err);

/* --- container_volumes.c --- */
/* Ids of the containers that refer to it. Takes the state lock. */
int container_volume_refs(struct engine *engine, const char *name, char ***ret, struct error *err);
/* Makes the container's volumes that do not exist, and fills those that are empty and wait for the
 * image's content. [operation] */
int container_volumes_make(struct container *container, struct error *err);
/* For a run: what must be mounted is, and the events "mount" and "unmount". [operation] */
int container_volumes_mount(struct container *container, struct error *err);
void container_volumes_unmount(struct container *container);
/* Makes those that a create which was cut short did not come to; the next start fills them. */
void container_volumes_recover(struct container *container);
/* Counts a run that was found at the engine's start. */
void container_volumes_adopt(struct container *container);
/* Removes its anonymous volumes that no other container refers to. The container has left the
 * table.
 */
void container_volumes_remove(struct container *container);

#endif
