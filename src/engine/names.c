#include "engine/names.h"

#include <stdio.h>

#include "base/random.h"

static const char *const adjectives[] = {
    "able",   "amber",  "ample",    "aware",   "azure",  "balmy",   "blithe",  "bold",     "brave",
    "breezy", "bright", "brisk",    "buoyant", "calm",   "candid",  "careful", "cheerful", "clear",
    "clever", "cosy",   "crisp",    "curious", "daring", "deft",    "eager",   "earnest",  "easy",
    "even",   "fair",   "fearless", "fine",    "fleet",  "fond",    "frank",   "free",     "gentle",
    "glad",   "golden", "graceful", "grand",   "happy",  "hardy",   "hearty",  "honest",   "humble",
    "jolly",  "keen",   "kind",     "lively",  "loyal",  "lucid",   "lucky",   "mellow",   "merry",
    "mild",   "modest", "neat",     "nimble",  "noble",  "patient", "placid",  "plucky",   "proud",
    "quick",  "quiet",  "ready",    "robust",  "rosy",   "serene",  "sharp",   "silver",   "snug",
    "sober",  "sound",  "spry",     "steady",  "still",  "stout",   "sturdy",  "sunny",    "sure",
    "swift",  "tender", "tidy",     "tough",   "trim",   "true",    "trusty",  "upright",  "vast",
    "vivid",  "warm",   "wary",     "wise",    "witty",  "zesty",
};

static const char *const nouns[] = {
    "anchor",   "ballast", "barge",   "beacon",    "berth",      "binnacle", "boatswain", "bollard",
    "boom",     "bow",     "bowline", "breaker",   "brig",       "bulkhead", "buoy",      "cabin",
    "capstan",  "caravel", "channel", "chart",     "cleat",      "clipper",  "compass",   "coral",
    "corvette", "current", "cutter",  "davit",     "deck",       "dinghy",   "dock",      "dory",
    "drift",    "estuary", "fathom",  "ferry",     "fjord",      "fleet",    "frigate",   "gale",
    "galley",   "gangway", "gull",    "halyard",   "harbour",    "hatch",    "hawser",    "heading",
    "helm",     "horizon", "island",  "jetty",     "jib",        "kayak",    "keel",      "ketch",
    "knot",     "lagoon",  "lantern", "lee",       "lighthouse", "log",      "mainsail",  "mast",
    "mizzen",   "mooring", "oar",     "packet",    "pier",       "pilot",    "port",      "prow",
    "quay",     "reef",    "rigging", "rudder",    "sail",       "schooner", "sextant",   "shoal",
    "skiff",    "sloop",   "spar",    "starboard", "stern",      "strait",   "tender",    "tide",
    "tiller",   "trawler", "vessel",  "voyage",    "wake",       "wharf",    "winch",     "yawl",
};

void container_random_name(char *name, size_t size, bool number)
{
    const char *adjective = adjectives[random_u32() % (sizeof(adjectives) / sizeof(*adjectives))];
    const char *noun = nouns[random_u32() % (sizeof(nouns) / sizeof(*nouns))];
    if (number)
        (void)snprintf(name, size, "%s_%s%u", adjective, noun, random_u32() % 1000);
    else
        (void)snprintf(name, size, "%s_%s", adjective, noun);
}
