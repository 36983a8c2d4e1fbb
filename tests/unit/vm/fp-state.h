/* What a program has in its FP and vector registers: loaded, kept over something that enters the
 * kernel, and stored again, with nothing in between that a compiler could add to (fp-rounds.s,
 * where the places of the members are numbers). */
#ifndef HULL_TEST_VM_FP_STATE_H
#define HULL_TEST_VM_FP_STATE_H

#include <stdint.h>

struct fp_state {
    uint8_t vectors[32][64];
    uint64_t masks[8];
    uint8_t stack[8][16]; /* of the x87, ten bytes each */
    uint32_t control;     /* of SSE */
    uint32_t x87_control;
};

/* How much of the vector registers a round uses. */
enum { FP_SSE, FP_AVX, FP_AVX512, FP_LEVELS };

typedef long fp_operation(long first, long second, long third, long fourth);

/* Returns what the operation does. The state that is loaded is `in`, that afterwards in `out`. */
long fp_round_sse(const struct fp_state *in, struct fp_state *out, fp_operation *operation,
                  const long arguments[4]);
long fp_round_avx(const struct fp_state *in, struct fp_state *out, fp_operation *operation,
                  const long arguments[4]);
long fp_round_avx512(const struct fp_state *in, struct fp_state *out, fp_operation *operation,
                     const long arguments[4]);

fp_operation fp_call;  /* a system call: its number, and three arguments */
fp_operation fp_write; /* a byte of the second to the address in the first */
fp_operation fp_read;  /* a byte */
fp_operation fp_add;   /* adds the second to a byte, and returns what it was */
fp_operation fp_spin;  /* so many times */

#endif
