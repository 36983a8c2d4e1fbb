#include "cli/command.h"

#include "base/cleanup.h"
#include "base/error.h"
#include "base/strings.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/options.h"
#include "cli/text.h"
#include "cli/version.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_HOST "unix:///run/hull/hull.sock"

enum { ALIAS_MAX = 64 };

static const struct cli_option global_options[] = {
    {.name = "host", .letter = 'H', .type = OPTION_STRING, .help = "Engine to talk to"},
    {.name = "version", .letter = 'v', .type = OPTION_BOOL, .help = "Print version information"},
    {.name = NULL},
};

bool command_is_named(const struct command *command, const char *name)
{
    const char *p = command->aliases;
    size_t length = strlen(name);

    if (string_equal(command->name, name))
        return true;
    while (p && *p) {
        size_t n = strcspn(p, ",");

        if (n == length && memcmp(p, name, n) == 0)
            return true;
        p += n;
        p += strspn(p, ", ");
    }
    return false;
}

static const struct command *find_full_name(const char *name)
{
    for (const struct command *const *c = cli_commands; *c; c++)
        if (command_is_named(*c, name))
            return *c;
    return NULL;
}

const struct command_group *command_group_find(const char *name)
{
    for (const struct command_group *g = cli_groups; g->name; g++)
        if (string_equal(g->name, name))
            return g;
    return NULL;
}

const struct command *command_find(char *const *argv, int *ret_words)
{
    const struct command *command = NULL;
    char name[ALIAS_MAX];

    if (!argv[0])
        return NULL;
    if (argv[1] && snprintf(name, sizeof(name), "%s %s", argv[0], argv[1]) < (int)sizeof(name)) {
        command = find_full_name(name);
        if (command && command_group_find(argv[0])) {
            *ret_words = 2;
            return command;
        }
    }
    command = find_full_name(argv[0]);
    if (command)
        *ret_words = 1;
    return command;
}

static const char *pick_host(const char *option)
{
    const char *host = option;

    if (string_is_empty(host))
        host = getenv("HULL_HOST");
    if (string_is_empty(host))
        host = getenv("DOCKER_HOST");
    return string_is_empty(host) ? DEFAULT_HOST : host;
}

static int usage_error(struct cli *cli, const struct command *command, const struct error *err)
{
    fprintf(cli->err, "%s\n\n", err->message);
    help_print_usage(cli->err, command);
    fprintf(cli->err, "\nRun 'hull %s --help' for more information\n", command->name);
    return EXIT_DAEMON;
}

/* Docker's words for a wrong number of arguments; 0 when it is right. */
static int check_arguments(struct cli *cli, const struct command *command, size_t n)
{
    size_t min = (size_t)command->min_arguments;
    size_t max =
        command->max_arguments == ARGUMENTS_ANY ? SIZE_MAX : (size_t)command->max_arguments;
    const char *see = "Run";

    if (n >= min && n <= max)
        return 0;
    if (max == 0)
        fprintf(cli->err, "hull: 'hull %s' accepts no arguments\n\n", command->name);
    else if (command->max_arguments == ARGUMENTS_ANY) {
        see = "See";
        fprintf(cli->err, "hull: 'hull %s' requires at least %zu argument%s\n\n", command->name,
                min, min == 1 ? "" : "s");
    } else if (min == max)
        fprintf(cli->err, "hull: 'hull %s' requires %zu argument%s\n\n", command->name, min,
                min == 1 ? "" : "s");
    else
        fprintf(cli->err, "hull: 'hull %s' requires at %s %zu argument%s\n\n", command->name,
                n < min ? "least" : "most", n < min ? min : max,
                (n < min ? min : max) == 1 ? "" : "s");
    help_print_usage(cli->err, command);
    fprintf(cli->err, "\n%s 'hull %s --help' for more information\n", see, command->name);
    return 1;
}

int command_report(struct cli *cli, const struct error *err, int status)
{
    bool named = cli->command->flags & COMMAND_NAMED_ERRORS;

    fflush(cli->out);

    fprintf(cli->err, "%s", named ? "hull: " : "");
    text_print_lines(cli->err, err->message);
    fputc('\n', cli->err);
    if (named)
        fprintf(cli->err, "\nRun 'hull %s --help' for more information\n", cli->command->name);
    return status;
}

static int report(struct cli *cli, const struct error *err)
{
    return command_report(cli, err, cli->command->flags & COMMAND_NAMED_ERRORS ? EXIT_DAEMON : 1);
}

static int run_command(struct cli *cli, const struct command *command, char *const *argv)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;
    struct error err = ERROR_INIT;
    unsigned flags = 0;
    int r = 0;

    if (command->flags & COMMAND_OPTIONS_FIRST)
        flags |= OPTIONS_STOP_AT_ARGUMENT;
    if (command->flags & COMMAND_PASS_UNKNOWN)
        flags |= OPTIONS_PASS_UNKNOWN;
    r = options_parse(command->options, argv, flags, &options, &err);
    if (r < 0)
        return usage_error(cli, command, &err);
    if (options.wants_help) {
        help_print_command(cli->out, command);
        return 0;
    }
    r = check_arguments(cli, command, options_n_arguments(&options));
    if (r > 0)
        return r;
    cli->command = command;
    r = client_new(cli->host, &cli->client, &err);
    if (r < 0)
        return report(cli, &err);
    r = command->run(cli, &options, &err);
    cli->client = client_free(cli->client);
    return r < 0 ? report(cli, &err) : r;
}

static int unknown_command(struct cli *cli, char *const *argv, const struct command_group *group)
{
    fprintf(cli->err, "hull: unknown command: hull ");
    if (group)
        fprintf(cli->err, "%s ", group->name);
    text_print(cli->err, group ? argv[1] : argv[0]);
    if (group)
        fprintf(cli->err, "\n\nUsage:  hull %s", group->name);
    fprintf(cli->err, "\n\nRun 'hull%s%s --help' for more information\n", group ? " " : "",
            group ? group->name : "");
    return 1;
}

/* `hull help`, `hull help CMD`, `hull help GROUP [CMD]`. */
static int show_help(struct cli *cli, char *const *argv)
{
    const struct command_group *group = argv[0] ? command_group_find(argv[0]) : NULL;
    const struct command *command = NULL;
    int words = 0;

    if (!argv[0]) {
        help_print_program(cli->out);
        return 0;
    }
    command = command_find(argv, &words);
    if (command)
        help_print_command(cli->out, command);
    else if (group)
        help_print_group(cli->out, group);
    else
        return unknown_command(cli, argv, NULL);
    return 0;
}

static int dispatch(struct cli *cli, char *const *argv)
{
    const struct command *command = NULL;
    const struct command_group *group = NULL;
    int words = 0;

    if (string_equal(argv[0], "help"))
        return show_help(cli, argv + 1);
    command = command_find(argv, &words);
    if (command)
        return run_command(cli, command, argv + words);
    group = command_group_find(argv[0]);
    if (!group)
        return unknown_command(cli, argv, NULL);
    if (argv[1] && !string_equal(argv[1], "--help") && !string_equal(argv[1], "-h"))
        return unknown_command(cli, argv, group);
    help_print_group(cli->out, group);
    return 0;
}

int cli_main(struct cli *cli, int argc, char *const *argv)
{
    CLEANUP(options_release) struct options options = OPTIONS_INIT;
    struct error err = ERROR_INIT;
    int r = 0;

    r = options_parse(global_options, argc > 0 ? argv + 1 : argv, OPTIONS_STOP_AT_ARGUMENT,
                      &options, &err);
    if (r < 0) {
        fprintf(cli->err,
                "%s\n\nUsage:  hull [OPTIONS] COMMAND\n\nRun 'hull --help' for more "
                "information\n",
                err.message);
        return EXIT_DAEMON;
    }
    if (options_flag(&options, "version")) {
        fprintf(cli->out, "hull version %s\n", HULL_VERSION);
        return 0;
    }
    if (options.wants_help || options_n_arguments(&options) == 0) {
        help_print_program(cli->out);
        return 0;
    }
    cli->host = pick_host(options_text(&options, "host"));
    r = dispatch(cli, options.arguments);
    cli->host = NULL;
    if (fflush(cli->out) != 0 && r == 0) {
        fprintf(cli->err, "hull: cannot write the output\n");
        return 1;
    }
    return r;
}
