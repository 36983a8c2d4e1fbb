#include "sandbox/console.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/path.h"
#include "spec/runtime.h"

enum { PTMX_MAJOR = 5, PTMX_MINOR = 2 };

static int check_multiplexer(int fd)
{
    struct statfs fs;
    struct stat st;

    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return -errno;
    if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(PTMX_MAJOR, PTMX_MINOR) ||
        fs.f_type != DEVPTS_SUPER_MAGIC)
        return -ENODEV;
    return 0;
}

int console_open(int root_fd, const struct spec_process *process, int *ret_master, int *ret_slave,
                 struct error *err)
{
    CLEANUP_CLOSE int peek = path_open_in_root(root_fd, "dev/pts/ptmx", O_PATH, 0);
    CLEANUP_CLOSE int master = -EBADF;
    CLEANUP_CLOSE int slave = -EBADF;
    struct winsize size = {
        .ws_row = (unsigned short)process->console_height,
        .ws_col = (unsigned short)process->console_width,
    };
    int unlocked = 0;
    int r = peek < 0 ? peek : check_multiplexer(peek);

    if (r < 0)
        return error_set_errno(err, r, "the container has no /dev/pts/ptmx for a terminal");
    master = path_open_in_root(root_fd, "dev/pts/ptmx", O_RDWR | O_NOCTTY, 0);
    r = master < 0 ? master : check_multiplexer(master);
    if (r < 0)
        return error_set_errno(err, r, "cannot open /dev/pts/ptmx");
    if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
        return error_set_errno(err, -errno, "cannot unlock the terminal");
    /* Not by name: /dev/pts/N could be anything by now. */
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return error_set_errno(err, -errno, "cannot open the terminal");
    if ((size.ws_row || size.ws_col) && ioctl(master, TIOCSWINSZ, &size) < 0)
        return error_set_errno(err, -errno, "cannot set the size of the terminal");
    *ret_master = TAKE_FD(master);
    *ret_slave = TAKE_FD(slave);
    return 0;
}

int console_control(int slave, struct error *err)
{
    if (ioctl(slave, TIOCSCTTY, 0) < 0)
        return error_set_errno(err, -errno, "cannot make the terminal the controlling one");
    return 0;
}
