#include "engine/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sqlite3.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"

enum { STORE_SCHEMA = 2, STORE_BUSY_MS = 5000 };

struct store {
    sqlite3 *db;
    pthread_mutex_t lock;
};

static const char schema_sql[] =
    "CREATE TABLE IF NOT EXISTS value (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS container (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " created INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS lease (kind TEXT NOT NULL, value INTEGER NOT NULL,"
    " owner TEXT NOT NULL, PRIMARY KEY (kind, value)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS volume (name TEXT PRIMARY KEY, created INTEGER NOT NULL,"
    " document TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE INDEX IF NOT EXISTS lease_owner ON lease (owner);";

static void statement_cleanup(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}
#define CLEANUP_STATEMENT CLEANUP(statement_cleanup)

static void unlock_cleanup(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
}

static pthread_mutex_t *lock_store(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    return &store->lock;
}

#define STORE_LOCK(store) \
    CLEANUP(unlock_cleanup) pthread_mutex_t *guard_ __attribute__((unused)) = lock_store(store)

static int store_error(struct store *store, int code, struct error *err, const char *what)
{
    int number = (code & 0xff) == SQLITE_FULL         ? -ENOSPC
                 : (code & 0xff) == SQLITE_CONSTRAINT ? -EEXIST
                 : (code & 0xff) == SQLITE_NOMEM      ? -ENOMEM
                                                      : -EIO;
    return error_set(err, number, "store: %s: %s", what,
                     store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
}

static int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret,
                         struct error *err)
{
    int r = sqlite3_prepare_v2(store->db, sql, -1, ret, NULL);
    return r == SQLITE_OK ? 0 : store_error(store, r, err, "prepare");
}

static int store_run(struct store *store, sqlite3_stmt *statement, struct error *err,
                     const char *what)
{
    int r = sqlite3_step(statement);
    return r == SQLITE_DONE || r == SQLITE_ROW ? 0 : store_error(store, r, err, what);
}

static int store_execute(struct store *store, const char *sql, struct error *err)
{
    int r = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return r == SQLITE_OK ? 0 : store_error(store, r, err, "set up");
}

static int store_check_schema(struct store *store, struct error *err)
{
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "PRAGMA user_version", &statement, err);
    if (r < 0)
        return r;
    r = store_run(store, statement, err, "read schema version");
    if (r < 0)
        return r;
    int version = sqlite3_column_int(statement, 0);
    if (version > STORE_SCHEMA)
        return error_set(err, -EPROTO,
                         "the store was written by a newer hull (schema %d, this one knows %d)",
                         version, STORE_SCHEMA);
    sqlite3_finalize(TAKE_PTR(statement));
    r = store_execute(store, schema_sql, err);
    return r < 0 ? r : store_execute(store, "PRAGMA user_version = 2", err);
}

int store_open(const char *path, struct store **ret, struct error *err)
{
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return error_oom(err);
    pthread_mutex_init(&store->lock, NULL);
    int r = sqlite3_open_v2(path, &store->db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (r != SQLITE_OK) {
        r = store_error(store, r, err, path);
        store_close(store);
        return r;
    }
    sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
    /* NORMAL in WAL mode: a power cut may lose the last transactions but never corrupts; a killed
     * hulld loses nothing. */
    r = store_execute(store,
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                      "PRAGMA cache_size = -512; PRAGMA trusted_schema = OFF;",
                      err);
    if (r == 0)
        r = store_check_schema(store, err);
    if (r < 0) {
        store_close(store);
        return error_wrap(err, r, "%s", path);
    }
    *ret = store;
    return 0;
}

struct store *store_close(struct store *store)
{
    if (!store)
        return NULL;
    sqlite3_close_v2(store->db);
    pthread_mutex_destroy(&store->lock);
    free(store);
    return NULL;
}

int store_get(struct store *store, const char *key, char **ret, struct error *err)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT value FROM value WHERE key = ?1", &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    r = sqlite3_step(statement);
    if (r == SQLITE_DONE) {
        *ret = NULL;
        return 0;
    }
    if (r != SQLITE_ROW)
        return store_error(store, r, err, "read value");
    char *value = strdup((const char *)sqlite3_column_text(statement, 0));
    if (!value)
        return error_oom(err);
    *ret = value;
    return 0;
}

int store_set(struct store *store, const char *key, const char *value, struct error *err)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "INSERT OR REPLACE INTO value (key, value) VALUES (?1, ?2)",
                          &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, key, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC);
    return store_run(store, statement, err, "write value");
}

/* What was committed is in the write-ahead log, or was synced with the database before the log was
 * begun anew. */
int store_flush(struct store *store, struct error *err)
{
    const char *path = sqlite3_db_filename(store->db, "main");
    CLEANUP_CLOSE int fd = open(sqlite3_filename_wal(path), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return error_set_errno(err, -errno, "cannot sync the log of %s", path);
    return 0;
}

int store_container_save(struct store *store, const char *id, const char *name, int64_t created,
                         const json_t *document, struct error *err)
{
    CLEANUP_FREE char *text = json_format(document);
    if (!text)
        return error_oom(err);
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store,
                          "INSERT INTO container (id, name, created, document)"
                          " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (id) DO UPDATE SET"
                          " name = excluded.name, document = excluded.document",
                          &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 3, created);
    sqlite3_bind_text(statement, 4, text, -1, SQLITE_STATIC);
    return store_run(store, statement, err, "write container");
}

static int store_delete_owned(struct store *store, const char *sql, const char *owner,
                              struct error *err)
{
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, sql, &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, owner, -1, SQLITE_STATIC);
    return store_run(store, statement, err, "delete");
}

int store_container_remove(struct store *store, const char *id, struct error *err)
{
    STORE_LOCK(store);
    int r = store_execute(store, "BEGIN IMMEDIATE", err);
    if (r < 0)
        return r;
    r = store_delete_owned(store, "DELETE FROM container WHERE id = ?1", id, err);
    if (r == 0)
        r = store_delete_owned(store, "DELETE FROM lease WHERE owner = ?1", id, err);
    if (r == 0)
        r = store_execute(store, "COMMIT", err);
    if (r < 0)
        (void)store_execute(store, "ROLLBACK", NULL);
    return r;
}

int store_container_each(struct store *store,
                         int (*each)(const char *id, json_t *document, void *data,
                                     struct error *err),
                         void *data, struct error *err)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT id, document FROM container ORDER BY created, id",
                          &statement, err);
    if (r < 0)
        return r;
    while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *id = (const char *)sqlite3_column_text(statement, 0);
        CLEANUP_JSON json_t *document = NULL;
        r = json_parse((const char *)sqlite3_column_text(statement, 1),
                       (size_t)sqlite3_column_bytes(statement, 1), &document, err);
        if (r < 0)
            return error_wrap(err, r, "store: container %s", id);
        r = each(id, document, data, err);
        if (r < 0)
            return r;
    }
    return r == SQLITE_DONE ? 0 : store_error(store, r, err, "read containers");
}

int store_volume_save(struct store *store, const char *name, int64_t created,
                      const json_t *document, struct error *err)
{
    CLEANUP_FREE char *text = json_format(document);
    if (!text)
        return error_oom(err);
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store,
                          "INSERT OR REPLACE INTO volume (name, created, document)"
                          " VALUES (?1, ?2, ?3)",
                          &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, created);
    sqlite3_bind_text(statement, 3, text, -1, SQLITE_STATIC);
    return store_run(store, statement, err, "write volume");
}

int store_volume_remove(struct store *store, const char *name, struct error *err)
{
    STORE_LOCK(store);
    return store_delete_owned(store, "DELETE FROM volume WHERE name = ?1", name, err);
}

int store_volume_each(struct store *store,
                      int (*each)(const char *name, int64_t created, json_t *document, void *data,
                                  struct error *err),
                      void *data, struct error *err)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r =
        store_prepare(store, "SELECT name, created, document FROM volume ORDER BY created, name",
                      &statement, err);
    if (r < 0)
        return r;
    while ((r = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(statement, 0);
        CLEANUP_JSON json_t *document = NULL;
        r = json_parse((const char *)sqlite3_column_text(statement, 2),
                       (size_t)sqlite3_column_bytes(statement, 2), &document, err);
        if (r < 0)
            return error_wrap(err, r, "store: volume %s", name);
        r = each(name, sqlite3_column_int64(statement, 1), document, data, err);
        if (r < 0)
            return r;
    }
    return r == SQLITE_DONE ? 0 : store_error(store, r, err, "read volumes");
}

int store_lease_take(struct store *store, const char *kind, uint32_t value, const char *owner,
                     struct error *err)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "INSERT INTO lease (kind, value, owner) VALUES (?1, ?2, ?3)",
                          &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, value);
    sqlite3_bind_text(statement, 3, owner, -1, SQLITE_STATIC);
    return store_run(store, statement, err, "take lease");
}

int store_lease_release(struct store *store, const char *kind, const char *owner, struct error *err)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r =
        store_prepare(store, "DELETE FROM lease WHERE owner = ?1 AND kind = ?2", &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, owner, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, kind, -1, SQLITE_STATIC);
    return store_run(store, statement, err, "release lease");
}

int store_lease_release_like(struct store *store, const char *kind, const char *pattern,
                             struct error *err)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "DELETE FROM lease WHERE owner GLOB ?1 AND kind = ?2", &statement,
                          err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, pattern, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, kind, -1, SQLITE_STATIC);
    return store_run(store, statement, err, "release leases");
}

static int change_owner(struct store *store, const char *kind, const char *from, const char *to,
                        struct error *err)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "UPDATE lease SET owner = ?1 WHERE owner = ?2 AND kind = ?3",
                          &statement, err);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, to, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, from, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, kind, -1, SQLITE_STATIC);
    return store_run(store, statement, err, "pass lease on");
}

int store_lease_give(struct store *store, const char *kind, const char *from, const char *to,
                     struct error *err)
{
    int r = store_lease_release(store, kind, to, err);
    return r < 0 ? r : change_owner(store, kind, from, to, err);
}

bool store_lease_is_taken(struct store *store, const char *kind, uint32_t value)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    if (store_prepare(store, "SELECT 1 FROM lease WHERE kind = ?1 AND value = ?2", &statement,
                      NULL) < 0)
        return true; /* a value of which nothing is known is not handed out */
    sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 2, value);
    return sqlite3_step(statement) != SQLITE_DONE;
}

int store_lease_find(struct store *store, const char *kind, const char *owner, uint32_t *ret)
{
    STORE_LOCK(store);
    CLEANUP_STATEMENT sqlite3_stmt *statement = NULL;
    int r = store_prepare(store, "SELECT value FROM lease WHERE kind = ?1 AND owner = ?2",
                          &statement, NULL);
    if (r < 0)
        return r;
    sqlite3_bind_text(statement, 1, kind, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, owner, -1, SQLITE_STATIC);
    r = sqlite3_step(statement);
    if (r == SQLITE_DONE)
        return -ENOENT;
    if (r != SQLITE_ROW)
        return -EIO;
    *ret = (uint32_t)sqlite3_column_int64(statement, 0);
    return 0;
}
