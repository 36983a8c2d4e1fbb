/* The table of volumes, over a store and directories of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/path.h"
#include "base/strings.h"
#include "engine/private.h"
#include "engine/store.h"
#include "engine/volume.h"

static char directory[64];
static struct engine engine;

static void open_engine(void)
{
    char *path = path_join(directory, "hull.db");
    engine = (struct engine){.config = {.root = directory}};
    pthread_mutex_init(&engine.lock, NULL);
    list_init(&engine.containers);
    assert_int_equal(store_open(path, &engine.store, NULL), 0);
    engine.events = event_bus_new();
    engine.volumes = volume_table_new();
    assert_int_equal(volume_table_load(&engine, NULL), 0);
    free(path);
}

static void close_engine(void)
{
    event_bus_free(engine.events);
    volume_table_free(engine.volumes);
    store_close(engine.store);
    pthread_mutex_destroy(&engine.lock);
}

static int setup(void **state)
{
    (void)state;
    string_copy(directory, sizeof(directory), "/tmp/hull-test-volumes.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    open_engine();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_engine();
    return path_remove_tree(AT_FDCWD, directory, NULL);
}

static struct volume *make(const char *name)
{
    const struct volume_spec spec = {.name = name};
    struct volume *volume = NULL;
    assert_int_equal(volume_make(&engine, &spec, &volume, NULL), 0);
    return volume;
}

static bool exists(const char *name)
{
    char *path = volume_path(&engine, name);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

static void write_into(const char *name)
{
    char *path = volume_path(&engine, name);
    char *file = path_join(path, "file");
    fd_close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(access(file, F_OK), 0);
    free(file);
    free(path);
}

static bool has_file(const char *name)
{
    char *path = volume_path(&engine, name);
    char *file = path_join(path, "file");
    bool there = access(file, F_OK) == 0;
    free(file);
    free(path);
    return there;
}

static void one_is_made_once(void **state)
{
    struct volume *volume = make("name");
    struct volume *again;
    (void)state;
    assert_true(exists("name"));
    volume_put(&engine, volume);
    again = make("name");
    assert_ptr_equal(again, volume);
    volume_put(&engine, again);
    struct volume *anonymous = make("");
    assert_int_equal(strlen(anonymous->name), 64);
    assert_non_null(json_object_get(anonymous->labels, "com.docker.volume.anonymous"));
    volume_put(&engine, anonymous);
}

static void bad_names(void **state)
{
    static const char *const names[] = {"x", ".", "..", "a/b", "../../etc", "-a", "a b", "_a"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const struct volume_spec spec = {.name = names[i]};
        struct volume *volume = NULL;
        struct error err = ERROR_INIT;
        assert_true(volume_make(&engine, &spec, &volume, &err) < 0);
        assert_int_equal(err.class, ERROR_INVALID);
    }
}

static void one_that_is_used_stays(void **state)
{
    struct container container = {.engine = &engine};
    struct error err = ERROR_INIT;
    struct volume *volume = make("name");
    (void)state;
    string_copy(container.id, sizeof(container.id), "1234");
    container.mount_points = json_pack("[{s:s, s:s}]", "Type", "volume", "Name", "name");
    list_append(&engine.containers, &container.node);
    assert_true(volume_remove(&engine, volume, &err) < 0);
    assert_int_equal(err.class, ERROR_CONFLICT);
    assert_string_equal(err.message, "remove name: volume is in use - [1234]");
    assert_true(exists("name"));
    list_remove(&container.node);
    json_decref(container.mount_points);
    assert_int_equal(volume_acquire(&engine, "name", &volume, NULL), 0);
    assert_int_equal(volume_remove(&engine, volume, NULL), 0);
    assert_false(exists("name"));
    assert_true(volume_acquire(&engine, "name", &volume, &err) < 0);
    assert_string_equal(err.message, "get name: no such volume");
}

/* What a killed engine leaves, step by step, and what its successor makes of it. */
static void after_a_crash(void **state)
{
    struct volume *volume = make("whole");
    (void)state;
    write_into("whole");
    volume_put(&engine, volume);
    volume = make("no-directory");
    char *path = string_format("%s/volumes/no-directory", directory);
    assert_int_equal(path_remove_tree(AT_FDCWD, path, NULL), 0);
    free(path);
    volume = make("half-removed");
    write_into("half-removed");
    volume->removing = true;
    assert_int_equal(volume_save(&engine, volume, NULL), 0);
    volume = make("half-filled");
    write_into("half-filled");
    volume->filler = strdup("1234");
    assert_int_equal(volume_save(&engine, volume, NULL), 0);
    close_engine();
    open_engine();
    volume_table_settle(&engine);
    assert_true(has_file("whole"));
    assert_true(exists("no-directory"));
    assert_false(exists("half-removed"));
    assert_true(volume_acquire(&engine, "half-removed", &volume, NULL) < 0);
    assert_true(exists("half-filled"));
    assert_false(has_file("half-filled"));
    assert_int_equal(volume_acquire(&engine, "half-filled", &volume, NULL), 0);
    assert_null(volume->filler);
    volume_put(&engine, volume);
}

static int option_fails(const char *text, const char *words)
{
    struct error err = ERROR_INIT;
    json_t *options = NULL;
    assert_int_equal(json_parse(text, strlen(text), &options, NULL), 0);
    int r = volume_driver_check(options, &err);
    if (r < 0)
        assert_string_equal(err.message, words);
    json_decref(options);
    return r;
}

static void options_of_the_driver(void **state)
{
    (void)state;
    assert_int_equal(option_fails("{}", ""), 0);
    assert_int_equal(option_fails("{\"type\": \"none\", \"device\": \"/x\", \"o\": \"bind\"}", ""),
                     0);
    assert_true(option_fails("{\"what\": \"x\"}", "invalid option: \"what\"") < 0);
    assert_true(option_fails("{\"type\": \"nfs\"}", "missing required option: \"device\"") < 0);
    assert_true(option_fails("{\"device\": \"x\"}", "missing required option: \"type\"") < 0);
    assert_true(option_fails("{\"o\": \"x\"}", "missing required option: \"device\"") < 0);
}

static void prune_takes_what_nobody_named(void **state)
{
    json_t *report = NULL;
    (void)state;
    volume_put(&engine, make("named"));
    volume_put(&engine, make(""));
    assert_int_equal(engine_volume_prune(&engine, NULL, false, &report, NULL), 0);
    assert_int_equal(json_array_size(json_object_get(report, "VolumesDeleted")), 1);
    json_decref(report);
    assert_true(exists("named"));
    assert_int_equal(engine_volume_prune(&engine, NULL, true, &report, NULL), 0);
    assert_int_equal(json_array_size(json_object_get(report, "VolumesDeleted")), 1);
    json_decref(report);
    assert_false(exists("named"));
}

static void *take_and_remove(void *data)
{
    struct volume *volume = NULL;
    (void)data;
    if (volume_acquire(&engine, "name", &volume, NULL) == 0)
        (void)volume_remove(&engine, volume, NULL);
    return NULL;
}

/* Who waits for a volume that is removed meanwhile finds it gone. */
static void waiting_for_one(void **state)
{
    struct volume *volume = make("name");
    pthread_t threads[4];
    (void)state;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_remove, NULL), 0);
    volume_put(&engine, volume);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(exists("name"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_is_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_names, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_is_used_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(after_a_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(options_of_the_driver, setup, teardown),
        cmocka_unit_test_setup_teardown(prune_takes_what_nobody_named, setup, teardown),
        cmocka_unit_test_setup_teardown(waiting_for_one, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
