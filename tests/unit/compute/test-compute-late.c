/* Requests that a guest answers too late, with stand-ins for guest and client: their client was
 * told that they failed, and so they must have. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/list.h"
#include "base/strings.h"
#include "compute/worker_internal.h"

enum { REQUESTS_MAX = 8 };

static struct {
    struct {
        char op[32];
        char *text;
        wire_answer_handler *handler;
        void *data;
    } requests[REQUESTS_MAX];
    size_t n;
    int answers;
    struct error refusal;
    loop_handler *timer;
    struct loop_source *source;
} fake;

static struct compute_job job;
static struct worker worker;
static struct worker_client client;

/* --- stand-ins --- */

int loop_add_timer(struct loop *loop, struct loop_source *source, loop_handler *handler, void *data)
{
    (void)loop;
    source->data = data;
    fake.timer = handler;
    fake.source = source;
    return 0;
}

int loop_timer_set(struct loop_source *source, uint64_t milliseconds)
{
    (void)source;
    (void)milliseconds;
    return 0;
}

void loop_remove(struct loop_source *source)
{
    (void)source;
}

void worker_note(struct worker *of, const char *format, ...)
{
    (void)of;
    (void)format;
}

void worker_set_deadline(struct worker *of, enum worker_deadline deadline, unsigned ms)
{
    (void)of;
    (void)deadline;
    (void)ms;
}

struct worker_client *worker_client_find(struct worker *of, uint64_t serial)
{
    (void)of;
    return serial == client.serial ? &client : NULL;
}

int wire_connection_request(struct wire_connection *connection, const char *op, json_t *arguments,
                            wire_answer_handler *handler, void *data, struct error *err)
{
    CLEANUP_JSON json_t *message = arguments;

    (void)connection;
    (void)err;
    assert_true(fake.n < REQUESTS_MAX);
    (void)string_copy(fake.requests[fake.n].op, sizeof(fake.requests[fake.n].op), op);
    fake.requests[fake.n].text = json_dumps(message, JSON_COMPACT | JSON_SORT_KEYS);
    fake.requests[fake.n].handler = handler;
    fake.requests[fake.n].data = data;
    fake.n++;
    return 0;
}

void wire_connection_answer(struct wire_connection *connection, uint64_t id, json_t *ok)
{
    (void)connection;
    (void)id;
    json_decref(ok);
    fake.answers++;
}

void wire_connection_refuse(struct wire_connection *connection, uint64_t id,
                            const struct error *error)
{
    (void)connection;
    (void)id;
    fake.refusal = *error;
}

uint32_t wire_connection_next_channel(struct wire_connection *connection)
{
    (void)connection;
    return 1;
}

/* No streams: these are not called. */
int wire_channel_open(struct wire_connection *connection, uint32_t id,
                      enum wire_direction direction, const struct wire_channel_handler *handler,
                      void *data, struct wire_channel **ret, struct error *err)
{
    (void)connection;
    (void)id;
    (void)direction;
    (void)handler;
    (void)data;
    (void)ret;
    return error_set(err, -EINVAL, "a stream");
}
void wire_channel_grant(struct wire_channel *channel, size_t credit)
{
    (void)channel;
    (void)credit;
}
size_t wire_channel_granted(const struct wire_channel *channel)
{
    (void)channel;
    return 0;
}
size_t wire_channel_credit(const struct wire_channel *channel)
{
    (void)channel;
    return 0;
}
int wire_channel_send(struct wire_channel *channel, const void *data, size_t length)
{
    (void)channel;
    (void)data;
    (void)length;
    return 0;
}
struct wire_channel *wire_channel_end(struct wire_channel *channel)
{
    (void)channel;
    return NULL;
}
struct wire_channel *wire_channel_reset(struct wire_channel *channel)
{
    (void)channel;
    return NULL;
}

/* --- cases --- */

static int set_up(void **state)
{
    static char connection;
    static char vm;

    (void)state;
    memset(&fake, 0, sizeof(fake));
    job = (struct compute_job){.isolation = COMPUTE_HYPERV, .engine = VM_ENGINE_UML};
    worker = (struct worker){.job = &job,
                             .status = WORKER_RUNNING,
                             .link = (struct wire_connection *)(void *)&connection,
                             .vm = (struct vm *)(void *)&vm};
    list_init(&worker.execs);
    client = (struct worker_client){.worker = &worker, .serial = 3};
    worker.last_serial = 3;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    worker_execs_free(&worker);
    for (size_t i = 0; i < fake.n; i++)
        free(fake.requests[i].text);
    return 0;
}

/* Takes the request. */
static void ask(const char *op, json_t *request)
{
    worker_forward(&client, 7, op, request);
    json_decref(request);
    assert_string_equal(fake.requests[fake.n - 1].op, op);
}

static void expire(void)
{
    fake.timer(fake.source, 0);
    assert_string_equal(fake.refusal.message, WORKER_NO_ANSWER);
}

/* The guest's answer to request `i`. */
static void obeys(size_t i)
{
    CLEANUP_JSON json_t *ok = json_object();

    fake.requests[i].handler(worker.link, ok, NULL, fake.requests[i].data);
}

static json_t *freeze(bool frozen)
{
    return json_pack("{s:b}", "frozen", frozen);
}

static void test_a_late_exec_is_killed(void **state)
{
    (void)state;
    ask("exec", json_pack("{s:s}", "exec", "abc"));
    expire();
    assert_int_equal(fake.n, 1);
    obeys(0);
    assert_int_equal(fake.n, 2);
    assert_string_equal(fake.requests[1].op, "signal");
    assert_string_equal(fake.requests[1].text, "{\"exec\":\"abc\",\"signal\":9}");
    assert_int_equal(fake.answers, 0);
    obeys(1);
    assert_int_equal(worker_exec_ended(&worker, "abc"), 0); /* which nobody hears of */
    assert_int_equal(worker_exec_ended(&worker, "abc"), -ENOENT);
}

static void test_an_exec_in_time(void **state)
{
    (void)state;
    ask("exec", json_pack("{s:s}", "exec", "abc"));
    obeys(0);
    assert_int_equal(fake.n, 1);
    assert_int_equal(fake.answers, 1);
    assert_int_equal(worker_exec_ended(&worker, "abc"), 1);
}

static void test_an_exec_that_ended_before_its_late_answer(void **state)
{
    (void)state;
    ask("exec", json_pack("{s:s}", "exec", "abc"));
    expire();
    assert_int_equal(worker_exec_ended(&worker, "abc"), 0);
    obeys(0);
    assert_int_equal(fake.n, 1);
}

static void test_a_late_freeze_is_undone(void **state)
{
    (void)state;
    ask("freeze", freeze(true));
    expire();
    obeys(0);
    assert_int_equal(fake.n, 2);
    assert_string_equal(fake.requests[1].op, "freeze");
    assert_string_equal(fake.requests[1].text, "{\"frozen\":false}");
    obeys(1);
    assert_int_equal(fake.n, 2);
}

static void test_a_late_thaw_is_undone(void **state)
{
    (void)state;
    ask("freeze", freeze(false));
    expire();
    obeys(0);
    assert_string_equal(fake.requests[1].text, "{\"frozen\":true}");
    obeys(1);
}

static void test_who_asked_since_decides(void **state)
{
    (void)state;
    ask("freeze", freeze(true));
    expire();
    ask("freeze", freeze(true));
    obeys(0);
    assert_int_equal(fake.n, 2);
    obeys(1);
    assert_int_equal(fake.n, 2);
    assert_int_equal(fake.answers, 1);
}

static void test_what_changes_nothing_is_left(void **state)
{
    (void)state;
    ask("processes", json_object());
    expire();
    obeys(0);
    assert_int_equal(fake.n, 1);
    assert_int_equal(fake.answers, 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_a_late_exec_is_killed),
        ROW(test_an_exec_in_time),
        ROW(test_an_exec_that_ended_before_its_late_answer),
        ROW(test_a_late_freeze_is_undone),
        ROW(test_a_late_thaw_is_undone),
        ROW(test_who_asked_since_decides),
        ROW(test_what_changes_nothing_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
