#include "cli/help.h"

#include "base/strings.h"
#include "cli/command.h"
#include "cli/options.h"
#include "cli/terminal.h"

#include <string.h>

enum { HELP_WIDTH = 80, HELP_WIDTH_MIN = 40, LABEL_MAX = 64 };

/* Prints text that starts at column `indent`, broken at blanks. */
static void print_wrapped(FILE *out, const char *text, size_t indent, size_t width)
{
    size_t column = indent;

    for (const char *word = text; *word;) {
        size_t length = strcspn(word, " ");

        if (column > indent && column + 1 + length > width) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(word, 1, length, out);
        column += length;
        word += length;
        word += strspn(word, " ");
    }
    fputc('\n', out);
}

static void option_label(const struct cli_option *option, char label[LABEL_MAX])
{
    const char *word = option_value_word(option);

    if (option->letter)
        snprintf(label, LABEL_MAX, "  -%c, --%s%s%s", option->letter, option->name,
                 *word ? " " : "", word);
    else
        snprintf(label, LABEL_MAX, "      --%s%s%s", option->name, *word ? " " : "", word);
}

static void print_options(FILE *out, const struct cli_option *table)
{
    char label[LABEL_MAX];
    char text[1024];
    size_t widest = 0;
    size_t width = terminal_width(out, HELP_WIDTH);

    for (const struct cli_option *o = table; o && o->name; o++) {
        option_label(o, label);
        if (o->help && strlen(label) > widest)
            widest = strlen(label);
    }
    if (width < widest + HELP_WIDTH_MIN)
        width = widest + HELP_WIDTH_MIN;
    for (const struct cli_option *o = table; o && o->name; o++) {
        if (!o->help)
            continue;
        option_label(o, label);
        if (o->fallback && *o->fallback && o->type == OPTION_STRING)
            snprintf(text, sizeof(text), "%s (default \"%s\")", o->help, o->fallback);
        else if (o->fallback && *o->fallback)
            snprintf(text, sizeof(text), "%s (default %s)", o->help, o->fallback);
        else
            snprintf(text, sizeof(text), "%s", o->help);
        fprintf(out, "%-*s   ", (int)widest, label);
        print_wrapped(out, text, widest + 3, width);
    }
}

void help_print_usage(FILE *out, const struct command *command)
{
    fprintf(out, "Usage:  hull %s%s%s\n", command->name, *command->usage ? " " : "",
            command->usage);
}

void help_print_command(FILE *out, const struct command *command)
{
    help_print_usage(out, command);
    fprintf(out, "\n%s\n", command->summary);
    if (command->aliases) {
        fprintf(out, "\nAliases:\n  hull ");
        for (const char *p = command->aliases; *p; p++) {
            fputc(*p, out);
            if (*p == ' ' && p > command->aliases && p[-1] == ',')
                fputs("hull ", out);
        }
        fprintf(out, ", hull %s\n", command->name);
    }
    if (command->options && command->options[0].name) {
        fprintf(out, "\nOptions:\n");
        print_options(out, command->options);
    }
}

void help_print_group(FILE *out, const struct command_group *group)
{
    fprintf(out, "Usage:  hull %s COMMAND\n\n%s\n\nCommands:\n", group->name, group->summary);
    for (const struct command *const *c = cli_commands; *c; c++) {
        char prefix[LABEL_MAX];
        size_t length = (size_t)snprintf(prefix, sizeof(prefix), "%s ", group->name);
        const char *found = string_starts_with((*c)->name, prefix) ? (*c)->name : NULL;

        if (!found && (*c)->aliases) {
            found = (*c)->aliases;
            while (found && !string_starts_with(found, prefix)) {
                found = strstr(found, ", ");
                found = found ? found + 2 : NULL;
            }
        }
        if (found)
            fprintf(out, "  %-10.*s  %s\n", (int)strcspn(found + length, ","), found + length,
                    (*c)->summary);
    }
    fprintf(out, "\nRun 'hull %s COMMAND --help' for more information on a command.\n",
            group->name);
}

void help_print_program(FILE *out)
{
    fprintf(out, "Usage:  hull [OPTIONS] COMMAND\n\n"
                 "Containers as processes or in virtual machines of their own\n\n"
                 "Commands:\n");
    for (const struct command *const *c = cli_commands; *c; c++)
        if (!strchr((*c)->name, ' ') && !((*c)->flags & COMMAND_HIDDEN))
            fprintf(out, "  %-10s  %s\n", (*c)->name, (*c)->summary);
    fprintf(out, "\nGroups:\n");
    for (const struct command_group *g = cli_groups; g->name; g++)
        fprintf(out, "  %-10s  %s\n", g->name, g->summary);
    fprintf(out, "\nGlobal Options:\n"
                 "  -H, --host string   Engine to talk to, unix://PATH (default: HULL_HOST, then\n"
                 "                      DOCKER_HOST, then unix:///run/hull/hull.sock)\n"
                 "      --help          Print this\n"
                 "  -v, --version       Print version information and quit\n"
                 "\nRun 'hull COMMAND --help' for more information on a command.\n");
}
