#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

enum { PAYLOAD_MAX = 65528, HEADER = 8, CONTROL = 1, CREDIT = 3, INPUT_MAX = 8 * 1024 * 1024 };

_Noreturn void leave(const struct guest *guest)
{
    if (guest->machine) {
        sync();
        (void)reboot(RB_POWER_OFF);
    }
    _exit(0);
}

void put(const struct guest *guest, const void *data, size_t length)
{
    const char *bytes = data;

    while (length > 0) {
        ssize_t n = write(guest->link, bytes, length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            leave(guest);
        bytes += n;
        length -= (size_t)n;
    }
}

void put_frame(const struct guest *guest, uint8_t type, uint8_t flags, uint32_t channel,
               const void *payload, size_t length)
{
    const uint8_t header[HEADER] = {type,
                                    flags,
                                    (uint8_t)(length >> 8),
                                    (uint8_t)length,
                                    (uint8_t)(channel >> 24),
                                    (uint8_t)(channel >> 16),
                                    (uint8_t)(channel >> 8),
                                    (uint8_t)channel};

    put(guest, header, sizeof(header));
    put(guest, payload, length);
}

void put_long_text(const struct guest *guest, const char *json, size_t length)
{
    while (length > PAYLOAD_MAX) {
        put_frame(guest, CONTROL, 1, 0, json, PAYLOAD_MAX);
        json += PAYLOAD_MAX;
        length -= PAYLOAD_MAX;
    }
    put_frame(guest, CONTROL, 0, 0, json, length);
}

void put_text(const struct guest *guest, const char *json)
{
    put_long_text(guest, json, strlen(json));
}

void put_json(const struct guest *guest, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);

    if (!text)
        _exit(3);
    put_text(guest, text);
    free(text);
    json_decref(message);
}

void put_answer(const struct guest *guest, json_int_t id, json_t *ok)
{
    put_json(guest, json_pack("{s:I,s:o}", "id", id, "ok", ok ? ok : json_object()));
}

void put_credit(const struct guest *guest, uint32_t channel, uint32_t credit)
{
    const uint8_t payload[4] = {(uint8_t)(credit >> 24), (uint8_t)(credit >> 16),
                                (uint8_t)(credit >> 8), (uint8_t)credit};

    put_frame(guest, CREDIT, 0, channel, payload, sizeof(payload));
}

/* --- its part in the protocol --- */

static void hello(const struct guest *guest)
{
    put_text(guest, "{\"hello\":{\"protocol\":1,\"program\":\"hostile\"}}");
}

static json_t *answer_of(const char *op)
{
    if (!strcmp(op, "start") || !strcmp(op, "exec"))
        return json_pack("{s:i}", "pid", 2);
    if (!strcmp(op, "create"))
        return json_pack("{s:i,s:[]}", "pid", 2, "warnings");
    if (!strcmp(op, "processes"))
        return json_pack("{s:i,s:i,s:[]}", "now", 1, "memory", 1, "processes");
    return json_object();
}

static void choose(struct guest *guest, const char *name)
{
    for (const struct attack *attack = attacks; name && attack->name; attack++) {
        if (!strcmp(attack->name, name))
            guest->attack = attack;
    }
}

static uint32_t stream(const json_t *request, const char *name)
{
    return (uint32_t)json_integer_value(json_object_get(json_object_get(request, "streams"), name));
}

static void strike(struct guest *guest, json_int_t id, const json_t *request)
{
    if (guest->attack->text)
        put_text(guest, guest->attack->text);
    else
        guest->attack->run(guest, id, request);
}

static void serve(struct guest *guest, const json_t *request)
{
    const char *op = json_string_value(json_object_get(request, "op"));
    json_int_t id = json_integer_value(json_object_get(request, "id"));

    if (!op) /* the hello's answer */
        return;
    if (!strcmp(op, "create")) {
        const json_t *process = json_object_get(json_object_get(request, "config"), "process");

        if (!guest->attack)
            choose(guest, json_string_value(json_array_get(json_object_get(process, "args"), 0)));
        guest->out = stream(request, "stdout");
        guest->err = stream(request, "stderr");
        guest->in = stream(request, "stdin");
    }
    guest->stream =
        stream(request, "stdout") ? stream(request, "stdout") : stream(request, "stdin");
    const struct attack *attack = guest->attack;
    bool now = attack && attack->op && !strcmp(attack->op, op);
    if (now && attack->time == AT_OP) {
        strike(guest, id, request);
        return;
    }
    if (now && attack->time == AT_CREDIT) {
        guest->due = id;
        return;
    }
    put_answer(guest, id, answer_of(op));
    if (now)
        strike(guest, id, request);
    if (!strcmp(op, "shutdown"))
        leave(guest);
}

/* What the host sends, whole: the guest alone is meant to be bad. */
static void take_frame(struct guest *guest, const uint8_t *header, const char *payload,
                       size_t length)
{
    static char *text;
    static size_t used;

    uint32_t channel = (uint32_t)header[4] << 24 | (uint32_t)header[5] << 16 |
                       (uint32_t)header[6] << 8 | header[7];
    if (header[0] == CREDIT && guest->due && channel == guest->stream) {
        json_int_t due = guest->due;

        guest->due = 0;
        strike(guest, due, NULL);
    }
    if (header[0] != CONTROL)
        return;
    text = realloc(text, used + length);
    if (!text && used + length > 0)
        _exit(3);
    memcpy(text + used, payload, length);
    used += length;
    if (header[1] & 1)
        return;
    json_t *message = json_loadb(text, used, 0, NULL);
    used = 0;
    serve(guest, message);
    json_decref(message);
}

static void live(struct guest *guest)
{
    static uint8_t input[INPUT_MAX];
    size_t used = 0;

    for (;;) {
        ssize_t n = read(guest->link, input + used, sizeof(input) - used);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            leave(guest);
        used += (size_t)n;
        for (;;) {
            size_t length = used >= HEADER ? (size_t)(input[2] << 8 | input[3]) : 0;

            if (used < HEADER || used < HEADER + length)
                break;
            take_frame(guest, input, (const char *)input + HEADER, length);
            used -= HEADER + length;
            memmove(input, input + HEADER + length, used);
        }
    }
}

/* --- birth --- */

static void be_machine(struct guest *guest)
{
    struct termios termios;

    guest->machine = true;
    (void)mkdir("/dev", 0755);
    (void)mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    guest->link = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (guest->link < 0 || tcgetattr(guest->link, &termios) < 0)
        leave(guest);
    cfmakeraw(&termios);
    termios.c_cflag |= CLOCAL | CREAD;
    (void)tcsetattr(guest->link, TCSANOW, &termios);
}

/* The number after `name`, or -1. */
static int option(char **argv, const char *name)
{
    for (char **word = argv; *word; word++) {
        if (!strncmp(*word, name, strlen(name)))
            return (int)strtol(*word + strlen(name), NULL, 10);
    }
    return -1;
}

static void be_kernel(struct guest *guest, char **argv)
{
    char name[GUEST_NAME_MAX + 1] = "";
    int initramfs = option(argv, "initrd=/dev/fd/");

    ssize_t n = initramfs < 0 ? -1 : pread(initramfs, name, GUEST_NAME_MAX, 0);
    name[n > 0 ? n : 0] = '\0';
    choose(guest, name);
}

int main(int argc, char **argv)
{
    static struct guest guest = {.link = -1};

    (void)argc;
    (void)signal(SIGPIPE, SIG_IGN);
    guest.link = option(argv, "ssl0=fd:");
    if (guest.link < 0)
        be_machine(&guest);
    else
        be_kernel(&guest, argv);
    if (guest.attack && guest.attack->time == AT_BIRTH)
        strike(&guest, 0, NULL);
    hello(&guest);
    if (guest.attack && guest.attack->time == AT_READY)
        strike(&guest, 0, NULL);
    live(&guest);
}
