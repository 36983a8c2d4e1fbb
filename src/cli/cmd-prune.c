/* prune (containers), image prune and volume prune. */
#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/filters.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/text.h"

#include <unistd.h>

static const struct cli_option container_options[] = {
    {.name = "filter",
     .type = OPTION_LIST,
     .value = "filter",
     .help = "Provide filter values (e.g. \"until=<timestamp>\")"},
    {.name = "force", .letter = 'f', .type = OPTION_BOOL, .help = "Do not prompt for confirmation"},
    {.name = NULL},
};

static const struct cli_option image_options[] = {
    {.name = "all",
     .letter = 'a',
     .type = OPTION_BOOL,
     .help = "Remove all unused images, not just dangling ones"},
    {.name = "filter",
     .type = OPTION_LIST,
     .value = "filter",
     .help = "Provide filter values (e.g. \"until=<timestamp>\")"},
    {.name = "force", .letter = 'f', .type = OPTION_BOOL, .help = "Do not prompt for confirmation"},
    {.name = NULL},
};

static const struct cli_option volume_options[] = {
    {.name = "all",
     .letter = 'a',
     .type = OPTION_BOOL,
     .help = "Remove all unused volumes, not just anonymous ones"},
    {.name = "filter",
     .type = OPTION_LIST,
     .value = "filter",
     .help = "Provide filter values (e.g. \"label=<label>\")"},
    {.name = "force", .letter = 'f', .type = OPTION_BOOL, .help = "Do not prompt for confirmation"},
    {.name = NULL},
};

/* Only a line that starts with y or Y is a yes. */
static bool confirm(struct cli *cli, const char *warning)
{
    char first = 0;
    char c = 0;

    fprintf(cli->out, "WARNING! %s\nAre you sure you want to continue? [y/N] ", warning);
    fflush(cli->out);
    for (size_t n = 0; read(cli->in, &c, 1) == 1 && c != '\n'; n++)
        if (n == 0)
            first = c;
    return first == 'y' || first == 'Y';
}

static int post(struct cli *cli, const char *target, const json_t *filters, json_t **ret,
                struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    int r = 0;

    query_path(&query, "%s", target);
    r = filters_to_query(filters, &query, err);
    return r < 0 ? r : client_post(cli->client, query_text(&query), NULL, ret, err);
}

static void print_reclaimed(struct cli *cli, const json_t *answer)
{
    char size[FORMAT_MAX];
    double bytes = json_number_value(json_object_get(answer, "SpaceReclaimed"));

    fprintf(cli->out, "Total reclaimed space: %s\n", format_size(bytes, 4, size));
}

/* A heading and a line each, and an empty line; nothing for an empty list. */
static void print_deleted(struct cli *cli, const char *heading, const json_t *deleted)
{
    json_t *id = NULL;
    size_t i = 0;

    if (json_array_size(deleted) == 0)
        return;
    fprintf(cli->out, "%s\n", heading);
    json_array_foreach ((json_t *)(uintptr_t)deleted, i, id) {
        text_print(cli->out, string_or(json_string_value(id), ""));
        fputc('\n', cli->out);
    }
    fputc('\n', cli->out);
}

static int run_containers(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *filters = json_object();
    CLEANUP_JSON json_t *answer = NULL;
    int r = filters_add_list(filters, options_list(options, "filter"), err);

    if (r < 0)
        return r;
    if (!options_flag(options, "force") &&
        !confirm(cli, "This will remove all stopped containers."))
        return error_set(err, -ECANCELED, "container prune has been cancelled");
    r = post(cli, "/containers/prune", filters, &answer, err);
    if (r < 0)
        return r;
    print_deleted(cli, "Deleted Containers:", json_object_get(answer, "ContainersDeleted"));
    print_reclaimed(cli, answer);
    return 0;
}

static int run_volumes(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *filters = json_object();
    CLEANUP_JSON json_t *answer = NULL;
    bool all = options_flag(options, "all");
    int r = filters_add_list(filters, options_list(options, "filter"), err);

    if (r == 0 && all)
        r = filters_add(filters, "all", "true", err);
    if (r < 0)
        return r;
    if (!options_flag(options, "force") &&
        !confirm(cli, all ? "This will remove all local volumes not used by at least one container."
                          : "This will remove anonymous local volumes not used by at least one "
                            "container."))
        return error_set(err, -ECANCELED, "volume prune has been cancelled");
    r = post(cli, "/volumes/prune", filters, &answer, err);
    if (r < 0)
        return r;
    print_deleted(cli, "Deleted Volumes:", json_object_get(answer, "VolumesDeleted"));
    print_reclaimed(cli, answer);
    return 0;
}

static void print_image(struct cli *cli, const json_t *item)
{
    const char *untagged = json_string_value(json_object_get(item, "Untagged"));
    const char *deleted = json_string_value(json_object_get(item, "Deleted"));

    fputs(untagged ? "untagged: " : "deleted: ", cli->out);
    text_print(cli->out, string_or(untagged ? untagged : deleted, ""));
    fputc('\n', cli->out);
}

static int run_images(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *filters = json_object();
    CLEANUP_JSON json_t *answer = NULL;
    json_t *deleted = NULL;
    json_t *item = NULL;
    bool all = options_flag(options, "all");
    size_t i = 0;
    int r = filters_add_list(filters, options_list(options, "filter"), err);

    if (r == 0)
        r = filters_add(filters, "dangling", all ? "false" : "true", err);
    if (r < 0)
        return r;
    if (!options_flag(options, "force") &&
        !confirm(cli,
                 all ? "This will remove all images without at least one container associated to "
                       "them."
                     : "This will remove all dangling images."))
        return error_set(err, -ECANCELED, "image prune has been cancelled");
    r = post(cli, "/images/prune", filters, &answer, err);
    if (r < 0)
        return r;
    deleted = json_object_get(answer, "ImagesDeleted");
    if (json_array_size(deleted) > 0)
        fprintf(cli->out, "Deleted Images:\n");
    json_array_foreach (deleted, i, item)
        print_image(cli, item);
    if (json_array_size(deleted) > 0)
        fputc('\n', cli->out);
    print_reclaimed(cli, answer);
    return 0;
}

const struct command command_prune = {
    .name = "prune",
    .aliases = "container prune",
    .usage = "[OPTIONS]",
    .summary = "Remove all stopped containers",
    .options = container_options,
    .max_arguments = 0,
    .run = run_containers,
};

const struct command command_image_prune = {
    .name = "image prune",
    .usage = "[OPTIONS]",
    .summary = "Remove unused images",
    .options = image_options,
    .max_arguments = 0,
    .run = run_images,
};

const struct command command_volume_prune = {
    .name = "volume prune",
    .usage = "[OPTIONS]",
    .summary = "Remove unused local volumes",
    .options = volume_options,
    .max_arguments = 0,
    .run = run_volumes,
};
