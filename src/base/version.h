/* The version of this build; meson.build defines the number. */
#ifndef HULL_BASE_VERSION_H
#define HULL_BASE_VERSION_H

#ifndef HULL_VERSION
#error "HULL_VERSION is defined by the build"
#endif

#endif
