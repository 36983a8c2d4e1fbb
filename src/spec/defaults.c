#include "spec/defaults.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/strings.h"
#include "spec/runtime.h"

enum {
    SHM_SIZE = 64 * 1024 * 1024,
    DEVICE_DEPTH_MAX = 8,
    PTS_MAJOR = 136, /* UNIX98_PTY_SLAVE_MAJOR */
};

static const int capabilities[] = {
    CAP_CHOWN,   CAP_DAC_OVERRIDE, CAP_FSETID,           CAP_FOWNER,      CAP_MKNOD,
    CAP_NET_RAW, CAP_SETGID,       CAP_SETUID,           CAP_SETFCAP,     CAP_SETPCAP,
    CAP_KILL,    CAP_SYS_CHROOT,   CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE,
};

static const char *const masked_paths[] = {
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    NULL,
};

static const char *const readonly_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static const struct {
    const char *destination;
    const char *type;
    const char *source;
    const char *options;
} mounts[] = {
    {"/proc", "proc", "proc", "nosuid,noexec,nodev"},
    {"/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"},
    {"/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"},
    {"/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev"},
    {"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"},
};

static const struct {
    char type;
    int major;
    int minor;
    const char *access;
} device_rules[] = {
    {'c', -1, -1, "m"},          {'b', -1, -1, "m"}, {'c', 1, 3, "rwm"}, /* null */
    {'c', 1, 5, "rwm"},                                                  /* zero */
    {'c', 1, 7, "rwm"},                                                  /* full */
    {'c', 1, 8, "rwm"},                                                  /* random */
    {'c', 1, 9, "rwm"},                                                  /* urandom */
    {'c', 5, 0, "rwm"},                                                  /* tty */
    {'c', 5, 1, "rwm"},                                                  /* console */
    {'c', 5, 2, "rwm"},                                                  /* ptmx */
    {'c', PTS_MAJOR, -1, "rwm"},                                         /* pts */
};

uint64_t spec_default_capabilities(void)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
        mask |= CAPABILITY_BIT(capabilities[i]);
    return mask;
}

void spec_set_capabilities(struct spec_runtime *config, uint64_t mask)
{
    config->process->has_capabilities = true;
    config->process->capabilities = (struct spec_capabilities){
        .bounding = mask,
        .effective = mask,
        .permitted = mask,
    };
}

const char *const *spec_default_masked_paths(void)
{
    return masked_paths;
}

const char *const *spec_default_readonly_paths(void)
{
    return readonly_paths;
}

int spec_default_device_rules(struct spec_resources *resources)
{
    int r = spec_resources_add_device(resources, false, 'a', -1, -1, "rwm");

    for (size_t i = 0; r == 0 && i < sizeof(device_rules) / sizeof(device_rules[0]); i++)
        r = spec_resources_add_device(resources, true, device_rules[i].type, device_rules[i].major,
                                      device_rules[i].minor, device_rules[i].access);
    return r;
}

/* One directory for each possible CPU of a machine that has them (moby 28: Intel's thermal
 * throttling counters are a side channel). */
static int add_thermal_paths(char ***paths)
{
    long n = sysconf(_SC_NPROCESSORS_CONF);
    int r = 0;

    for (long i = 0; r == 0 && i < n; i++) {
        char path[80];

        snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%ld/thermal_throttle", i);
        if (access(path, F_OK) == 0)
            r = strv_append(paths, path);
    }
    return r;
}

static int add_paths(struct spec_linux *part)
{
    int r = 0;

    for (const char *const *path = masked_paths; r == 0 && *path; path++)
        r = strv_append(&part->masked_paths, *path);
    if (r == 0)
        r = add_thermal_paths(&part->masked_paths);
    for (const char *const *path = readonly_paths; r == 0 && *path; path++)
        r = strv_append(&part->readonly_paths, *path);
    return r;
}

static int add_mounts(struct spec_runtime *config, uint64_t shm_size)
{
    char shm[96];
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(mounts) / sizeof(mounts[0]); i++)
        r = spec_runtime_add_mount(config, mounts[i].destination, mounts[i].type, mounts[i].source,
                                   mounts[i].options);
    if (r < 0)
        return r;
    snprintf(shm, sizeof(shm), "nosuid,noexec,nodev,mode=1777,size=%llu",
             (unsigned long long)(shm_size ? shm_size : SHM_SIZE));
    return spec_runtime_add_mount(config, "/dev/shm", "tmpfs", "shm", shm);
}

int spec_defaults_apply(struct spec_runtime *config, uint64_t shm_size, bool cgroup_namespace)
{
    static const enum spec_namespace_type types[] = {
        SPEC_NAMESPACE_MOUNT, SPEC_NAMESPACE_PID, SPEC_NAMESPACE_NETWORK,
        SPEC_NAMESPACE_IPC,   SPEC_NAMESPACE_UTS,
    };
    int r = add_mounts(config, shm_size);

    for (size_t i = 0; r == 0 && i < sizeof(types) / sizeof(types[0]); i++)
        r = spec_runtime_set_namespace(config, types[i], NULL);
    if (r == 0 && cgroup_namespace)
        r = spec_runtime_set_namespace(config, SPEC_NAMESPACE_CGROUP, NULL);
    if (r == 0)
        r = add_paths(&config->linux_);
    if (r == 0)
        r = spec_default_device_rules(&config->linux_.resources);
    if (r == 0)
        spec_set_capabilities(config, spec_default_capabilities());
    return r;
}

/* "ro" of the kernel's own file systems becomes "rw"; that of the user's volumes stays. */
static int make_writable(struct spec_mount *mount)
{
    if (!string_equal(mount->type, "sysfs") && !string_equal(mount->type, "cgroup"))
        return 0;
    for (char **option = mount->options; option && *option; option++)
        if (string_equal(*option, "ro"))
            return string_replace(option, "rw");
    return 0;
}

int spec_defaults_apply_privileged(struct spec_runtime *config)
{
    struct spec_linux *part = &config->linux_;

    spec_set_capabilities(config, CAPABILITY_ALL);
    for (size_t i = 0; i < config->n_mounts; i++) {
        int r = make_writable(&config->mounts[i]);

        if (r < 0)
            return r;
    }
    strv_free(part->masked_paths);
    strv_free(part->readonly_paths);
    part->masked_paths = NULL;
    part->readonly_paths = NULL;
    part->seccomp = spec_seccomp_free(part->seccomp);
    free(part->resources.devices);
    part->resources.devices = NULL;
    part->resources.n_devices = 0;
    if (spec_resources_add_device(&part->resources, true, 'a', -1, -1, "rwm") < 0)
        return -ENOMEM;
    return spec_runtime_set_annotation(config, SPEC_ANNOTATION_PRIVILEGED, "true");
}

/* Entries of /dev that a container has its own of (moby: devices.GetDevices()). */
static bool is_own_entry(const char *name)
{
    static const char *const own[] = {"pts",  "shm",         "fd",    "mqueue",
                                      ".lxc", ".lxd-mounts", ".udev", "console"};

    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (string_equal(name, own[i]))
            return true;
    return false;
}

static int add_host_device(struct spec_runtime *config, const char *path, const struct stat *st)
{
    for (size_t i = 0; i < config->linux_.n_devices; i++)
        if (string_equal(config->linux_.devices[i].path, path))
            return 0;
    return spec_runtime_add_device(config, S_ISBLK(st->st_mode) ? 'b' : 'c', path,
                                   major(st->st_rdev), minor(st->st_rdev), st->st_mode & 07777,
                                   st->st_uid, st->st_gid);
}

static int add_directory(struct spec_runtime *config, const char *directory, int depth)
{
    CLEANUP_DIR DIR *dir = opendir(directory);
    struct dirent *entry;

    if (!dir)
        return errno == ENOENT ? 0 : -errno;
    while ((entry = readdir(dir))) {
        CLEANUP_FREE char *path = NULL;
        struct stat st;
        int r = 0;

        if (entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.'))
            continue;
        if (is_own_entry(entry->d_name))
            continue;
        path = string_format("%s/%s", directory, entry->d_name);
        if (!path)
            return -ENOMEM;
        if (fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* gone again */
        if (S_ISDIR(st.st_mode) && depth < DEVICE_DEPTH_MAX)
            r = add_directory(config, path, depth + 1);
        else if (S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode))
            r = add_host_device(config, path, &st);
        if (r < 0)
            return r;
    }
    return 0;
}

int spec_defaults_add_host_devices(struct spec_runtime *config)
{
    return add_directory(config, "/dev", 0);
}
