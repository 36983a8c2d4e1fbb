#include "cli/create.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/pull.h"
#include "cli/query.h"
#include "cli/reference.h"
#include "cli/text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int check_pull(const char *policy, struct error *err)
{
    if (string_equal(policy, "always") || string_equal(policy, "missing") ||
        string_equal(policy, "never") || string_is_empty(policy))
        return 0;
    return error_set_class(err, ERROR_INVALID,
                           "invalid pull option: '%s': must be one of \"always\", "
                           "\"missing\" or \"never\"",
                           policy);
}

/* A name, or a whole id, which only the engine can tell from a name. */
static int check_image(const char *image, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    const char *id = string_starts_with(image, "sha256:") ? image + strlen("sha256:") : image;

    return string_is_hex(id, 64) ? 0 : reference_parse(image, &reference, err);
}

static int pull(struct cli *cli, const struct options *options, struct error *err)
{
    fflush(cli->err);
    return pull_image(cli->client, options->arguments[0], options_text(options, "platform"),
                      options_flag(options, "quiet") ? NULL : cli->err, err);
}

static int post(struct cli *cli, const struct options *options, const json_t *config, json_t **ret,
                struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;

    query_path(&query, "/containers/create");
    query_add(&query, "name", options_text(options, "name"));
    query_add(&query, "platform", options_text(options, "platform"));
    return client_post(cli->client, query_text(&query), config, ret, err);
}

static int post_or_pull(struct cli *cli, const struct options *options, const json_t *config,
                        json_t **ret, struct error *err)
{
    CLEANUP(reference_release) struct reference reference = REFERENCE_INIT;
    CLEANUP_FREE char *familiar = NULL;
    struct error problem = ERROR_INIT;
    const char *policy = options_text(options, "pull");
    int r = 0;

    if (string_equal(policy, "always")) {
        r = pull(cli, options, err);
        if (r < 0)
            return r;
    }
    r = post(cli, options, config, ret, &problem);
    if (r >= 0)
        return r;
    if (problem.class != ERROR_NOT_FOUND || !strstr(problem.message, "No such image") ||
        !(string_is_empty(policy) || string_equal(policy, "missing")) ||
        reference_parse(options->arguments[0], &reference, NULL) < 0)
        return error_copy(err, &problem);
    familiar = reference_familiar(&reference);
    fprintf(cli->err, "Unable to find image '%s' locally\n", string_or(familiar, ""));
    r = pull(cli, options, err);
    return r < 0 ? r : post(cli, options, config, ret, err);
}

/* The file must not exist: it says that a container was made. */
static int open_cidfile(const char *path, int *ret, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0 && errno == EEXIST)
        return error_set_class(err, ERROR_CONFLICT,
                               "container ID file found, make sure the other "
                               "container isn't running or delete %s",
                               path);
    if (fd < 0)
        return error_set_errno(err, -errno, "failed to create the container ID file %s", path);
    *ret = fd;
    return 0;
}

static void print_warnings(struct cli *cli, const json_t *answer)
{
    const json_t *warnings = json_object_get(answer, "Warnings");
    json_t *warning = NULL;
    size_t i = 0;

    json_array_foreach (warnings, i, warning) {
        fputs("WARNING: ", cli->err);
        text_print(cli->err, string_or(json_string_value(warning), ""));
        fputc('\n', cli->err);
    }
}

int create_container(struct cli *cli, const struct options *options, const json_t *config,
                     char **ret_id, struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_CLOSE int cidfile = -EBADF;
    CLEANUP_FREE char *copy = NULL;
    const char *path = options_text(options, "cidfile");
    const char *id = NULL;
    int r = check_pull(options_text(options, "pull"), err);

    if (r == 0)
        r = check_image(options->arguments[0], err);
    if (r == 0 && path)
        r = open_cidfile(path, &cidfile, err);
    if (r < 0)
        return r;
    r = post_or_pull(cli, options, config, &answer, err);
    if (r >= 0)
        r = json_need_string(answer, "Id", &id, err);
    if (r >= 0) {
        copy = strdup(id);
        r = copy ? 0 : error_oom(err);
    }
    if (r >= 0 && path) {
        r = fd_write_full(cidfile, id, strlen(id));
        if (r < 0)
            error_set_errno(err, r, "cannot write %s", path);
    }
    if (r < 0) {
        if (path)
            (void)unlink(path);
        return r;
    }
    print_warnings(cli, answer);
    *ret_id = TAKE_PTR(copy);
    return 0;
}
