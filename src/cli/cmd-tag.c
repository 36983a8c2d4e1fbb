#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/reference.h"

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(reference_release) struct reference target = REFERENCE_INIT;
    CLEANUP(query_release) struct query query = QUERY_INIT;
    int r = reference_parse(options->arguments[1], &target, err);

    if (r < 0)
        return error_wrap(err, r, "Error parsing reference: \"%s\" is not a valid repository/tag",
                          options->arguments[1]);
    if (target.digest)
        return error_set_class(err, ERROR_INVALID,
                               "refusing to create a tag with a digest reference");
    query_path(&query, "/images/%s/tag", options->arguments[0]);
    query_add(&query, "repo", target.name);
    query_add(&query, "tag", string_or(target.tag, "latest"));
    r = client_post(cli->client, query_text(&query), NULL, NULL, err);
    return r < 0 ? r : 0;
}

const struct command command_tag = {
    .name = "tag",
    .aliases = "image tag",
    .usage = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    .summary = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
    .min_arguments = 2,
    .max_arguments = 2,
    .run = run,
};
