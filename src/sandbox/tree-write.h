/* Files of a container, or of its writable layer, as a tar stream.
 *
 * Runs where the files are: on the host for `process`, in the utility VM for `hyperv`. It may run
 * beside the container: every inode is opened before it is looked at, links are resolved inside the
 * root, and nothing that the container does meanwhile makes it read anything else (tree-walk.h).
 * What changes while it is read is archived in one of its states; a file that shrinks is filled up
 * with zeros. It blocks; the calling process has /proc and may read everything. Memory is bounded.
 *
 * Members come in a fixed order: a directory before its content, names by their bytes. Hard links
 * within the archive are kept, of special files and symbolic links too. */
#ifndef HULL_SANDBOX_TREE_WRITE_H
#define HULL_SANDBOX_TREE_WRITE_H

#include "sandbox/tree-content.h"

struct error;
struct tar_sink;

enum tree_write_flags {
    /* A writable layer of overlay, to be made again somewhere else by tree_extract() with
     * TREE_EXTRACT_RAW: whiteouts as the character devices that they are, all extended attributes
     * (tree-inode.h), access times, sockets, holes. The top is "." and `name` is not looked at.
     *
     * Without it, what docker's archives have: attributes that mean the same elsewhere, no
     * sockets, holes as zeros. */
    TREE_WRITE_RAW = 1 << 0,
    /* A path that ends in a symbolic link means what it leads to. So it does without the flag when
     * "/" or "/." follows. */
    TREE_WRITE_FOLLOW = 1 << 1,
};

struct tree_write_options {
    unsigned flags;
    /* What the thing itself is called in the archive, its content below it: "NAME", "NAME/a". As
     * docker does, "." gives "./a" and "/" gives "/a". NULL: only the content, "a"; then the path
     * must be a directory. */
    const char *name;
    /* Mounts in the tree, as clean absolute paths in the root, that are entered: volumes. All
     * others (/proc, bind mounts of single files) appear as an empty directory or file, as they
     * do in docker's archives, which come from the container's layers. NULL: none. */
    char *const *mounts;
    enum tree_content content; /* with TREE_WRITE_RAW */
};

/* `path` is resolved inside root_fd (borrowed, O_PATH will do). -ENOENT is ERROR_NOT_FOUND; other
 * failures are the sink's own or name the file. */
int tree_write(int root_fd, const char *path, const struct tree_write_options *options,
               const struct tar_sink *sink, struct error *err);

#endif
