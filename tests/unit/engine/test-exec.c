#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "engine/private.h"

enum { KEPT = 1024 }; /* as exec.c has it */

static struct engine engine;
static struct container *container;

static int setup(void **state)
{
    (void)state;
    pthread_mutex_init(&engine.lock, NULL);
    list_init(&engine.containers);
    list_init(&engine.execs);
    engine.events = event_bus_new();
    container = container_new(&engine);
    if (!engine.events || !container)
        return -1;
    memset(container->id, 'a', 64);
    container->name = strdup("box");
    container->image_name = strdup("image");
    container->config = json_object();
    container->status = CONTAINER_RUNNING;
    container->in_table = true;
    list_append(&engine.containers, &container->node);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    engine_execs_forget(&engine, container);
    list_remove(&container->node);
    container_put(container);
    event_bus_free(engine.events);
    pthread_mutex_destroy(&engine.lock);
    return 0;
}

static int create(char id[65], struct error *err)
{
    json_t *body = json_pack("{s:[s]}", "Cmd", "true");
    int r = engine_exec_create(&engine, "box", body, id, err);
    json_decref(body);
    return r;
}

static bool is_known(const char *id)
{
    json_t *document = NULL;
    int r = engine_exec_inspect(&engine, id, &document, NULL);
    json_decref(document);
    return r == 0;
}

static void test_execs_never_started_are_bounded(void **state)
{
    char first[65];
    char second[65];
    char last[65];
    (void)state;
    assert_int_equal(create(first, NULL), 0);
    assert_int_equal(create(second, NULL), 0);
    for (int i = 2; i < KEPT; i++)
        assert_int_equal(create(last, NULL), 0);
    assert_true(is_known(first));
    assert_int_equal(create(last, NULL), 0);
    assert_false(is_known(first));
    assert_true(is_known(second));
    assert_true(is_known(last));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_execs_never_started_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
