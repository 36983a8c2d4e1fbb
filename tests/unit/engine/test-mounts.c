#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "base/strings.h"
#include "compute/job.h"
#include "engine/mount_request.h"
#include "engine/private.h"
#include "engine/shares.h"
#include "spec/runtime.h"

static struct engine engine = {.config = {.root = "/root-of-engine"}};

/* A container of such a HostConfig and Config; resolved. */
static int resolve(enum compute_isolation isolation, const char *host, const char *config,
                   struct container *ret, struct error *err)
{
    *ret =
        (struct container){.engine = &engine, .isolation = isolation, .vm_engine = VM_ENGINE_TCG};
    assert_int_equal(json_parse(host, strlen(host), &ret->host_config, NULL), 0);
    assert_int_equal(json_parse(config, strlen(config), &ret->config, NULL), 0);
    return engine_mounts_resolve(ret, err);
}

static void release(struct container *container)
{
    json_decref(container->host_config);
    json_decref(container->config);
    json_decref(container->mount_points);
}

static int check(enum compute_isolation isolation, const char *bind, struct error *err)
{
    struct container container;
    char host[256];
    (void)snprintf(host, sizeof(host), "{\"Binds\": [\"%s\"]}", bind);
    int r = resolve(isolation, host, "{}", &container, err);
    release(&container);
    return r;
}

static void binds_of_a_process_container(void **state)
{
    static const char *const good[] = {"/a:/b",       "/a:/b:ro",   "/a:/b:ro,rslave,z",
                                       "name:/b",     "name:/b:ro", "name:/b:nocopy",
                                       "/a:/b:cached"};
    static const char *const bad[] = {"/a",
                                      "/a:b",
                                      "/a:/",
                                      "/a:/x/..",
                                      "/a:/b:nonsense",
                                      "/a:/b:ro:x",
                                      ":/b",
                                      "/a:",
                                      "/a:ro",
                                      "/a:/b:nocopy",
                                      "/a:/b:ro,rw",
                                      "/a:/b:,",
                                      "name:/b:rslave",
                                      "/a:/b:shared,slave"};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_int_equal(check(COMPUTE_PROCESS, good[i], NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = ERROR_INIT;
        assert_true(check(COMPUTE_PROCESS, bad[i], &err) < 0);
        assert_int_equal(err.class, ERROR_INVALID);
    }
}

/* Also a volume that only the image declares: it would be somewhere else than where it is said to
 * be. */
static void a_vm_without_a_file_server(void **state)
{
    static const char *const binds[] = {"/a:/b", "name:/b"};
    struct container container;
    struct error err = ERROR_INIT;
    (void)state;
    for (size_t i = 0; i < sizeof(binds) / sizeof(binds[0]); i++) {
        assert_true(check(COMPUTE_HYPERV, binds[i], &err) < 0);
        assert_int_equal(err.class, ERROR_UNAVAILABLE);
        assert_non_null(strstr(err.message, "nothing can be mounted on '/b': no virtiofsd is "));
        assert_non_null(strstr(err.message, "install the package virtiofsd (on Debian 12 "
                                            "qemu-system-common)"));
    }
    assert_true(resolve(COMPUTE_HYPERV, "{}", "{\"Volumes\": {\"/v\": {}}}", &container, &err) < 0);
    assert_non_null(strstr(err.message, "nothing can be mounted on '/v'"));
    release(&container);
    assert_int_equal(resolve(COMPUTE_HYPERV, "{}", "{}", &container, NULL), 0);
    release(&container);
}

static void a_vm_with_a_file_server(void **state)
{
    static const char *const binds[] = {"/a:/b", "name:/b"};
    struct container container;
    (void)state;
    engine.config.vm_files.virtiofsd = "/proc/self/exe";
    for (size_t i = 0; i < sizeof(binds) / sizeof(binds[0]); i++)
        assert_int_equal(check(COMPUTE_HYPERV, binds[i], NULL), 0);
    assert_int_equal(resolve(COMPUTE_HYPERV, "{}", "{\"Volumes\": {\"/v\": {}}}", &container, NULL),
                     0);
    assert_int_equal(json_array_size(container.mount_points), 1);
    release(&container);
    engine.config.vm_files.virtiofsd = NULL;
}

/* Consumes `binds`. */
static struct container vm_with(json_t *binds, struct error *err, int expected)
{
    struct container container = {
        .engine = &engine, .isolation = COMPUTE_HYPERV, .vm_engine = VM_ENGINE_UML};
    container.host_config = json_pack("{s:o}", "Binds", binds);
    container.config = json_pack("{s:{s:{}}}", "Volumes", "/image");
    assert_int_equal(engine_mounts_resolve(&container, err), expected);
    return container;
}

static void shares_of_a_vm(void **state)
{
    struct container container = vm_with(json_pack("[s, s]", "/a:/b:ro", "name:/c"), NULL, 0);
    struct compute_job *job = compute_job_new();
    (void)state;
    assert_int_equal(engine_shares_add(&container, job, NULL), 0);
    assert_int_equal(job->n_shares, 3);
    assert_string_equal(job->shares[0].source, "/a");
    assert_string_equal(job->shares[0].target, "/b");
    assert_true(job->shares[0].read_only);
    assert_string_equal(job->shares[1].source, "/root-of-engine/volumes/name/_data");
    assert_false(job->shares[1].read_only);
    assert_string_equal(job->shares[2].target, "/image");
    compute_job_free(job);
    release(&container);
}

static void shares_of_a_vm_have_a_maximum(void **state)
{
    json_t *binds = json_array();
    struct error err = ERROR_INIT;
    (void)state;
    for (int i = 0; i < COMPUTE_SHARES_MAX; i++)
        assert_int_equal(json_array_append_new(binds, json_sprintf("/a:/b%d", i)), 0);
    /* And that of the image. */
    struct container container = vm_with(binds, &err, -EINVAL);
    assert_non_null(strstr(err.message, "takes at most 64 volumes and bind mounts, not 65"));
    release(&container);
}

static void tmpfs_becomes_a_mount(void **state)
{
    struct container container;
    struct spec_runtime *config = spec_runtime_new();
    (void)state;
    assert_int_equal(resolve(COMPUTE_HYPERV,
                             "{\"Tmpfs\": {\"/t\": \"size=1m\"}, \"Mounts\": [{\"Type\": "
                             "\"tmpfs\", \"Target\": \"/u\", \"TmpfsOptions\": {\"SizeBytes\": "
                             "4096, \"Mode\": 448}}]}",
                             "{}", &container, NULL),
                     0);
    assert_int_equal(engine_mounts_add(&container, config, NULL), 0);
    const struct spec_mount *mount = spec_runtime_find_mount(config, "/t");
    assert_non_null(mount);
    assert_true(strv_contains(mount->options, "size=1m"));
    mount = spec_runtime_find_mount(config, "/u");
    assert_non_null(mount);
    assert_true(strv_contains(mount->options, "size=4096"));
    assert_true(strv_contains(mount->options, "mode=700"));
    spec_runtime_free(config);
    release(&container);
}

static const char *text(const json_t *points, size_t i, const char *member)
{
    return json_string_value(json_object_get(json_array_get(points, i), member));
}

static void points_are_complete_and_sorted(void **state)
{
    struct container container;
    (void)state;
    assert_int_equal(resolve(COMPUTE_PROCESS,
                             "{\"Binds\": [\"/h:/a/b/c:ro\", \"name:/a\"], \"Mounts\": [{\"Type\": "
                             "\"volume\", \"Target\": \"/a/b\", \"Source\": \"other\"}]}",
                             "{\"Volumes\": {\"/z\": {}, \"/a/b/\": {}}}", &container, NULL),
                     0);
    json_t *points = engine_mounts_to_json(&container);
    assert_int_equal(json_array_size(points), 4);
    assert_string_equal(text(points, 0, "Destination"), "/a");
    assert_string_equal(text(points, 0, "Name"), "name");
    assert_string_equal(text(points, 0, "Mode"), "z");
    assert_string_equal(text(points, 0, "Source"), "/root-of-engine/volumes/name/_data");
    assert_string_equal(text(points, 1, "Destination"), "/z");
    assert_string_equal(text(points, 1, "Mode"), "");
    assert_int_equal(strlen(text(points, 1, "Name")), 64);
    assert_string_equal(text(points, 2, "Destination"), "/a/b");
    assert_string_equal(text(points, 2, "Name"), "other");
    assert_string_equal(text(points, 3, "Type"), "bind");
    assert_string_equal(text(points, 3, "Mode"), "ro");
    assert_string_equal(text(points, 3, "Propagation"), "rprivate");
    for (size_t i = 0; i < 4; i++)
        assert_null(json_object_get(json_array_get(points, i), "hull"));
    json_decref(points);
    release(&container);
}

static void two_mounts_at_one_place(void **state)
{
    static const char *const hosts[] = {
        "{\"Binds\": [\"one:/a\", \"two:/a/\"]}",
        "{\"Binds\": [\"one:/a\"], \"Mounts\": [{\"Type\": \"tmpfs\", \"Target\": \"/a\"}]}",
        "{\"Binds\": [\"one:/a\"], \"Tmpfs\": {\"/a\": \"\"}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct container container;
        struct error err = ERROR_INIT;
        assert_true(resolve(COMPUTE_PROCESS, hosts[i], "{}", &container, &err) < 0);
        assert_string_equal(err.message, "Duplicate mount point: /a");
        release(&container);
    }
}

static void refusals_of_mounts(void **state)
{
    static const struct {
        const char *mount;
        const char *words;
    } cases[] = {
        {"{\"Type\": \"bind\", \"Source\": \"/nonsense-that-is-not\", \"Target\": \"/a\"}",
         "invalid mount config for type \"bind\": bind source path does not exist: "
         "/nonsense-that-is-not"},
        {"{\"Type\": \"bind\", \"Target\": \"/a\"}",
         "invalid mount config for type \"bind\": field Source must not be empty"},
        {"{\"Type\": \"bind\", \"Source\": \"/\"}",
         "invalid mount config for type \"bind\": field Target must not be empty"},
        {"{\"Type\": \"bind\", \"Source\": \"x\", \"Target\": \"/a\"}",
         "invalid mount config for type \"bind\": invalid mount path: 'x' mount path must be "
         "absolute"},
        {"{\"Type\": \"volume\", \"Target\": \"/a\", \"ReadOnly\": true}",
         "invalid mount config for type \"volume\": must not set ReadOnly mode when using "
         "anonymous volumes"},
        {"{\"Type\": \"volume\", \"Target\": \"/a\", \"BindOptions\": {}}",
         "invalid mount config for type \"volume\": field BindOptions must not be specified"},
        {"{\"Type\": \"tmpfs\", \"Target\": \"/a\", \"Source\": \"x\"}",
         "invalid mount config for type \"tmpfs\": field Source must not be specified"},
        {"{\"Type\": \"npipe\", \"Target\": \"/a\"}",
         "invalid mount config for type \"npipe\": mount type unknown"},
        {"{\"Type\": \"volume\", \"Target\": \"/\"}",
         "invalid mount config for type \"volume\": invalid specification: destination can't be "
         "'/'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct mount_request request = {0};
        struct error err = ERROR_INIT;
        json_t *json = NULL;
        assert_int_equal(json_parse(cases[i].mount, strlen(cases[i].mount), &json, NULL), 0);
        assert_true(mount_request_parse_mount(json, &request, &err) < 0);
        assert_string_equal(err.message, cases[i].words);
        mount_request_release(&request);
        json_decref(json);
    }
}

static void other_containers(void **state)
{
    static const char *const bad[] = {"", "x:", "x:nonsense", "x:rslave", "x:nocopy"};
    char *reference = NULL;
    bool writable = false;
    (void)state;
    assert_int_equal(mount_request_parse_from("x", &reference, &writable, NULL), 0);
    assert_string_equal(reference, "x");
    assert_true(writable);
    free(reference);
    assert_int_equal(mount_request_parse_from("x:ro", &reference, &writable, NULL), 0);
    assert_false(writable);
    free(reference);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(mount_request_parse_from(bad[i], &reference, &writable, NULL) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binds_of_a_process_container),
        cmocka_unit_test(a_vm_without_a_file_server),
        cmocka_unit_test(a_vm_with_a_file_server),
        cmocka_unit_test(shares_of_a_vm),
        cmocka_unit_test(shares_of_a_vm_have_a_maximum),
        cmocka_unit_test(tmpfs_becomes_a_mount),
        cmocka_unit_test(points_are_complete_and_sorted),
        cmocka_unit_test(two_mounts_at_one_place),
        cmocka_unit_test(refusals_of_mounts),
        cmocka_unit_test(other_containers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
