#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/options.h"
#include "cli/template.h"
#include "cli/text.h"
#include "cli/version.h"

#include <sys/utsname.h>

static const struct cli_option options_table[] = {
    {.name = "format",
     .letter = 'f',
     .type = OPTION_STRING,
     .help = "'json', or text with {{.Server.Version}} and the like"},
    {.name = NULL},
};

static const char *text_of(const json_t *object, const char *name)
{
    return string_or(json_string_value(json_object_get(object, name)), "");
}

static void print_line(FILE *out, const char *label, const char *value)
{
    fprintf(out, "%-19s ", label);
    text_print(out, value);
    fputc('\n', out);
}

/* The client half of the document; Go's names for machines, as docker shows them. */
static json_t *client_half(void)
{
    struct utsname names;
    const char *machine = "unknown";

    if (uname(&names) == 0)
        machine = string_equal(names.machine, "x86_64")    ? "amd64"
                  : string_equal(names.machine, "aarch64") ? "arm64"
                                                           : names.machine;
    return json_pack("{s:s,s:s,s:s,s:s,s:s}", "Version", HULL_VERSION, "ApiVersion",
                     CLI_API_VERSION, "DefaultAPIVersion", CLI_API_VERSION, "Os", "linux", "Arch",
                     machine);
}

static void print_client(FILE *out, const json_t *client, const char *api)
{
    CLEANUP_FREE char *machine =
        string_format("%s/%s", text_of(client, "Os"), text_of(client, "Arch"));

    fprintf(out, "Client:\n");
    print_line(out, " Version:", text_of(client, "Version"));
    print_line(out, " API version:", api);
    print_line(out, " OS/Arch:", string_or(machine, ""));
}

static void print_component(FILE *out, const json_t *component)
{
    static const struct {
        const char *member;
        const char *label;
    } lines[] = {
        {"GoVersion", "  Go version:"},
        {"GitCommit", "  Git commit:"},
        {"BuildTime", "  Built:"},
    };
    const json_t *details = json_object_get(component, "Details");

    fputc(' ', out);
    text_print(out, text_of(component, "Name"));
    fputs(":\n", out);
    print_line(out, "  Version:", text_of(component, "Version"));
    if (json_object_get(details, "ApiVersion")) {
        CLEANUP_FREE char *api =
            string_format("%s (minimum version %s)", text_of(details, "ApiVersion"),
                          text_of(details, "MinAPIVersion"));
        print_line(out, "  API version:", string_or(api, ""));
    }
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (*text_of(details, lines[i].member))
            print_line(out, lines[i].label, text_of(details, lines[i].member));
    if (*text_of(details, "Os")) {
        CLEANUP_FREE char *machine =
            string_format("%s/%s", text_of(details, "Os"), text_of(details, "Arch"));
        print_line(out, "  OS/Arch:", string_or(machine, ""));
    }
}

static void print_server(FILE *out, const json_t *server)
{
    const json_t *components = json_object_get(server, "Components");
    const char *platform = text_of(json_object_get(server, "Platform"), "Name");
    json_t *component = NULL;
    size_t i = 0;

    fputs("\nServer:", out);
    if (*platform) {
        fputc(' ', out);
        text_print(out, platform);
    }
    fputc('\n', out);
    json_array_foreach (components, i, component)
        print_component(out, component);
    if (json_array_size(components) == 0)
        print_line(out, " Version:", text_of(server, "Version"));
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *document = json_object();
    json_t *server = NULL;
    json_t *client = client_half();
    const char *format = options_text(options, "format");
    const char *api = CLI_API_VERSION;
    struct error problem = ERROR_INIT;
    int reached = client_get(cli->client, "/version", &server, &problem);
    int r = 0;

    if (reached >= 0) {
        r = client_api_prefix(cli->client, &api, err);
        api += r < 0 ? 0 : 2; /* "/v1.47" */
    }
    if (json_put(document, "Client", client) < 0 ||
        json_put_string(client, "ApiVersion", api) < 0 ||
        json_put(document, "Server", server ? server : json_null()) < 0)
        return error_oom(err);
    if (!string_is_empty(format)) {
        r = template_print(cli->out, format, document, err);
        if (r < 0)
            return r;
    } else {
        print_client(cli->out, client, api);
        if (server)
            print_server(cli->out, server);
    }
    fflush(cli->out);
    return reached < 0 ? error_copy(err, &problem) : 0;
}

const struct command command_version = {
    .name = "version",
    .usage = "[OPTIONS]",
    .summary = "Show the hull version information",
    .options = options_table,
    .max_arguments = 0,
    .run = run,
};
