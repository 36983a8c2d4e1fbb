#include "cli/command.h"
#include "cli/commands.h"

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "base/timestamp.h"
#include "cli/client.h"
#include "cli/filters.h"
#include "cli/options.h"
#include "cli/query.h"
#include "cli/since.h"
#include "cli/template.h"
#include "cli/text.h"

#include <stdlib.h>
#include <string.h>

enum { EVENT_MAX = 1024 * 1024, EVENT_ATTRIBUTES_MAX = 1024 };

static const struct cli_option options_table[] = {
    {.name = "filter",
     .letter = 'f',
     .type = OPTION_LIST,
     .value = "filter",
     .help = "Filter output based on conditions provided"},
    {.name = "format",
     .type = OPTION_STRING,
     .help = "'json', or text with {{.Action}} and the like"},
    {.name = "since", .type = OPTION_STRING, .help = "Show all events created since timestamp"},
    {.name = "until", .type = OPTION_STRING, .help = "Stream events until this timestamp"},
    {.name = NULL},
};

struct sink {
    struct cli *cli;
    const char *format;
    struct buffer line;
};

static const char *text_of(const json_t *object, const char *name)
{
    return string_or(json_string_value(json_object_get(object, name)), "");
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;

    return strcmp(*x, *y);
}

/* " (a=b, c=d)" with the names in order. */
static void print_attributes(FILE *out, json_t *attributes)
{
    const char *names[EVENT_ATTRIBUTES_MAX];
    const char *name = NULL;
    json_t *value = NULL;
    size_t n = 0;

    json_object_foreach (attributes, name, value)
        if (n < EVENT_ATTRIBUTES_MAX)
            names[n++] = name;
    if (n == 0)
        return;
    qsort(names, n, sizeof(names[0]), compare_names);
    for (size_t i = 0; i < n; i++) {
        fputs(i == 0 ? " (" : ", ", out);
        text_print(out, names[i]);
        fputc('=', out);
        text_print(out, text_of(attributes, names[i]));
    }
    fputc(')', out);
}

static int print_event(struct sink *sink, struct error *err)
{
    CLEANUP_JSON json_t *event = NULL;
    FILE *out = sink->cli->out;
    const json_t *actor = NULL;
    char when[TIMESTAMP_TEXT_MAX];
    int r = json_parse(buffer_string(&sink->line), sink->line.length, &event, err);

    if (r < 0)
        return error_wrap(err, r, "an event of the daemon");
    if (!string_is_empty(sink->format)) {
        r = template_print(out, sink->format, event, err);
    } else {
        actor = json_object_get(event, "Actor");
        fprintf(out, "%s ",
                timestamp_format(json_integer_value(json_object_get(event, "timeNano")), when));
        text_print(out, text_of(event, "Type"));
        fputc(' ', out);
        text_print(out, text_of(event, "Action"));
        fputc(' ', out);
        text_print(out, text_of(actor, "ID"));
        print_attributes(out, json_object_get(actor, "Attributes"));
        fputc('\n', out);
    }
    fflush(out);
    return r;
}

static bool is_blank(const struct buffer *line)
{
    return strspn(buffer_string(line), " \r\n") == line->length;
}

static int receive(void *data, const char *bytes, size_t length, struct error *err)
{
    struct sink *sink = data;

    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t n = end ? (size_t)(end - bytes) + 1 : length;
        int r = 0;

        if (buffer_append(&sink->line, bytes, n) < 0)
            return error_set(err, -EPROTO, "an event of the daemon is too long");
        bytes += n;
        length -= n;
        if (!end)
            return 0;
        if (!is_blank(&sink->line))
            r = print_event(sink, err);
        buffer_clear(&sink->line);
        if (r < 0)
            return r;
    }
    return 0;
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP(query_release) struct query query = QUERY_INIT;
    CLEANUP_JSON json_t *filters = json_object();
    struct sink sink = {
        .cli = cli, .format = options_text(options, "format"), .line = BUFFER_INIT(EVENT_MAX)};
    struct client_request request = {.method = "GET", .receive = receive, .data = &sink};
    int r = filters_add_list(filters, options_list(options, "filter"), err);

    query_path(&query, "/events");
    if (r == 0)
        r = filters_to_query(filters, &query, err);
    if (r == 0)
        r = since_to_query(&query, "since", options_text(options, "since"), err);
    if (r == 0)
        r = since_to_query(&query, "until", options_text(options, "until"), err);
    if (r < 0)
        return r;
    request.target = query_text(&query);
    r = client_perform(cli->client, &request, NULL, err);
    if (r >= 0 && !is_blank(&sink.line))
        r = print_event(&sink, err);
    buffer_release(&sink.line);
    return r < 0 ? r : 0;
}

const struct command command_events = {
    .name = "events",
    .aliases = "system events",
    .usage = "[OPTIONS]",
    .summary = "Get real time events from the server",
    .options = options_table,
    .max_arguments = 0,
    .run = run,
};
