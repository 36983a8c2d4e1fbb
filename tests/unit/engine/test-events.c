#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "engine/private.h"

static struct engine engine;

static int setup(void **state)
{
    (void)state;
    engine.events = event_bus_new();
    return engine.events ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    event_bus_free(engine.events);
    return 0;
}

static struct engine_subscription *subscribe(int64_t since, int64_t until, const char *filters)
{
    struct engine_subscription *subscription = NULL;
    json_t *json = NULL;
    if (filters)
        assert_int_equal(json_parse(filters, strlen(filters), &json, NULL), 0);
    assert_int_equal(engine_events_subscribe(&engine, since, until, json, &subscription, NULL), 0);
    json_decref(json);
    return subscription;
}

static void assert_next(struct engine_subscription *subscription, const char *action)
{
    json_t *event = NULL;
    struct pollfd ready = {.fd = engine_events_fd(subscription), .events = POLLIN};
    assert_int_equal(poll(&ready, 1, 0), 1);
    assert_int_equal(engine_events_next(subscription, &event), 1);
    assert_string_equal(json_string_value(json_object_get(event, "Action")), action);
    json_decref(event);
}

static void assert_none(struct engine_subscription *subscription)
{
    json_t *event = NULL;
    struct pollfd ready = {.fd = engine_events_fd(subscription), .events = POLLIN};
    assert_int_equal(engine_events_next(subscription, &event), 0);
    assert_int_equal(poll(&ready, 1, 0), 0);
}

static void in_order_to_everybody(void **state)
{
    struct engine_subscription *a = subscribe(0, 0, NULL);
    struct engine_subscription *b = subscribe(0, 0, NULL);
    (void)state;
    engine_emit(&engine, "container", "create", "id", NULL);
    engine_emit(&engine, "container", "start", "id", NULL);
    assert_next(a, "create");
    assert_next(a, "start");
    assert_none(a);
    assert_next(b, "create");
    engine_events_unsubscribe(a);
    engine_events_unsubscribe(b);
}

static void filters_choose(void **state)
{
    struct engine_subscription *images = subscribe(0, 0, "{\"type\": [\"image\"]}");
    struct engine_subscription *execs = subscribe(0, 0, "{\"event\": [\"exec_start\"]}");
    struct engine_subscription *named = subscribe(0, 0, "{\"container\": [\"web\"]}");
    (void)state;
    engine_emit(&engine, "container", "exec_start: ls", "abc", json_pack("{s:s}", "name", "web"));
    engine_emit(&engine, "container", "start", "def", json_pack("{s:s}", "name", "db"));
    engine_emit(&engine, "image", "pull", "x", NULL);
    assert_next(images, "pull");
    assert_none(images);
    assert_next(execs, "exec_start: ls");
    assert_none(execs);
    assert_next(named, "exec_start: ls");
    assert_none(named);
    engine_events_unsubscribe(images);
    engine_events_unsubscribe(execs);
    engine_events_unsubscribe(named);
}

static void the_past_is_replayed_and_until_ends(void **state)
{
    json_t *event = NULL;
    int64_t before = timestamp_now();
    (void)state;
    engine_emit(&engine, "container", "create", "id", NULL);
    struct engine_subscription *past = subscribe(before, timestamp_now(), NULL);
    assert_next(past, "create");
    assert_int_equal(engine_events_next(past, &event), -ENODATA);
    engine_events_unsubscribe(past);
}

static void who_does_not_read_loses_the_oldest(void **state)
{
    enum { SENT = 3000 };
    json_t *event = NULL;
    int kept = 0;
    char last[16] = "";
    struct engine_subscription *slow = subscribe(0, 0, NULL);
    (void)state;
    for (int i = 0; i < SENT; i++) {
        char *id = string_format("%d", i);
        engine_emit(&engine, "network", "connect", id, NULL);
        free(id);
    }
    while (engine_events_next(slow, &event) == 1) {
        const json_t *actor = json_object_get(event, "Actor");
        string_copy(last, sizeof(last), json_string_value(json_object_get(actor, "ID")));
        json_decref(event);
        kept++;
    }
    assert_int_equal(kept, 1024);
    assert_string_equal(last, "2999");
    engine_events_unsubscribe(slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_order_to_everybody, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_choose, setup, teardown),
        cmocka_unit_test_setup_teardown(the_past_is_replayed_and_until_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(who_does_not_read_loses_the_oldest, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
