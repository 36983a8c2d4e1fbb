/* The store: SQLite in WAL mode, the truth about what exists. Thread-safe with a mutex of its own;
 * each call is one transaction, on disk (but for a power cut of the last moments) when it returns.
 */
#ifndef HULL_ENGINE_STORE_H
#define HULL_ENGINE_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct error;
struct store;

/* Opens or makes the database; brings an older schema up to date; refuses a newer one. */
int store_open(const char *path, struct store **ret, struct error *err);
struct store *store_close(struct store *store);

/* A value kept under a name ("engine-id"). store_get: malloc'd, NULL when absent. */
int store_get(struct store *store, const char *key, char **ret, struct error *err);
int store_set(struct store *store, const char *key, const char *value, struct error *err);

/* What was written before is on disk when it returns: the host's power may fail. Without the lock
 * that others wait for. */
int store_flush(struct store *store, struct error *err);

/* Containers: the document is container_to_document()'s. */
int store_container_save(struct store *store, const char *id, const char *name, int64_t created,
                         const json_t *document, struct error *err);
int store_container_remove(struct store *store, const char *id, struct error *err);
/* Calls `each` for every container, oldest first; a negative return stops and is returned. */
int store_container_each(struct store *store,
                         int (*each)(const char *id, json_t *document, void *data,
                                     struct error *err),
                         void *data, struct error *err);

/* Volumes likewise, by name; the document is volume_save()'s. */
int store_volume_save(struct store *store, const char *name, int64_t created,
                      const json_t *document, struct error *err);
int store_volume_remove(struct store *store, const char *name, struct error *err);
int store_volume_each(struct store *store,
                      int (*each)(const char *name, int64_t created, json_t *document, void *data,
                                  struct error *err),
                      void *data, struct error *err);

/* Leases: each is of one container and goes with it. Kind "address" (IPv4, host order) or "uid".
 * store_lease_take() fails with -EEXIST when the value is somebody else's. */
int store_lease_take(struct store *store, const char *kind, uint32_t value, const char *owner,
                     struct error *err);
int store_lease_release(struct store *store, const char *kind, const char *owner,
                        struct error *err);
/* The same for all owners that match `pattern` (GLOB). */
int store_lease_release_like(struct store *store, const char *kind, const char *pattern,
                             struct error *err);
/* What `from` has becomes `to`'s, in place of what that had. */
int store_lease_give(struct store *store, const char *kind, const char *from, const char *to,
                     struct error *err);
bool store_lease_is_taken(struct store *store, const char *kind, uint32_t value);
/* The owner's value, or -ENOENT. */
int store_lease_find(struct store *store, const char *kind, const char *owner, uint32_t *ret);

#endif
