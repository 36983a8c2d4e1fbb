#include "base/cleanup.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* The pointer is fetched and cleared with memcpy(): the variable is a `char *` or a `struct x *`,
 * and reading it as a `void *` would break the aliasing rules. */
static void *pointer_take(void *pointer_to_pointer)
{
    void *pointer;
    void *nothing = NULL;

    memcpy(&pointer, pointer_to_pointer, sizeof(pointer));
    memcpy(pointer_to_pointer, &nothing, sizeof(nothing));
    return pointer;
}

void cleanup_free(void *pointer_to_pointer)
{
    int saved = errno;

    free(pointer_take(pointer_to_pointer));
    errno = saved;
}

void cleanup_close(int *fd)
{
    *fd = fd_close(*fd);
}

void cleanup_dir(void *pointer_to_dir)
{
    int saved = errno;
    DIR *dir = pointer_take(pointer_to_dir);

    if (dir)
        closedir(dir);
    errno = saved;
}

void cleanup_file(void *pointer_to_file)
{
    int saved = errno;
    FILE *file = pointer_take(pointer_to_file);

    if (file)
        fclose(file);
    errno = saved;
}
