/* net/elements.h against the kernel, with the `nft` program as the witness. */
#include "base/strings.h"
#include "net/elements.h"
#include "netns.h"
#include <linux/netfilter.h>

static const char tables[] =
    "table ip t { map m { type inet_proto . inet_service : ipv4_addr . inet_service; }\n"
    " set n { type ifname; }\n"
    "}\n"
    "table ip6 t { set s { type ifname . ether_addr . ipv4_addr; }\n"
    "}\n";

static const struct elements_set map = {NFPROTO_IPV4, "t", "m"};
static const struct elements_set names = {NFPROTO_IPV4, "t", "n"};
static const struct elements_set sources = {NFPROTO_IPV6, "t", "s"};

static int setup(void **state)
{
    struct elements *elements = NULL;
    struct error err = ERROR_INIT;

    if (!netns_permitted)
        return 0;
    free(run_input(tables, "nft", "-f", "-"));
    assert_done(elements_open(&elements, &err), err);
    elements_start(elements);
    *state = elements;
    return 0;
}

static int teardown(void **state)
{
    if (!netns_permitted)
        return 0;
    elements_free(*state);
    free(run_output("nft", "flush", "ruleset"));
    return 0;
}

static void put_port(struct elements *elements, enum elements_verb verb, uint16_t port,
                     const char *target, int expected)
{
    struct elements_value key = {0};
    struct elements_value data = {0};
    struct in_addr address;
    uint8_t protocol = IPPROTO_TCP;
    uint16_t network_order = htons(port);

    assert_int_equal(inet_pton(AF_INET, target, &address), 1);
    elements_field(&key, &protocol, sizeof(protocol));
    elements_field(&key, &network_order, sizeof(network_order));
    elements_field(&data, &address, sizeof(address));
    elements_field(&data, &network_order, sizeof(network_order));
    assert_int_equal(elements_put(elements, verb, &map, &key, verb == ELEMENTS_ADD ? &data : NULL),
                     expected);
}

static void put_name(struct elements *elements, enum elements_verb verb, const char *name)
{
    struct elements_value key = {0};

    elements_field_name(&key, name);
    assert_int_equal(elements_put(elements, verb, &names, &key, NULL), 0);
}

static void put_source(struct elements *elements, enum elements_verb verb)
{
    static const uint8_t mac[6] = {2, 0x42, 0xac, 0x1d, 0, 2};
    struct elements_value key = {0};
    struct in_addr address;

    assert_int_equal(inet_pton(AF_INET, "172.29.0.2", &address), 1);
    elements_field_name(&key, "hv0123456789abc");
    elements_field(&key, mac, sizeof(mac));
    elements_field(&key, &address, sizeof(address));
    assert_int_equal(elements_put(elements, verb, &sources, &key, NULL), 0);
}

static size_t count(const char *family, const char *kind, const char *set, const char *needle)
{
    CLEANUP_FREE char *text = run_output("nft", "-j", "list", kind, family, "t", set);
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, needle)); at++)
        n++;
    return n;
}

static void test_add_and_delete(void **state)
{
    struct elements *elements = *state;
    struct error err = ERROR_INIT;

    netns_required();
    put_port(elements, ELEMENTS_ADD, 8080, "10.0.0.2", 0);
    put_name(elements, ELEMENTS_ADD, "hv0");
    put_source(elements, ELEMENTS_ADD);
    assert_done(elements_commit(elements, &err), err);
    assert_int_equal(count("ip", "map", "m",
                           "[{\"concat\": [\"tcp\", 8080]}, {\"concat\": [\"10.0.0.2\", 8080]}]"),
                     1);
    assert_int_equal(count("ip", "set", "n", "\"elem\": [\"hv0\"]"), 1);
    assert_int_equal(
        count("ip6", "set", "s",
              "{\"concat\": [\"hv0123456789abc\", \"02:42:ac:1d:00:02\", \"172.29.0.2\"]}"),
        1);
    put_port(elements, ELEMENTS_DELETE, 8080, "10.0.0.2", 0);
    put_name(elements, ELEMENTS_DELETE, "hv0");
    put_source(elements, ELEMENTS_DELETE);
    assert_done(elements_commit(elements, &err), err);
    assert_int_equal(count("ip", "map", "m", "elem"), 0);
    assert_int_equal(count("ip", "set", "n", "elem"), 0);
    assert_int_equal(count("ip6", "set", "s", "elem"), 0);
}

static void test_empty_and_forgotten_batches(void **state)
{
    struct elements *elements = *state;
    struct error err = ERROR_INIT;

    netns_required();
    assert_done(elements_commit(elements, &err), err);
    put_name(elements, ELEMENTS_ADD, "hv0");
    elements_start(elements);
    assert_done(elements_commit(elements, &err), err);
    put_name(elements, ELEMENTS_ADD, "hv1");
    assert_done(elements_commit(elements, &err), err);
    assert_int_equal(count("ip", "set", "n", "\"elem\": [\"hv1\"]"), 1);
}

static void test_adding_once_more(void **state)
{
    struct elements *elements = *state;
    struct error err = ERROR_INIT;

    netns_required();
    for (int i = 0; i < 2; i++) {
        put_port(elements, ELEMENTS_ADD, 80, "10.0.0.2", 0);
        assert_done(elements_commit(elements, &err), err);
    }
    /* The same key cannot lead elsewhere. */
    put_port(elements, ELEMENTS_ADD, 80, "10.0.0.3", 0);
    assert_true(elements_commit(elements, &err) < 0);
    assert_int_equal(count("ip", "map", "m", "10.0.0.2"), 1);
}

static void test_all_or_nothing(void **state)
{
    struct elements *elements = *state;
    struct error err = ERROR_INIT;

    netns_required();
    put_name(elements, ELEMENTS_ADD, "hv0");
    put_port(elements, ELEMENTS_DELETE, 80, "10.0.0.2", 0);
    put_name(elements, ELEMENTS_ADD, "hv1");
    assert_int_equal(elements_commit(elements, &err), -ENOENT);
    assert_true(
        string_starts_with(err.message, "cannot change the packet filter: No such file or "));
    assert_int_equal(count("ip", "set", "n", "elem"), 0);
}

static void test_a_table_that_is_gone(void **state)
{
    struct elements *elements = *state;

    netns_required();
    free(run_output("nft", "delete", "table", "ip", "t"));
    put_name(elements, ELEMENTS_ADD, "hv0");
    assert_int_equal(elements_commit(elements, NULL), -ENOENT);
    free(run_output("nft", "flush", "ruleset"));
    free(run_input(tables, "nft", "-f", "-"));
    put_name(elements, ELEMENTS_ADD, "hv0");
    assert_int_equal(elements_commit(elements, NULL), 0);
}

static void test_a_value_of_the_wrong_length(void **state)
{
    struct elements *elements = *state;
    struct elements_value key = {0};
    struct error err = ERROR_INIT;

    netns_required();
    elements_field(&key, "hv0", 4);
    assert_int_equal(elements_put(elements, ELEMENTS_ADD, &names, &key, NULL), 0);
    assert_int_equal(elements_commit(elements, &err), -EINVAL);
}

/* More failures than answers fit into the socket's queue, and then a change that works. */
static void test_large_batches(void **state)
{
    struct elements *elements = *state;
    struct error err = ERROR_INIT;

    netns_required();
    for (int i = 1; i <= 4096; i++)
        put_port(elements, ELEMENTS_DELETE, (uint16_t)i, "10.0.0.2", 0);
    assert_true(elements_commit(elements, NULL) < 0);
    for (int i = 1; i <= 4096; i++)
        put_port(elements, ELEMENTS_ADD, (uint16_t)i, "10.0.0.2", 0);
    assert_done(elements_commit(elements, &err), err);
    assert_int_equal(count("ip", "map", "m", "10.0.0.2"), 4096);
    for (int i = 1; i <= 4096; i++)
        put_port(elements, ELEMENTS_DELETE, (uint16_t)i, "10.0.0.2", 0);
    assert_done(elements_commit(elements, &err), err);
    assert_int_equal(count("ip", "map", "m", "10.0.0.2"), 0);
}

static void test_batches_are_bounded(void **state)
{
    struct elements *elements = *state;
    struct elements_value key = {0};
    struct error err = ERROR_INIT;
    int r = 0;

    netns_required();
    elements_field_name(&key, "hv0");
    for (size_t i = 0; r == 0 && i < ELEMENTS_BATCH_MAX; i++)
        r = elements_put(elements, ELEMENTS_ADD, &names, &key, NULL);
    assert_int_equal(r, -EOVERFLOW);
    elements_start(elements);
    put_name(elements, ELEMENTS_ADD, "hv1");
    assert_done(elements_commit(elements, &err), err);
    assert_int_equal(count("ip", "set", "n", "\"elem\": [\"hv1\"]"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_add_and_delete, setup, teardown),
        cmocka_unit_test_setup_teardown(test_empty_and_forgotten_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_adding_once_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_or_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_table_that_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_value_of_the_wrong_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_batches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batches_are_bounded, setup, teardown),
    };

    return cmocka_run_group_tests_name("elements", tests, netns_setup, NULL);
}
