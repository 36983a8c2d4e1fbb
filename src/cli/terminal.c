#include "cli/terminal.h"

#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* One per process, as there is one controlling terminal; exit handlers take no argument. */
static struct termios saved_mode;
static volatile int raw_fd = -EBADF;

size_t terminal_width(FILE *file, size_t otherwise)
{
    unsigned rows = 0;
    unsigned columns = 0;
    int fd = fileno(file);

    return fd >= 0 && terminal_size(fd, &rows, &columns) ? columns : otherwise;
}

bool terminal_size(int fd, unsigned *ret_rows, unsigned *ret_columns)
{
    struct winsize size = {.ws_row = 0};

    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
        return false;
    *ret_rows = size.ws_row;
    *ret_columns = size.ws_col;
    return true;
}

void terminal_restore(void)
{
    int fd = raw_fd;

    if (fd < 0)
        return;
    raw_fd = -EBADF;
    (void)tcsetattr(fd, TCSADRAIN, &saved_mode);
}

int terminal_make_raw(int fd, struct error *err)
{
    static bool is_registered;
    struct termios mode;

    if (raw_fd >= 0)
        return 0;
    if (tcgetattr(fd, &mode) < 0)
        return error_set_errno(err, -errno, "cannot read the mode of the terminal");
    if (!is_registered && atexit(terminal_restore) != 0)
        return error_oom(err);
    is_registered = true;
    saved_mode = mode;
    cfmakeraw(&mode);
    raw_fd = fd;
    if (tcsetattr(fd, TCSANOW, &mode) < 0) {
        raw_fd = -EBADF;
        return error_set_errno(err, -errno, "cannot set the mode of the terminal");
    }
    return 0;
}
