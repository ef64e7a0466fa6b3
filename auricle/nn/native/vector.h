/* Sixteen floats at once, in GCC's and Clang's own vector types: the compiler maps them to what the processor has. */
#ifndef AURICLE_VECTOR_H
#define AURICLE_VECTOR_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((vector_size(64)));
typedef int32_t ints __attribute__((vector_size(64)));
typedef float loose __attribute__((vector_size(64), aligned(4), may_alias));

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void store(float *p, vec v) { *(loose *)p = v; }
INLINE vec all(float x) { return x - (vec){0}; }

/* Ask for the row a few rows ahead: rows far apart are not fetched by themselves. Also beyond the end, where it is idle. */
#define soon(p, stride, write) __builtin_prefetch((p) + 8 * (stride), write)

/* The first n of sixteen floats, zeros after them. */
INLINE vec load_some(const float *p, long n) {
    if (n >= LANES) return load(p);
    float buffer[LANES] = {0};
    memcpy(buffer, p, (size_t)n * sizeof(float));
    return load(buffer);
}

INLINE void store_some(float *p, vec v, long n) {
    if (n >= LANES) {
        store(p, v);
        return;
    }
    float buffer[LANES];
    store(buffer, v);
    memcpy(p, buffer, (size_t)n * sizeof(float));
}

INLINE float total(vec v) {
    float sum = 0.0f;
    for (int lane = 0; lane < LANES; lane++) sum += v[lane];
    return sum;
}

INLINE vec choose(ints mask, vec yes, vec no) { return (vec)(((ints)yes & mask) | ((ints)no & ~mask)); }

/* exp to within two units in the last place; below -87 the smallest normal number or so, above 88 the largest. NaN stays
   NaN. Argument = n log 2 + r with |r| <= log(2) / 2, then a polynomial in r (coefficients of Cephes' expf). */
INLINE vec vexp(vec x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    vec y = choose(x < -87.0f, all(-87.0f), x);
    y = choose(y > 88.0f, all(88.0f), y);
    vec shifted = y * 1.44269504088896341f + magic;
    vec n = shifted - magic;
    vec r = y - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vec p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    ints power = ((ints)shifted + (127 - 0x4B400000)) << 23;
    return p * (vec)power;
}

/* Turn sixteen rows of sixteen floats: four times, interleave each row of the first half with one of the second. */
INLINE void turn16(vec row[LANES]) {
    vec next[LANES];
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < LANES / 2; i++) {
            next[2 * i] = __builtin_shufflevector(row[i], row[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            next[2 * i + 1] =
                __builtin_shufflevector(row[i], row[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        for (int i = 0; i < LANES; i++) row[i] = next[i];
    }
}

INLINE vec vsigmoid(vec x) { return 1.0f / (1.0f + vexp(-x)); }

#endif
