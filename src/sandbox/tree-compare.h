/* Whether two trees are the same: what conversion must keep, and tests of it look at. */
#ifndef HULL_SANDBOX_TREE_COMPARE_H
#define HULL_SANDBOX_TREE_COMPARE_H

#include <stdint.h>

struct buffer;
struct error;

enum tree_compare_flags {
    TREE_COMPARE_HOLES = 1 << 0, /* where the data of sparse files is, too */
};

/* Compares names, types, modes, owners, devices, sizes, modification times to the nanosecond,
 * contents, link targets, which names are the same inode, and extended attributes
 * (TREE_XATTRS_RAW). Not: inode numbers, access and change times. Appends one line for each
 * difference to `ret` (may be NULL; what does not fit is left out) and returns their number in
 * *ret_n. The trees must not be changing. */
int tree_compare(int a_fd, int b_fd, unsigned flags, struct buffer *ret, uint64_t *ret_n,
                 struct error *err);

#endif
