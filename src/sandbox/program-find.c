#include "sandbox/program-find.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"

enum { PATH_ENTRIES_MAX = 1024, REASON_MAX = 128 };

/* ERROR_INVALID with another code than the class's own. */
static int fail(struct error *err, int code, const char *text)
{
    error_set(err, code, "%s", text);
    return error_classify(err, code, ERROR_INVALID);
}

/* Go writes errno's text in lower case. */
static const char *reason_of(int code, char text[REASON_MAX])
{
    snprintf(text, REASON_MAX, "%s", strerrordesc_np(-code));
    text[0] = (char)tolower((unsigned char)text[0]);
    return text;
}

static int check_file(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    /* AT_EACCESS: with the effective ids and capabilities; a file without any x bit is refused to
     * root, too. */
    if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0)
        return -errno;
    return st.st_mode & 0111 ? 0 : -EACCES;
}

/* 126 for what is there but may not be run, 127 for what is not there. */
static int status_code(int code)
{
    return code == -ENOENT || code == -ENOTDIR || code == -ELOOP || code == -ENAMETOOLONG ? -ENOENT
                                                                                          : -EACCES;
}

static int fail_path(struct error *err, const char *name, int code)
{
    char reason[REASON_MAX];
    CLEANUP_FREE char *text = NULL;
    bool is_stat = status_code(code) == -ENOENT;

    text = string_format("exec: \"%s\": %s%s%s%s", name, is_stat ? "stat " : "",
                         is_stat ? name : "", is_stat ? ": " : "", reason_of(code, reason));
    return text ? fail(err, status_code(code), text) : error_oom(err);
}

static int search_path(const char *name, const char *path, char **ret)
{
    CLEANUP_STRV char **directories = NULL;
    size_t n = 0;
    int r = strv_split(path, ':', &directories);

    if (r < 0)
        return r;
    for (char **directory = directories; *directory && n < PATH_ENTRIES_MAX; directory++, n++) {
        CLEANUP_FREE char *file = string_format("%s/%s", **directory ? *directory : ".", name);

        if (!file)
            return -ENOMEM;
        if (check_file(file) < 0)
            continue;
        *ret = TAKE_PTR(file);
        return 0;
    }
    return -ENOENT;
}

int program_find(const char *name, char *const *env, char **ret, struct error *err)
{
    CLEANUP_FREE char *text = NULL;
    int r;

    if (strchr(name, '/')) {
        r = check_file(name);
        if (r < 0)
            return fail_path(err, name, r);
        *ret = strdup(name);
        return *ret ? 0 : error_oom(err);
    }
    r = *name ? search_path(name, string_or(strv_env_get(env, "PATH"), ""), ret) : -ENOENT;
    if (r != -ENOENT)
        return r < 0 ? error_oom(err) : 0;
    text = string_format("exec: \"%s\": executable file not found in $PATH", name);
    return text ? fail(err, -ENOENT, text) : error_oom(err);
}

int program_exec_error(const char *name, int code, struct error *err)
{
    char reason[REASON_MAX];
    CLEANUP_FREE char *text = string_format("exec: \"%s\": %s", name, reason_of(code, reason));

    return text ? fail(err, status_code(code), text) : error_oom(err);
}
