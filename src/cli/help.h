/* Help texts, made from the tables of commands and options. */
#ifndef HULL_CLI_HELP_H
#define HULL_CLI_HELP_H

#include <stdio.h>

struct command;
struct command_group;

void help_print_program(FILE *out);
void help_print_group(FILE *out, const struct command_group *group);
void help_print_command(FILE *out, const struct command *command);
/* "Usage:  hull NAME ..." */
void help_print_usage(FILE *out, const struct command *command);

#endif
