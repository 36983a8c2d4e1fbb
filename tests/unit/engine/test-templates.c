/* When a template is made, and made again: with stand-ins for the VM, the files and the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/path.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "compute/job.h"
#include "engine/private.h"
#include "engine/template_file.h"
#include "engine/templates.h"
#include "image/digest.h"
#include "vm/template.h"

#define MINUTE (INT64_C(60) * 1000 * 1000 * 1000)

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t now;
    bool works;
    int makes;
    int told; /* lines of the log, of which each attempt has one */
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static char directory[64];
static struct engine engine;

/* --- stand-ins --- */

int64_t __wrap_timestamp_monotonic(void);
void __wrap_log_message(enum log_level level, const char *format, ...);

int64_t __wrap_timestamp_monotonic(void)
{
    pthread_mutex_lock(&fake.lock);
    int64_t now = fake.now;
    pthread_mutex_unlock(&fake.lock);
    return now;
}

void __wrap_log_message(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
    pthread_mutex_lock(&fake.lock);
    fake.told++;
    pthread_cond_broadcast(&fake.changed);
    pthread_mutex_unlock(&fake.lock);
}

void engine_vm_files(struct engine *of, struct vm_files *ret)
{
    (void)of;
    *ret = (struct vm_files){.qemu = "qemu"};
}

bool vm_has_templates(enum vm_engine vm_engine)
{
    return vm_engine == VM_ENGINE_TCG;
}

char *vm_template_identity(const struct vm_config *config)
{
    return string_format("%llu", (unsigned long long)config->memory);
}

int vm_template_new_memory(const struct vm_config *config, struct error *err)
{
    (void)config;
    (void)err;
    return memfd_create("test", MFD_CLOEXEC);
}

int vm_template_seal(int memory, struct error *err)
{
    (void)memory;
    (void)err;
    return 0;
}

int vm_template_make(const struct vm_config *config, int memory, int state, int stop,
                     struct error *err)
{
    (void)config;
    (void)memory;
    (void)state;
    (void)stop;
    pthread_mutex_lock(&fake.lock);
    fake.makes++;
    bool works = fake.works;
    pthread_mutex_unlock(&fake.lock);
    return works ? 0 : error_set(err, -EIO, "it does not boot");
}

int template_file_save(const char *path, int memory, struct error *err)
{
    (void)path;
    (void)memory;
    (void)err;
    return 0;
}

int template_file_load(const char *path, int memory, struct error *err)
{
    (void)path;
    (void)memory;
    return error_set(err, -ENOENT, "none");
}

int digest_of(const void *data, size_t length, char text[DIGEST_TEXT_SIZE])
{
    (void)length;
    (void)snprintf(text, DIGEST_TEXT_SIZE, "sha256:%s", (const char *)data);
    return 0;
}

const char *digest_hex(const char *digest)
{
    return strchr(digest, ':') + 1;
}

/* --- cases --- */

/* A start of a container; true: it is told of a template. */
static bool ask(uint64_t mib)
{
    struct compute_job job = {.engine = VM_ENGINE_TCG, .memory = mib * 1024 * 1024};

    engine_templates_use(engine.templates, &job);
    bool found = job.template_state != NULL;
    free(job.template_state);
    free(job.template_memory);
    return found;
}

static void wait_told(int told)
{
    pthread_mutex_lock(&fake.lock);
    while (fake.told < told)
        pthread_cond_wait(&fake.changed, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
}

static void advance(int64_t minutes)
{
    pthread_mutex_lock(&fake.lock);
    fake.now += minutes * MINUTE;
    pthread_mutex_unlock(&fake.lock);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/hull-test-templates-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    engine = (struct engine){.config = {.root = directory, .state = directory}};
    fake.now = 1000 * MINUTE;
    fake.works = false;
    fake.makes = fake.told = 0;
    return engine_templates_open(&engine, &engine.templates, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    engine.templates = engine_templates_close(engine.templates);
    return path_remove_tree(AT_FDCWD, directory, NULL);
}

static void remove_state(void)
{
    CLEANUP_FREE char *path =
        string_format("%s/templates/%llu/state", directory, VM_MEMORY_DEFAULT * 1ULL);

    assert_non_null(path);
    assert_int_equal(unlink(path), 0);
}

static void test_failed_is_tried_again_after_an_hour(void **state)
{
    (void)state;
    assert_false(ask(0));
    wait_told(1);
    assert_int_equal(fake.makes, 1);
    advance(59);
    fake.works = true;
    assert_false(ask(0));
    assert_int_equal(fake.makes, 1);
    advance(1);
    assert_false(ask(0));
    wait_told(2);
    assert_int_equal(fake.makes, 2);
    assert_true(ask(0));
}

static void test_what_does_not_work_is_made_again_twice(void **state)
{
    (void)state;
    fake.works = true;
    assert_false(ask(0));
    wait_told(1);
    assert_true(ask(0));
    remove_state(); /* as a worker does */
    assert_false(ask(0));
    wait_told(2);
    assert_true(ask(0));
    remove_state();
    assert_false(ask(0));
    wait_told(3); /* that it is given up */
    assert_false(ask(0));
    assert_int_equal(fake.makes, 2);
    advance(60);
    assert_false(ask(0));
    wait_told(4);
    assert_true(ask(0));
    assert_int_equal(fake.makes, 3);
}

static void test_another_size_is_asked_for_twice(void **state)
{
    (void)state;
    fake.works = true;
    assert_false(ask(64));
    assert_false(ask(128));
    assert_int_equal(fake.makes, 0);
    assert_false(ask(64));
    wait_told(1);
    assert_true(ask(64));
    assert_false(ask(0));
    wait_told(2);
    assert_true(ask(0));
    assert_int_equal(fake.makes, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_failed_is_tried_again_after_an_hour, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_does_not_work_is_made_again_twice, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_another_size_is_asked_for_twice, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
