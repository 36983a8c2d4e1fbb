/* A guest that is saved and woken: the same instructions go on in every VM of the template, so what
 * must differ between them is put right here, before the agent says its first word and long before
 * anything of a container runs. */
#include "base/cleanup.h"
#include "base/error.h"
#include "base/fd.h"
#include "sandbox/guest.h"
#include "sandbox/guest_internal.h"
#include "wire/wake.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static int reseed(const uint8_t seed[WIRE_WAKE_SEED], struct error *err)
{
    struct { /* struct rand_pool_info of <linux/random.h>, with room */
        int entropy_bits;
        int size;
        uint8_t bytes[WIRE_WAKE_SEED];
    } pool = {.entropy_bits = 8 * WIRE_WAKE_SEED, .size = WIRE_WAKE_SEED};
    CLEANUP_CLOSE int fd = open("/dev/urandom", O_WRONLY | O_CLOEXEC);

    memcpy(pool.bytes, seed, WIRE_WAKE_SEED);
    /* The first only fills the kernel's pool; the second has all that was drawn from it made anew
     * (random(4)). */
    if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0) {
        int r = -errno;

        explicit_bzero(&pool, sizeof(pool));
        return error_set_errno(err, r, "reseeding the random number generator");
    }
    explicit_bzero(&pool, sizeof(pool));
    return 0;
}

static int set_clock(int64_t clock, struct error *err)
{
    const struct timespec time = {.tv_sec = clock / 1000000000, .tv_nsec = clock % 1000000000};

    return clock_settime(CLOCK_REALTIME, &time) < 0
               ? error_set_errno(err, -errno, "setting the clock")
               : 0;
}

int guest_hold(int link, struct error *err)
{
    char held[2];
    uint8_t word[WIRE_WAKE_SIZE];
    struct wire_wake wake;
    ssize_t n;
    int r = guest_option("hull.hold=", held, sizeof(held), err);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    r = fd_write_full(link, WIRE_WAKE_HELD, strlen(WIRE_WAKE_HELD));
    if (r < 0)
        return error_set_errno(err, r, "saying that the guest is held");
    n = fd_read_full(link, word, sizeof(word));
    if (n != (ssize_t)sizeof(word) || wire_wake_decode(word, &wake) < 0)
        return error_set(err, n < 0 ? (int)n : -EBADMSG, "the guest was not woken");
    r = reseed(wake.seed, err);
    if (r == 0)
        r = set_clock(wake.clock, err);
    explicit_bzero(&wake, sizeof(wake));
    explicit_bzero(word, sizeof(word));
    return r;
}
