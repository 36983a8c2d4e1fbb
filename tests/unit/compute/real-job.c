#include "real-job.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "compute/job.h"
#include "spec/defaults.h"
#include "spec/runtime.h"
#include "vm/initramfs.h"
#include "vm/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

const char *real_job_worker(void)
{
    return getenv("HULL_TEST_WORKER");
}

bool real_job_in_vm(void)
{
    return real_job_worker() && string_equal(getenv("HULL_TEST_ISOLATION"), "hyperv");
}

const char *real_job_lacks(void)
{
    if (!real_job_worker())
        return NULL;
    if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0)
        return "a real container needs root and /bin/busybox";
    if (!real_job_in_vm())
        return NULL;
    if (string_is_empty(getenv("HULL_TEST_UML_KERNEL")))
        return "a utility VM needs the path of a User-Mode Linux kernel in HULL_TEST_UML_KERNEL";
    if (process_run(
            (char *[]){(char *)(uintptr_t) "mkfs.erofs", (char *)(uintptr_t) "--help", NULL}, NULL,
            NULL, 10000, NULL) < 0)
        return "a utility VM needs mkfs.erofs";
    return NULL;
}

/* --- the container's root, where there is one --- */

static char layer[64]; /* a directory with busybox */

void real_job_run(const char *format, ...)
{
    char command[1024];
    char sh[] = "/bin/sh";
    char option[] = "-c";
    va_list args;

    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    char *argv[] = {sh, option, command, NULL};
    struct error error = ERROR_INIT;
    if (process_run(argv, NULL, NULL, 0, &error) < 0)
        fail_msg("%s", error.message);
}

static void make_layer(void)
{
    if (*layer)
        return;
    (void)snprintf(layer, sizeof(layer), "/tmp/hull-test-layer-XXXXXX");
    assert_non_null(mkdtemp(layer));
    real_job_run(
        "cd %s && chmod 755 . && mkdir -p bin etc tmp proc sys dev && cp /bin/busybox bin/ && "
        "for i in sh cat sleep head tr echo stty true id; do ln -s busybox bin/$i; done && "
        "echo root:x:0:0::/:/bin/sh >etc/passwd",
        layer);
    if (real_job_in_vm())
        real_job_run("mkfs.erofs --quiet %s.erofs %s", layer, layer);
}

int real_job_remove_layer(void **state)
{
    CLEANUP_FREE char *image = string_format("%s.erofs", layer);
    CLEANUP_FREE char *initramfs = string_format("%s.initramfs", layer);

    (void)state;
    if (*layer)
        (void)path_remove_tree(AT_FDCWD, layer, NULL);
    if (*layer && image)
        (void)unlink(image);
    if (*layer && initramfs)
        (void)unlink(initramfs);
    return 0;
}

void real_job_fill(const char *directory, struct compute_job *job, struct spec_runtime *config)
{
    struct error error = ERROR_INIT;

    make_layer();
    assert_int_equal(spec_defaults_apply(config, 0, true), 0);
    config->hostname = strdup("hulltest");
    config->linux_.cgroups_path = string_format("/hull-test/%s", strrchr(directory, '-'));
    (void)strv_append(&config->process->env, "PATH=/bin");
    if (!real_job_in_vm()) {
        real_job_run("cd %s && mkdir upper work rootfs", directory);
        (void)strv_append(&job->lower, layer);
        job->upper = path_join(directory, "upper");
        job->work = path_join(directory, "work");
        return;
    }
    job->isolation = COMPUTE_HYPERV;
    (void)strv_appendf(&job->lower, "%s.erofs", layer);
    job->scratch = path_join(directory, "scratch.ext4");
    if (vm_scratch_create("/tmp", job->scratch, 64 << 20, 0, 0, &error) < 0)
        fail_msg("scratch: %s", error.message);
    job->engine = VM_ENGINE_UML;
    job->uml_kernel = strdup(getenv("HULL_TEST_UML_KERNEL"));
    job->initramfs = string_format("%s.initramfs", layer);
    assert_non_null(job->initramfs);
    if (vm_initramfs_write(job->initramfs, getenv("HULL_TEST_HULL_INIT"), NULL, &error) < 0)
        fail_msg("initramfs: %s", error.message);
    job->memory = 128 << 20;
    job->uid = 799999;
}
