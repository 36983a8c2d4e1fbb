/* hull: the command line. */
#include "cli/command.h"

#include <locale.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct cli cli = {.out = stdout, .err = stderr, .in = STDIN_FILENO};

    (void)setlocale(LC_CTYPE, "");
    return cli_main(&cli, argc, argv);
}
