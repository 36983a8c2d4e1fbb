#include "cli/command.h"
#include "cli/commands.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/template.h"
#include "cli/text.h"
#include "cli/version.h"

#include <string.h>

static const struct cli_option options_table[] = {
    {.name = "format",
     .letter = 'f',
     .type = OPTION_STRING,
     .help = "'json', or text with {{.ServerVersion}} and the like"},
    {.name = NULL},
};

/* Printed one after the other; the special ones have a function. */
struct info_line {
    const char *label;
    const char *member; /* a string, number or boolean; nothing is printed when it is missing */
    void (*print)(FILE *out, const json_t *info);
};

static void print_words(FILE *out, const json_t *list)
{
    json_t *item = NULL;
    size_t i = 0;

    json_array_foreach (list, i, item) {
        fputc(' ', out);
        text_print(out, string_or(json_string_value(item), ""));
    }
    fputc('\n', out);
}

static void print_lines(FILE *out, const char *title, const json_t *list)
{
    json_t *item = NULL;
    size_t i = 0;

    if (json_array_size(list) == 0)
        return;
    fprintf(out, " %s:\n", title);
    json_array_foreach (list, i, item) {
        fputs("  ", out);
        text_print(out, string_or(json_string_value(item), ""));
        fputc('\n', out);
    }
}

static void print_driver_status(FILE *out, const json_t *info)
{
    const json_t *list = json_object_get(info, "DriverStatus");
    json_t *pair = NULL;
    size_t i = 0;

    json_array_foreach (list, i, pair) {
        fputs("  ", out);
        text_print(out, string_or(json_string_value(json_array_get(pair, 0)), ""));
        fputs(": ", out);
        text_print(out, string_or(json_string_value(json_array_get(pair, 1)), ""));
        fputc('\n', out);
    }
}

static void print_plugins(FILE *out, const json_t *info)
{
    static const char *const kinds[] = {"Volume", "Network", "Log"};
    const json_t *plugins = json_object_get(info, "Plugins");

    if (!plugins)
        return;
    fputs(" Plugins:\n", out);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        fprintf(out, "  %s:", kinds[i]);
        print_words(out, json_object_get(plugins, kinds[i]));
    }
}

static void print_runtimes(FILE *out, const json_t *info)
{
    json_t *runtimes = json_object_get(info, "Runtimes");
    const char *name = NULL;
    json_t *runtime = NULL;

    if (json_object_size(runtimes) == 0)
        return;
    fputs(" Runtimes:", out);
    json_object_foreach (runtimes, name, runtime) {
        fputc(' ', out);
        text_print(out, name);
    }
    fputc('\n', out);
}

/* "name=seccomp,profile=builtin" as "seccomp" and "Profile: builtin" below it. */
static void print_security(FILE *out, const json_t *info)
{
    const json_t *list = json_object_get(info, "SecurityOptions");
    json_t *item = NULL;
    size_t i = 0;

    if (json_array_size(list) > 0)
        fputs(" Security Options:\n", out);
    json_array_foreach (list, i, item) {
        CLEANUP_STRV char **parts = NULL;

        if (strv_split(string_or(json_string_value(item), ""), ',', &parts) < 0)
            return;
        for (size_t k = 0; parts && parts[k]; k++) {
            if (string_starts_with(parts[k], "name=")) {
                fputs("  ", out);
                text_print(out, parts[k] + strlen("name="));
            } else {
                fputs("   ", out);
                text_print(out, string_starts_with(parts[k], "profile=") ? "Profile: " : "");
                text_print(out, string_starts_with(parts[k], "profile=")
                                    ? parts[k] + strlen("profile=")
                                    : parts[k]);
            }
            fputc('\n', out);
        }
    }
}

static void print_memory(FILE *out, const json_t *info)
{
    char text[FORMAT_MAX];

    fprintf(out, " Total Memory: %s\n",
            format_binary_size(json_number_value(json_object_get(info, "MemTotal")), text));
}

static void print_lists(FILE *out, const json_t *info)
{
    const json_t *registry = json_object_get(info, "RegistryConfig");

    print_lines(out, "Labels", json_object_get(info, "Labels"));
    print_lines(out, "Insecure Registries", json_object_get(registry, "InsecureRegistryCIDRs"));
    print_lines(out, "Registry Mirrors", json_object_get(registry, "Mirrors"));
}

static const struct info_line lines[] = {
    {"Containers", "Containers", NULL},
    {" Running", "ContainersRunning", NULL},
    {" Paused", "ContainersPaused", NULL},
    {" Stopped", "ContainersStopped", NULL},
    {"Images", "Images", NULL},
    {"Server Version", "ServerVersion", NULL},
    {"Default Isolation", "Isolation", NULL},
    {"Storage Driver", "Driver", print_driver_status},
    {"Logging Driver", "LoggingDriver", NULL},
    {"Cgroup Driver", "CgroupDriver", NULL},
    {"Cgroup Version", "CgroupVersion", print_plugins},
    {NULL, NULL, print_runtimes},
    {"Default Runtime", "DefaultRuntime", NULL},
    {"Init Binary", "InitBinary", print_security},
    {"Kernel Version", "KernelVersion", NULL},
    {"Operating System", "OperatingSystem", NULL},
    {"OSType", "OSType", NULL},
    {"Architecture", "Architecture", NULL},
    {"CPUs", "NCPU", print_memory},
    {"Name", "Name", NULL},
    {"ID", "ID", NULL},
    {"Docker Root Dir", "DockerRootDir", NULL},
    {"Debug Mode", "Debug", NULL},
    {"HTTP Proxy", "HttpProxy", NULL},
    {"HTTPS Proxy", "HttpsProxy", NULL},
    {"No Proxy", "NoProxy", print_lists},
    {"Live Restore Enabled", "LiveRestoreEnabled", NULL},
};

static void print_member(FILE *out, const char *label, const json_t *value)
{
    if (!value || json_is_null(value) || (json_is_string(value) && !*json_string_value(value)))
        return;
    fprintf(out, " %s: ", label);
    if (json_is_string(value))
        text_print(out, json_string_value(value));
    else if (json_is_boolean(value))
        fputs(json_is_true(value) ? "true" : "false", out);
    else
        fprintf(out, "%.0f", json_number_value(value));
    fputc('\n', out);
}

static void print_info(struct cli *cli, const json_t *info)
{
    json_t *warning = NULL;
    size_t i = 0;

    fprintf(cli->out, "Client:\n Version:    %s\n\nServer:\n", HULL_VERSION);
    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (lines[i].label)
            print_member(cli->out, lines[i].label, json_object_get(info, lines[i].member));
        if (lines[i].print)
            lines[i].print(cli->out, info);
    }
    fputc('\n', cli->out);
    fflush(cli->out);
    json_array_foreach (json_object_get(info, "Warnings"), i, warning) {
        text_print(cli->err, string_or(json_string_value(warning), ""));
        fputc('\n', cli->err);
    }
}

static int run(struct cli *cli, const struct options *options, struct error *err)
{
    CLEANUP_JSON json_t *info = NULL;
    const char *format = options_text(options, "format");
    int r = client_get(cli->client, "/info", &info, err);

    if (r < 0)
        return r;
    if (!string_is_empty(format))
        return template_print(cli->out, format, info, err);
    print_info(cli, info);
    return 0;
}

const struct command command_info = {
    .name = "info",
    .aliases = "system info",
    .usage = "[OPTIONS]",
    .summary = "Display system-wide information",
    .options = options_table,
    .max_arguments = 0,
    .run = run,
};
