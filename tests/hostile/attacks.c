/* The attacks. Each is one way in which a guest can break the protocol, or its spirit. */
#include "guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    CONTROL = 1,
    DATA,
    CREDIT,
    END,
    RESET,
    FRAME_MAX = 65528,
    MESSAGE = 4 * 1024 * 1024, /* about the longest message that the host takes */
    FLOOD = 100000,
    WINDOW = 256 * 1024, /* what the host grants a channel */
};

#define ATTACK(name)                                              \
    static void name(__attribute__((unused)) struct guest *guest, \
                     __attribute__((unused)) json_int_t id,       \
                     __attribute__((unused)) const json_t *request)

/* Without its NUL; returns how much. */
static size_t lay(void *at, const char *text)
{
    char *to = at;

    for (; *text; text++)
        *to++ = *text;
    return (size_t)(to - (char *)at);
}

/* `head`, then `piece` until there are about `size` bytes, then `tail`. */
static void put_repeated(const struct guest *guest, const char *head, const char *piece,
                         size_t size, const char *tail)
{
    char *text = malloc(size + strlen(head) + strlen(tail) + strlen(piece) + 1);
    size_t used;

    if (!text)
        _exit(3);
    used = lay(text, head);
    while (used + strlen(piece) < size)
        used += lay(text + used, piece);
    used += lay(text + used, tail);
    put_long_text(guest, text, used);
    free(text);
}

static void flood(const struct guest *guest, const char *json, int n)
{
    for (int i = 0; i < n; i++)
        put_text(guest, json);
}

static void put_data(const struct guest *guest, uint32_t channel, size_t length)
{
    static const char zeros[FRAME_MAX];

    while (length > 0) {
        size_t n = length < FRAME_MAX ? length : FRAME_MAX;

        put_frame(guest, DATA, 0, channel, zeros, n);
        length -= n;
    }
}

/* --- silence, ends --- */

ATTACK(do_nothing)
{
    for (;;)
        (void)pause();
}

ATTACK(no_answer)
{
}

ATTACK(close_link)
{
    (void)close(guest->link);
    for (;;)
        (void)pause();
}

ATTACK(end_at_once)
{
    leave(guest);
}

ATTACK(stop_reading)
{
    put_answer(guest, id, json_pack("{s:i}", "pid", 2));
    for (;;)
        (void)pause();
}

/* --- frames --- */

ATTACK(noise)
{
    uint8_t bytes[FRAME_MAX];

    srand(1);
    for (;;) {
        for (size_t i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)rand();
        put(guest, bytes, sizeof(bytes));
    }
}

ATTACK(zeros)
{
    static const uint8_t bytes[FRAME_MAX];

    for (;;)
        put(guest, bytes, sizeof(bytes));
}

ATTACK(frame_type_0)
{
    put_frame(guest, 0, 0, 1, "x", 1);
}
ATTACK(frame_type_9)
{
    put_frame(guest, 9, 0, 1, "x", 1);
}
ATTACK(frame_flags)
{
    put_frame(guest, CONTROL, 0x80, 0, "{}", 2);
}
ATTACK(frame_length)
{
    put(guest, "\1\0\xff\xff\0\0\0\0", 8);
}
ATTACK(control_on_channel)
{
    put_frame(guest, CONTROL, 0, 5, "{}", 2);
}
ATTACK(data_on_0)
{
    put_frame(guest, DATA, 0, 0, "x", 1);
}
ATTACK(data_empty)
{
    put_frame(guest, DATA, 0, guest->out, "", 0);
}
ATTACK(credit_short)
{
    put_frame(guest, CREDIT, 0, guest->in, "\0\0\1", 3);
}
ATTACK(credit_0)
{
    put_credit(guest, guest->in, 0);
}
ATTACK(end_with_payload)
{
    put_frame(guest, END, 0, guest->out, "x", 1);
}

/* --- channels --- */

ATTACK(data_never_opened)
{
    put_data(guest, 99999, 10);
}
ATTACK(data_even)
{
    put_data(guest, 100000, 10);
}
ATTACK(data_highest)
{
    put_data(guest, UINT32_MAX, 10);
}
ATTACK(data_against)
{
    put_data(guest, guest->in, 10);
}
ATTACK(end_against)
{
    put_frame(guest, END, 0, guest->in, NULL, 0);
}
ATTACK(credit_against)
{
    put_credit(guest, guest->out, 10);
}
ATTACK(credit_too_much)
{
    put_credit(guest, guest->in, UINT32_MAX);
}
ATTACK(credit_in_steps)
{
    for (int i = 0; i < 64; i++)
        put_credit(guest, guest->in, 65536);
}
ATTACK(data_beyond_credit)
{
    put_data(guest, guest->out, 16 * WINDOW);
}
ATTACK(data_after_end)
{
    put_frame(guest, END, 0, guest->out, NULL, 0);
    put_data(guest, guest->out, 64 * WINDOW); /* of a channel that is over: dropped */
    put_frame(guest, END, 0, guest->out, NULL, 0);
    put_frame(guest, RESET, 0, guest->out, NULL, 0);
}
ATTACK(reset_all)
{
    for (uint32_t channel = 0; channel < FLOOD; channel++)
        put_frame(guest, RESET, 0, channel + 1, NULL, 0);
}
ATTACK(credit_flood)
{
    for (int i = 0; i < FLOOD; i++)
        put_credit(guest, 77777, 1);
}

/* --- hello --- */

ATTACK(hello_stream)
{
    put_data(guest, 1, 10);
}
ATTACK(hello_huge_program)
{
    put_repeated(guest, "{\"hello\":{\"protocol\":1,\"program\":\"", "x", MESSAGE - 100, "\"}}");
    for (;;)
        (void)pause();
}

/* --- messages --- */

ATTACK(deep)
{
    put_repeated(guest, "{\"event\":", "[", MESSAGE - 100, "");
}
ATTACK(deep_objects)
{
    put_repeated(guest, "{\"event\":\"log\",\"message\":", "{\"a\":", MESSAGE - 100, "");
}
ATTACK(wide)
{
    put_repeated(guest, "{\"event\":\"log\",\"message\":[0", ",0", MESSAGE - 100, "]}");
}
ATTACK(long_string)
{
    put_repeated(guest, "{\"event\":\"log\",\"message\":\"", "\\n", MESSAGE - 100, "\"}");
}
ATTACK(long_name)
{
    put_repeated(guest, "{\"event\":\"", "x", 1000, "\"}");
}
ATTACK(keys)
{
    enum { KEYS = 120000, SIZE = 30 };
    static char text[KEYS * SIZE + 64];
    size_t used = (size_t)snprintf(text, sizeof(text), "{\"event\":\"ended\"");

    for (int i = 0; i < KEYS; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, ",\"key%d\":{\"a\":0}", i);
    used += (size_t)snprintf(text + used, sizeof(text) - used, "}");
    put_long_text(guest, text, used);
}
ATTACK(too_long)
{
    put_repeated(guest, "{\"event\":\"", "x", 2 * MESSAGE, "\"}");
}
ATTACK(pieces_for_ever)
{
    for (;;)
        put_frame(guest, CONTROL, 1, 0, " ", 1);
}
ATTACK(nul)
{
    put_long_text(guest, "{\"event\":\"l\0g\"}", 15);
}

/* --- answers --- */

ATTACK(answer_twice)
{
    put_answer(guest, id, json_pack("{s:i,s:[]}", "pid", 2, "warnings"));
    put_answer(guest, id, json_pack("{s:i,s:[]}", "pid", 2, "warnings"));
}
ATTACK(answer_ahead)
{
    put_answer(guest, id + 1, json_pack("{s:i}", "pid", 2)); /* the next request's */
    put_answer(guest, id, NULL);
}
ATTACK(answer_empty)
{
    put_json(guest, json_pack("{s:I}", "id", id));
}
ATTACK(answer_array)
{
    put_json(guest, json_pack("{s:I,s:[]}", "id", id, "ok"));
}
ATTACK(answer_both)
{
    put_json(guest, json_pack("{s:I,s:{},s:{s:s}}", "id", id, "ok", "error", "message", "both"));
}
ATTACK(answer_error_wild)
{
    put_json(guest, json_pack("{s:I,s:{s:s,s:I,s:s}}", "id", id, "error", "class", "no such class",
                              "errno", (json_int_t)INT64_MAX, "message",
                              "first\n\033[2Jsecond\r\302\233third %s%n"));
}
ATTACK(answer_error_long)
{
    char head[64];

    (void)snprintf(head, sizeof(head), "{\"id\":%lld,\"error\":{\"message\":\"", (long long)id);
    put_repeated(guest, head, "why ", MESSAGE - 200, "\"}}");
}
ATTACK(warnings_many)
{
    char head[64];

    (void)snprintf(head, sizeof(head), "{\"id\":%lld,\"ok\":{\"warnings\":[\"\"", (long long)id);
    put_repeated(guest, head, ",\"\"", 300000, "]}}");
}
ATTACK(warnings_numbers)
{
    put_json(guest, json_pack("{s:I,s:{s:[i,i]}}", "id", id, "ok", "warnings", 1, 2));
}
ATTACK(pid_0)
{
    put_answer(guest, id, json_pack("{s:i}", "pid", 0));
}
ATTACK(pid_negative)
{
    put_answer(guest, id, json_pack("{s:i}", "pid", -1));
}
ATTACK(pid_huge)
{
    put_answer(guest, id, json_pack("{s:I}", "pid", (json_int_t)1 << 40));
}
ATTACK(pid_text)
{
    put_answer(guest, id, json_pack("{s:s}", "pid", "1"));
}

/* --- events --- */

ATTACK(started_flood)
{
    flood(guest, "{\"event\":\"started\",\"pid\":1,\"time\":1}", 10);
}
ATTACK(log_flood)
{
    flood(guest, "{\"event\":\"log\",\"message\":\"\\u001b[31mroot was here\\n\"}", FLOOD);
}
ATTACK(log_wrong)
{
    flood(guest, "{\"event\":\"log\",\"message\":[]}", 10);
}
ATTACK(ended_flood)
{
    flood(guest, "{\"event\":\"ended\",\"exec\":\"\"}", FLOOD);
}
ATTACK(exit_twice)
{
    flood(guest, "{\"event\":\"exit\",\"exec\":\"\",\"code\":7}", 2);
}
ATTACK(exit_flood)
{
    flood(guest, "{\"event\":\"exit\",\"exec\":\"\",\"code\":7}", FLOOD);
}

ATTACK(exit_and_hang)
{
    put_text(guest, "{\"event\":\"exit\",\"exec\":\"\",\"code\":7}");
    for (;;)
        (void)pause();
}

/* --- the console --- */

ATTACK(console_flood)
{
    static char lines[65536];

    for (size_t i = 0; i < sizeof(lines); i++)
        lines[i] = i % 100 == 99 ? '\n' : (char)(i * 7 % 256);
    for (int i = 0; i < 800; i++)
        (void)!write(STDOUT_FILENO, lines, sizeof(lines));
}

/* --- operations --- */

ATTACK(exec_exit_first)
{
    const char *exec = json_string_value(json_object_get(request, "exec"));

    for (int i = 0; i < 2; i++) /* the second is of one that does not run */
        put_json(guest, json_pack("{s:s,s:s,s:i}", "event", "exit", "exec", exec, "code", 3));
    put_answer(guest, id, json_pack("{s:i}", "pid", 3));
}
ATTACK(exec_refused_after_exit)
{
    const char *exec = json_string_value(json_object_get(request, "exec"));

    put_json(guest, json_pack("{s:s,s:s,s:i}", "event", "exit", "exec", exec, "code", 3));
    put_json(guest, json_pack("{s:I,s:{s:s}}", "id", id, "error", "message", "no"));
}
ATTACK(exec_data_beyond)
{
    put_data(guest, guest->stream, 16 * WINDOW);
}
ATTACK(exec_pid_wild)
{
    put_answer(guest, id, json_pack("{s:I}", "pid", INT64_MIN));
}
static void put_processes(const struct guest *guest, json_int_t id, int n)
{
    char head[64];

    (void)snprintf(head, sizeof(head), "{\"id\":%lld,\"ok\":{\"processes\":[{}", (long long)id);
    put_repeated(guest, head, ",{}", 3 * (size_t)n, "]}}");
}

ATTACK(processes_many)
{
    put_processes(guest, id, 40000);
}
ATTACK(processes_too_many)
{
    put_processes(guest, id, 1000000);
}
ATTACK(processes_wild)
{
    json_t *rows = json_array();

    for (int i = 0; i < 100; i++)
        (void)json_array_append_new(rows, json_pack("{s:I,s:I,s:I,s:I,s:s,s:[],s:I}", "utime",
                                                    INT64_MAX, "stime", INT64_MAX, "elapsed",
                                                    (json_int_t)1, "start", INT64_MIN, "user",
                                                    "\033[2J", "cmdline", "rss", INT64_MAX));
    put_answer(guest, id,
               json_pack("{s:I,s:i,s:o}", "now", INT64_MAX, "memory", 1, "processes", rows));
}

/* --- files --- */

static void stat_lie(const struct guest *guest, json_int_t id, const char *name, json_int_t size,
                     json_int_t mode, const char *target)
{
    put_answer(guest, id,
               json_pack("{s:s,s:I,s:I,s:s,s:s,s:s}", "name", name, "size", size, "mode", mode,
                         "mtime", "2026-01-01T00:00:00Z", "linkTarget", target, "resolved", "/x"));
}

ATTACK(stat_negative)
{
    stat_lie(guest, id, "x", -1, 0644, "");
}
ATTACK(stat_name_climbs)
{
    stat_lie(guest, id, "../../x", 1, 0644, "");
}
ATTACK(stat_long_target)
{
    static char target[1024 * 1024];

    memset(target, 'x', sizeof(target) - 1);
    stat_lie(guest, id, "x", 1, 0644, target);
}

/* One tar header (ustar) with its content, padded. */
static size_t tar_entry(uint8_t *at, char type, const char *name, const char *target,
                        const char *size, const char *content)
{
    size_t length = strlen(content);
    unsigned sum = 0;

    memset(at, 0, 512);
    (void)snprintf((char *)at, 100, "%s", name);
    (void)lay(at + 100, "0000644");
    (void)lay(at + 108, "0000000");
    (void)lay(at + 116, "0000000");
    (void)lay(at + 124, size);
    (void)lay(at + 136, "00000000000");
    memset(at + 148, ' ', 8);
    at[156] = (uint8_t)type;
    (void)snprintf((char *)at + 157, 100, "%s", target);
    (void)lay(at + 257, "ustar");
    (void)lay(at + 263, "00");
    if (type == '3') {
        (void)lay(at + 329, "0000010");
        (void)lay(at + 337, "0000000");
    }
    for (int i = 0; i < 512; i++)
        sum += at[i];
    (void)snprintf((char *)at + 148, 8, "%06o", sum);
    size_t padded = (length + 511) / 512 * 512;
    memset(at + 512, 0, padded);
    (void)lay(at + 512, content);
    return 512 + padded;
}

static void send_archive(const struct guest *guest, json_int_t id, const uint8_t *tar,
                         size_t length)
{
    put_answer(guest, id,
               json_pack("{s:s,s:i,s:I,s:s,s:s,s:s}", "name", "x", "size", 0, "mode",
                         (json_int_t)0x800001ed, "mtime", "2026-01-01T00:00:00Z", "linkTarget", "",
                         "resolved", "/x"));
    put_frame(guest, DATA, 0, guest->stream, tar, length);
    put_frame(guest, END, 0, guest->stream, NULL, 0);
}

/* Everything that an archive can try to leave the directory that it is unpacked in. $T is a folder
 * beside it, which the test makes: ../target. */
ATTACK(archive_climbs)
{
    static uint8_t tar[FRAME_MAX];
    size_t n = 0;

    n += tar_entry(tar + n, '5', "x/", "", "00000000000", "");
    n += tar_entry(tar + n, '0', "x/../../target/dotdot", "", "00000000004", "evil");
    n += tar_entry(tar + n, '0', "/tmp/hull-hostile-absolute", "", "00000000004", "evil");
    n += tar_entry(tar + n, '2', "x/link", "../../target", "00000000000", "");
    n += tar_entry(tar + n, '0', "x/link/through", "", "00000000004", "evil");
    n += tar_entry(tar + n, '1', "x/hard", "../target/secret", "00000000000", "");
    n += tar_entry(tar + n, '1', "x/hard2", "x/link/secret", "00000000000", "");
    n += tar_entry(tar + n, '0', "x/hard2", "", "00000000004", "evil");
    n += tar_entry(tar + n, '2', "x/passwd", "../../target/secret", "00000000000", "");
    n += tar_entry(tar + n, '0', "x/passwd", "", "00000000004", "evil");
    n += tar_entry(tar + n, '3', "x/device", "", "00000000000", "");
    memset(tar + n, 0, 1024);
    send_archive(guest, id, tar, n + 1024);
}
ATTACK(archive_size)
{
    static uint8_t tar[FRAME_MAX];
    size_t n = tar_entry(tar, '0', "x", "", "77777777777", "short");

    send_archive(guest, id, tar, n);
}
ATTACK(archive_pax)
{
    static uint8_t tar[FRAME_MAX];
    size_t n = 0;

    n += tar_entry(tar + n, 'x', "pax", "", "00000000073",
                   "59 GNU.sparse.map=0,18446744073709551615,9,9223372036854775807\n");
    n += tar_entry(tar + n, '0', "x", "", "00000000004", "evil");
    while (n + 1024 < sizeof(tar))
        n += tar_entry(tar + n, 'x', "pax", "", "00000000020", "16 path=../../x\n");
    send_archive(guest, id, tar, n);
}
ATTACK(archive_garbage)
{
    static uint8_t bytes[FRAME_MAX];

    srand(2);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)rand();
    send_archive(guest, id, bytes, sizeof(bytes));
}
ATTACK(archive_no_end)
{
    put_answer(guest, id,
               json_pack("{s:s,s:i,s:i,s:s,s:s,s:s}", "name", "x", "size", 0, "mode", 0644, "mtime",
                         "2026-01-01T00:00:00Z", "linkTarget", "", "resolved", "/x"));
    put_data(guest, guest->stream, 512);
}

static void send_changes(const struct guest *guest, json_int_t id, const char *text, size_t length)
{
    put_frame(guest, DATA, 0, guest->stream, text, length);
    put_frame(guest, END, 0, guest->stream, NULL, 0);
    put_answer(guest, id, NULL);
}

ATTACK(changes_garbage)
{
    send_changes(guest, id, "7no path", 8);
}
ATTACK(changes_no_nul)
{
    send_changes(guest, id, "0/x", 3);
}

/* --- a layer, slot by slot --- */

ATTACK(slot_negative)
{
    put_answer(guest, id, json_pack("{s:i}", "length", -1));
}
ATTACK(slot_huge)
{
    put_answer(guest, id, json_pack("{s:I}", "length", (json_int_t)1 << 40));
}
ATTACK(slot_text)
{
    put_answer(guest, id, json_pack("{s:s}", "length", "1"));
}
ATTACK(slot_nothing)
{
    put_answer(guest, id, json_pack("{s:i}", "length", 0));
}
ATTACK(slot_end_with_more)
{
    put_answer(guest, id, json_pack("{s:b,s:i}", "end", 1, "length", 100));
}
ATTACK(slot_end_at_once)
{
    put_answer(guest, id, json_pack("{s:b}", "end", 1));
}
ATTACK(slot_event)
{
    put_text(guest, "{\"event\":\"exit\",\"exec\":\"\",\"code\":0}");
}

const struct attack attacks[] = {
#define ROW(when, operation, function)                                    \
    {                                                                     \
        .name = #function, .time = when, .op = operation, .run = function \
    }
#define TEXT(when, operation, label, json)                          \
    {                                                               \
        .name = #label, .time = when, .op = operation, .text = json \
    }
    {.name = "silent_birth", .time = AT_BIRTH, .run = do_nothing},
    {.name = "silent_create", .time = AT_OP, .op = "create", .run = do_nothing},
    {.name = "silent_start", .time = AT_OP, .op = "start", .run = do_nothing},
    {.name = "silent_running", .time = AFTER_OP, .op = "start", .run = do_nothing},
    {.name = "silent_shutdown", .time = AT_OP, .op = "shutdown", .run = do_nothing},
    {.name = "exit_silent", .time = AFTER_OP, .op = "start", .run = exit_and_hang},
    {.name = "close_birth", .time = AT_BIRTH, .run = close_link},
    {.name = "close_create", .time = AT_OP, .op = "create", .run = close_link},
    {.name = "close_running", .time = AFTER_OP, .op = "start", .run = close_link},
    {.name = "end_create", .time = AT_OP, .op = "create", .run = end_at_once},
    {.name = "end_birth", .time = AT_BIRTH, .run = end_at_once},
    {.name = "end_running", .time = AFTER_OP, .op = "start", .run = end_at_once},
    {.name = "noise_birth", .time = AT_BIRTH, .run = noise},
    {.name = "zeros_birth", .time = AT_BIRTH, .run = zeros},
    ROW(AT_OP, "start", stop_reading),
    TEXT(AT_BIRTH, NULL, hello_no_json, "hello, host"),
    TEXT(AT_BIRTH, NULL, hello_version, "{\"hello\":{\"protocol\":99,\"program\":\"x\"}}"),
    TEXT(AT_BIRTH, NULL, hello_version_text, "{\"hello\":{\"protocol\":\"1\"}}"),
    TEXT(AT_BIRTH, NULL, hello_event, "{\"event\":\"exit\",\"exec\":\"\",\"code\":0}"),
    TEXT(AT_BIRTH, NULL, hello_array, "[{\"hello\":{\"protocol\":1}}]"),
    ROW(AT_BIRTH, NULL, hello_stream),
    ROW(AT_BIRTH, NULL, hello_huge_program),
    TEXT(AT_READY, NULL, hello_twice, "{\"hello\":{\"protocol\":1,\"program\":\"x\"}}"),
    ROW(AT_OP, "create", noise),
    ROW(AT_OP, "create", zeros),
    ROW(AFTER_OP, "start", frame_type_0),
    ROW(AFTER_OP, "start", frame_type_9),
    ROW(AFTER_OP, "start", frame_flags),
    ROW(AFTER_OP, "start", frame_length),
    ROW(AFTER_OP, "start", control_on_channel),
    ROW(AFTER_OP, "start", data_on_0),
    ROW(AFTER_OP, "start", data_empty),
    ROW(AFTER_OP, "start", credit_short),
    ROW(AFTER_OP, "start", credit_0),
    ROW(AFTER_OP, "start", end_with_payload),
    ROW(AFTER_OP, "start", data_never_opened),
    ROW(AFTER_OP, "start", data_even),
    ROW(AFTER_OP, "start", data_highest),
    ROW(AFTER_OP, "start", data_against),
    ROW(AFTER_OP, "start", end_against),
    ROW(AFTER_OP, "start", credit_against),
    ROW(AFTER_OP, "start", credit_too_much),
    ROW(AFTER_OP, "start", credit_in_steps),
    ROW(AFTER_OP, "start", data_beyond_credit),
    ROW(AFTER_OP, "start", data_after_end),
    ROW(AFTER_OP, "start", reset_all),
    ROW(AFTER_OP, "start", credit_flood),
    ROW(AFTER_OP, "start", deep),
    ROW(AFTER_OP, "start", deep_objects),
    ROW(AFTER_OP, "start", wide),
    ROW(AFTER_OP, "start", long_string),
    ROW(AFTER_OP, "start", long_name),
    ROW(AFTER_OP, "start", keys),
    ROW(AFTER_OP, "start", too_long),
    ROW(AFTER_OP, "start", pieces_for_ever),
    TEXT(AFTER_OP, "start", not_utf8, "{\"event\":\"log\",\"message\":\"\xff\xfe\"}"),
    ROW(AFTER_OP, "start", nul),
    TEXT(AFTER_OP, "start", number_overflow, "{\"id\":1e999,\"ok\":{}}"),
    TEXT(AFTER_OP, "start", request_to_host, "{\"id\":1,\"op\":\"exec\"}"),
    TEXT(AFTER_OP, "start", answer_unasked, "{\"id\":4711,\"ok\":{}}"),
    TEXT(AFTER_OP, "start", answer_negative, "{\"id\":-1,\"ok\":{}}"),
    TEXT(AFTER_OP, "start", answer_text_id, "{\"id\":\"1\",\"ok\":{}}"),
    ROW(AT_OP, "create", answer_twice),
    ROW(AT_OP, "create", answer_ahead),
    ROW(AT_OP, "create", answer_empty),
    ROW(AT_OP, "create", answer_array),
    ROW(AT_OP, "create", answer_both),
    ROW(AT_OP, "create", answer_error_wild),
    ROW(AT_OP, "create", answer_error_long),
    ROW(AT_OP, "create", warnings_many),
    ROW(AT_OP, "create", warnings_numbers),
    ROW(AT_OP, "start", pid_0),
    ROW(AT_OP, "start", pid_negative),
    ROW(AT_OP, "start", pid_huge),
    ROW(AT_OP, "start", pid_text),
    TEXT(AFTER_OP, "start", connect_unknown,
         "{\"event\":\"connect\",\"socket\":0,\"connection\":1}"),
    TEXT(AFTER_OP, "start", connect_wrong, "{\"event\":\"connect\",\"socket\":-1}"),
    TEXT(AFTER_OP, "start", event_unknown, "{\"event\":\"sing\"}"),
    ROW(AFTER_OP, "start", started_flood),
    ROW(AFTER_OP, "start", log_flood),
    ROW(AFTER_OP, "start", log_wrong),
    ROW(AFTER_OP, "start", ended_flood),
    TEXT(AFTER_OP, "start", ended_unknown, "{\"event\":\"ended\",\"exec\":\"abcd\"}"),
    TEXT(AFTER_OP, "create", exit_early, "{\"event\":\"exit\",\"exec\":\"\",\"code\":0}"),
    TEXT(AFTER_OP, "start", exit_unknown, "{\"event\":\"exit\",\"exec\":\"abcd\",\"code\":0}"),
    TEXT(AFTER_OP, "start", exit_code_256, "{\"event\":\"exit\",\"exec\":\"\",\"code\":256}"),
    TEXT(AFTER_OP, "start", exit_code_text, "{\"event\":\"exit\",\"exec\":\"\",\"code\":\"0\"}"),
    TEXT(AFTER_OP, "start", exit_no_code, "{\"event\":\"exit\"}"),
    TEXT(AFTER_OP, "start", exit_signal, "{\"event\":\"exit\",\"code\":0,\"signal\":1000}"),
    ROW(AFTER_OP, "start", exit_twice),
    ROW(AFTER_OP, "start", exit_flood),
    ROW(AT_READY, NULL, console_flood),
    {.name = "exec_silent", .time = AT_OP, .op = "exec", .run = no_answer},
    ROW(AT_OP, "exec", exec_exit_first),
    ROW(AT_OP, "exec", exec_refused_after_exit),
    ROW(AT_OP, "exec", exec_data_beyond),
    ROW(AT_OP, "exec", exec_pid_wild),
    {.name = "signal_silent", .time = AT_OP, .op = "signal", .run = no_answer},
    {.name = "update_silent", .time = AT_OP, .op = "update", .run = no_answer},
    {.name = "processes_silent", .time = AT_OP, .op = "processes", .run = no_answer},
    ROW(AT_OP, "processes", processes_many),
    ROW(AT_OP, "processes", processes_too_many),
    ROW(AT_OP, "processes", processes_wild),
    ROW(AT_OP, "stat-path", stat_negative),
    ROW(AT_OP, "stat-path", stat_name_climbs),
    ROW(AT_OP, "stat-path", stat_long_target),
    ROW(AT_OP, "archive-read", archive_climbs),
    ROW(AT_OP, "archive-read", archive_size),
    ROW(AT_OP, "archive-read", archive_pax),
    ROW(AT_OP, "archive-read", archive_garbage),
    ROW(AT_OP, "archive-read", archive_no_end),
    ROW(AT_CREDIT, "changes", changes_garbage),
    ROW(AT_CREDIT, "changes", changes_no_nul),
    ROW(AT_OP, "layer-slot", slot_negative),
    ROW(AT_OP, "layer-slot", slot_huge),
    ROW(AT_OP, "layer-slot", slot_text),
    ROW(AT_OP, "layer-slot", slot_nothing),
    ROW(AT_OP, "layer-slot", slot_end_with_more),
    ROW(AT_OP, "layer-slot", slot_end_at_once),
    ROW(AT_OP, "layer-slot", slot_event),
    {.name = "slot_close", .time = AT_OP, .op = "layer-slot", .run = end_at_once},
    {.name = NULL},
#undef ROW
#undef TEXT
};
