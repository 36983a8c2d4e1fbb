/* `update` of a container in a utility VM, with stand-ins for VM, guest and client: what is asked
 * of whom, and in which order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/strings.h"
#include "compute/worker_internal.h"
#include "vm/vm.h"

#define MIB (1024LL * 1024)

static struct {
    char steps[512]; /* what was done: "limit 256 2.0; guest 256; answer; " */
    uint64_t refuses_below;
    wire_answer_handler *handler;
    void *data;
    json_t *answer;
    struct error refusal;
    bool client_gone;
    bool impatient;
    char resources[256]; /* of the last request */
} fake;

static struct compute_job job;
static struct worker worker;
static struct worker_client client;

static void step(const char *text)
{
    size_t length = strlen(fake.steps);

    (void)string_copy(fake.steps + length, sizeof(fake.steps) - length, text);
}

/* --- stand-ins --- */

int vm_limit(struct vm *vm, uint64_t memory, double cpus, struct error *err)
{
    char text[64];

    (void)vm;
    if (memory < fake.refuses_below) {
        step("busy; ");
        return error_set(err, -EBUSY, "in use");
    }
    (void)snprintf(text, sizeof(text), "limit %llu %.1f; ", (unsigned long long)memory / MIB, cpus);
    step(text);
    return 0;
}

uint64_t vm_memory_ceiling(const struct vm *vm)
{
    (void)vm;
    return 1024 * MIB;
}

bool vm_resizes_memory(enum vm_engine engine)
{
    return engine == VM_ENGINE_UML;
}

unsigned worker_patience(const struct worker *of, unsigned ms)
{
    (void)of;
    return fake.impatient ? 1 : ms;
}

void worker_note(struct worker *of, const char *format, ...)
{
    (void)of;
    (void)format;
}

struct worker_client *worker_client_find(struct worker *of, uint64_t serial)
{
    (void)of;
    return serial == client.serial && !fake.client_gone ? &client : NULL;
}

int wire_connection_request(struct wire_connection *connection, const char *op, json_t *arguments,
                            wire_answer_handler *handler, void *data, struct error *err)
{
    CLEANUP_JSON json_t *message = arguments;
    json_int_t memory = json_integer_value(json_object_get(message, "memory"));
    char text[64];

    (void)connection;
    (void)err;
    assert_string_equal(op, "update");
    assert_non_null(json_object_get(message, "resources"));
    assert_null(json_object_get(message, "nano_cpus"));
    CLEANUP_FREE char *resources =
        json_dumps(json_object_get(message, "resources"), JSON_COMPACT | JSON_SORT_KEYS);
    (void)string_copy(fake.resources, sizeof(fake.resources), resources);
    (void)snprintf(text, sizeof(text), "guest %lld; ", (long long)(memory / MIB));
    step(text);
    fake.handler = handler;
    fake.data = data;
    return 0;
}

void wire_connection_answer(struct wire_connection *connection, uint64_t id, json_t *ok)
{
    (void)connection;
    assert_int_equal(id, 7);
    fake.answer = ok;
    step("answer");
}

void wire_connection_refuse(struct wire_connection *connection, uint64_t id,
                            const struct error *error)
{
    (void)connection;
    assert_int_equal(id, 7);
    fake.refusal = *error;
    step("refuse");
}

/* --- cases --- */

static int set_up(void **state)
{
    static char connection;
    static char vm;

    (void)state;
    memset(&fake, 0, sizeof(fake));
    job = (struct compute_job){
        .isolation = COMPUTE_HYPERV, .engine = VM_ENGINE_UML, .memory = 256 * MIB, .cpus = 1};
    static struct loop *loop;

    if (!loop)
        assert_int_equal(loop_new(&loop, NULL), 0);
    worker = (struct worker){.loop = loop,
                             .job = &job,
                             .status = WORKER_RUNNING,
                             .link = (struct wire_connection *)(void *)&connection,
                             .vm = (struct vm *)(void *)&vm};
    client = (struct worker_client){.worker = &worker, .serial = 3};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_decref(fake.answer);
    json_decref(worker.resources);
    return 0;
}

static int ask_for(const char *resources, int64_t memory_mib, int64_t nano_cpus, struct error *err)
{
    CLEANUP_JSON json_t *request = json_pack("{s:o}", "resources", json_loads(resources, 0, NULL));

    if (memory_mib)
        (void)json_put_i64(request, "memory", memory_mib * MIB);
    if (nano_cpus >= 0)
        (void)json_put_i64(request, "nano_cpus", nano_cpus);
    return worker_update_vm(&client, 7, request, err);
}

static int ask(int64_t memory_mib, int64_t nano_cpus, struct error *err)
{
    return ask_for("{}", memory_mib, nano_cpus, err);
}

static void obeys(void)
{
    CLEANUP_JSON json_t *ok = json_object();

    fake.handler(NULL, ok, NULL, fake.data);
}

static void refuses(void)
{
    struct error error = ERROR_INIT;

    (void)error_set_class(&error, ERROR_CONFLICT, "in use inside");
    fake.handler(NULL, NULL, &error, fake.data);
}

static void raised_outside_first(void **state)
{
    (void)state;
    assert_int_equal(ask(512, -1, NULL), 1);
    obeys();
    assert_string_equal(fake.steps, "limit 512 1.0; guest 512; limit 512 1.0; answer");
    assert_int_equal(job.memory, 512 * MIB);
}

static void lowered_inside_first(void **state)
{
    (void)state;
    assert_int_equal(ask(128, -1, NULL), 1);
    obeys();
    assert_string_equal(fake.steps, "limit 256 1.0; guest 128; limit 128 1.0; answer");
    assert_int_equal(json_array_size(json_object_get(fake.answer, "warnings")), 0);
}

static void processors_alone_leave_memory(void **state)
{
    (void)state;
    assert_int_equal(ask(0, 2500000000, NULL), 1);
    obeys();
    assert_string_equal(fake.steps, "limit 256 2.5; guest 0; limit 256 2.5; answer");
    assert_true(job.cpus > 2.4);
}

static void refused_inside_is_undone_outside(void **state)
{
    (void)state;
    assert_int_equal(ask(512, 2000000000, NULL), 1);
    refuses();
    assert_string_equal(fake.steps, "limit 512 2.0; guest 512; limit 256 1.0; refuse");
    assert_string_equal(fake.refusal.message, "in use inside");
    assert_int_equal(job.memory, 256 * MIB);
    assert_false(worker.updating);
}

static void what_the_host_cannot_take_back_is_warned_of(void **state)
{
    (void)state;
    assert_int_equal(ask(128, -1, NULL), 1);
    fake.refuses_below = 200 * MIB;
    obeys();
    assert_string_equal(fake.steps, "limit 256 1.0; guest 128; busy; answer");
    assert_int_equal(json_array_size(json_object_get(fake.answer, "warnings")), 1);
}

static void above_the_ceiling(void **state)
{
    struct error error = ERROR_INIT;

    (void)state;
    assert_true(ask(1025, -1, &error) < 0);
    assert_string_equal(error.message,
                        "the running virtual machine cannot have more than 1024 MiB of memory: "
                        "stop the container, update it, and start it again");
    assert_string_equal(fake.steps, "");
}

static void below_the_least(void **state)
{
    (void)state;
    assert_true(ask(47, -1, NULL) < 0);
    assert_string_equal(fake.steps, "");
}

static void another_engine_keeps_its_memory(void **state)
{
    (void)state;
    job.engine = VM_ENGINE_TCG;
    assert_int_equal(ask(128, -1, NULL), 1);
    obeys();
    assert_string_equal(fake.steps, "limit 256 1.0; guest 0; limit 128 1.0; answer");
}

static void one_at_a_time(void **state)
{
    struct error error = ERROR_INIT;

    (void)state;
    assert_int_equal(ask(128, -1, NULL), 1);
    assert_true(ask(512, -1, &error) < 0);
    assert_int_equal(error.class, ERROR_CONFLICT);
    obeys();
    json_decref(fake.answer);
    assert_int_equal(ask(512, -1, NULL), 1);
    obeys();
}

static void a_client_that_went_away(void **state)
{
    (void)state;
    assert_int_equal(ask(128, -1, NULL), 1);
    fake.client_gone = true;
    obeys();
    assert_string_equal(fake.steps, "limit 256 1.0; guest 128; limit 128 1.0; ");
}

/* The client was told that the guest does not answer. */
static void late(const char *resources)
{
    fake.impatient = true;
    assert_int_equal(ask_for(resources, 512, 2000000000, NULL), 1);
    assert_true(loop_run_once(worker.loop, 5000) >= 0);
    assert_string_equal(fake.steps, "limit 512 2.0; guest 512; refuse");
    assert_string_equal(fake.refusal.message, WORKER_NO_ANSWER);
    assert_true(worker.updating);
    fake.steps[0] = '\0';
}

static void what_comes_too_late_is_undone(void **state)
{
    (void)state;
    late("{\"memory\":{\"limit\":9},\"cpu\":{\"quota\":5,\"period\":6},\"pids\":{\"limit\":7}}");
    obeys();
    assert_string_equal(fake.steps, "guest 256; ");
    assert_string_equal(fake.resources, "{\"cpu\":{\"period\":100000,\"quota\":-1},"
                                        "\"memory\":{\"limit\":-1},\"pids\":{\"limit\":-1}}");
    assert_true(worker.updating);
    obeys();
    assert_string_equal(fake.steps, "guest 256; limit 256 1.0; ");
    assert_false(worker.updating);
    assert_int_equal(job.memory, 256 * MIB);
}

static void what_held_before_holds_again(void **state)
{
    (void)state;
    assert_int_equal(ask_for("{\"memory\":{\"limit\":3},\"pids\":{\"limit\":4}}", 0, -1, NULL), 1);
    obeys();
    json_decref(fake.answer);
    fake.answer = NULL;
    fake.steps[0] = '\0';
    late("{\"memory\":{\"limit\":9}}");
    obeys();
    assert_string_equal(fake.resources, "{\"memory\":{\"limit\":3}}");
    refuses(); /* the guest: what it has, it keeps */
    assert_false(worker.updating);
}

static void a_late_refusal(void **state)
{
    (void)state;
    late("{}");
    refuses();
    assert_string_equal(fake.steps, "limit 256 1.0; ");
    assert_false(worker.updating);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ROW(raised_outside_first),
        ROW(lowered_inside_first),
        ROW(processors_alone_leave_memory),
        ROW(refused_inside_is_undone_outside),
        ROW(what_the_host_cannot_take_back_is_warned_of),
        ROW(above_the_ceiling),
        ROW(below_the_least),
        ROW(another_engine_keeps_its_memory),
        ROW(one_at_a_time),
        ROW(a_client_that_went_away),
        ROW(what_comes_too_late_is_undone),
        ROW(what_held_before_holds_again),
        ROW(a_late_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
