#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "engine/private.h"
#include "net/publish.h"

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    assert_int_equal(json_parse(text, strlen(text), &json, NULL), 0);
    return json;
}

static void bindings_and_ranges(void **state)
{
    struct net_port *ports = NULL;
    size_t n = 0;
    json_t *host =
        parse("{\"PortBindings\": {\"80/tcp\": [{\"HostIp\": \"127.0.0.1\", \"HostPort\": "
              "\"8080\"}], \"53/udp\": [{\"HostPort\": \"5000-5010\"}], \"7\": null}}");
    json_t *config = parse("{}");
    (void)state;
    assert_int_equal(engine_ports_parse(host, config, &ports, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_int_equal(ports[0].container_port, 80);
    assert_int_equal(ports[0].host_port, 8080);
    assert_int_equal(ports[0].host_address, 0x7f000001);
    assert_int_equal(ports[1].protocol, NET_PROTOCOL_UDP);
    assert_int_equal(ports[1].host_port, 5000);
    assert_int_equal(ports[1].host_port_end, 5010);
    assert_int_equal(ports[2].host_port, 0);
    free(ports);
    json_decref(host);
    json_decref(config);
}

static void publish_all_takes_what_is_exposed(void **state)
{
    struct net_port *ports = NULL;
    size_t n = 0;
    json_t *host = parse("{\"PublishAllPorts\": true, \"PortBindings\": {\"80/tcp\": [{}]}}");
    json_t *config = parse("{\"ExposedPorts\": {\"80/tcp\": {}, \"443/tcp\": {}}}");
    (void)state;
    assert_int_equal(engine_ports_parse(host, config, &ports, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(ports[1].container_port, 443);
    free(ports);
    json_decref(host);
    json_decref(config);
}

static void what_is_no_port(void **state)
{
    static const char *const cases[] = {
        "{\"PortBindings\": {\"0/tcp\": []}}",
        "{\"PortBindings\": {\"65536/tcp\": []}}",
        "{\"PortBindings\": {\"80/icmp\": []}}",
        "{\"PortBindings\": {\"80/tcp/x\": []}}",
        "{\"PortBindings\": {\"80/tcp\": [{\"HostPort\": \"x\"}]}}",
        "{\"PortBindings\": {\"80/tcp\": [{\"HostPort\": \"20-10\"}]}}",
        "{\"PortBindings\": {\"80/tcp\": [{\"HostIp\": \"nonsense\"}]}}",
        "{\"PortBindings\": {\"80/tcp\": [{\"HostPort\": 80}]}}",
        "{\"PortBindings\": []}",
    };
    (void)state;
    json_t *config = json_object();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *host = parse(cases[i]);
        assert_true(engine_ports_check(host, config, NULL) < 0);
        json_decref(host);
    }
    json_decref(config);
}

static void inspect_and_back(void **state)
{
    struct net_port port = {.protocol = NET_PROTOCOL_TCP, .host_port = 8080, .container_port = 80};
    struct net_port *read = NULL;
    size_t n = 0;
    json_t *config = parse("{\"ExposedPorts\": {\"443/tcp\": {}}}");
    json_t *json = engine_ports_to_json(&port, 1, config);
    (void)state;
    char *text = json_format(json);
    assert_string_equal(text, "{\"443/tcp\":null,\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":"
                              "\"8080\"}]}");
    free(text);
    assert_int_equal(engine_ports_from_json(json, &read, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_int_equal(read[0].host_port, 8080);
    assert_int_equal(read[0].container_port, 80);
    free(read);
    json_decref(json);
    json_decref(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bindings_and_ranges),
        cmocka_unit_test(publish_all_takes_what_is_exposed),
        cmocka_unit_test(what_is_no_port),
        cmocka_unit_test(inspect_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
