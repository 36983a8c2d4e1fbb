/* Containers end to end: what a program sees, may do and leaves behind. */
#include "fixture.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/strings.h"
#include "sandbox/capabilities.h"
#include "spec/defaults.h"

static struct outcome outcome;

static void expect(struct spec_runtime *config, int status, const char *text)
{
    fixture_run(config, &outcome);
    if (outcome.code < 0)
        fail_msg("%s", outcome.error.message);
    if (text && !strstr(outcome.output, text))
        fail_msg("'%s' expected in '%s'", text, outcome.output);
    assert_int_equal(outcome.status, status);
    fixture_assert_clean();
}

static void expect_failure(struct spec_runtime *config, int code, const char *message)
{
    fixture_run(config, &outcome);
    assert_int_equal(outcome.code, code);
    assert_string_equal(outcome.error.message, message);
    fixture_assert_clean();
}

static void set_command(struct spec_runtime *config, const char *command)
{
    strv_free(config->process->args);
    config->process->args = NULL;
    strv_append(&config->process->args, command);
}

static void test_exit_status(void **state)
{
    fixture_ready(state);
    expect(fixture_config("exit 7"), 7, NULL);
    expect(fixture_config("kill -9 $$; echo alive"), 0, "alive"); /* pid 1 of its namespace */
}

static void test_defaults(void **state)
{
    fixture_ready(state);
    expect(fixture_config("grep -E '^(Cap|Seccomp:|NoNew)' /proc/self/status; umask"), 0,
           "CapPrm:\t00000000a80425fb");
    assert_non_null(strstr(outcome.output, "CapBnd:\t00000000a80425fb"));
    assert_non_null(strstr(outcome.output, "CapInh:\t0000000000000000"));
    assert_non_null(strstr(outcome.output, "Seccomp:\t2"));
    assert_non_null(strstr(outcome.output, "NoNewPrivs:\t0"));
    assert_non_null(strstr(outcome.output, "0022"));
}

static void test_names(void **state)
{
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("hostname; echo pid=$$; echo home=$HOME; pwd");
    string_replace(&config->hostname, "box");
    string_replace(&config->process->cwd, "/work/here");
    expect(config, 0, "box\npid=1\nhome=/root\n/work/here\n");
}

static void test_mounts(void **state)
{
    fixture_ready(state);
    expect(fixture_config("echo x > /proc/sys/kernel/hostname"), 1, "Read-only file system");
    expect(fixture_config("touch /sys/x"), 1, "Read-only file system");
    expect(fixture_config("wc -c < /proc/keys"), 0, "0\n");
    expect(fixture_config("chmod 0 /proc/keys"), 1, "Read-only file system");
    expect(fixture_config("mount -t tmpfs x /tmp"), 1, "");
    expect(fixture_config("echo a > /dev/shm/x && echo b > /dev/null && cat /dev/shm/x"), 0, "a");
    expect(fixture_config("for i in ptmx fd stdin; do readlink /dev/$i; done"), 0,
           "pts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n");
    expect(fixture_config("ls /sys/fs/cgroup | wc -l"), 0, NULL);
}

static void test_readonly_root(void **state)
{
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("touch /tmp/x");
    config->root_readonly = true;
    expect(config, 1, "Read-only file system");
}

static void test_bind(void **state)
{
    struct spec_runtime *config;
    char source[128];

    fixture_ready(state);
    fixture_write("tmp/data", "of the host");
    snprintf(source, sizeof(source), "%s/tmp", fixture_lower);
    config = fixture_config("cat /made/here/data; touch /made/here/x");
    spec_runtime_add_mount(config, "/made/here", "bind", source, "rbind,ro,rprivate");
    expect(config, 1, "of the host");
    assert_non_null(strstr(outcome.output, "Read-only file system"));
    /* A file onto a link whose target does not exist, as images have resolv.conf. */
    snprintf(source, sizeof(source), "%s/etc/resolv.conf", fixture_lower);
    assert_int_equal(symlink("../run/systemd/resolv.conf", source), 0);
    snprintf(source, sizeof(source), "%s/tmp/data", fixture_lower);
    config = fixture_config("cat /etc/resolv.conf");
    spec_runtime_add_mount(config, "/etc/resolv.conf", "bind", source, "rbind,rw");
    expect(config, 0, "of the host");
    config = fixture_config("true");
    spec_runtime_add_mount(config, "/x", "bind", "/nonexistent", "rbind");
    expect_failure(config, -ENOENT, "cannot bind /nonexistent: No such file or directory");
    fixture_reset();
}

static void test_devices(void **state)
{
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("head -c 4 /dev/zero | wc -c; mknod /tmp/mem c 1 1 && "
                            "head -c 1 /tmp/mem; stat -c %t:%T /dev/mine");
    spec_runtime_add_device(config, 'c', "/dev/mine", 1, 5, 0600, 0, 0);
    expect(config, 0, "4\n");
    assert_non_null(strstr(outcome.output, "Operation not permitted"));
    assert_non_null(strstr(outcome.output, "1:5"));
}

/* What an image puts in the way must neither reach the host nor be believed. */
static void test_hostile_links(void **state)
{
    char path[128];
    char outside[128];
    struct stat before;
    struct stat after;

    fixture_ready(state);
    snprintf(outside, sizeof(outside), "%s/../outside", fixture_lower);
    assert_int_equal(mkdir(outside, 0755), 0);
    assert_int_equal(stat("/dev", &before), 0);
    snprintf(path, sizeof(path), "%s/dev", fixture_lower);
    assert_int_equal(symlink("../../../../../../dev", path), 0);
    expect_failure(fixture_config("true"), -ELOOP,
                   "cannot make the mount point /dev: Too many levels of symbolic links");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(outside, path), 0);
    expect(fixture_config("ls /dev/null"), 0, "/dev/null");
    assert_int_equal(stat("/dev", &after), 0);
    assert_int_equal(before.st_ino, after.st_ino);
    assert_int_equal(rmdir(outside), 0); /* still empty */
    fixture_reset();
    snprintf(path, sizeof(path), "%s/proc", fixture_lower);
    assert_int_equal(symlink("/tmp", path), 0);
    expect_failure(fixture_config("true"), -EINVAL,
                   "filesystem \"proc\" must be mounted on ordinary directory: /proc is not");
    fixture_reset();
    snprintf(path, sizeof(path), "%s/sys", fixture_lower);
    assert_int_equal(symlink("/tmp", path), 0);
    expect_failure(fixture_config("true"), -EINVAL,
                   "filesystem \"sysfs\" must be mounted on ordinary directory: /sys is not");
    fixture_reset();
}

static void test_user(void **state)
{
    static const struct {
        const char *user;
        const char *text;
    } rows[] = {
        {"alice", "uid=1000(alice) gid=1000(alice) groups=10(wheel),44(video),1000(alice)"},
        {"1000", "uid=1000(alice) gid=1000(alice) groups=10(wheel),44(video),1000(alice)"},
        {"alice:wheel", "uid=1000(alice) gid=10(wheel) groups=10(wheel)"},
        {"4242", "uid=4242 gid=0(root) groups=0(root)"},
        {"4242:4343", "uid=4242 gid=4343 groups=4343"},
        {"bob:44", "uid=1001(bob) gid=44(video) groups=44(video)"},
    };

    fixture_ready(state);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spec_runtime *config = fixture_config("id; echo $HOME; grep Eff /proc/self/status; "
                                                     "echo x > /dev/stdout");

        string_replace(&config->process->user.username, rows[i].user);
        expect(config, 0, rows[i].text);
        assert_non_null(strstr(outcome.output, "CapEff:\t0000000000000000"));
    }
    struct spec_runtime *config = fixture_config("true");
    string_replace(&config->process->user.username, "nobody");
    expect_failure(config, -EINVAL,
                   "unable to find user nobody: no matching entries in passwd file");
    config = fixture_config("true");
    string_replace(&config->process->user.username, "alice:none");
    expect_failure(config, -EINVAL, "unable to find group none: no matching entries in group file");
}

static void test_exec_errors(void **state)
{
    static const struct {
        const char *command;
        int code;
        const char *message;
    } rows[] = {
        {"nonesuch", -ENOENT, "exec: \"nonesuch\": executable file not found in $PATH"},
        {"/none", -ENOENT, "exec: \"/none\": stat /none: no such file or directory"},
        {"/etc/passwd", -EACCES, "exec: \"/etc/passwd\": permission denied"},
        {"/etc", -EACCES, "exec: \"/etc\": is a directory"},
        {"/tmp/text", -EACCES, "exec: \"/tmp/text\": exec format error"},
    };
    char path[128];

    fixture_ready(state);
    fixture_write("tmp/text", "neither a program nor a script");
    snprintf(path, sizeof(path), "%s/tmp/text", fixture_lower);
    assert_int_equal(chmod(path, 0755), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spec_runtime *config = fixture_config("");

        set_command(config, rows[i].command);
        expect_failure(config, rows[i].code, rows[i].message);
        assert_int_equal(outcome.error.class, ERROR_INVALID);
        config = fixture_config("");
        spec_runtime_set_annotation(config, SPEC_ANNOTATION_INIT, "true");
        set_command(config, rows[i].command);
        expect_failure(config, rows[i].code, rows[i].message);
    }
    fixture_reset();
}

static void test_limits(void **state)
{
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("ulimit -n; ulimit -Hn");
    spec_process_add_rlimit(config->process, 7 /* RLIMIT_NOFILE */, 100, 200);
    expect(config, 0, "100\n200\n");
    if (capabilities_host() & CAPABILITY_BIT(CAP_SYS_RESOURCE))
        return;
    config = fixture_config("true");
    spec_process_add_rlimit(config->process, 7, 1 << 20, 1 << 20);
    fixture_run(config, &outcome);
    assert_int_equal(outcome.code, -EINVAL);
    assert_non_null(strstr(outcome.error.message, "cannot raise RLIMIT_NOFILE to 1048576"));
}

static void test_capabilities(void **state)
{
    struct spec_runtime *config;
    uint64_t host = capabilities_host();
    char line[64];

    fixture_ready(state);
    config = fixture_config("grep CapBnd /proc/self/status");
    spec_defaults_apply_privileged(config);
    snprintf(line, sizeof(line), "CapBnd:\t%016llx", (unsigned long long)(host & CAPABILITY_ALL));
    expect(config, 0, line);
    if (host & CAPABILITY_BIT(CAP_SYS_RESOURCE))
        return;
    config = fixture_config("true");
    spec_set_capabilities(config, spec_default_capabilities() | CAPABILITY_BIT(CAP_SYS_RESOURCE));
    expect_failure(config, -EINVAL,
                   "capability CAP_SYS_RESOURCE is not in this host's bounding set");
}

static void test_privileged_warning(void **state)
{
    struct running running;
    struct spec_runtime *config;

    fixture_ready(state);
    if (capabilities_host() & CAPABILITY_BIT(CAP_SYS_RESOURCE))
        skip();
    config = fixture_config("sleep 100");
    spec_defaults_apply_privileged(config);
    fixture_start(config, &running);
    assert_string_equal(
        sandbox_warnings(running.sandbox)[0],
        "capability CAP_SYS_RESOURCE is not in this host's bounding set and is left out");
    fixture_stop(&running);
    fixture_assert_clean();
}

static void test_no_new_privileges(void **state)
{
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("grep -E 'NoNew|Seccomp:' /proc/self/status");
    config->process->no_new_privileges = true;
    string_replace(&config->process->user.username, "alice");
    expect(config, 0, "NoNewPrivs:\t1\nSeccomp:\t2");
}

static void test_sysctl(void **state)
{
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni");
    strv_append(&config->linux_.sysctl, "net.ipv4.ip_forward=1");
    strv_append(&config->linux_.sysctl, "kernel.shmmni=123");
    expect(config, 0, "1\n123\n");
    config = fixture_config("true");
    strv_append(&config->linux_.sysctl, "kernel.panic=1");
    expect_failure(config, -EINVAL,
                   "sysctl \"kernel.panic\" is not in a separate kernel namespace");
}

static void test_user_namespace(void **state)
{
    struct spec_runtime *config;

    fixture_ready(state);
    config = fixture_config("cat /proc/self/uid_map; id -u; echo x > /dev/null && echo written");
    spec_runtime_set_namespace(config, SPEC_NAMESPACE_USER, NULL);
    spec_runtime_add_uid_mapping(config, 0, 0, 1000);
    spec_runtime_add_gid_mapping(config, 0, 0, 1000);
    expect(config, 0, "1000\n0\nwritten\n");
}

static void test_host_namespaces(void **state)
{
    struct spec_runtime *config;
    char text[32];

    fixture_ready(state);
    config = fixture_config("test $$ -gt 1 && ps | grep -c . >/dev/null && echo seen");
    config->linux_.namespaces[SPEC_NAMESPACE_PID].wanted = false;
    config->linux_.namespaces[SPEC_NAMESPACE_NETWORK].wanted = false;
    expect(config, 0, "seen");
    /* A pid namespace by path: here this process's own. */
    config = fixture_config("test $$ -gt 1 && echo joined");
    snprintf(text, sizeof(text), "/proc/%d/ns/pid", (int)getpid());
    spec_runtime_set_namespace(config, SPEC_NAMESPACE_PID, text);
    expect(config, 0, "joined");
}

/* config.md#mounts: by default, and with "rprivate", nothing passes; "rslave" lets what the host
 * mounts later come in, "rshared" (with rootfsPropagation shared, as runc wants it) lets it go out,
 * too. What a container sees of it is in the optional fields of mountinfo, proc(5). */
static void test_propagation(void **state)
{
    static const struct {
        const char *options;
        const char *root;
        const char *expected;
    } rows[] = {
        {"rbind", NULL, "master"}, /* as it comes: the whole tree is the host's slave */
        {"rbind,rprivate", NULL, "private"},
        {"rbind,private", NULL, "private"},
        {"rbind,rslave", NULL, "master"},
        {"bind,slave", NULL, "master"},
        {"rbind,rshared", "shared", "shared"},
        {"rbind,runbindable", NULL, "unbindable"},
    };
    char source[128];
    char script[] = "while read -r a b c d target f rest; do [ $target = /bound ] || continue; "
                    "case \"${rest%% - *}\" in *master:*) echo master;; *shared:*) echo shared;; "
                    "*unbindable*) echo unbindable;; *) echo private;; esac; done "
                    "< /proc/self/mountinfo";

    fixture_ready(state);
    snprintf(source, sizeof(source), "%s/tmp", fixture_lower);
    assert_int_equal(mount(source, source, NULL, MS_BIND, NULL), 0);
    assert_int_equal(mount(NULL, source, NULL, MS_SHARED, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spec_runtime *config = fixture_config(script);

        spec_runtime_add_mount(config, "/bound", "bind", source, rows[i].options);
        string_replace(&config->linux_.rootfs_propagation, rows[i].root);
        fixture_run(config, &outcome);
        if (outcome.code < 0 || !string_starts_with(outcome.output, rows[i].expected))
            fail_msg("%s: %s%s", rows[i].options, outcome.error.message, outcome.output);
    }
    assert_int_equal(umount2(source, MNT_DETACH), 0);
    fixture_assert_clean();
}

/* "ro" is for the mount itself, "rro" for those below it, too. */
static void test_recursive_readonly(void **state)
{
    static const struct {
        const char *options;
        const char *expected;
    } rows[] = {
        {"rbind,rprivate", "top below"}, {"rbind,ro,rprivate", "below"},
        {"rbind,rro,rprivate", ""},      {"rbind,ro,rro,rrw,rprivate", "top below"},
        {"bind,ro,rprivate", ""}, /* what is below is not there: a directory of the read-only one */
    };
    char source[128];
    char below[160];

    fixture_ready(state);
    snprintf(source, sizeof(source), "%s/tmp", fixture_lower);
    snprintf(below, sizeof(below), "%s/below", source);
    assert_int_equal(mkdir(below, 0755), 0);
    assert_int_equal(mount("tmpfs", below, "tmpfs", 0, NULL), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct spec_runtime *config =
            fixture_config("exec 2>/dev/null; w=; touch /bound/x && w=top; "
                           "touch /bound/below/x && w=\"${w:+$w }below\"; echo \"[$w]\"");
        CLEANUP_FREE char *expected = string_format("[%s]\n", rows[i].expected);

        spec_runtime_add_mount(config, "/bound", "bind", source, rows[i].options);
        fixture_run(config, &outcome);
        if (outcome.code < 0 || !string_equal(outcome.output, expected))
            fail_msg("%s: %s%s", rows[i].options, outcome.error.message, outcome.output);
    }
    assert_int_equal(umount2(below, MNT_DETACH), 0);
    fixture_reset();
    fixture_assert_clean();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_mounts),
        cmocka_unit_test(test_readonly_root),
        cmocka_unit_test(test_bind),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_propagation),
        cmocka_unit_test(test_recursive_readonly),
        cmocka_unit_test(test_hostile_links),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_exec_errors),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_privileged_warning),
        cmocka_unit_test(test_no_new_privileges),
        cmocka_unit_test(test_sysctl),
        cmocka_unit_test(test_user_namespace),
        cmocka_unit_test(test_host_namespaces),
    };

    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
