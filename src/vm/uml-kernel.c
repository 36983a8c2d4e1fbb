#include "vm/uml-kernel.h"

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fd.h"
#include "base/strings.h"

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#else
#error "unknown architecture"
#endif

enum { KERNEL_SIZE_MAX = 512 * 1024 * 1024, VERSION_MAX = 64 };

#define BANNER "Linux version "

struct image {
    const char *bytes;
    size_t length;
};

static const char *find(const struct image *image, const char *text)
{
    return memmem(image->bytes, image->length, text, strlen(text));
}

static bool is_program(const struct image *image)
{
    Elf64_Ehdr header;

    if (image->length < sizeof(header))
        return false;
    memcpy(&header, image->bytes, sizeof(header));
    return memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
           header.e_machine == MACHINE && (header.e_type == ET_EXEC || header.e_type == ET_DYN);
}

/* The word after the banner, as far as it is printable; *version is "" where there is none. */
static void read_version(const struct image *image, const char *banner, char version[VERSION_MAX])
{
    const char *at = banner + strlen(BANNER);
    size_t n = 0;

    while (n < VERSION_MAX - 1 && at + n < image->bytes + image->length && at[n] > ' ' &&
           at[n] <= '~') {
        version[n] = at[n];
        n++;
    }
    version[n] = '\0';
}

/* The names of options are in the kernel's image as they are on its command line. */
static char *judge(const char *path, const struct image *image)
{
    const char *banner = find(image, BANNER);
    char version[VERSION_MAX];

    if (!is_program(image))
        return string_format("%s is no program for this machine: name a User-Mode Linux kernel, "
                             "which `make kernel` builds",
                             path);
    if (!banner || !find(image, "uml_dir"))
        return string_format(
            "%s is no User-Mode Linux kernel: name one, which `make kernel` builds", path);
    if (find(image, "memtotal"))
        return NULL;
    read_version(image, banner, version);
    return string_format(
        "%s is Linux %s without all of hull's patches: build hull's own kernel with "
        "`make kernel`",
        path, version);
}

char *vm_uml_kernel_fault(const char *path)
{
    CLEANUP_CLOSE int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -EBADF;
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
        status.st_size > KERNEL_SIZE_MAX)
        return NULL;
    if (status.st_size == 0)
        return judge(path, &(struct image){.bytes = "", .length = 0});
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return NULL;
    char *fault = judge(path, &(struct image){.bytes = bytes, .length = (size_t)status.st_size});
    (void)munmap(bytes, (size_t)status.st_size);
    return fault;
}
