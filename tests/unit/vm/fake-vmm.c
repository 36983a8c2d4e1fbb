/* A program that plays a VMM: it takes its part from the file that would be the initramfs, one
 * command a line, and otherwise touches only the descriptors that every VMM has.
 *
 *   hello          hello of the compute protocol on the link, and reads the answer
 *   old-hello      hello of a version that does not exist
 *   bytes TEXT     TEXT on the link
 *   garbage        64 KiB that are no frames on the link
 *   print TEXT     a line on the console
 *   flood N        N lines on the console
 *   wait           for ever
 *   echo           what comes on the link goes back
 *   children N     N processes that do nothing and ignore the death of their parent
 *   look           what the jail's root directory holds, on the console
 *   open PATH      whether that can be opened, on the console
 *   exit N         ends
 *   signal N       ends by a signal
 *   qmp REASON     the control protocol's handshake and a SHUTDOWN event
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "vm/engine.h"

enum { SCRIPT_MAX = 4096, CHUNK = 65536 };

/* What tells hull's kernel from other programs (vm/uml-kernel.h). */
static const char marks[] __attribute__((used)) = "Linux version 0-fake uml_dir memtotal";

static void put(int fd, const void *data, size_t length)
{
    const char *bytes = data;

    while (length > 0) {
        ssize_t n = write(fd, bytes, length);

        if (n < 0)
            exit(90);
        bytes += n;
        length -= (size_t)n;
    }
}

static void say(const char *text)
{
    put(STDOUT_FILENO, text, strlen(text));
}

static void put_frame(const char *json)
{
    uint8_t header[8] = {1, 0, (uint8_t)(strlen(json) >> 8), (uint8_t)strlen(json)};

    put(VM_FD_LINK, header, sizeof(header));
    put(VM_FD_LINK, json, strlen(json));
}

static void hello(void)
{
    char answer[CHUNK];

    put_frame("{\"hello\":{\"protocol\":1,\"program\":\"fake\"}}");
    if (read(VM_FD_LINK, answer, sizeof(answer)) <= 0)
        exit(91);
}

static void look(void)
{
    DIR *root = opendir("/");
    struct dirent *entry;

    while (root && (entry = readdir(root))) {
        if (entry->d_name[0] == '.')
            continue;
        say("entry ");
        say(entry->d_name);
        say("\n");
    }
}

static void try_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    say("open ");
    say(path);
    say(": ");
    say(fd < 0 ? strerror(errno) : "yes");
    say("\n");
}

static void try_create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    say("create ");
    say(path);
    say(": ");
    say(fd < 0 ? strerror(errno) : "yes");
    say("\n");
}

static void children(long n)
{
    while (n-- > 0)
        if (fork() == 0)
            for (;;)
                pause();
}

static void qmp(const char *reason)
{
    char buffer[CHUNK];

    dprintf(VM_FD_CONTROL, "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n");
    if (read(VM_FD_CONTROL, buffer, sizeof(buffer)) <= 0)
        exit(92);
    dprintf(VM_FD_CONTROL,
            "{\"return\": {}, \"id\": 0}\n{\"event\": \"SHUTDOWN\", \"data\": "
            "{\"guest\": true, \"reason\": \"%s\"}}\n",
            reason);
}

static void echo(void)
{
    char buffer[CHUNK];
    ssize_t n;

    while ((n = read(VM_FD_LINK, buffer, sizeof(buffer))) > 0)
        put(VM_FD_LINK, buffer, (size_t)n);
}

static void run(const char *command, const char *argument)
{
    static const char junk[CHUNK] = {'\xff', '\xff', '\xff'};
    long number = strtol(argument, NULL, 10);

    if (strcmp(command, "hello") == 0)
        hello();
    else if (strcmp(command, "old-hello") == 0)
        put_frame("{\"hello\":{\"protocol\":99,\"program\":\"fake\"}}");
    else if (strcmp(command, "bytes") == 0)
        put(VM_FD_LINK, argument, strlen(argument));
    else if (strcmp(command, "garbage") == 0)
        put(VM_FD_LINK, junk, sizeof(junk));
    else if (strcmp(command, "print") == 0)
        say(argument), say("\n");
    else if (strcmp(command, "flood") == 0)
        for (long i = 0; i < number; i++)
            dprintf(STDOUT_FILENO, "line %ld of a guest that talks a lot\n", i);
    else if (strcmp(command, "echo") == 0)
        echo();
    else if (strcmp(command, "children") == 0)
        children(number);
    else if (strcmp(command, "look") == 0)
        look();
    else if (strcmp(command, "open") == 0)
        try_open(argument);
    else if (strcmp(command, "create") == 0)
        try_create(argument);
    else if (strcmp(command, "qmp") == 0)
        qmp(argument);
    else if (strcmp(command, "exit") == 0)
        exit((int)number);
    else if (strcmp(command, "signal") == 0)
        raise((int)number);
    else if (strcmp(command, "wait") == 0)
        for (;;)
            pause();
    else
        exit(93);
}

int main(void)
{
    char script[SCRIPT_MAX + 1];
    ssize_t n = pread(VM_FD_INITRAMFS, script, SCRIPT_MAX, 0);
    char *rest = script;
    char *line;

    if (n <= 0)
        return 94;
    script[n] = '\0';
    while ((line = strsep(&rest, "\n"))) {
        char *argument = line;
        char *command = strsep(&argument, " ");

        if (*command)
            run(command, argument ? argument : "");
    }
    return 0;
}
