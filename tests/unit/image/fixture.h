/* What the tests of images share: a scratch directory, archives made in memory, and stores. */
#ifndef HULL_TESTS_IMAGE_FIXTURE_H
#define HULL_TESTS_IMAGE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "image/digest.h"
#include "image/image.h"

enum { FIXTURE_TAR_MAX = 64 * 1024 * 1024 };

/* One entry of an archive. type: 'f' file, 'd' directory, 's' symbolic link, 'h' hard link, 'c'
 * character device, 'p' fifo. */
struct entry {
    const char *name;
    char type;
    const char *data; /* content or target */
    int mode;
    int uid;
    const char *xattr; /* name of an attribute with the value "v" */
    int64_t size;      /* of the content, when it has NULs; 0: strlen */
};

/* A pax archive of n entries, appended to `tar`; compression 0, 'g' gzip, 'z' zstd, 'x'
 * xz or 'b' bzip2. */
void make_tar(struct buffer *tar, const struct entry *entries, size_t n, char compression);

/* setup/teardown: a new directory under /tmp, removed with all in it; its path is *state. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* Opens a store in the scratch directory; fails the test when it cannot. */
struct image_store *open_store(void **state);

/* An unnamed file with this content, at its start. */
int content_fd(const void *data, size_t length);

/* A docker-archive with one layer of n entries; tag may be NULL. */
void make_docker_archive(struct buffer *archive, const struct buffer *layer, const char *diff_id,
                         const char *tag);

/* Imports entries as image `name`; the id is malloc'd. */
char *import_image(struct image_store *store, const char *name, const struct entry *entries,
                   size_t n);

/* The test needs root (owners, devices, trusted attributes); skips with a reason. */
void need_root(void);

#endif
