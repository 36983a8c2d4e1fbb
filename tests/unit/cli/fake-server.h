/* An engine for tests: a thread on a unix socket that gives prepared answers and keeps what it was
 * asked. */
#ifndef HULL_TESTS_CLI_FAKE_SERVER_H
#define HULL_TESTS_CLI_FAKE_SERVER_H

struct fake_server;

/* What happens to the connection after the answer. FAKE_ECHO: what comes in goes back until its
 * end, then the route's tail is sent and the connection closed; nothing else is served meanwhile.
 */
enum fake_after { FAKE_KEEP, FAKE_CLOSE, FAKE_ECHO };

/* The first route whose request is the start of "METHOD TARGET" answers, with `answer` as the whole
 * bytes of the response (head and body). */
struct fake_route {
    const char *request;
    const char *answer;
    unsigned long answer_length; /* 0: strlen() */
    enum fake_after after;
    const char *tail;
    unsigned long tail_length;
};

/* Routes end with a NULL request and must outlive the server. */
struct fake_server *fake_server_start(const struct fake_route *routes);
/* "unix://PATH" of its socket. */
const char *fake_server_host(const struct fake_server *server);
/* Ends the thread. Returns all requests, "METHOD TARGET body\n" each; free() it. */
char *fake_server_stop(struct fake_server *server);

#endif
