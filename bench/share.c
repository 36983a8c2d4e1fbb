/* Throughput of a share in a guest, and of the same directory on the host. Not a test. */
#define main share_main
#include "test-share.c"
#undef main
#include "share-work.h"

static void bench(void **state)
{
    need_guest();
    struct host *host = *state;
    char answer[ANSWER_MAX];
    char own[ANSWER_MAX];

    fixture_need_root();
    boot(host, true);
    expect(host, "mount /shares/0 /mnt", "ok");
    print_message("           write  read   create stat   unlink (s; 1 GiB, 10000 files)\n");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(work(host->directory, own, sizeof(own)), 0);
        ask(host, "work /mnt", answer);
        print_message("host       %s\nguest      %s\n", own, answer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {ROW(bench)};

    (void)share_main;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
