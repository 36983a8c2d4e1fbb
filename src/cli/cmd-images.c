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
#include "cli/table.h"

#include <string.h>

#define NONE "<none>"

static const struct cli_option options_table[] = {
    {.name = "all",
     .letter = 'a',
     .type = OPTION_BOOL,
     .help = "Show all images (default hides intermediate images)"},
    {.name = "digests", .type = OPTION_BOOL, .help = "Show digests"},
    {.name = "filter",
     .letter = 'f',
     .type = OPTION_LIST,
     .value = "filter",
     .help = "Filter output based on conditions provided"},
    {.name = "format",
     .type = OPTION_STRING,
     .help =
         "'table' (default), 'json', 'table TEMPLATE' or 'TEMPLATE' (text with {{.Repository}} and "
         "the like)"},
    {.name = "no-trunc", .type = OPTION_BOOL, .help = "Don't truncate output"},
    {.name = "quiet", .letter = 'q', .type = OPTION_BOOL, .help = "Only show image IDs"},
    {.name = NULL},
};

static const struct table_column columns[] = {
    {"REPOSITORY", "Repository"}, {"TAG", "Tag"},   {"IMAGE ID", "ID"},
    {"CREATED", "CreatedSince"},  {"SIZE", "Size"}, {NULL, NULL},
};

static const struct table_column columns_with_digest[] = {
    {"REPOSITORY", "Repository"},  {"TAG", "Tag"},
    {"DIGEST", "Digest"},          {"IMAGE ID", "ID"},
    {"CREATED", "CreatedSince"},   {"SIZE", "Size"},
    {"CREATED AT", "CreatedAt"}, /* from here on for templates */
    {"CONTAINERS", "Containers"},  {"SHARED SIZE", "SharedSize"},
    {"UNIQUE SIZE", "UniqueSize"}, {NULL, NULL},
};
enum { N_WITH_DIGEST = 6 };

static int put_size(json_t *row, const char *name, const json_t *item, const char *member,
                    int digits)
{
    char text[FORMAT_MAX];
    double bytes = json_number_value(json_object_get(item, member));

    if (!json_object_get(item, member) || bytes < 0)
        return json_put_string(row, name, "N/A");
    return json_put_string(row, name, format_size(bytes, digits, text));
}

static int append_row(json_t *rows, const json_t *item, const char *repository, const char *tag,
                      const char *digest, bool truncate)
{
    CLEANUP_JSON json_t *row = json_object();
    const char *full = string_or(json_string_value(json_object_get(item, "Id")), "");
    int64_t created = json_integer_value(json_object_get(item, "Created"));
    int64_t containers = json_integer_value(json_object_get(item, "Containers"));
    CLEANUP_FREE char *count =
        containers < 0 ? strdup("N/A") : string_format("%lld", (long long)containers);
    char id[FORMAT_MAX];
    char at[FORMAT_MAX];
    char ago[FORMAT_MAX];

    if (!count || json_put_string(row, "Containers", count) < 0 ||
        json_put_string(row, "CreatedAt", format_time(created, at)) < 0 ||
        json_put_string(row, "CreatedSince", format_ago(created, ago)) < 0 ||
        json_put_string(row, "Digest", digest) < 0 ||
        json_put_string(row, "ID", truncate ? format_short_id(full, id) : full) < 0 ||
        json_put_string(row, "Repository", repository) < 0 ||
        put_size(row, "SharedSize", item, "SharedSize", 3) < 0 ||
        put_size(row, "Size", item, "Size", 3) < 0 || json_put_string(row, "Tag", tag) < 0 ||
        json_put_string(row, "UniqueSize", "N/A") < 0 ||
        put_size(row, "VirtualSize", item, "Size", 4) < 0)
        return -ENOMEM;
    return json_array_append(rows, row);
}

/* "name:tag" at the last colon after the last slash. */
static size_t name_length(const char *reference)
{
    const char *slash = strrchr(reference, '/');
    const char *colon = strrchr(slash ? slash : reference, ':');

    return colon ? (size_t)(colon - reference) : strlen(reference);
}

static const char *digest_of(const json_t *item, const char *repository)
{
    const json_t *list = json_object_get(item, "RepoDigests");
    size_t length = strlen(repository);
    json_t *entry = NULL;
    size_t i = 0;

    json_array_foreach (list, i, entry) {
        const char *text = string_or(json_string_value(entry), "");

        if (strncmp(text, repository, length) == 0 && text[length] == '@')
            return text + length + 1;
    }
    return NONE;
}

static int append_digest_rows(json_t *rows, const json_t *item, bool truncate)
{
    const json_t *list = json_object_get(item, "RepoDigests");
    json_t *entry = NULL;
    size_t i = 0;
    int r = 0;

    json_array_foreach (list, i, entry) {
        const char *text = string_or(json_string_value(entry), NONE "@" NONE);
        const char *at = strchr(text, '@');
        CLEANUP_FREE char *repository = strndup(text, strcspn(text, "@"));

        if (!repository)
            return -ENOMEM;
        r = append_row(rows, item, repository, NONE, at ? at + 1 : NONE, truncate);
        if (r < 0)
            return r;
    }
    return json_array_size(list) > 0 ? 0 : append_row(rows, item, NONE, NONE, NONE, truncate);
}

/* One row per tag; an image without any gives one row all the same. */
static int append_image(json_t *rows, const json_t *item, bool truncate)
{
    const json_t *tags = json_object_get(item, "RepoTags");
    json_t *entry = NULL;
    size_t n = 0;
    size_t i = 0;

    json_array_foreach (tags, i, entry) {
        const char *text = string_or(json_string_value(entry), NONE ":" NONE);
        size_t length = name_length(text);
        CLEANUP_FREE char *repository = strndup(text, length);
        const char *tag = text[length] ? text + length + 1 : NONE;

        if (!repository)
            return -ENOMEM;
        if (string_equal(text, NONE ":" NONE))
            continue;
        if (append_row(rows, item, repository, tag, digest_of(item, repository), truncate) < 0)
            return -ENOMEM;
        n++;
    }
    return n > 0 ? 0 : append_digest_rows(rows, item, truncate);
}

static int get(struct cli *cli, const struct options *options, json_t **ret, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *filters = json_object();
    int r = filters_add_list(filters, options_list(options, "filter"), err);

    if (r == 0 && options->arguments[0])
        r = filters_add(filters, "reference", options->arguments[0], err);
    query_path(&query, "/images/json");
    query_add_flag(&query, "all", options_flag(options, "all"));
    if (r == 0)
        r = filters_to_query(filters, &query, err);
    return r < 0 ? r : client_get(cli->client, query_text(&query), ret, err);
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *answer = NULL;
    CLEANUP_JSON json_t *rows = json_array();
    struct table_column with_digest[N_WITH_DIGEST + 1];
    json_t *item = NULL;
    size_t i = 0;
    int r = get(cli, options, &answer, err);

    json_array_foreach (answer, i, item)
        if (r >= 0 && append_image(rows, item, !options_flag(options, "no-trunc")) < 0)
            r = error_oom(err);
    if (r < 0)
        return r;
    if (options_flag(options, "quiet") && !options_given(options, "format")) {
        list_print_field(cli->out, rows, "ID");
        return 0;
    }
    memcpy(with_digest, columns_with_digest, N_WITH_DIGEST * sizeof(with_digest[0]));
    with_digest[N_WITH_DIGEST] = (struct table_column){NULL, NULL};
    return list_print(cli->out, options_text(options, "format"),
                      options_flag(options, "digests") ? with_digest : columns, columns_with_digest,
                      rows, err);
}

const struct command command_images = {
    .name = "images",
    .aliases = "image ls, image list",
    .usage = "[OPTIONS] [REPOSITORY[:TAG]]",
    .summary = "List images",
    .options = options_table,
    .max_arguments = 1,
    .run = run,
};
