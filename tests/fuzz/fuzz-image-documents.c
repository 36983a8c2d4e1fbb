/* Image configurations, manifests and indexes. */
#include <stdint.h>
#include <stdlib.h>

#include "image/image.h"
#include "image/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct image_platform platform = {"linux", "arm", "v7"};
    struct image_config *config = NULL;
    struct manifest *manifest = NULL;
    if (image_config_parse((const char *)data, size, &config, NULL) == 0)
        json_decref(image_defaults_to_json(&config->defaults));
    image_config_free(config);
    if (manifest_parse((const char *)data, size, NULL, &manifest, NULL) == 0 && manifest->is_index)
        manifest_pick(manifest, &platform);
    manifest_free(manifest);
    return 0;
}
