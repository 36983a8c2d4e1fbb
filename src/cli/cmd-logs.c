#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/json.h"
#include "cli/client.h"
#include "cli/container.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/since.h"
#include "cli/stdcopy.h"

static const struct cli_option options_table[] = {
    {.name = "details", .type = OPTION_BOOL, .help = "Show extra details provided to logs"},
    {.name = "follow", .letter = 'f', .type = OPTION_BOOL, .help = "Follow log output"},
    {.name = "since",
     .type = OPTION_STRING,
     .help =
         "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for "
         "42 minutes)"},
    {.name = "tail",
     .letter = 'n',
     .type = OPTION_STRING,
     .fallback = "all",
     .help = "Number of lines to show from the end of the logs"},
    {.name = "timestamps", .letter = 't', .type = OPTION_BOOL, .help = "Show timestamps"},
    {.name = "until",
     .type = OPTION_STRING,
     .help =
         "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" "
         "for 42 minutes)"},
    {.name = NULL},
};

struct sink {
    struct cli *cli;
    bool raw;
    struct stdcopy copy;
};

static int write_out(FILE *file, const void *data, size_t length, struct error *err)
{
    int r = fd_write_full(fileno(file), data, length);

    return r < 0 ? error_set_errno(err, r, "cannot write the output") : 0;
}

static int receive(void *data, const char *bytes, size_t length, struct error *err)
{
    struct sink *sink = data;
    const uint8_t *p = (const uint8_t *)bytes;
    int r = 0;

    if (sink->raw)
        return write_out(sink->cli->out, bytes, length, err);
    while (length > 0 && r == 0) {
        struct stdcopy_part part;
        ssize_t n = stdcopy_next(&sink->copy, p, length, &part, err);

        if (n < 0)
            return (int)n;
        if (part.length > 0 && part.stream == STDCOPY_SYSTEM_ERROR)
            return error_set(err, -EIO, "error from daemon in stream: %.*s",
                             (int)(part.length < 1024 ? part.length : 1024),
                             (const char *)part.data);
        if (part.length > 0)
            r = write_out(part.stream == STDCOPY_STDERR ? sink->cli->err : sink->cli->out,
                          part.data, part.length, err);
        p += n;
        length -= (size_t)n;
    }
    return r;
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *document = NULL;
    struct container_view view;
    struct sink sink = {.cli = cli, .copy = STDCOPY_INIT};
    struct client_request request = {.method = "GET", .receive = receive, .data = &sink};
    int r = container_inspect(cli, options->arguments[0], &document, &view, err);

    if (r < 0)
        return r;
    sink.raw = view.tty;
    query_path(&query, "/containers/%s/logs", view.id);
    query_add_flag(&query, "details", options_flag(options, "details"));
    query_add_flag(&query, "follow", options_flag(options, "follow"));
    r = since_to_query(&query, "since", options_text(options, "since"), err);
    if (r == 0)
        r = since_to_query(&query, "until", options_text(options, "until"), err);
    if (r < 0)
        return r;
    query_add(&query, "stderr", "1");
    query_add(&query, "stdout", "1");
    query_add(&query, "tail", options_text(options, "tail"));
    query_add_flag(&query, "timestamps", options_flag(options, "timestamps"));
    request.target = query_text(&query);
    fflush(cli->out);
    r = client_perform(cli->client, &request, NULL, err);
    return r < 0 ? r : 0;
}

const struct command command_logs = {
    .name = "logs",
    .aliases = "container logs",
    .usage = "[OPTIONS] CONTAINER",
    .summary = "Fetch the logs of a container",
    .options = options_table,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
