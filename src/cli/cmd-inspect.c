/* inspect, container inspect, image inspect and network inspect. */
#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/template.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

#define FORMAT_OPTION                                                                             \
    {                                                                                             \
        .name = "format", .letter = 'f', .type = OPTION_STRING,                                   \
        .help = "'json': one JSON object per line; or text with {{.Member}} and {{json .Member}}" \
    }

static const struct cli_option any_options[] = {
    FORMAT_OPTION,
    {.name = "size",
     .letter = 's',
     .type = OPTION_BOOL,
     .help = "Display total file sizes if the type is container"},
    {.name = "type",
     .type = OPTION_STRING,
     .help = "Only inspect objects of the given type (container, image or network)"},
    {.name = NULL},
};

static const struct cli_option container_options[] = {
    FORMAT_OPTION,
    {.name = "size", .letter = 's', .type = OPTION_BOOL, .help = "Display total file sizes"},
    {.name = NULL},
};

static const struct cli_option plain_options[] = {FORMAT_OPTION, {.name = NULL}};

/* In the order in which `inspect` looks. */
static const struct {
    const char *type;
    const char *before;
    const char *after;
} kinds[] = {
    {"container", "/containers/", "/json"},
    {"image", "/images/", "/json"},
    {"network", "/networks/", ""},
    {"volume", "/volumes/", ""},
};

static int get(struct cli *cli, size_t kind, const char *name, bool size, json_t **ret,
               struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_FREE char *format = string_format("%s%%s%s", kinds[kind].before, kinds[kind].after);

    if (!format)
        return error_oom(err);
    query_path(&query, format, name);
    if (kind == 0)
        query_add_flag(&query, "size", size);
    return client_get(cli->client, query_text(&query), ret, err);
}

static int find(struct cli *cli, const char *type, const char *name, bool size, json_t **ret,
                struct error *err)
{
    for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
        struct error problem = ERROR_INIT;
        int r = 0;

        if (type && !string_equal(type, kinds[kind].type))
            continue;
        r = get(cli, kind, name, size, ret, &problem);
        if (r >= 0)
            return 0;
        /* a name that no image can have is not an image */
        if (type || (problem.class != ERROR_NOT_FOUND && problem.class != ERROR_INVALID))
            return error_copy(err, &problem);
    }
    return error_set_class(err, ERROR_NOT_FOUND, "Error: No such object: %s", name);
}

static int print_found(struct cli *cli, const char *format, const json_t *found, struct error *err)
{
    json_t *object = NULL;
    size_t i = 0;
    int r = 0;

    if (string_is_empty(format)) {
        CLEANUP_FREE char *text = json_dumps(found, JSON_INDENT(4));

        if (!text)
            return error_oom(err);
        fprintf(cli->out, "%s\n", text);
        return 0;
    }
    json_array_foreach (found, i, object) {
        r = template_print(cli->out, format, object, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int inspect(struct cli *cli, const struct options *options, const char *type, bool size,
                   struct error *err)
{
    CLEANUP_JSON json_t *found = json_array();
    struct error problem = ERROR_INIT;
    int r = 0;

    for (char *const *name = options->arguments; *name && problem.code == 0; name++) {
        json_t *object = NULL;

        r = find(cli, type, *name, size, &object, &problem);
        if (r >= 0 && json_array_append_new(found, object) < 0)
            return error_oom(err);
    }
    r = print_found(cli, options_text(options, "format"), found, err);
    if (r < 0)
        return r;
    fflush(cli->out);
    return problem.code != 0 ? error_copy(err, &problem) : 0;
}

static int run_any(struct cli *cli, const struct options *options, struct error *err)
{
    const char *type = options_text(options, "type");
    bool is_known = string_is_empty(type);

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        is_known = is_known || string_equal(type, kinds[i].type);
    if (!is_known)
        return error_set_class(err, ERROR_INVALID, "\"%s\" is not a valid value for --type", type);
    return inspect(cli, options, string_is_empty(type) ? NULL : type, options_flag(options, "size"),
                   err);
}

static int run_container(struct cli *cli, const struct options *options, struct error *err)
{
    return inspect(cli, options, "container", options_flag(options, "size"), err);
}

static int run_image(struct cli *cli, const struct options *options, struct error *err)
{
    return inspect(cli, options, "image", false, err);
}

static int run_network(struct cli *cli, const struct options *options, struct error *err)
{
    return inspect(cli, options, "network", false, err);
}

static int run_volume(struct cli *cli, const struct options *options, struct error *err)
{
    return inspect(cli, options, "volume", false, err);
}

const struct command command_inspect = {
    .name = "inspect",
    .usage = "[OPTIONS] NAME|ID [NAME|ID...]",
    .summary = "Return low-level information on objects",
    .options = any_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_any,
};

const struct command command_container_inspect = {
    .name = "container inspect",
    .usage = "[OPTIONS] CONTAINER [CONTAINER...]",
    .summary = "Display detailed information on one or more containers",
    .options = container_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_container,
};

const struct command command_image_inspect = {
    .name = "image inspect",
    .usage = "[OPTIONS] IMAGE [IMAGE...]",
    .summary = "Display detailed information on one or more images",
    .options = plain_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_image,
};

const struct command command_network_inspect = {
    .name = "network inspect",
    .usage = "[OPTIONS] NETWORK [NETWORK...]",
    .summary = "Display detailed information on one or more networks",
    .options = plain_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_network,
};

const struct command command_volume_inspect = {
    .name = "volume inspect",
    .usage = "[OPTIONS] VOLUME [VOLUME...]",
    .summary = "Display detailed information on one or more volumes",
    .options = plain_options,
    .min_arguments = 1,
    .max_arguments = ARGUMENTS_ANY,
    .run = run_volume,
};
