/* Pid 1 of a guest that reads files of an EROFS image: test-layer's half inside of a User-Mode
 * Linux VM. Static. Commands come on the link, one a line, and each is answered by one line.
 *
 *   mount DEVICE TARGET   an EROFS image
 *   check FILE            reads it in many ways and compares (layer-pattern.h); "sparse" in its
 * name pair FILE             the same in two processes at once slurp BLOCK FILE      "BYTES" or
 * "BYTES ERROR" cached FILE           how many of its pages the guest's cache has
 */
#include "layer-pattern.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum {
    LINE_MAX_ = 512,
    PAGE = 4096,
    MEMORY = 2 * 1024 * 1024,
    STEPS = 40,
    FORKS = 6,
};

struct check {
    int fd;
    uint64_t size;
    bool sparse;
    uint32_t random;
    unsigned char *memory; /* MEMORY bytes and a page */
};

static char answer[LINE_MAX_];

static const char *failed(const char *what)
{
    snprintf(answer, sizeof(answer), "%s: %m", what);
    return answer;
}

static uint32_t chance(struct check *check, uint64_t below)
{
    check->random = check->random * 1664525 + 1013904223;
    return below ? (uint32_t)(((uint64_t)check->random * below) >> 32) : 0;
}

static unsigned char *map(int flags)
{
    return mmap(NULL, MEMORY + PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
}

/* Somewhere, to somewhere, mostly more than the file has. */
static bool read_once(struct check *check, unsigned char *memory)
{
    uint64_t at = chance(check, check->size + 1);
    size_t offset = chance(check, 3) ? chance(check, PAGE) : 0;
    size_t length = chance(check, 2) ? chance(check, MEMORY) : chance(check, 100000);
    uint64_t left = check->size - at;
    size_t expected = left < length ? (size_t)left : length;
    ssize_t n = pread(check->fd, memory + offset, length, (off_t)at);

    return n == (ssize_t)expected && pattern_holds(memory + offset, expected, at, check->sparse);
}

static bool read_in_parts(struct check *check)
{
    size_t first = chance(check, 70000) + 1;
    struct iovec parts[3] = {{check->memory, first}, {NULL, 0}, {check->memory + first, 300000}};
    uint64_t at = chance(check, check->size / 2);
    uint64_t left = check->size - at;
    size_t expected = left < first + 300000 ? (size_t)left : first + 300000;

    return preadv(check->fd, parts, 3, (off_t)at) == (ssize_t)expected &&
           pattern_holds(check->memory, expected, at, check->sparse);
}

/* Memory that another process has, too, until it is written to: its content must stay. */
static bool read_to_shared(struct check *check)
{
    int gate[2];
    int status = 0;
    pid_t child;
    char byte;

    memset(check->memory, 0x5a, MEMORY);
    if (pipe2(gate, O_CLOEXEC) < 0 || (child = fork()) < 0)
        return false;
    if (child == 0) {
        close(gate[1]);
        if (read(gate[0], &byte, 1) != 0)
            _exit(1);
        for (size_t i = 0; i < MEMORY; i++)
            if (check->memory[i] != 0x5a)
                _exit(2);
        _exit(0);
    }
    bool good = read_once(check, check->memory);
    close(gate[0]);
    close(gate[1]);
    return waitpid(child, &status, 0) == child && status == 0 && good;
}

/* The buffer ends early: what fits is read, and is right. */
static bool read_to_too_little(struct check *check)
{
    size_t fits = check->size < 100000 ? PAGE : 100 * PAGE;
    unsigned char *memory = map(MAP_PRIVATE);
    ssize_t n;

    if (memory == MAP_FAILED || munmap(memory + fits, MEMORY + PAGE - fits) < 0)
        return false;
    n = pread(check->fd, memory, MEMORY, 0);
    bool good = check->size <= fits ? n == (ssize_t)check->size : n > 0 && n <= (ssize_t)fits;
    good = good && pattern_holds(memory, (size_t)n, 0, check->sparse);
    munmap(memory, fits);
    if (check->size <= 100000)
        return good;
    /* Read-only memory is none. */
    memory = map(MAP_PRIVATE);
    good = good && memory != MAP_FAILED && mprotect(memory, MEMORY, PROT_READ) == 0 &&
           pread(check->fd, memory, MEMORY, 0) == -1 && errno == EFAULT && *memory == 0;
    munmap(memory, MEMORY + PAGE);
    return good;
}

static bool read_to_new_memory(struct check *check, int flags)
{
    unsigned char *memory = map(flags);
    bool good = memory != MAP_FAILED && read_once(check, memory) && read_once(check, memory);

    munmap(memory, MEMORY + PAGE);
    return good;
}

static bool read_mapped(struct check *check)
{
    unsigned char *content = mmap(NULL, check->size, PROT_READ, MAP_PRIVATE, check->fd, 0);
    bool good = content != MAP_FAILED && pattern_holds(content, check->size, 0, check->sparse);
    /* From the file, through a mapping of it, to memory that is a copy of its own pages. */
    unsigned char *own = mmap(NULL, check->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, check->fd, 0);

    good = good && own != MAP_FAILED &&
           pread(check->fd, own, check->size, 0) == (ssize_t)check->size &&
           pattern_holds(own, check->size, 0, check->sparse) &&
           pattern_holds(content, check->size, 0, check->sparse);
    munmap(own, check->size);
    munmap(content, check->size);
    return good;
}

static const char *check_all(struct check *check)
{
    for (int i = 0; i < STEPS; i++)
        if (!read_once(check, check->memory))
            return failed("read");
    for (int i = 0; i < FORKS; i++) {
        if (!read_in_parts(check))
            return failed("parts");
        if (!read_to_shared(check))
            return failed("memory that another process has");
        if (!read_to_new_memory(check, MAP_PRIVATE) || !read_to_new_memory(check, MAP_SHARED))
            return failed("new memory");
    }
    if (!read_to_too_little(check))
        return failed("too little memory");
    return read_mapped(check) && read_once(check, check->memory) ? "ok" : failed("mapped");
}

static const char *do_check(const char *path, const char *seed)
{
    struct check check = {.fd = open(path, O_RDONLY | O_CLOEXEC),
                          .sparse = strstr(path, "sparse") != NULL,
                          .random = (uint32_t)strtoul(seed, NULL, 10),
                          .memory = map(MAP_PRIVATE)};
    struct stat status;

    if (check.fd < 0 || check.memory == MAP_FAILED || fstat(check.fd, &status) < 0)
        return failed("open");
    check.size = (uint64_t)status.st_size;
    const char *text = check_all(&check);

    munmap(check.memory, MEMORY + PAGE);
    close(check.fd);
    return text;
}

static const char *do_pair(const char *path, const char *unused)
{
    pid_t child = fork();
    int status;

    (void)unused;
    if (child == 0)
        _exit(strcmp(do_check(path, "2"), "ok") != 0);
    const char *text = do_check(path, "3");
    if (waitpid(child, &status, 0) != child || status != 0)
        return "the other one failed";
    return text;
}

static const char *do_mount(const char *device, const char *target)
{
    mkdir(target, 0755);
    return mount(device, target, "erofs", MS_RDONLY, NULL) < 0 ? strerrorname_np(errno) : "ok";
}

static const char *do_slurp(const char *block, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unsigned char *memory = map(MAP_PRIVATE);
    long long all = 0;
    ssize_t n;

    if (fd < 0 || memory == MAP_FAILED)
        return failed("open");
    while ((n = read(fd, memory, strtoul(block, NULL, 10))) > 0)
        all += n;
    snprintf(answer, sizeof(answer), "%lld%s%s", all, n < 0 ? " " : "",
             n < 0 ? strerrorname_np(errno) : "");
    munmap(memory, MEMORY + PAGE);
    close(fd);
    return answer;
}

static const char *do_cached(const char *path, const char *unused)
{
    static unsigned char pages[16384];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = fd < 0 ? 0 : (size_t)lseek(fd, 0, SEEK_END);
    void *content = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
    unsigned found = 0;

    (void)unused;
    close(fd);
    if (content == MAP_FAILED || length > sizeof(pages) * PAGE ||
        mincore(content, length, pages) < 0)
        return failed("mincore");
    for (size_t i = 0; i < (length + PAGE - 1) / PAGE; i++)
        found += pages[i] & 1;
    munmap(content, length);
    snprintf(answer, sizeof(answer), "%u", found);
    return answer;
}

static const struct {
    const char *name;
    const char *(*run)(const char *first, const char *second);
} commands[] = {
    {"mount", do_mount}, {"check", do_check},   {"pair", do_pair},
    {"slurp", do_slurp}, {"cached", do_cached},
};

static const char *run(char *line)
{
    char *rest = line;
    const char *name = strsep(&rest, " ");
    const char *first = strsep(&rest, " ");

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(first ? first : "", rest ? rest : "");
    return "unknown";
}

int main(void)
{
    struct termios settings;
    char line[LINE_MAX_];
    FILE *in;
    int fd;

    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || tcgetattr(fd, &settings) < 0)
        return 2;
    cfmakeraw(&settings);
    settings.c_cflag |= CLOCAL | CREAD;
    tcsetattr(fd, TCSANOW, &settings);
    in = fdopen(fd, "r");
    if (!in || dprintf(fd, "ready\n") < 0)
        return 3;
    while (fgets(line, sizeof(line), in)) {
        line[strcspn(line, "\n")] = '\0';
        dprintf(fd, "%s\n", run(line));
    }
    return 4;
}
