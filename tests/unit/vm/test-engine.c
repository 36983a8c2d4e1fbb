/* The exact command lines, and what the engines say about themselves. */
#include "fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/strings.h"
#include "vm/engine.h"
#include "vm/qemu-options.h"
#include "vm/virtiofsd.h"

#define QEMU_256_MIB "304"

static struct vm_config full_config(enum vm_engine engine)
{
    return (struct vm_config){
        .id = "0123456789ab",
        .engine = engine,
        .files = {.qemu = "/usr/bin/qemu-system-x86_64"},
        .memory = 256 * 1024 * 1024,
        .cpus = 1.5,
        .disks = {{.path = "/layer", .read_only = true}, {.path = "/scratch"}},
        .n_disks = 2,
        .nic = {.link = "hp0", .mac = "02:42:ac:11:00:02", .mtu = 1400},
    };
}

static void assert_command(const struct vm_config *config, const char *const *expected)
{
    CLEANUP_STRV char **argv = NULL;
    size_t i;

    assert_int_equal(vm_engine_ops(config->engine)->command(config, &argv, NULL), 0);
    for (i = 0; expected[i]; i++) {
        assert_non_null(argv[i]);
        assert_string_equal(argv[i], expected[i]);
    }
    assert_null(argv[i]);
}

static void test_uml_command(void **state)
{
    struct vm_config config = full_config(VM_ENGINE_UML);

    (void)state;
    config.memory_ceiling = 8ULL * 1024 * 1024 * 1024;
    assert_command(&config,
                   (const char *const[]){
                       "hull-vm", "umid=vm", "uml_dir=/run", "mem=8348M", "memtotal=262144K",
                       "seccomp=off", "initrd=/dev/fd/7", "con=null", "con0=null,fd:1", "ssl=null",
                       "ssl0=fd:3", "ubd0dr=/dev/fd/8,,hull0", "ubd1d=/dev/fd/9,,hull1",
                       "vec0:transport=fd,fd=5,mtu=1400,mac=02:42:ac:11:00:02", "quiet",
                       "lpj=20000000", "panic=-1", "hull.link=ttyS0", NULL});
}

static void test_uml_command_without_anything(void **state)
{
    const struct vm_config config = {.engine = VM_ENGINE_UML, .memory = 64 * 1024 * 1024};

    (void)state;
    assert_command(&config, (const char *const[]){"hull-vm", "umid=vm", "uml_dir=/run", "mem=77M",
                                                  "memtotal=65536K", "seccomp=off",
                                                  "initrd=/dev/fd/7", "con=null", "con0=null,fd:1",
                                                  "ssl=null", "ssl0=fd:3", "quiet", "lpj=20000000",
                                                  "panic=-1", "hull.link=ttyS0", NULL});
}

static void assert_qemu_command(enum vm_engine engine, const char *accel, const char *cpu)
{
    const struct vm_config config = full_config(engine);

    assert_command(
        &config,
        (const char *const[]){
            "qemu-system-x86_64",
            "-name",
            "guest=0123456789ab",
            "-no-user-config",
            "-nodefaults",
            "-no-reboot",
            "-display",
            "none",
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-machine",
            "q35,usb=off,vmport=off,sata=off,smbus=off",
            "-accel",
            accel,
            "-cpu",
            cpu,
            "-smp",
            "cpus=2",
            "-m",
            "size=" QEMU_256_MIB "M",
            "-L",
            "/usr/share/qemu",
            "-L",
            "/usr/share/seabios",
            "-L",
            "/usr/lib/ipxe/qemu",
            "-kernel",
            "/proc/self/fd/6",
            "-initrd",
            "/proc/self/fd/7",
            "-append",
            "console=ttyS0 quiet panic=-1 reboot=t no_timer_check hull.link=port:hull",
            "-chardev",
            "stdio,id=console,signal=off",
            "-serial",
            "chardev:console",
            "-chardev",
            "socket,id=control,fd=4",
            "-mon",
            "chardev=control,mode=control",
            "-chardev",
            "socket,id=link,fd=3",
            "-device",
            "virtio-serial-pci,max_ports=2",
            "-device",
            "virtserialport,chardev=link,name=hull",
            "-device",
            "virtio-rng-pci",
            "-device",
            "virtio-balloon-pci,free-page-reporting=on",
            "-add-fd",
            "fd=8,set=0",
            "-blockdev",
            "driver=raw,node-name=disk0,read-only=on,discard=unmap,file.driver=file,"
            "file.filename=/dev/fdset/0,file.locking=off,file.discard=unmap,file.read-only=on",
            "-device",
            "virtio-blk-pci,drive=disk0,serial=hull0,werror=report,rerror=report",
            "-add-fd",
            "fd=9,set=1",
            "-blockdev",
            "driver=raw,node-name=disk1,read-only=off,discard=unmap,file.driver=file,"
            "file.filename=/dev/fdset/1,file.locking=off,file.discard=unmap,file.read-only=off",
            "-device",
            "virtio-blk-pci,drive=disk1,serial=hull1,werror=report,rerror=report",
            "-netdev",
            "tap,id=net0,fd=5,vhost=off",
            "-device",
            "virtio-net-pci,netdev=net0,romfile=,mac=02:42:ac:11:00:02",
            NULL});
}

static void test_kvm_command(void **state)
{
    (void)state;
    assert_qemu_command(VM_ENGINE_KVM, "kvm", "host");
}

static void test_tcg_command(void **state)
{
    (void)state;
    assert_qemu_command(VM_ENGINE_TCG, "tcg", "max");
}

/* How often `option value` is in the command line. */
static int count_pair(char **argv, const char *option, const char *value)
{
    int n = 0;

    for (size_t i = 0; argv[i] && argv[i + 1]; i++)
        n += string_equal(argv[i], option) && string_equal(argv[i + 1], value);
    return n;
}

/* With shares the guest's memory is shared with the file server, whose connection is there. */
static void assert_shares_command(enum vm_engine engine, bool later)
{
    const struct vm_share shares[] = {{.fd = -1, .name = "/a"}, {.fd = -1, .name = "/b"}};
    struct vm_config config = full_config(engine);
    CLEANUP_STRV char **plain = NULL;
    CLEANUP_STRV char **argv = NULL;

    assert_int_equal(vm_engine_ops(engine)->command(&config, &plain, NULL), 0);
    config.shares_later = later;
    config.shares = shares;
    config.n_shares = later ? 0 : 2;
    assert_int_equal(vm_engine_ops(engine)->command(&config, &argv, NULL), 0);
    assert_int_equal(strv_length(argv), strv_length(plain) + 6);
    assert_int_equal(count_pair(argv, "-machine",
                                "q35,usb=off,vmport=off,sata=off,smbus=off,memory-backend=ram"),
                     1);
    assert_int_equal(
        count_pair(argv, "-object", "memory-backend-memfd,id=ram,size=" QEMU_256_MIB "M,share=on"),
        1);
    assert_int_equal(count_pair(argv, "-chardev", "socket,id=shares,fd=26"), 1);
    assert_int_equal(
        count_pair(argv, "-device", "vhost-user-fs-pci,chardev=shares,tag=" VM_SHARES_TAG), 1);
}

static void test_qemu_with_shares(void **state)
{
    char source[VM_SHARE_SOURCE_MAX];

    (void)state;
    assert_shares_command(VM_ENGINE_KVM, false);
    assert_shares_command(VM_ENGINE_TCG, false);
    assert_shares_command(VM_ENGINE_TCG, true);
    assert_string_equal(vm_share_source(VM_ENGINE_KVM, 5, source), "virtiofs");
    assert_string_equal(source, "hull");
    assert_string_equal(vm_share_source(VM_ENGINE_UML, 5, source), "hostfs");
    assert_string_equal(source, "/shares/5");
    assert_null(vm_share_source(VM_ENGINE_MAX, 0, source));
}

static void assert_server(const char *program, const char *const *expected)
{
    const struct vm_files files = {.virtiofsd = program};
    CLEANUP_STRV char **argv = NULL;
    size_t i;

    assert_int_equal(virtiofsd_command(&files, "/shares", 3, &argv, NULL), 0);
    for (i = 0; expected[i]; i++)
        assert_string_equal(argv[i], expected[i]);
    assert_null(argv[i]);
}

/* Debian 13 has both names, one of which is a link. */
static void test_virtiofsd(void **state)
{
    static const char *const c[] = {"virtiofsd",
                                    "-f",
                                    "-o",
                                    "sandbox=chroot",
                                    "-o",
                                    "cache=auto",
                                    "-o",
                                    "timeout=0",
                                    "-o",
                                    "xattr",
                                    "-o",
                                    "announce_submounts",
                                    "-o",
                                    "modcaps=-mknod:-setfcap",
                                    "-o",
                                    "log_level=err",
                                    "-o",
                                    "source=/shares",
                                    "--rlimit-nofile=0",
                                    "--fd=3",
                                    NULL};
    static const char *const rust[] = {"virtiofsd",
                                       "--sandbox=chroot",
                                       "--cache=never",
                                       "--allow-mmap",
                                       "--xattr",
                                       "--announce-submounts",
                                       "--modcaps=-mknod:-setfcap",
                                       "--log-level=error",
                                       "--shared-dir=/shares",
                                       "--rlimit-nofile=0",
                                       "--fd=3",
                                       NULL};
    struct fixture *fixture = *state;
    CLEANUP_FREE char *qemu = string_format("%s/qemu", fixture->directory);
    CLEANUP_FREE char *link = string_format("%s/qemu/virtiofsd", fixture->directory);
    CLEANUP_FREE char *program = string_format("%s/virtiofsd", fixture->directory);

    fixture_write(program, "");
    assert_int_equal(mkdir(qemu, 0755), 0);
    fixture_write(link, "");
    assert_server(link, c);
    assert_server(program, rust);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink("../virtiofsd", link), 0);
    assert_server(link, rust);
}

static void test_shares_say_what_is_missing(void **state)
{
    struct fixture *fixture = *state;
    struct vm_files files = {0};

    assert_int_equal(vm_check_shares(VM_ENGINE_UML, &files, NULL), 0);
    assert_true(vm_check_shares(VM_ENGINE_KVM, &files, &fixture->error) < 0);
    assert_int_equal(fixture->error.class, ERROR_UNAVAILABLE);
    assert_non_null(strstr(fixture->error.message, "no virtiofsd is configured: "));
    files.virtiofsd = "/nonexistent";
    assert_true(vm_check_shares(VM_ENGINE_TCG, &files, &fixture->error) < 0);
    assert_non_null(strstr(fixture->error.message, "no virtiofsd at /nonexistent: "));
    assert_non_null(strstr(fixture->error.message,
                           "install the package virtiofsd (on Debian 12 qemu-system-common)"));
    files.virtiofsd = fixture->kernel;
    assert_int_equal(vm_check_shares(VM_ENGINE_TCG, &files, NULL), 0);
}

static void test_qemu_escapes_commas(void **state)
{
    CLEANUP_STRV char **argv = NULL;

    (void)state;
    assert_int_equal(qemu_append(&argv, "-name", NULL, "guest", "a,b,,c=d", "x", "", NULL), 0);
    assert_int_equal(qemu_append(&argv, "-netdev", "t,ap", "id", ",", NULL), 0);
    assert_string_equal(argv[0], "-name");
    assert_string_equal(argv[1], "guest=a,,b,,,,c=d,x=");
    assert_string_equal(argv[3], "t,,ap,id=,,");
    assert_null(argv[4]);
}

static void test_a_hostile_id_stays_one_value(void **state)
{
    struct vm_config config = full_config(VM_ENGINE_TCG);
    CLEANUP_STRV char **argv = NULL;

    (void)state;
    config.id = "x,process=init";
    assert_int_equal(vm_engine_ops(VM_ENGINE_TCG)->command(&config, &argv, NULL), 0);
    assert_string_equal(argv[2], "guest=x,,process=init");
}

static void test_names(void **state)
{
    (void)state;
    for (int i = 0; i < VM_ENGINE_MAX; i++)
        assert_int_equal(vm_engine_from_string(vm_engine_to_string((enum vm_engine)i)), i);
    assert_int_equal(vm_engine_from_string("auto"), -EINVAL);
    assert_int_equal(vm_engine_from_string(""), -EINVAL);
    assert_int_equal(vm_engine_from_string(NULL), -EINVAL);
    assert_null(vm_engine_ops(VM_ENGINE_MAX));
    assert_null(vm_engine_ops((enum vm_engine) - 1));
}

static void assert_cpus(enum vm_engine engine, double asked, int expected, const char *warning)
{
    char *text = NULL;

    assert_int_equal(vm_cpus(engine, asked, &text), expected);
    if (warning)
        assert_string_equal(text, warning);
    else
        assert_null(text);
    free(text);
}

static void test_cpus(void **state)
{
    (void)state;
    assert_cpus(VM_ENGINE_KVM, 0, 1, NULL);
    assert_cpus(VM_ENGINE_KVM, 0.5, 1, NULL);
    assert_cpus(VM_ENGINE_KVM, 1, 1, NULL);
    assert_cpus(VM_ENGINE_TCG, 1.01, 2, NULL);
    assert_cpus(VM_ENGINE_TCG, 3, 3, NULL);
    assert_cpus(VM_ENGINE_TCG, 1000, VM_CPUS_MAX,
                "engine 'tcg' gives a utility VM at most 64 virtual CPUs: --cpus=1000 is limited "
                "to that");
    assert_cpus(VM_ENGINE_UML, 0, 1, NULL);
    assert_cpus(VM_ENGINE_UML, 0.25, 1, NULL);
    assert_cpus(VM_ENGINE_UML, 2, 1,
                "engine 'uml' gives a utility VM at most 1 virtual CPU: --cpus=2 is limited to "
                "that");
}

static void test_kvm_says_why_not(void **state)
{
    struct fixture *fixture = *state;
    const struct vm_engine_ops *ops = vm_engine_ops(VM_ENGINE_KVM);
    CLEANUP_FREE char *command = string_format("%s/dev/kvm", fixture->directory);
    CLEANUP_FREE char *dev = string_format("%s/dev", fixture->directory);
    CLEANUP_FREE char *nested = string_format("%s/sys/module/kvm_pvm", fixture->directory);

    assert_true(ops->check(&fixture->config.files, fixture->directory, &fixture->error) < 0);
    assert_string_equal(fixture->error.message,
                        "no /dev/kvm: this host has no hardware virtualization, or its module "
                        "(kvm_intel, kvm_amd) is not loaded");
    assert_int_equal(fixture->error.class, ERROR_UNAVAILABLE);
    assert_int_equal(path_make_dirs(dev, 0755, NULL), 0);
    /* A directory cannot be opened for writing by anybody, root included. */
    assert_int_equal(path_make_dirs(command, 0755, NULL), 0);
    assert_true(ops->check(&fixture->config.files, fixture->directory, &fixture->error) < 0);
    assert_string_equal(fixture->error.message, "/dev/kvm cannot be opened: Is a directory");
    assert_int_equal(path_make_dirs(nested, 0755, NULL), 0);
    assert_true(ops->check(&fixture->config.files, fixture->directory, &fixture->error) < 0);
    assert_string_equal(fixture->error.message,
                        "/dev/kvm is software-nested (kvm_pvm): it cannot run a stock kernel");
}

static void test_qemu_says_what_is_missing(void **state)
{
    struct fixture *fixture = *state;
    const struct vm_engine_ops *ops = vm_engine_ops(VM_ENGINE_TCG);
    struct vm_files files = {0};

    assert_true(ops->check(&files, "", &fixture->error) < 0);
    assert_string_equal(fixture->error.message, "no qemu-system-x86_64 is configured: install the "
                                                "package qemu-system-x86");
    files.qemu = fixture->kernel;
    files.x86_kernel = "/nonexistent/vmlinuz";
    assert_true(ops->check(&files, "", &fixture->error) < 0);
    assert_string_equal(fixture->error.message,
                        "no guest kernel for QEMU at /nonexistent/vmlinuz: fetch Debian's with "
                        "`make kernel-cloud`");
    files.x86_kernel = fixture->kernel;
    files.initramfs = fixture->directory;
    assert_true(ops->check(&files, "", &fixture->error) < 0);
    files.x86_initramfs = fixture->kernel;
    assert_int_equal(ops->check(&files, "", &fixture->error), 0);
}

static void test_ceiling(void **state)
{
    static const struct {
        enum vm_engine engine;
        uint64_t memory_mib;
        uint64_t host_mib;
        uint64_t ceiling_mib;
    } cases[] = {
        {VM_ENGINE_UML, 256, 24576, 8192},   /* 8 GiB */
        {VM_ENGINE_UML, 6144, 24576, 12288}, /* twice */
        {VM_ENGINE_UML, 256, 2048, 2048},    /* what there is */
        {VM_ENGINE_UML, 4096, 2048, 4096},   /* never less than what was asked */
        {VM_ENGINE_UML, 256, 0, 256},        /* nobody knows */
        {VM_ENGINE_TCG, 256, 24576, 256},    /* no other than at boot */
        {VM_ENGINE_KVM, 256, 24576, 256},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(vm_engine_ceiling(vm_engine_ops(cases[i].engine),
                                           cases[i].memory_mib * 1024 * 1024,
                                           cases[i].host_mib * 1024 * 1024) /
                             1024 / 1024,
                         cases[i].ceiling_mib);
    assert_true(vm_resizes_memory(VM_ENGINE_UML));
    assert_false(vm_resizes_memory(VM_ENGINE_KVM));
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uml_command),
        cmocka_unit_test(test_uml_command_without_anything),
        cmocka_unit_test(test_kvm_command),
        cmocka_unit_test(test_tcg_command),
        cmocka_unit_test(test_qemu_with_shares),
        ROW(test_virtiofsd),
        ROW(test_shares_say_what_is_missing),
        cmocka_unit_test(test_qemu_escapes_commas),
        cmocka_unit_test(test_a_hostile_id_stays_one_value),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cpus),
        cmocka_unit_test(test_ceiling),
        ROW(test_kvm_says_why_not),
        ROW(test_qemu_says_what_is_missing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
