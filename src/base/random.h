/* Random numbers (getrandom(2)) and the 64-digit hexadecimal ids of containers and execs. */
#ifndef HULL_BASE_RANDOM_H
#define HULL_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

enum { ID_LENGTH = 64, ID_SHORT_LENGTH = 12 };

void random_bytes(void *data, size_t length); /* aborts if the kernel cannot give any */
void random_id(char id[ID_LENGTH + 1]);
uint32_t random_u32(void);

#endif
