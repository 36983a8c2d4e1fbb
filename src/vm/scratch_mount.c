#include "vm/scratch_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"

enum { ATTEMPTS = 16 }; /* somebody else may take the device that was free */

static int attach(int control, int image, char path[32])
{
    struct loop_config config = {.fd = (uint32_t)image, .info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    int number = ioctl(control, LOOP_CTL_GET_FREE);

    if (number < 0)
        return -errno;
    (void)snprintf(path, 32, "/dev/loop%d", number);
    CLEANUP_CLOSE int device = open(path, O_RDWR | O_CLOEXEC);
    if (device < 0)
        return -errno;
    return ioctl(device, LOOP_CONFIGURE, &config) < 0 ? -errno : TAKE_FD(device);
}

bool vm_scratch_can_mount(void)
{
    CLEANUP_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

    return control >= 0 && ioctl(control, LOOP_CTL_GET_FREE) >= 0;
}

int vm_scratch_mount(const char *image, const char *target, struct error *err)
{
    CLEANUP_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    CLEANUP_CLOSE int file = open(image, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    CLEANUP_CLOSE int device = -EBUSY;
    char path[32];

    if (control < 0 || file < 0)
        return error_set_errno(err, -errno, "cannot open the loop devices or %s", image);
    for (int i = 0; device == -EBUSY && i < ATTEMPTS; i++)
        device = attach(control, file, path);
    if (device < 0)
        return error_set_errno(err, device, "cannot make %s a loop device", image);
    /* The device goes when this descriptor and the mount have. */
    if (mount(path, target, "ext4", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME, NULL) < 0)
        return error_set_errno(err, -errno, "cannot mount %s", image);
    return 0;
}

int vm_scratch_unmount(const char *target, struct error *err)
{
    return umount2(target, UMOUNT_NOFOLLOW) < 0
               ? error_set_errno(err, -errno, "cannot unmount %s", target)
               : 0;
}
