/* Configurations, manifests, challenges, platforms, change lines: parsers of short texts. */
#include "fixture.h"

#include "base/cleanup.h"
#include "base/strings.h"
#include "image/challenge.h"
#include "image/changes.h"
#include "image/manifest.h"
#include "image/platform.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define DIGEST "sha256:" HEX64

static struct image_config *parse_config(const char *text, struct error *err)
{
    struct image_config *config = NULL;
    image_config_parse(text, strlen(text), &config, err);
    return config;
}

static void test_config(void **state)
{
    (void)state;
    struct image_config *config = parse_config(
        "{\"architecture\":\"arm64\",\"os\":\"linux\",\"variant\":\"v8\",\"created\":\"1970-01-01T"
        "00:00:01Z\",\"config\":{\"User\":\"u\",\"Env\":[\"A=b\"],\"Cmd\":null,\"Entrypoint\":["
        "\"/e\"],\"ExposedPorts\":{\"80/tcp\":{}},\"Volumes\":{\"/v\":{}},\"Labels\":{\"k\":\"v\"},"
        "\"Healthcheck\":{\"Test\":[\"NONE\"]}},\"rootfs\":{\"diff_ids\":[\"" DIGEST
        "\"]},\"history\":[{\"created_by\":\"x\",\"empty_layer\":true}]}",
        NULL);
    assert_non_null(config);
    assert_string_equal(config->architecture, "arm64");
    assert_int_equal(config->created, 1000000000);
    assert_string_equal(config->defaults.env[0], "A=b");
    assert_null(config->defaults.cmd);
    assert_string_equal(config->defaults.exposed_ports[0], "80/tcp");
    assert_string_equal(json_string_value(json_object_get(config->defaults.labels, "k")), "v");
    assert_string_equal(config->diff_ids[0], DIGEST);
    assert_true(config->history[0].empty_layer);
    image_config_free(config);
}

static void test_config_refused(void **state)
{
    const char *bad[] = {"",
                         "[]",
                         "{\"config\":[]}",
                         "{\"config\":{\"Cmd\":\"x\"}}",
                         "{\"rootfs\":{\"diff_ids\":[\"md5:1\"]}}",
                         "{\"history\":[1]}",
                         "{\"config\":{\"Labels\":{\"a\":1}}}"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = ERROR_INIT;
        assert_null(parse_config(bad[i], &err));
        assert_int_equal(err.class, ERROR_INVALID);
    }
}

static void test_config_depth(void **state)
{
    CLEANUP(buffer_release) struct buffer text = BUFFER_INIT(1024 * 1024);
    struct error err = ERROR_INIT;
    (void)state;
    buffer_append_string(&text, "{\"rootfs\":{\"diff_ids\":[");
    for (int i = 0; i <= IMAGE_LAYERS_MAX; i++)
        buffer_printf(&text, "%s\"" DIGEST "\"", i ? "," : "");
    buffer_append_string(&text, "]}}");
    assert_null(parse_config(buffer_string(&text), &err));
    assert_true(string_starts_with(err.message, "max depth exceeded"));
}

static struct manifest *parse_manifest(const char *text, const char *type, struct error *err)
{
    struct manifest *manifest = NULL;
    manifest_parse(text, strlen(text), type, &manifest, err);
    return manifest;
}

static void test_manifest(void **state)
{
    (void)state;
    struct manifest *manifest =
        parse_manifest("{\"schemaVersion\":2,\"config\":{\"digest\":\"" DIGEST
                       "\",\"size\":3},\"layers\":[{\"digest\":\"" DIGEST "\",\"size\":4}]}",
                       MEDIA_DOCKER_MANIFEST, NULL);
    assert_non_null(manifest);
    assert_false(manifest->is_index);
    assert_int_equal(manifest->entries[0].size, 4);
    manifest_free(manifest);
}

static void test_manifest_refused(void **state)
{
    const char *bad[] = {
        "{}",
        "{\"schemaVersion\":1,\"config\":{\"digest\":\"" DIGEST "\",\"size\":3}}",
        "{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"manifests\":[]}",
        "{\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[],\"layers\":[]}",
        "{\"config\":{\"digest\":\"sha256:../../x\",\"size\":3}}",
        "{\"config\":{\"digest\":\"" DIGEST "\",\"size\":-1}}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = ERROR_INIT;
        assert_null(parse_manifest(bad[i], NULL, &err));
        assert_int_equal(err.class, ERROR_INVALID);
    }
}

static const char *pick(const char *os, const char *architecture, const char *variant)
{
    static char found[8];
    const struct image_platform platform = {os, architecture, variant};
    struct manifest *index = parse_manifest(
        "{\"manifests\":["
        "{\"digest\":\"" DIGEST "\",\"size\":1,\"platform\":{\"os\":\"linux\",\"architecture\":"
        "\"arm\",\"variant\":\"v6\"}},"
        "{\"digest\":\"" DIGEST "\",\"size\":2,\"platform\":{\"os\":\"linux\",\"architecture\":"
        "\"arm\",\"variant\":\"v7\"}},"
        "{\"digest\":\"" DIGEST "\",\"size\":3,\"platform\":{\"os\":\"linux\",\"architecture\":"
        "\"amd64\"}},"
        "{\"digest\":\"" DIGEST "\",\"size\":4,\"platform\":{\"os\":\"windows\",\"architecture\":"
        "\"amd64\"}},"
        "{\"digest\":\"" DIGEST "\",\"size\":5,\"platform\":{\"os\":\"linux\",\"architecture\":"
        "\"arm64\",\"variant\":\"v8\"}}]}",
        NULL, NULL);
    const struct descriptor *entry = manifest_pick(index, &platform);
    snprintf(found, sizeof(found), "%d", entry ? (int)entry->size : 0);
    manifest_free(index);
    return found;
}

static void test_pick(void **state)
{
    (void)state;
    assert_string_equal(pick("linux", "amd64", NULL), "3");
    assert_string_equal(pick("linux", "arm64", NULL), "5");
    assert_string_equal(pick("linux", "arm", "v7"), "2");
    assert_string_equal(pick("linux", "arm", "v6"), "1");
    assert_string_equal(pick("linux", "arm", "v5"), "0");
    assert_string_equal(pick("linux", "s390x", NULL), "0");
}

static void test_platform_parse(void **state)
{
    struct image_platform platform;
    CLEANUP_FREE char *text = NULL;
    char formatted[PLATFORM_TEXT_MAX];
    (void)state;
    assert_int_equal(image_platform_parse("linux/aarch64/v8", &platform, &text, NULL), 0);
    assert_string_equal(platform_format(&platform, formatted), "linux/arm64/v8");
    assert_true(image_platform_parse("a/b/c/d", &platform, &text, NULL) < 0);
    assert_true(image_platform_parse("linux//", &platform, &text, NULL) < 0);
}

static void test_challenges(void **state)
{
    struct challenges challenges = {0};
    (void)state;
    assert_int_equal(challenges_parse("Bearer realm=\"https://a/t\",service=\"s\\\"x\",scope="
                                      "\"repository:a/b:pull,push\", Basic realm=r",
                                      &challenges),
                     0);
    const struct challenge *bearer = challenges_find(&challenges, "bearer");
    assert_string_equal(bearer->realm, "https://a/t");
    assert_string_equal(bearer->service, "s\"x");
    assert_string_equal(bearer->scope, "repository:a/b:pull,push");
    assert_string_equal(challenges_find(&challenges, "basic")->realm, "r");
    challenges_release(&challenges);
    assert_int_equal(challenges_parse("realm=x", &challenges), -EINVAL);
    assert_int_equal(challenges_parse("Bearer realm=\"x", &challenges), -EINVAL);
    challenges_release(&challenges);
}

static void test_changes(void **state)
{
    struct image_defaults d = {0};
    (void)state;
    assert_int_equal(changes_apply(&d, "CMD [\"a\", \"b\"]", NULL), 0);
    assert_string_equal(d.cmd[1], "b");
    assert_int_equal(changes_apply(&d, "entrypoint a b", NULL), 0);
    assert_string_equal(d.entrypoint[2], "a b");
    assert_int_equal(changes_apply(&d, "ENV A=1 B=\"x y\"", NULL), 0);
    assert_int_equal(changes_apply(&d, "ENV A two words", NULL), 0);
    assert_string_equal(strv_env_get(d.env, "A"), "two words");
    assert_string_equal(strv_env_get(d.env, "B"), "x y");
    assert_int_equal(changes_apply(&d, "EXPOSE 80 90-91/udp", NULL), 0);
    assert_int_equal(strv_length(d.exposed_ports), 3);
    assert_int_equal(changes_apply(&d, "WORKDIR a", NULL), 0);
    assert_int_equal(changes_apply(&d, "WORKDIR ../b", NULL), 0);
    assert_string_equal(d.working_dir, "/b");
    assert_int_equal(changes_apply(&d, "HEALTHCHECK --interval=1m5s CMD x y", NULL), 0);
    assert_int_equal(json_integer_value(json_object_get(d.healthcheck, "Interval")), 65000000000);
    image_defaults_release(&d);
}

static void test_changes_refused(void **state)
{
    struct image_defaults d = {0};
    struct error err = ERROR_INIT;
    const char *bad[] = {"ENV", "ENV A", "EXPOSE x", "EXPOSE 0", "ENV \"A=b", "HEALTHCHECK FOO x"};
    (void)state;
    assert_true(changes_apply(&d, "RUN x", &err) < 0);
    assert_string_equal(err.message, "RUN is not a valid change command");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_true(changes_apply(&d, bad[i], NULL) < 0);
    image_defaults_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),           cmocka_unit_test(test_config_refused),
        cmocka_unit_test(test_config_depth),     cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_manifest_refused), cmocka_unit_test(test_pick),
        cmocka_unit_test(test_platform_parse),   cmocka_unit_test(test_challenges),
        cmocka_unit_test(test_changes),          cmocka_unit_test(test_changes_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
