#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "engine/store.h"

static char directory[64];
static char path[128];

static int setup(void **state)
{
    (void)state;
    string_copy(directory, sizeof(directory), "/tmp/hull-test-store.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    string_copy(path, sizeof(path), directory);
    char *joined = path_join(directory, "hull.db");
    string_copy(path, sizeof(path), joined);
    free(joined);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return path_remove_tree(AT_FDCWD, directory, NULL);
}

static struct store *open_store(void)
{
    struct store *store = NULL;
    assert_int_equal(store_open(path, &store, NULL), 0);
    return store;
}

static int collect(const char *id, json_t *document, void *data, struct error *err)
{
    char ***ids = data;
    (void)document;
    (void)err;
    return strv_append(ids, id);
}

static void values_survive(void **state)
{
    char *value = NULL;
    struct store *store = open_store();
    (void)state;
    assert_int_equal(store_get(store, "key", &value, NULL), 0);
    assert_null(value);
    assert_int_equal(store_set(store, "key", "one", NULL), 0);
    assert_int_equal(store_set(store, "key", "two", NULL), 0);
    store_close(store);
    store = open_store();
    assert_int_equal(store_get(store, "key", &value, NULL), 0);
    assert_string_equal(value, "two");
    free(value);
    store_close(store);
}

static void containers_in_order_of_creation(void **state)
{
    char **ids = NULL;
    struct store *store = open_store();
    json_t *document = json_pack("{s:s}", "name", "x");
    (void)state;
    assert_int_equal(store_container_save(store, "b", "second", 2, document, NULL), 0);
    assert_int_equal(store_container_save(store, "a", "first", 1, document, NULL), 0);
    assert_int_equal(store_container_save(store, "b", "renamed", 2, document, NULL), 0);
    assert_int_equal(store_container_each(store, collect, &ids, NULL), 0);
    assert_int_equal(strv_length(ids), 2);
    assert_string_equal(ids[0], "a");
    assert_string_equal(ids[1], "b");
    strv_free(ids);
    json_decref(document);
    store_close(store);
}

static void a_name_is_one_containers(void **state)
{
    struct error err = ERROR_INIT;
    struct store *store = open_store();
    json_t *document = json_object();
    (void)state;
    assert_int_equal(store_container_save(store, "a", "same", 1, document, NULL), 0);
    assert_int_equal(store_container_save(store, "b", "same", 1, document, &err), -EEXIST);
    json_decref(document);
    store_close(store);
}

static void leases_are_exclusive_and_go_with_their_owner(void **state)
{
    uint32_t value = 0;
    struct error err = ERROR_INIT;
    struct store *store = open_store();
    json_t *document = json_object();
    (void)state;
    assert_int_equal(store_container_save(store, "a", "a", 1, document, NULL), 0);
    assert_int_equal(store_lease_take(store, "uid", 4000000000U, "a", NULL), 0);
    assert_int_equal(store_lease_take(store, "uid", 4000000000U, "b", &err), -EEXIST);
    assert_int_equal(store_lease_take(store, "address", 4000000000U, "b", NULL), 0);
    assert_true(store_lease_is_taken(store, "uid", 4000000000U));
    assert_int_equal(store_lease_find(store, "uid", "a", &value), 0);
    assert_int_equal(value, 4000000000U);
    assert_int_equal(store_lease_find(store, "uid", "b", &value), -ENOENT);
    assert_int_equal(store_container_remove(store, "a", NULL), 0);
    assert_false(store_lease_is_taken(store, "uid", 4000000000U));
    /* Passed on, in place of what was there. */
    assert_int_equal(store_lease_take(store, "uid", 7, "pool-1", NULL), 0);
    assert_int_equal(store_lease_take(store, "uid", 8, "c", NULL), 0);
    assert_int_equal(store_lease_give(store, "uid", "pool-1", "c", NULL), 0);
    assert_int_equal(store_lease_find(store, "uid", "c", &value), 0);
    assert_int_equal(value, 7);
    assert_int_equal(store_lease_find(store, "uid", "pool-1", &value), -ENOENT);
    assert_false(store_lease_is_taken(store, "uid", 8));
    assert_int_equal(store_lease_take(store, "uid", 9, "pool-2", NULL), 0);
    assert_int_equal(store_lease_take(store, "address", 9, "pool-2", NULL), 0);
    assert_int_equal(store_lease_release_like(store, "uid", "pool-*", NULL), 0);
    assert_false(store_lease_is_taken(store, "uid", 9));
    assert_true(store_lease_is_taken(store, "address", 9));
    assert_true(store_lease_is_taken(store, "uid", 7));
    assert_true(store_lease_is_taken(store, "address", 4000000000U));
    json_decref(document);
    store_close(store);
}

static void a_newer_schema_is_refused(void **state)
{
    sqlite3 *db = NULL;
    struct store *store = open_store();
    struct error err = ERROR_INIT;
    (void)state;
    store_close(store);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    store = NULL;
    assert_int_equal(store_open(path, &store, &err), -EPROTO);
    assert_null(store);
    assert_non_null(strstr(err.message, "newer hull"));
}

static void a_file_that_is_no_database_is_refused(void **state)
{
    struct store *store = NULL;
    struct error err = ERROR_INIT;
    (void)state;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "this is not a database, and long enough to tell", 47), 47);
    close(fd);
    assert_true(store_open(path, &store, &err) < 0);
    assert_null(store);
    assert_non_null(strstr(err.message, path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(values_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(containers_in_order_of_creation, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_one_containers, setup, teardown),
        cmocka_unit_test_setup_teardown(leases_are_exclusive_and_go_with_their_owner, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_newer_schema_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_no_database_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
