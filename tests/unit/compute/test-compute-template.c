/* A container's VM that is made from a template, with stand-ins for VM and guest: how long it may
 * take, and what is removed when it does not work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "compute/worker_internal.h"
#include "vm/template.h"
#include "vm/vm.h"

enum { BOOT_TIME = 4711 };

static struct {
    vm_plugged_function *plugged;
    void *data;
    enum worker_deadline deadline;
    unsigned deadline_ms;
    int creates;
    int places;
} fake;

static struct {
    char directory[64];
    char state[128];
    char memory[128];
    struct compute_job job;
    struct worker worker;
} world;

/* --- stand-ins --- */

void worker_note(struct worker *worker, const char *format, ...)
{
    (void)worker;
    (void)format;
}

void worker_set_deadline(struct worker *worker, enum worker_deadline deadline, unsigned ms)
{
    (void)worker;
    fake.deadline = deadline;
    fake.deadline_ms = ms;
}

unsigned worker_boot_time(const struct worker *worker)
{
    (void)worker;
    return BOOT_TIME;
}

int worker_plug(struct worker *worker, vm_plugged_function *plugged, struct error *err)
{
    (void)err;
    fake.plugged = plugged;
    fake.data = worker;
    return 0;
}

void worker_create(struct worker *worker)
{
    (void)worker;
    fake.creates++;
}

void worker_drop_vm(struct worker *worker)
{
    (void)worker;
}

int worker_place(struct worker *worker, struct error *err)
{
    (void)worker;
    (void)err;
    fake.places++;
    return 0;
}

bool worker_pool_lost(struct worker *worker, const struct error *reason)
{
    (void)worker;
    (void)reason;
    return false;
}

void worker_start_failed(struct worker *worker, const struct error *error)
{
    (void)worker;
    fail_msg("%s", error->message);
}

bool vm_has_templates(enum vm_engine engine)
{
    return engine == VM_ENGINE_TCG;
}

int vm_template_check_memory(int memory, uint64_t size, struct error *err)
{
    (void)memory;
    (void)size;
    (void)err;
    return 0;
}

/* --- cases --- */

static ino_t make(const char *path)
{
    struct stat st;
    CLEANUP_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

static int set_up(void **state)
{
    (void)state;
    memset(&fake, 0, sizeof(fake));
    memset(&world, 0, sizeof(world));
    (void)snprintf(world.directory, sizeof(world.directory), "/tmp/hull-test-template-XXXXXX");
    if (!mkdtemp(world.directory))
        return -1;
    (void)snprintf(world.state, sizeof(world.state), "%s/state", world.directory);
    (void)snprintf(world.memory, sizeof(world.memory), "%s/memory", world.directory);
    (void)make(world.state);
    world.job = (struct compute_job){.isolation = COMPUTE_HYPERV,
                                     .engine = VM_ENGINE_TCG,
                                     .template_memory = world.memory,
                                     .template_state = world.state,
                                     .template_inode = make(world.memory)};
    world.worker = (struct worker){.job = &world.job, .status = WORKER_STARTING};
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    worker_template_close(&world.worker);
    return path_remove_tree(AT_FDCWD, world.directory, NULL);
}

static void use(void)
{
    struct vm_config config = {.n_disks = 3, .nic = {.link = "eth0"}};

    assert_true(worker_template_use(&world.worker, &config));
    assert_ptr_equal(config.template, &world.worker.template);
    assert_true(config.pooled);
    assert_int_equal(config.n_disks, 0);
    assert_null(config.nic.link);
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static void test_plugged_has_the_time_of_a_boot(void **state)
{
    (void)state;
    use();
    assert_true(worker_template_plug(&world.worker));
    assert_int_equal(fake.creates, 0);
    fake.plugged(NULL, NULL, fake.data);
    assert_int_equal(fake.creates, 1);
    assert_int_equal(fake.deadline, WORKER_DEADLINE_BOOT);
    assert_int_equal(fake.deadline_ms, BOOT_TIME);
    assert_false(worker_template_plug(&world.worker)); /* it has its disks */
    assert_true(exists(world.state));
}

static void test_lost_is_removed(void **state)
{
    struct error reason = ERROR_INIT;

    (void)state;
    (void)error_set(&reason, -EIO, "broken");
    use();
    assert_true(worker_template_lost(&world.worker, &reason));
    assert_false(exists(world.state));
    assert_int_equal(fake.places, 1);
    assert_false(worker_template_lost(&world.worker, &reason));
}

static void test_what_was_made_since_stays(void **state)
{
    struct error reason = ERROR_INIT;

    (void)state;
    (void)error_set(&reason, -EIO, "broken");
    use();
    assert_int_equal(unlink(world.state), 0);
    (void)make(world.state);
    assert_true(worker_template_lost(&world.worker, &reason));
    assert_true(exists(world.state));
}

static void test_another_memory(void **state)
{
    struct vm_config config = {.n_disks = 1};

    (void)state;
    world.job.template_inode++;
    assert_false(worker_template_use(&world.worker, &config));
    assert_int_equal(config.n_disks, 1);
    assert_true(exists(world.state)); /* it is not the template's fault */
    assert_true(world.worker.template_spent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plugged_has_the_time_of_a_boot, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_made_since_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_another_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
