/* Two-layer experts on the tokens that were routed to them. See auricle/nn/moe/experts.py.

   Weights are read in rows, once for up to BLOCK tokens, and never copied: a library's matrix product copies them into
   another order first, which for a dozen tokens an expert costs as much as the product. */
#include "vector.h"

/* Numbers in a register, and a tile whose TOKENS * UNITS sums fit into the registers with a row of each side. */
#ifdef __AVX512F__
#define WIDTH 16
#define TOKENS 6
#define UNITS 4
#else
#define WIDTH 8
#define TOKENS 6
#define UNITS 2
#endif
#if defined(__AVX512F__) || (defined(__AVX2__) && defined(__FMA__))
#define SPEED WIDTH
#else
#define SPEED 0
#endif
/* 16: ahead of a library's products for any number of tokens; 8: for few an expert; 0: behind, or not measured. */
EXPORT extern const long experts_speed;
const long experts_speed = SPEED;

#define FEW 24 /* tokens that are summed up faster than rows of weights come by themselves */
#define BLOCK 48 /* tokens that read a row of weights one after another */
#define STRIPE 64 /* rows of weights that are one piece of work */
#define SMALL 200000 /* products below which threads cost more than they bring */
#define UNROLL _Pragma("GCC unroll 32")

INLINE long least(long a, long b) { return a < b ? a : b; }

typedef float part __attribute__((vector_size(4 * WIDTH)));
typedef float loose_part __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

INLINE part take(const float *p) { return *(const loose_part *)p; }

INLINE part take_some(const float *p, long n) {
    float buffer[WIDTH] = {0};
    memcpy(buffer, p, (size_t)n * sizeof(float));
    return take(buffer);
}

#define FOLD __builtin_shufflevector

/* Sums of WIDTH vectors, each in its own lane. */
INLINE part totals(const part v[WIDTH]) {
#if WIDTH == 16
    part a[8], b[4], c[2];
    UNROLL for (int i = 0; i < 8; i++)
        a[i] = FOLD(v[i], v[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               FOLD(v[i], v[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    UNROLL for (int i = 0; i < 4; i++)
        b[i] = FOLD(a[i], a[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
               FOLD(a[i], a[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    UNROLL for (int i = 0; i < 2; i++)
        c[i] = FOLD(b[i], b[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               FOLD(b[i], b[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    return FOLD(c[0], c[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           FOLD(c[0], c[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
#else
    part b[4], c[2];
    UNROLL for (int i = 0; i < 4; i++)
        b[i] = FOLD(v[i], v[i + 4], 0, 1, 2, 3, 8, 9, 10, 11) + FOLD(v[i], v[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    UNROLL for (int i = 0; i < 2; i++)
        c[i] = FOLD(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13) + FOLD(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    return FOLD(c[0], c[1], 0, 8, 2, 10, 4, 12, 6, 14) + FOLD(c[0], c[1], 1, 9, 3, 11, 5, 13, 7, 15);
#endif
}

/* sums[t * UNITS + u] = row t of tokens times row u of weights; T and U are known when this is compiled. With `ahead`
   the rows of weights after these are asked for. */
INLINE void tile_of(int T, int U, float *sums, const float *const *x, const float *w, long depth, long ahead) {
    part held[2 * WIDTH];
    UNROLL for (int i = 0; i < 2 * WIDTH; i++) held[i] = (part){0};
    long k = 0;
    for (; k + WIDTH <= depth; k += WIDTH) {
        part row[UNITS];
        UNROLL for (int u = 0; u < U; u++) {
            row[u] = take(w + u * depth + k);
            if (ahead) __builtin_prefetch(w + (U + u) * depth + k, 0, 2);
        }
        UNROLL for (int t = 0; t < T; t++) {
            part token = take(x[t] + k);
            UNROLL for (int u = 0; u < U; u++) held[t * UNITS + u] += token * row[u];
        }
    }
    if (k < depth) {
        UNROLL for (int u = 0; u < U; u++) {
            part row = take_some(w + u * depth + k, depth - k);
            UNROLL for (int t = 0; t < T; t++) held[t * UNITS + u] += take_some(x[t] + k, depth - k) * row;
        }
    }
    *(loose_part *)sums = totals(held);
    if (T * UNITS > WIDTH) *(loose_part *)(sums + WIDTH) = totals(held + WIDTH);
}

/* The same for up to TOKENS tokens and up to UNITS units. */
static void tile(float *sums, const float *const *x, long tokens, const float *w, long units, long depth, long ahead) {
    if (units < UNITS) {
        float one[2 * WIDTH];
        for (long t = 0; t < tokens; t++)
            for (long u = 0; u < units; u++) {
                tile_of(1, 1, one, x + t, w + u * depth, depth, 0);
                sums[t * UNITS + u] = one[0];
            }
        return;
    }
    switch (tokens) {
    case 1: tile_of(1, UNITS, sums, x, w, depth, ahead); break;
    case 2: tile_of(2, UNITS, sums, x, w, depth, ahead); break;
    case 3: tile_of(3, UNITS, sums, x, w, depth, ahead); break;
    case 4: tile_of(4, UNITS, sums, x, w, depth, ahead); break;
    case 5: tile_of(5, UNITS, sums, x, w, depth, ahead); break;
    case 6: tile_of(6, UNITS, sums, x, w, depth, ahead); break;
    }
}

/* opened = silu(before) of some tokens and units; before may be null */
static void first_layer(
    float *before, float *opened, const float *x, const float *w, const int64_t *token, long tokens, long units, long dim,
    long hidden) {
    for (long u = 0; u < units; u += UNITS) {
        long few = least(UNITS, units - u);
        for (long t = 0; t < tokens; t += TOKENS) {
            long rows = least(TOKENS, tokens - t);
            const float *from[TOKENS];
            float sums[2 * WIDTH];
            for (long i = 0; i < rows; i++) from[i] = x + token[t + i] * dim;
            tile(sums, from, rows, w + u * dim, few, dim, tokens <= FEW);
            for (long i = 0; i < rows; i++)
                for (long j = 0; j < few; j++) opened[(t + i) * hidden + u + j] = sums[i * UNITS + j];
        }
    }
    for (long t = 0; t < tokens; t++) {
        float *row = opened + t * hidden;
        if (before) memcpy(before + t * hidden, row, (size_t)units * sizeof(float));
        for (long u = 0; u < units; u += LANES) {
            vec a = load_some(row + u, units - u);
            store_some(row + u, a * vsigmoid(a), units - u);
        }
    }
}

/* out[token] += weight * (opened times w) of some tokens and units */
static void second_layer(
    float *out, const float *opened, const float *w, const float *weight, const int64_t *token, long tokens, long units,
    long hidden, long width) {
    for (long u = 0; u < units; u += UNITS) {
        long few = least(UNITS, units - u);
        for (long t = 0; t < tokens; t += TOKENS) {
            long rows = least(TOKENS, tokens - t);
            const float *from[TOKENS];
            float sums[2 * WIDTH];
            for (long i = 0; i < rows; i++) from[i] = opened + (t + i) * hidden;
            tile(sums, from, rows, w + u * hidden, few, hidden, tokens <= FEW);
            for (long i = 0; i < rows; i++)
                for (long j = 0; j < few; j++) out[token[t + i] * width + u + j] += weight[t + i] * sums[i * UNITS + j];
        }
    }
}

/* out (V, width) zeros; before (A, hidden) or null, opened (A, hidden); x (V, dim); into (N, hidden, dim);
   back (N, width, hidden); weight and token (A), sorted by expert; start (N + 1): where each expert's begin. */
EXPORT void experts_forward(
    float *out, float *before, float *opened, const float *x, const float *into, const float *back, const float *weight,
    const int64_t *token, const int64_t *start, long experts, long dim, long hidden, long width, long threads) {
    long stripes = (hidden + STRIPE - 1) / STRIPE, columns = (width + STRIPE - 1) / STRIPE;
    if (start[experts] * hidden * (dim + width) < SMALL) threads = 1;
#pragma omp parallel num_threads(threads)
    {
        for (long e = 0; e < experts; e++) {
            long blocks = (start[e + 1] - start[e] + BLOCK - 1) / BLOCK;
#pragma omp for schedule(dynamic) nowait
            for (long work = 0; work < blocks * stripes; work++) {
                long from = start[e] + work / stripes * BLOCK, u = work % stripes * STRIPE;
                first_layer(before ? before + from * hidden + u : 0, opened + from * hidden + u, x, into + (e * hidden + u) * dim,
                            token + from, least(BLOCK, start[e + 1] - from), least(STRIPE, hidden - u), dim, hidden);
            }
        }
#pragma omp barrier
        /* an expert after the other: its tokens differ, so no two threads add to one place, and the order is fixed */
        for (long e = 0; e < experts; e++) {
            long blocks = (start[e + 1] - start[e] + BLOCK - 1) / BLOCK;
            if (!blocks) continue;
#pragma omp for schedule(dynamic)
            for (long work = 0; work < blocks * columns; work++) {
                long from = start[e] + work / columns * BLOCK, u = work % columns * STRIPE;
                second_layer(out + u, opened + from * hidden, back + (e * width + u) * hidden, weight + from, token + from,
                             least(BLOCK, start[e + 1] - from), least(STRIPE, width - u), hidden, width);
            }
        }
    }
}
