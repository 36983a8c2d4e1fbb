#include "fixture.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/strings.h"
#include "vm/probe.h"

enum { SHORT_MS = 700 };

static struct vm_probe_config probe_config(struct fixture *fixture)
{
    return (struct vm_probe_config){
        .files = fixture->config.files,
        .cache_path = fixture->console, /* a name in the directory, not used otherwise */
        .runtime_dir = fixture->root,
        .uid = fixture->config.uid,
        .gid = fixture->config.gid,
        .timeout_ms = SHORT_MS,
        .host_root = fixture->directory,
    };
}

/* One probe of `engine` by a fake that follows `script`. */
static struct vm_verdict probe(struct fixture *fixture, enum vm_engine engine, const char *script)
{
    const struct vm_probe_config config = probe_config(fixture);
    struct vm_verdict verdict = {.engine = VM_ENGINE_MAX};

    if (script)
        fixture_write(fixture->initramfs, script);
    assert_int_equal(vm_probe(&config, engine, &verdict, &fixture->error), 0);
    assert_int_equal(verdict.engine, engine);
    assert_string_not_equal(verdict.reason, "");
    assert_int_equal(fixture_count_processes(fixture->config.uid), 0);
    /* Nothing but the directory itself is left of its runtime files. */
    assert_int_equal(rmdir(fixture->root), 0);
    assert_int_equal(mkdir(fixture->root, 0700), 0);
    return verdict;
}

static void test_works(void **state)
{
    struct fixture *fixture = *state;
    struct vm_verdict verdict;

    fixture_need_root();
    verdict = probe(fixture, VM_ENGINE_UML, "hello\nwait\n");
    assert_true(verdict.works);
    assert_in_range(verdict.boot_ms, 1, SHORT_MS);
    assert_true(string_starts_with(verdict.reason, "booted in "));
}

/* Each time, whether it was remembered or not, and without. */
static void test_tells_that_nothing_can_be_mounted(void **state)
{
    static const char lacks[] = "; nothing can be mounted: no virtiofsd is configured: ";
    struct fixture *fixture = *state;
    struct vm_verdict verdict;

    fixture_need_root();
    fixture->config.files.x86_kernel = fixture->kernel;
    fixture->config.files.qemu = fixture->program;
    for (int i = 0; i < 2; i++) {
        verdict = probe(fixture, VM_ENGINE_TCG, i == 0 ? "hello\nwait\n" : NULL);
        assert_true(verdict.works);
        assert_true(string_starts_with(verdict.reason, "booted in "));
        assert_non_null(strstr(verdict.reason, lacks));
    }
    fixture->config.files.virtiofsd = fixture->kernel;
    verdict = probe(fixture, VM_ENGINE_TCG, NULL);
    assert_true(verdict.works);
    assert_null(strstr(verdict.reason, "mounted"));
}

static void test_times_out(void **state)
{
    struct fixture *fixture = *state;
    struct vm_verdict verdict;

    fixture_need_root();
    verdict = probe(fixture, VM_ENGINE_UML, "wait\n");
    assert_false(verdict.works);
    assert_int_equal(verdict.boot_ms, 0);
    assert_string_equal(verdict.reason, "the utility VM did not answer within 0.7 s");
}

static void test_dies(void **state)
{
    struct fixture *fixture = *state;
    struct vm_verdict verdict;

    fixture_need_root();
    verdict = probe(fixture, VM_ENGINE_UML, "print no such CPU\nexit 7\n");
    assert_false(verdict.works);
    assert_string_equal(verdict.reason,
                        "the utility VM ended before it answered: exit code 7: no such CPU");
}

static void test_panics(void **state)
{
    struct fixture *fixture = *state;
    struct vm_verdict verdict;

    fixture_need_root();
    verdict =
        probe(fixture, VM_ENGINE_UML, "print Kernel panic - not syncing: no init\nsignal 6\n");
    assert_string_equal(verdict.reason,
                        "the utility VM ended before it answered: guest panic: no init");
}

static void test_garbage(void **state)
{
    struct fixture *fixture = *state;
    struct vm_verdict verdict;

    fixture_need_root();
    verdict = probe(fixture, VM_ENGINE_UML, "garbage\nwait\n");
    assert_false(verdict.works);
    assert_null(strstr(verdict.reason, "within"));
    assert_null(strstr(verdict.reason, "ended"));
}

static void test_another_version(void **state)
{
    struct fixture *fixture = *state;
    struct vm_verdict verdict;

    fixture_need_root();
    verdict = probe(fixture, VM_ENGINE_UML, "old-hello\nwait\n");
    assert_false(verdict.works);
    assert_non_null(strstr(verdict.reason, "99"));
}

static void test_is_remembered(void **state)
{
    struct fixture *fixture = *state;
    struct vm_verdict first;
    struct vm_verdict second;
    CLEANUP_FREE char *same = NULL;

    fixture_need_root();
    first = probe(fixture, VM_ENGINE_UML, "print no such CPU\nexit 7\n");
    /* Remembered: the exact reason, though the fake would now say something else. It is told by
     * what does not show in the file's identity: a bind would be too much here, so the text of the
     * cache is changed. */
    same = fixture_read(fixture->console);
    char *found = strstr(same, "no such CPU");
    assert_non_null(found);
    memcpy(found, "NO SUCH cpu", 11);
    fixture_write(fixture->console, same);
    second = probe(fixture, VM_ENGINE_UML, NULL);
    assert_false(second.works);
    assert_string_equal(second.reason,
                        "the utility VM ended before it answered: exit code 7: NO SUCH cpu");
    assert_string_not_equal(first.reason, second.reason);
}

static void test_refresh_boots_again(void **state)
{
    struct fixture *fixture = *state;
    struct vm_probe_config config = probe_config(fixture);
    struct vm_verdict verdict;

    fixture_need_root();
    probe(fixture, VM_ENGINE_UML, "exit 7\n");
    CLEANUP_FREE char *text = fixture_read(fixture->console);
    memcpy(strstr(text, "code 7"), "code 8", 6);
    fixture_write(fixture->console, text);
    config.refresh = true;
    assert_int_equal(vm_probe(&config, VM_ENGINE_UML, &verdict, NULL), 0);
    assert_true(string_ends_with(verdict.reason, "exit code 7"));
}

static void test_another_file_is_probed_anew(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    assert_false(probe(fixture, VM_ENGINE_UML, "exit 7\n").works);
    assert_true(probe(fixture, VM_ENGINE_UML, "hello\nwait\n").works);
    assert_false(probe(fixture, VM_ENGINE_UML, "exit 7\n").works);
}

static void test_a_broken_cache_is_no_cache(void **state)
{
    static const char *const texts[] = {"",
                                        "garbage",
                                        "[]",
                                        "{\"version\": 1}",
                                        "{\"version\": 99, \"engines\": {}}",
                                        "{\"version\": 1, \"engines\": {\"uml\": 7}}"};
    struct fixture *fixture = *state;

    fixture_need_root();
    fixture_write(fixture->initramfs, "hello\nwait\n");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        fixture_write(fixture->console, texts[i]);
        assert_true(probe(fixture, VM_ENGINE_UML, NULL).works);
    }
}

static void test_engines_are_remembered_apart(void **state)
{
    struct fixture *fixture = *state;

    fixture_need_root();
    assert_false(probe(fixture, VM_ENGINE_TCG, "exit 3\n").works);
    assert_false(probe(fixture, VM_ENGINE_UML, NULL).works);
    CLEANUP_FREE char *text = fixture_read(fixture->console);
    assert_non_null(strstr(text, "\"uml\""));
    assert_non_null(strstr(text, "\"tcg\""));
}

static void append(const char *path, const void *bytes, size_t length)
{
    CLEANUP_CLOSE int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(fd_write_full(fd, bytes, length) >= 0);
}

static void append_file(const char *path, const char *from)
{
    CLEANUP_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
    char bytes[4096];
    ssize_t n;

    while ((n = read(in, bytes, sizeof(bytes))) > 0)
        append(path, bytes, (size_t)n);
    assert_int_equal(n, 0);
}

/* An old kernel, another one, and what is none: the reason names the file and what to do. */
static void test_another_kernel(void **state)
{
    static const struct {
        const char *name;
        const char *content; /* NULL: a program that is no kernel */
        const char *fault;
    } rows[] = {
        {"script", "#!/bin/sh\nexit 0\n", "is no program for this machine"},
        {"empty", "", "is no program for this machine"},
        {"program", NULL, "is no User-Mode Linux kernel"},
        {"old", "Linux version 6.1.0-other (x) uml_dir",
         "is Linux 6.1.0-other without all of hull's"},
        {"cut", "uml_dir Linux version", "is no User-Mode Linux kernel"},
    };
    struct fixture *fixture = *state;
    struct vm_probe_config config = probe_config(fixture);

    fixture_need_root();
    fixture_write(fixture->initramfs, "");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct vm_verdict verdict = {.works = true};
        CLEANUP_FREE char *path = path_join(fixture->directory, rows[i].name);
        bool elf = i > 1;

        fixture_write(path, "");
        if (elf)
            append_file(path, "/bin/true");
        append(path, string_or(rows[i].content, ""), strlen(string_or(rows[i].content, "")));
        assert_int_equal(chmod(path, 0755), 0);
        config.files.uml_kernel = path;
        assert_int_equal(vm_probe(&config, VM_ENGINE_UML, &verdict, NULL), 0);
        assert_false(verdict.works);
        assert_non_null(strstr(verdict.reason, path));
        assert_non_null(strstr(verdict.reason, rows[i].fault));
        assert_non_null(strstr(verdict.reason, "`make kernel`"));
    }
}

static void test_auto_takes_the_first_that_works(void **state)
{
    struct fixture *fixture = *state;
    struct vm_probe_config config = probe_config(fixture);
    enum vm_engine engine = VM_ENGINE_MAX;

    fixture_need_root();
    fixture_write(fixture->initramfs, "hello\nwait\n");
    assert_int_equal(vm_probe_auto(&config, &engine, NULL), 0);
    assert_int_equal(engine, VM_ENGINE_UML); /* kvm: no /dev/kvm below host_root */
    config.files.uml_kernel = NULL;
    assert_int_equal(vm_probe_auto(&config, &engine, NULL), 0);
    assert_int_equal(engine, VM_ENGINE_TCG);
}

static void test_auto_tells_all_reasons(void **state)
{
    struct fixture *fixture = *state;
    struct vm_probe_config config = probe_config(fixture);
    enum vm_engine engine = VM_ENGINE_MAX;

    config.files = (struct vm_files){.uml_kernel = "/nonexistent/linux"};
    assert_int_equal(vm_probe_auto(&config, &engine, &fixture->error), -ENODEV);
    assert_int_equal(engine, VM_ENGINE_MAX);
    assert_int_equal(fixture->error.class, ERROR_UNAVAILABLE);
    assert_string_equal(
        fixture->error.message,
        "isolation 'hyperv' is not available: kvm: no /dev/kvm: this host has no hardware "
        "virtualization, or its module (kvm_intel, kvm_amd) is not loaded; uml: no User-Mode Linux "
        "kernel at /nonexistent/linux: build it with `make kernel`; tcg: no qemu-system-x86_64 is "
        "configured: install the package qemu-system-x86");
}

/* A fake in QEMU's place, with the jail and the device that hardware virtualization would have. */
static void test_kvm(void **state)
{
    fixture_need_root();
    if (access("/dev/kvm", F_OK) < 0) {
        print_message("skipped: the jail of engine kvm has /dev/kvm, and this host has none\n");
        skip();
    }
    struct fixture *fixture = *state;
    CLEANUP_FREE char *dev = path_join(fixture->directory, "dev");
    CLEANUP_FREE char *device = path_join(dev, "kvm");
    struct vm_verdict verdict;

    /* That the host's is software-nested is of no interest to the fake. */
    assert_int_equal(unshare(CLONE_NEWNS), 0);
    assert_int_equal(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(mount("none", "/sys/module", "tmpfs", MS_RDONLY, NULL), 0);
    assert_int_equal(path_make_dirs(dev, 0755, NULL), 0);
    fixture_write(device, "");
    verdict =
        probe(fixture, VM_ENGINE_KVM, "print KVM: entry failed, hardware error 0x0\nexit 1\n");
    assert_false(verdict.works);
    assert_non_null(strstr(verdict.reason, "KVM: entry failed, hardware error 0x0"));
    verdict = probe(fixture, VM_ENGINE_KVM, "hello\nwait\n");
    assert_true(verdict.works);
    assert_in_range(verdict.boot_ms, 1, SHORT_MS);
}

static void test_a_named_engine_never_becomes_another(void **state)
{
    struct fixture *fixture = *state;
    struct vm_probe_config config = probe_config(fixture);

    config.files.uml_kernel = NULL; /* the other engines' files are there */
    assert_int_equal(vm_probe_named(&config, VM_ENGINE_UML, &fixture->error), -ENODEV);
    assert_int_equal(fixture->error.class, ERROR_UNAVAILABLE);
    assert_string_equal(fixture->error.message,
                        "isolation 'hyperv' is not available: uml: no User-Mode Linux kernel is "
                        "configured: build it with `make kernel`");
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        ROW(test_works),
        ROW(test_tells_that_nothing_can_be_mounted),
        ROW(test_times_out),
        ROW(test_dies),
        ROW(test_panics),
        ROW(test_garbage),
        ROW(test_another_version),
        ROW(test_is_remembered),
        ROW(test_refresh_boots_again),
        ROW(test_another_file_is_probed_anew),
        ROW(test_a_broken_cache_is_no_cache),
        ROW(test_engines_are_remembered_apart),
        ROW(test_another_kernel),
        ROW(test_auto_takes_the_first_that_works),
        ROW(test_auto_tells_all_reasons),
        ROW(test_a_named_engine_never_becomes_another),
        ROW(test_kvm), /* the last: it leaves this process in a mount namespace of its own */
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
