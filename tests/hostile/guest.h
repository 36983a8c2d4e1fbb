/* A hostile guest: a program in the place of hull-init, or of the whole guest kernel, that speaks
 * the compute protocol properly until it attacks.
 *
 *     as a User-Mode Linux "kernel"  its link is the descriptor of ssl0=fd:N, and the file that
 * would be the initramfs may hold the attack's name as pid 1 of a real guest       its link is
 * /dev/ttyS0
 *
 * Otherwise the attack is the first word of the container's command. */
#ifndef HULL_TEST_HOSTILE_GUEST_H
#define HULL_TEST_HOSTILE_GUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GUEST_NAME_MAX = 64 };

struct guest {
    int link;
    bool machine; /* pid 1 of a real guest */
    const struct attack *attack;
    uint32_t out; /* the container's stdout, stderr, stdin, when it was created; 0: none */
    uint32_t err;
    uint32_t in;
    json_int_t due;  /* request whose attack waits for credit; 0: none */
    uint32_t stream; /* of the last request with streams: stdout, or else stdin */
};

/* When it attacks: before its hello or after it; in place of the answer to `op`, at once or when
 * the host has granted credit for its stream; after that answer. */
enum attack_time { AT_BIRTH, AT_READY, AT_OP, AT_CREDIT, AFTER_OP };

struct attack {
    const char *name;
    enum attack_time time;
    const char *op;   /* AT_OP, AT_CREDIT, AFTER_OP */
    const char *text; /* a message that it sends; else: */
    void (*run)(struct guest *guest, json_int_t id, const json_t *request);
};

extern const struct attack attacks[];

/* guest.c: bytes, frames, messages. They end the guest where the host has gone. */
void put(const struct guest *guest, const void *data, size_t length);
void put_frame(const struct guest *guest, uint8_t type, uint8_t flags, uint32_t channel,
               const void *payload, size_t length);
void put_text(const struct guest *guest, const char *json);
void put_long_text(const struct guest *guest, const char *json, size_t length);
void put_json(const struct guest *guest, json_t *message); /* consumed */
void put_answer(const struct guest *guest, json_int_t id, json_t *ok);
void put_credit(const struct guest *guest, uint32_t channel, uint32_t credit);
_Noreturn void leave(const struct guest *guest);

#endif
