/* Small matrix products whose operands lie in the processor's cache. */
#ifndef AURICLE_PRODUCT_H
#define AURICLE_PRODUCT_H

#include "vector.h"

#define ROWS 4 /* of a block that is held in registers */
#define UNROLL _Pragma("GCC unroll 4")

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE long up(long n) { return (n + LANES - 1) / LANES * LANES; }
INLINE float *scratch(long floats) { return aligned_alloc(64, (size_t)up(floats) * sizeof(float)); }

/* Block of R rows and V vectors: C (+)= A B, with A[i, k] at a[i * ai + k * ak], rows of B and C sb and sc apart. */
#define BLOCK_OF(R, V)                                                                                 \
    INLINE void block_##R##_##V(float *c, long sc, const float *a, long ai, long ak, const float *b,    \
                                long sb, long from, long to, long add) {                               \
        vec sum[R][V];                                                                                 \
        UNROLL for (int i = 0; i < R; i++)                                                             \
            UNROLL for (int v = 0; v < V; v++) sum[i][v] = add ? load(c + i * sc + v * LANES) : (vec){0}; \
        for (long k = from; k < to; k++) {                                                             \
            vec row[V];                                                                                \
            UNROLL for (int v = 0; v < V; v++) row[v] = load(b + k * sb + v * LANES);                  \
            UNROLL for (int i = 0; i < R; i++) {                                                       \
                float factor = a[i * ai + k * ak];                                                     \
                UNROLL for (int v = 0; v < V; v++) sum[i][v] += factor * row[v];                       \
            }                                                                                          \
        }                                                                                              \
        UNROLL for (int i = 0; i < R; i++)                                                             \
            UNROLL for (int v = 0; v < V; v++) store(c + i * sc + v * LANES, sum[i][v]);               \
    }
BLOCK_OF(1, 1)
BLOCK_OF(1, 2)
BLOCK_OF(1, 4)
BLOCK_OF(4, 1)
BLOCK_OF(4, 2)
BLOCK_OF(4, 4)

/* `rows` rows (at most ROWS) of C (+)= A B, summed over [from, to), of `width` columns, a multiple of sixteen. */
static __attribute__((noinline)) void few_rows(float *c, long sc, const float *a, long ai, long ak, const float *b, long sb, long rows, long width,
                     long from, long to, long add) {
    long v = 0;
#define STRIPE(V)                                                                                \
    for (; v + (V)*LANES <= width; v += (V)*LANES) {                                             \
        if (rows == ROWS)                                                                        \
            block_4_##V(c + v, sc, a, ai, ak, b + v, sb, from, to, add);                         \
        else                                                                                     \
            for (long i = 0; i < rows; i++)                                                      \
                block_1_##V(c + i * sc + v, sc, a + i * ai, ai, ak, b + v, sb, from, to, add);   \
    }
    STRIPE(4)
    STRIPE(2)
    STRIPE(1)
#undef STRIPE
}

/* C (+)= A B: C (rows, width), the sum over [0, depth). */
static void multiply(float *c, long sc, const float *a, long ai, long ak, const float *b, long sb, long rows, long width,
                     long depth, long add) {
    for (long i = 0; i < rows; i += ROWS)
        few_rows(c + i * sc, sc, a + i * ai, ai, ak, b, sb, least(ROWS, rows - i), width, 0, depth, add);
}

/* (size, width) with rows `stride` apart -> (width, up(size)), zeros at the end of each row; width a multiple of 16. */
static void turned(float *out, const float *x, long stride, long size, long width) {
    long room = up(size);
    for (long i = 0; i < size; i += LANES) {
        long n = least(LANES, size - i);
        for (long p = 0; p < width; p += LANES) {
            vec tile[LANES];
            for (long r = 0; r < LANES; r++) tile[r] = r < n ? load(x + (i + r) * stride + p) : (vec){0};
            turn16(tile);
            for (long r = 0; r < LANES; r++) store(out + (p + r) * room + i, tile[r]);
        }
    }
}

/* out[i] = x[i] * factor[i]; rows of `width` floats `so` and `sx` apart */
static void scaled(float *out, long so, const float *x, long sx, const float *factor, long size, long width) {
    for (long i = 0; i < size; i++)
        for (long p = 0; p < width; p += LANES) store(out + i * so + p, load(x + i * sx + p) * factor[i]);
}

/* Sum of the products of two rows of `width` floats. */
INLINE float dot(const float *a, const float *b, long width) {
    vec sum = {0};
    for (long p = 0; p < width; p += LANES) sum += load(a + p) * load(b + p);
    return total(sum);
}

#endif
