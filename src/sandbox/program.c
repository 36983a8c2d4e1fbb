/* Theory of operation: the order of program_confine() and program_become().
 *
 * Each step takes a right away or needs one, so the order is fixed:
 *   limits (CAP_SYS_RESOURCE), working directory as root, no_new_privs,
 *   bounding set (CAP_SETPCAP), groups and user with the capabilities kept (CAP_SETUID,
 * CAP_SETGID), seccomp where no_new_privs was not asked for (CAP_SYS_ADMIN), capability sets,
 *   seccomp otherwise, exec.
 * From the change of user on nothing is opened that the user could not open. Seccomp comes late, so
 * that a profile need not allow what this code does; it must allow capset, prctl, chdir, getcwd,
 * stat, faccessat2, execve and write.
 *
 * For exec the confined process clones the program, so that in the container's pid namespace, where
 * a process with CAP_SYS_PTRACE reaches every other one, nothing is ever seen that has more than
 * the program itself. A profile that refuses the few calls between clone and execve is installed
 * late.
 */
#include "sandbox/program.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/path.h"
#include "base/process.h"
#include "base/strings.h"
#include "sandbox/capabilities.h"
#include "sandbox/console.h"
#include "sandbox/init.h"
#include "sandbox/program-find.h"
#include "sandbox/sandbox.h"
#include "sandbox/seccomp-filter.h"
#include "sandbox/stage.h"

enum { UMASK_DEFAULT = 0022, FIRST_FD = 3, KEEP_FDS = 16 };

static int write_label(const char *module_file, const char *text, const char *profile,
                       struct error *err)
{
    int r = file_write(AT_FDCWD, module_file, text, NULL);

    if (r == -ENOENT)
        r = file_write(AT_FDCWD, "/proc/self/attr/exec", text, NULL);
    return r < 0 ? error_set_errno(err, r, "cannot apply the security profile '%s'", profile) : 0;
}

static int apply_labels(const struct spec_process *process, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    int r = 0;

    if (!string_is_empty(process->apparmor_profile) &&
        !string_equal(process->apparmor_profile, "unconfined")) {
        text = string_format("exec %s", process->apparmor_profile);
        if (!text)
            return error_oom(err);
        r = write_label("/proc/self/attr/apparmor/exec", text, process->apparmor_profile, err);
    }
    if (r >= 0 && !string_is_empty(process->selinux_label))
        r = write_label("/proc/self/attr/exec", process->selinux_label, process->selinux_label,
                        err);
    return r;
}

int program_prepare_process(const struct spec_process *process, struct error *err)
{
    char text[16];
    int r;

    if (process->has_oom_score_adj) {
        snprintf(text, sizeof(text), "%d", process->oom_score_adj);
        r = file_write(AT_FDCWD, "/proc/self/oom_score_adj", text, NULL);
        if (r < 0)
            return error_set_errno(err, r,
                                   "cannot set the OOM score to %d (to lower it needs "
                                   "CAP_SYS_RESOURCE)",
                                   process->oom_score_adj);
    }
    return apply_labels(process, err);
}

/* Docker makes a working directory that the image lacks. */
static int make_working_directory(int root_fd, const char *cwd, struct error *err)
{
    CLEANUP_CLOSE int fd = path_open_in_root(root_fd, cwd, O_PATH | O_DIRECTORY, 0);

    if (fd == -ENOENT)
        fd = path_make_dirs_in_root(root_fd, cwd, 0755);
    if (fd == -EROFS || fd == -EACCES || fd == -ENOTDIR)
        return 0; /* chdir says it better */
    return fd < 0 ? error_set_errno(err, fd, "cannot make the working directory %s", cwd) : 0;
}

int program_resolve_root(struct program *program, int root_fd, bool readonly, struct error *err)
{
    int r = user_resolve(root_fd, &program->process->user, &program->user, err);

    if (r < 0 || readonly)
        return r;
    return make_working_directory(root_fd, string_or(program->process->cwd, "/"), err);
}

/* --- steps --- */

static void reset_signals(void)
{
    sigset_t none;

    process_reset_signals();
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Puts the three descriptors at 0, 1 and 2, whatever they are now, and closes everything else but
 * the channel, which closes on exec. */
static int place_descriptors(struct program *program)
{
    int kept[4] = {program->stdio[0], program->stdio[1], program->stdio[2], program->channel};

    for (size_t i = 0; i < 4; i++) {
        kept[i] = fcntl(kept[i], F_DUPFD_CLOEXEC, KEEP_FDS);
        if (kept[i] < 0)
            return -errno;
    }
    for (int i = 0; i < FIRST_FD; i++)
        if (dup2(kept[i], i) < 0)
            return -errno;
    for (int i = 0; i < FIRST_FD; i++)
        kept[i] = fd_close(kept[i]);
    program->channel = dup3(kept[3], FIRST_FD, O_CLOEXEC);
    if (program->channel < 0)
        return -errno;
    if (syscall(SYS_close_range, FIRST_FD + 1, ~0U, 0) < 0)
        return -errno;
    if (program->terminal >= 0)
        program->terminal = STDIN_FILENO;
    return 0;
}

/* /dev/stdout of a program that is not root is opened anew by name: it must own what is behind.
 * The host's /dev/null, and files that are nobody's to give away, stay as they are. */
static void own_descriptors(const struct user *user)
{
    for (int i = 0; i < FIRST_FD; i++) {
        struct stat st;

        if (fstat(i, &st) < 0 || st.st_uid == user->uid)
            continue;
        if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3))
            continue;
        if (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode) || S_ISDIR(st.st_mode))
            continue;
        if (fchown(i, user->uid, (gid_t)-1) < 0)
            continue;
    }
}

static int set_limit(const struct program *program, const struct spec_rlimit *limit,
                     struct error *err)
{
    struct rlimit value = {.rlim_cur = limit->soft, .rlim_max = limit->hard};
    struct rlimit now;
    const char *name = spec_rlimit_to_string(limit->resource);

    if (syscall(SYS_prlimit64, 0, limit->resource, &value, &now) == 0)
        return 0;
    if (errno != EPERM || (program->host_capabilities & CAPABILITY_BIT(CAP_SYS_RESOURCE)))
        return error_set_errno(err, -errno, "cannot set %s", name);
    (void)syscall(SYS_prlimit64, 0, limit->resource, NULL, &now);
    return error_set_class(
        err, ERROR_INVALID,
        "cannot raise %s to %llu: the hard limit here is %llu, and capability CAP_SYS_RESOURCE is "
        "not in this host's bounding set",
        name, (unsigned long long)limit->hard, (unsigned long long)now.rlim_max);
}

/* With `forks` the limit of processes must not count the one that clones the program: it is raised
 * as far as may be, and set by the program itself. */
static int set_limits(const struct program *program, struct error *err)
{
    const struct rlimit endless = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
    int r = 0;

    for (size_t i = 0; r >= 0 && i < program->process->n_rlimits; i++) {
        const struct spec_rlimit *limit = &program->process->rlimits[i];

        if (!program->forks || limit->resource != RLIMIT_NPROC)
            r = set_limit(program, limit, err);
        else if (syscall(SYS_prlimit64, 0, RLIMIT_NPROC, &endless, NULL) < 0 && errno != EPERM)
            r = error_set_errno(err, -errno, "cannot set RLIMIT_NPROC");
    }
    return r;
}

static int set_late_limit(const struct program *program, struct error *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && program->forks && i < program->process->n_rlimits; i++)
        if (program->process->rlimits[i].resource == RLIMIT_NPROC)
            r = set_limit(program, &program->process->rlimits[i], err);
    return r;
}

static int enter_directory(const char *cwd, bool last, struct error *err)
{
    int code;

    if (chdir(cwd) == 0)
        return 0;
    code = -errno;
    if (!last && code == -EACCES)
        return 0; /* tried again as the user */
    error_set(err, code, "chdir to cwd (\"%s\") set in config.json failed: %s", cwd,
              code == -ENOENT    ? "no such file or directory"
              : code == -ENOTDIR ? "not a directory"
              : code == -EACCES  ? "permission denied"
                                 : strerrordesc_np(-code));
    return error_classify(err, code, ERROR_INVALID);
}

/* A working directory outside of the root would be a way out (CVE-2024-21626); the kernel then
 * answers with "(unreachable)...". */
static int check_directory(struct error *err)
{
    char path[4096];

    if (syscall(SYS_getcwd, path, sizeof(path)) < 0)
        return errno == ENOENT || errno == ERANGE || errno == ENAMETOOLONG
                   ? 0
                   : error_set_errno(err, -errno, "cannot find the working directory");
    if (path[0] != '/')
        return error_set(err, -EXDEV, "the working directory is outside of the container");
    return 0;
}

/* Raw calls: the C library's ones go through all threads it believes to exist. The kernel takes the
 * death signal away with the user, and makes the process dumpable where the host's fs.suid_dumpable
 * is 1; both are put right here, before a filter that may refuse it. */
static int change_user(const struct user *user, int channel, struct error *err)
{
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return error_set_errno(err, -errno, "cannot keep capabilities");
    if (syscall(SYS_setgroups, user->n_groups, user->groups) < 0)
        return error_set_errno(err, -errno, "cannot set %zu supplementary groups", user->n_groups);
    if (syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0)
        return error_set_errno(err, -errno, "cannot become group %u", user->gid);
    if (syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0)
        return error_set_errno(err, -errno, "cannot become user %u", user->uid);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return error_set_errno(err, -errno, "cannot hide the process");
    stage_die_with_parent(channel);
    return 0;
}

/* The kernel took the effective set away with the user id; what follows needs some of it. */
static int raise_kept(struct error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, data) < 0)
        return error_set_errno(err, -errno, "cannot read capabilities");
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        data[i].effective = data[i].permitted;
    if (syscall(SYS_capset, &header, data) < 0)
        return error_set_errno(err, -errno, "cannot raise capabilities");
    return 0;
}

/* What is called between clone and execve. */
static bool filter_allows_fork(const struct program *program)
{
    static const struct {
        long nr;
        uint64_t first; /* argument */
    } calls[] = {
        {SYS_clone, CLONE_PARENT},
        {SYS_setsid, 0},
        {SYS_ioctl, 0},
        {SYS_prctl, PR_SET_PDEATHSIG},
#ifdef SYS_poll
        {SYS_poll, 0},
#else
        {SYS_ppoll, 0},
#endif
        {SYS_prlimit64, 0},
        {SYS_chdir, 0},
        {SYS_getcwd, 0},
        {SYS_write, 0},
        {SYS_exit_group, 0},
    };
    bool allowed = true;

    for (size_t i = 0; allowed && i < sizeof(calls) / sizeof(calls[0]); i++)
        allowed = seccomp_filter_allows(program->filter, calls[i].nr, calls[i].first);
    return allowed;
}

static int drop_rights(struct program *program, struct error *err)
{
    const struct spec_process *process = program->process;
    struct spec_capabilities kept = program->capabilities;
    bool early;
    int r;

    program->late_filter = program->forks && !filter_allows_fork(program);
    early = !program->late_filter && !process->no_new_privileges;
    if (program->late_filter && !process->no_new_privileges) {
        kept.permitted |= CAPABILITY_BIT(CAP_SYS_ADMIN);
        kept.effective |= CAPABILITY_BIT(CAP_SYS_ADMIN);
    }
    if (process->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return error_set_errno(err, -errno, "cannot set no_new_privs");
    if ((r = capabilities_limit(&program->capabilities, err)) < 0 ||
        (r = change_user(&program->user, program->channel, err)) < 0 || (r = raise_kept(err)) < 0 ||
        (r = early ? seccomp_filter_install(program->filter, err) : 0) < 0 ||
        (r = capabilities_set(&kept, err)) < 0)
        return r;
    if (process->no_new_privileges && !program->late_filter)
        r = seccomp_filter_install(program->filter, err);
    return r;
}

static int install_late_filter(const struct program *program, struct error *err)
{
    int r = seccomp_filter_install(program->filter, err);

    return r < 0 || program->process->no_new_privileges
               ? r
               : capabilities_set(&program->capabilities, err);
}

static char **make_environment(const struct program *program)
{
    CLEANUP_STRV char **env = strv_copy(program->process->env);
    CLEANUP_FREE char *home = NULL;

    if (!env)
        return NULL;
    if (!strv_env_get(env, "HOME")) {
        home = string_format("HOME=%s", program->user.home);
        if (!home || strv_append(&env, home) < 0)
            return NULL;
    }
    return TAKE_PTR(env);
}

static int become(struct program *program, struct error *err)
{
    const struct spec_process *process = program->process;
    CLEANUP_STRV char **env = make_environment(program);
    CLEANUP_FREE char *file = NULL;
    int r;

    if (!env)
        return error_oom(err);
    if ((r = set_late_limit(program, err)) < 0 ||
        (r = program->late_filter ? install_late_filter(program, err) : 0) < 0)
        return r;
    if ((r = enter_directory(string_or(process->cwd, "/"), true, err)) < 0 ||
        (r = check_directory(err)) < 0)
        return r;
    r = program_find(process->args[0], env, &file, err);
    if (r < 0)
        return r;
    if (program->with_init && (r = init_fork(program->terminal)) < 0)
        return error_set_errno(err, r, "cannot fork behind init");
    execve(file, process->args, env);
    return program_exec_error(process->args[0], -errno, err);
}

int program_confine(struct program *program, struct error *err)
{
    const struct spec_process *process = program->process;
    const char *cwd = string_or(process->cwd, "/");
    int r;

    reset_signals();
    r = place_descriptors(program);
    if (r < 0)
        return error_set_errno(err, r, "cannot set up the standard descriptors");
    own_descriptors(&program->user);
    (void)umask(process->user.has_umask ? process->user.umask & 0777 : UMASK_DEFAULT);
    if ((r = set_limits(program, err)) < 0)
        return r;
    /* Outside of the pid namespace /proc/self is nobody's: there the program finds out. */
    r = enter_directory(cwd, false, program->forks ? NULL : err);
    if (r < 0 && !program->forks)
        return r;
    return drop_rights(program, err);
}

void program_become(struct program *program)
{
    struct error error = ERROR_INIT;

    (void)become(program, &error);
    stage_fail(program->channel, &error);
}

void program_run(struct program *program)
{
    struct error error = ERROR_INIT;

    if (program->terminal >= 0 && console_control(program->terminal, &error) < 0)
        stage_fail(program->channel, &error);
    if (program_confine(program, &error) < 0)
        stage_fail(program->channel, &error);
    program_become(program);
}
