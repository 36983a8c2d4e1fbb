/* Trees with every kind of inode, and archives of them in memory. */
#ifndef HULL_TEST_TREE_FIXTURE_H
#define HULL_TEST_TREE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/error.h"
#include "sandbox/archive-entry.h"
#include "sandbox/tree-extract.h"
#include "sandbox/tree-write.h"

enum { ARCHIVE_MAX = 256 * 1024 * 1024 };

/* A directory on a real file system, in *state; removed at the end. The test is skipped without
 * root. */
int scratch_setup(void **state);
int scratch_teardown(void **state);

/* Makes a directory in it and opens it. */
int scratch_make(void *state, const char *name);
/* Its path; malloc'd. */
char *scratch_path(void *state, const char *name);

enum tree_kinds {
    KIND_PLAIN = 0, /* what any pax tar can carry */
    /* Sockets, whiteouts, attributes of overlay and other trusted ones, hard links of special
     * files, attributes with '=' in their names, paths longer than PATH_MAX. */
    KIND_ALL = 1,
};

/* Fills the directory; what the file system lacks is printed and left out. */
void make_every_inode(int dir, enum tree_kinds kinds);

/* tree_write() into memory. */
int write_tree(int root, const char *path, const struct tree_write_options *options,
               struct buffer *ret, struct error *err);
/* tree_extract() from memory. */
int extract_bytes(int root, const char *path, const struct tree_extract_options *options,
                  const void *data, size_t length, struct error *err);
/* Writes one tree and extracts it to the other through a pipe, both at once, both raw. */
void copy_raw(int from, int to);

/* Fails with the differences. */
void assert_same(int a, int b, unsigned flags);

/* One member of an archive made by hand. */
struct member {
    enum tar_type type;
    const char *path;
    const char *target;
    const char *content;
    mode_t mode; /* 0: 0644 */
};
void make_archive(struct buffer *ret, const struct member *members, size_t n);

struct tar_sink buffer_sink(struct buffer *buffer);

struct bytes {
    const char *data;
    size_t length;
    size_t piece; /* most that is given at once; 0: all */
};
struct tar_source bytes_source(struct bytes *bytes);

#endif
