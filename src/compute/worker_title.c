/* ps(1) shows the memory in which the kernel put the arguments. There is no more of it than there
 * was at the start (to name another place takes CAP_SYS_RESOURCE), so who starts a worker for the
 * pool makes the argument long enough (engine/pool.c). */
#include "compute/worker.h"

#include "base/strings.h"

#include <stddef.h>
#include <string.h>

static char *arguments;
static size_t room;

void worker_keep_arguments(int argc, char **argv)
{
    arguments = argv[0];
    /* They follow each other. */
    room = (size_t)(argv[argc - 1] - argv[0]) + strlen(argv[argc - 1]) + 1;
}

void worker_set_title(const char *directory)
{
    static const char name[] = "hull-worker";

    if (room < sizeof(name) + 1)
        return;
    memset(arguments, 0, room);
    memcpy(arguments, name, sizeof(name));
    (void)string_copy(arguments + sizeof(name), room - sizeof(name), directory);
}
