/* Ownership by declaration: a local that owns something says so where it is declared.
 *
 *     CLEANUP_FREE char *name = NULL;
 *     CLEANUP_CLOSE int fd = -EBADF;
 *     CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(4096);
 *     ...
 *     return TAKE_FD(fd);
 *
 * One declaration a line, always initialised. A closed or absent descriptor is -EBADF, so that a
 * clean-up may run twice and a descriptor used too late fails with EBADF instead of hitting a
 * stranger's file. */
#ifndef HULL_BASE_CLEANUP_H
#define HULL_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>

#define CLEANUP(function) __attribute__((cleanup(function)))
#define CLEANUP_FREE CLEANUP(cleanup_free)
#define CLEANUP_CLOSE CLEANUP(cleanup_close)
#define CLEANUP_DIR CLEANUP(cleanup_dir)
#define CLEANUP_FILE CLEANUP(cleanup_file)

/* Hands over what a pointer or descriptor owns and leaves it empty. */
#define TAKE_PTR(pointer)               \
    ({                                  \
        __auto_type taken_ = (pointer); \
        (pointer) = NULL;               \
        taken_;                         \
    })
#define TAKE_FD(fd)        \
    ({                     \
        int taken_ = (fd); \
        (fd) = -EBADF;     \
        taken_;            \
    })

/* Defines `type_cleanup(type **)` over a destructor that accepts NULL, for CLEANUP(). */
#define DEFINE_CLEANUP(type, name, destructor) \
    static inline void name(type *pointer)     \
    {                                          \
        if (*pointer)                          \
            destructor(*pointer);              \
        *pointer = NULL;                       \
    }

/* free(), close(), closedir(), fclose() for a local; errno is kept. */
void cleanup_free(void *pointer_to_pointer);
void cleanup_close(int *fd);
void cleanup_dir(void *pointer_to_dir);
void cleanup_file(void *pointer_to_file);

#endif
