/* docker cp. Where a copy lands and what it is called is decided here, as docker's client does it
 * (moby pkg/archive, copy.go: CopyInfoSourcePath, PrepareArchiveCopy, CopyTo). */
#include "cli/command.h"
#include "cli/commands.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/container-archive.h"
#include "cli/format.h"
#include "cli/options.h"
#include "sandbox/tree-path.h"

/* --- names --- */

/* A side of the command: container NULL is this machine; both are malloc'd. */
struct side {
    char *container;
    char *path;
};

static void side_release(struct side *side)
{
    free(side->container);
    free(side->path);
}

/* "/a:b" and "./a:b" are this machine's, "a:b" a container's. */
static int parse_side(const char *text, struct side *ret, struct error *err)
{
    const char *colon = strchr(text, ':');

    if (*text == '/' || *text == '.' || !colon) {
        ret->path = strdup(text);
        return ret->path ? 0 : error_oom(err);
    }
    ret->container = strndup(text, (size_t)(colon - text));
    ret->path = strdup(colon + 1);
    return ret->container && ret->path ? 0 : error_oom(err);
}

/* Absolute and clean, with a "/" or "/." at its end kept. malloc'd. */
static char *absolute(const char *path)
{
    CLEANUP_FREE char *here = *path == '/' ? NULL : realpath(".", NULL);
    CLEANUP_FREE char *joined =
        *path == '/' ? strdup(path) : string_format("%s/%s", string_or(here, ""), path);

    return joined ? tree_path_clean(joined) : NULL;
}

static bool says_directory(const char *path)
{
    return string_ends_with(path, "/") || string_ends_with(path, "/.");
}

/* Go's filepath.Dir() of a clean path, malloc'd. */
static char *directory_of(const char *clean)
{
    size_t length = strlen(clean);

    while (length > 1 && clean[length - 1] == '/')
        length--;
    while (length > 1 && clean[length - 1] != '/')
        length--;
    while (length > 1 && clean[length - 1] == '/')
        length--;
    return strndup(clean, length);
}

/* What the archive is called that is to be made of, and where it goes. */
struct plan {
    char *directory;
    char *name; /* NULL: as it is */
};

static void plan_release(struct plan *plan)
{
    free(plan->directory);
    free(plan->name);
}

struct target {
    const char *path; /* clean */
    bool exists;
    bool is_directory;
};

static int make_plan(bool source_is_directory, const struct target *target, struct plan *ret,
                     struct error *err)
{
    if (target->exists && target->is_directory) {
        ret->directory = strdup(target->path);
        return ret->directory ? 0 : error_oom(err);
    }
    if (target->exists && source_is_directory)
        return error_set_class(err, ERROR_INVALID, "cannot copy directory");
    if (!target->exists && !source_is_directory && says_directory(target->path))
        return error_set_class(err, ERROR_INVALID, "no such directory");
    ret->directory = directory_of(target->path);
    ret->name = tree_path_base(target->path);
    /* A missing "new/" is the directory above and the name. */
    return ret->directory && ret->name ? 0 : error_oom(err);
}

static void say_done(const struct cli *cli, const struct options *options, uint64_t bytes,
                     const char *place)
{
    char size[FORMAT_MAX];

    if (!options_flag(options, "quiet") && isatty(fileno(cli->err)))
        fprintf(cli->err, "Successfully copied %s to %s\n", format_size((double)bytes, 4, size),
                place);
}

/* --- from a container --- */

static int look_at_local(const char *path, char **ret_path, struct target *ret, struct error *err)
{
    struct stat status;

    ret->exists = stat(path, &status) == 0;
    ret->is_directory = ret->exists && S_ISDIR(status.st_mode);
    /* What a link leads to is written, not the link. */
    if (ret->exists && !ret->is_directory) {
        *ret_path = realpath(path, NULL);
        if (!*ret_path)
            return error_set_errno(err, -errno, "%s", path);
        ret->path = *ret_path;
        if (!S_ISREG(status.st_mode))
            return error_set_class(err, ERROR_INVALID,
                                   "invalid output path: \"%s\" must be a directory or a regular "
                                   "file",
                                   path);
        return 0;
    }
    ret->path = path;
    CLEANUP_FREE char *parent = directory_of(path);
    if (!parent)
        return error_oom(err);
    if (!ret->exists && stat(parent, &status) < 0)
        return error_set_class(err, ERROR_INVALID,
                               "invalid output path: directory \"%s\" does not exist", parent);
    return 0;
}

/* The container's path once links are followed; *ret_name (may be NULL after it) what the user
 * called it. */
static int find_source(struct cli *cli, const struct side *source, bool follow, char **ret_path,
                       char **ret_name, bool *ret_is_directory, struct error *err)
{
    CLEANUP(path_stat_release) struct path_stat stat = {.mode = 0};
    CLEANUP(path_stat_release) struct path_stat led = {.mode = 0};
    struct error ignored = ERROR_INIT;
    int r = container_path_stat(cli->client, source->container, source->path, &stat, &ignored);

    if (string_replace(ret_path, source->path) < 0)
        return error_oom(err);
    if (r < 0) /* the answer to a HEAD has no words; that to the GET that follows has */
        return 0;
    *ret_is_directory = path_stat_is_directory(&stat);
    if (!follow || !path_stat_is_link(&stat))
        return 0;
    CLEANUP_FREE char *clean = tree_path_clean(source->path);
    *ret_name = clean ? tree_path_base(clean) : NULL;
    if (!*ret_name || string_replace(ret_path, stat.link_target) < 0)
        return error_oom(err);
    if (container_path_stat(cli->client, source->container, *ret_path, &led, &ignored) >= 0)
        *ret_is_directory = path_stat_is_directory(&led);
    return 0;
}

static int copy_out(struct cli *cli, const struct options *options, const struct side *source,
                    const char *to, struct error *err)
{
    CLEANUP(plan_release) struct plan plan = {.name = NULL};
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *own_name = NULL;
    CLEANUP_FREE char *resolved = NULL;
    CLEANUP_FREE char *target_path = absolute(to);
    struct target target;
    bool is_directory = false;
    uint64_t bytes = 0;
    int r;

    if (!target_path)
        return error_oom(err);
    r = look_at_local(target_path, &resolved, &target, err);
    if (r >= 0)
        r = find_source(cli, source, options_flag(options, "follow-link"), &path, &own_name,
                        &is_directory, err);
    if (r >= 0)
        r = make_plan(is_directory, &target, &plan, err);
    if (r < 0)
        return r;
    CLEANUP_FREE char *clean = tree_path_clean(path);
    CLEANUP_FREE char *base = clean ? tree_path_base(clean) : NULL;
    if (!base)
        return error_oom(err);
    const char *from = string_equal(base, ".") || string_equal(base, "/") ? "" : base;
    const char *name = plan.name ? plan.name : own_name;
    r = container_archive_extract(cli->client, source->container, path, plan.directory,
                                  name ? from : NULL, name, &bytes, err);
    if (r >= 0)
        say_done(cli, options, bytes, target_path);
    return r;
}

static int stream_out(struct cli *cli, const struct options *options, const struct side *source,
                      struct error *err)
{
    CLEANUP_FREE char *path = NULL;
    CLEANUP_FREE char *name = NULL;
    bool is_directory = false;
    int fd = fileno(cli->out);
    int r;

    if (isatty(fd))
        return error_set_class(err, ERROR_INVALID,
                               "cowardly refusing to copy to a terminal. Redirect the output");
    r = find_source(cli, source, options_flag(options, "follow-link"), &path, &name, &is_directory,
                    err);
    (void)fflush(cli->out);
    return r < 0 ? r : container_archive_save(cli->client, source->container, path, fd, err);
}

/* --- to a container --- */

/* What is there, a link at its end followed; what cannot be known is left to the upload. */
static int look_at_container(struct cli *cli, const struct side *side, char **ret_path,
                             struct target *ret, struct error *err)
{
    CLEANUP(path_stat_release) struct path_stat stat = {.mode = 0};
    struct error ignored = ERROR_INIT;
    int r;

    *ret_path = tree_path_clean(side->path);
    if (!*ret_path)
        return error_oom(err);
    r = container_path_stat(cli->client, side->container, *ret_path, &stat, &ignored);
    if (r >= 0 && path_stat_is_link(&stat)) {
        if (string_replace(ret_path, stat.link_target) < 0)
            return error_oom(err);
        path_stat_release(&stat);
        r = container_path_stat(cli->client, side->container, *ret_path, &stat, &ignored);
    }
    *ret = (struct target){.path = *ret_path, .exists = r >= 0};
    if (r >= 0 && path_stat_is_special(&stat))
        return error_set_class(err, ERROR_INVALID,
                               "destination \"%s:%s\" must be a directory or a regular file",
                               side->container, side->path);
    ret->is_directory = r >= 0 && path_stat_is_directory(&stat);
    return 0;
}

static int stream_in(struct cli *cli, const struct options *options, const struct side *side,
                     struct error *err)
{
    CLEANUP_FREE char *path = NULL;
    struct target target;
    int r = look_at_container(cli, side, &path, &target, err);

    if (r < 0)
        return r;
    if (target.exists && !target.is_directory)
        return error_set_class(err, ERROR_INVALID, "destination \"%s:%s\" must be a directory",
                               side->container, side->path);
    return container_archive_send(cli->client, side->container, path,
                                  options_flag(options, "archive"), cli->in, err);
}

/* A link before the last name is followed; the last one too with `follow`, or when the path says
 * that it is a directory. */
static int look_at_source(const char *path, bool follow, bool *ret_is_directory, uint64_t *ret_size,
                          struct error *err)
{
    struct stat status;
    int r = follow || says_directory(path) ? stat(path, &status) : lstat(path, &status);

    if (r < 0)
        return error_set_errno(err, -errno, "lstat %s", path);
    *ret_is_directory = S_ISDIR(status.st_mode);
    *ret_size = S_ISREG(status.st_mode) ? (uint64_t)status.st_size : 0;
    return 0;
}

static int copy_in(struct cli *cli, const struct options *options, const char *from,
                   const struct side *side, struct error *err)
{
    CLEANUP(plan_release) struct plan plan = {.name = NULL};
    CLEANUP_FREE char *source = absolute(from);
    CLEANUP_FREE char *base = source ? tree_path_base(source) : NULL;
    CLEANUP_FREE char *path = NULL;
    bool follow = options_flag(options, "follow-link");
    struct target target;
    bool is_directory = false;
    uint64_t size = 0;
    int r;

    if (!base)
        return error_oom(err);
    r = look_at_source(source, follow, &is_directory, &size, err);
    if (r >= 0)
        r = look_at_container(cli, side, &path, &target, err);
    if (r >= 0)
        r = make_plan(is_directory, &target, &plan, err);
    if (r < 0)
        return r;
    r = container_archive_upload(cli->client, side->container, plan.directory,
                                 options_flag(options, "archive"), source,
                                 plan.name ? plan.name : base, follow, err);
    if (r >= 0)
        say_done(cli, options, size, options->arguments[1]);
    return r;
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(side_release) struct side from = {.path = NULL};
    CLEANUP(side_release) struct side to = {.path = NULL};
    int r;

    if (!*options->arguments[0])
        return error_set_class(err, ERROR_INVALID, "source can not be empty");
    if (!*options->arguments[1])
        return error_set_class(err, ERROR_INVALID, "destination can not be empty");
    if ((r = parse_side(options->arguments[0], &from, err)) < 0 ||
        (r = parse_side(options->arguments[1], &to, err)) < 0)
        return r;
    if (from.container && to.container)
        return error_set_class(err, ERROR_INVALID, "copying between containers is not supported");
    if (!from.container && !to.container)
        return error_set_class(err, ERROR_INVALID, "must specify at least one container source");
    /* Whoever is at the other end of a pipe may go; that is an error like any other. */
    (void)signal(SIGPIPE, SIG_IGN);
    if (from.container)
        return string_equal(to.path, "-") ? stream_out(cli, options, &from, err)
                                          : copy_out(cli, options, &from, to.path, err);
    return string_equal(from.path, "-") ? stream_in(cli, options, &to, err)
                                        : copy_in(cli, options, from.path, &to, err);
}

static const struct cli_option options_table[] = {
    {.name = "archive",
     .letter = 'a',
     .type = OPTION_BOOL,
     .help = "Archive mode (copy all uid/gid information)"},
    {.name = "follow-link",
     .letter = 'L',
     .type = OPTION_BOOL,
     .help = "Always follow symbol link in SRC_PATH"},
    {.name = "quiet",
     .letter = 'q',
     .type = OPTION_BOOL,
     .help = "Suppress the line that says what was copied; without a terminal there is none"},
    {.name = NULL},
};

const struct command command_cp = {
    .name = "cp",
    .aliases = "container cp",
    .usage = "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n        hull cp [OPTIONS] SRC_PATH|- "
             "CONTAINER:DEST_PATH",
    .summary = "Copy files/folders between a container and the local filesystem",
    .options = options_table,
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
};
