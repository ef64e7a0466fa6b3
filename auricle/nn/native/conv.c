/* Depthwise convolution over time with an optional silu after it, on (B, T, C). See auricle/nn/conv.py. */
#include "vector.h"

#define TAPS 16

/* Sixteen channels of the filtered frame t: sum over taps of weight[tap] x[t + tap - left]. */
INLINE vec filtered(const float *x, const vec *weight, vec bias, long t, long frames, long stride, long taps, long left,
                    long n) {
    vec sum = bias;
    for (int tap = 0; tap < taps; tap++) {
        long at = t + tap - left;
        if (at >= 0 && at < frames) sum += weight[tap] * load_some(x + at * stride, n);
    }
    return sum;
}

INLINE void fetch(vec *w, const float *weight, long c, long taps, long n) {
    for (int tap = 0; tap < taps; tap++) {
        vec column = {0};
        for (long lane = 0; lane < (n < LANES ? n : LANES); lane++) column[lane] = weight[(c + lane) * taps + tap];
        w[tap] = column;
    }
}

INLINE void forward_of(
    float *out, const float *x, const float *weight, const float *bias, long batch, long frames, long channels,
    long taps, long left, long silu, long threads) {
    long groups = (channels + LANES - 1) / LANES;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < batch * groups; task++) {
        long c = task % groups * LANES, n = channels - c, base = task / groups * frames * channels + c;
        vec w[TAPS], shift = bias ? load_some(bias + c, n) : (vec){0};
        fetch(w, weight, c, taps, n);
        for (long t = 0; t < frames; t++) {
            soon(x + base + t * channels, channels, 0);
            soon(out + base + t * channels, channels, 1);
            vec y = filtered(x + base, w, shift, t, frames, channels, taps, left, n);
            store_some(out + base + t * channels, silu ? y * vsigmoid(y) : y, n);
        }
    }
}

INLINE void backward_of(
    float *grad_x, float *parts_weight, float *parts_bias, const float *grad, const float *x, const float *weight,
    const float *bias, long batch, long frames, long channels, long taps, long left, long silu, long threads) {
    long groups = (channels + LANES - 1) / LANES;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < batch * groups; task++) {
        long c = task % groups * LANES, n = channels - c, clip = task / groups, base = clip * frames * channels + c;
        vec w[TAPS], to_weight[TAPS], to_bias = {0}, shift = bias ? load_some(bias + c, n) : (vec){0};
        vec ring[TAPS]; /* the gradients before the activation of the last frames */
        fetch(w, weight, c, taps, n);
        for (int tap = 0; tap < taps; tap++) to_weight[tap] = ring[tap] = (vec){0};
        /* frame t of the output reads inputs t - left ... t - left + taps - 1: input s is complete at t = s + left */
        for (long t = 0; t < frames + left; t++) {
            vec down = {0};
            if (t < frames) {
                soon(x + base + t * channels, channels, 0);
                soon(grad + base + t * channels, channels, 0);
                soon(grad_x + base + t * channels, channels, 1);
                down = load_some(grad + base + t * channels, n);
                if (silu) {
                    vec y = filtered(x + base, w, shift, t, frames, channels, taps, left, n), s = vsigmoid(y);
                    down *= s * (1.0f + y * (1.0f - s));
                }
                to_bias += down;
                for (int tap = 0; tap < taps; tap++) {
                    long at = t + tap - left;
                    if (at >= 0 && at < frames) to_weight[tap] += down * load_some(x + base + at * channels, n);
                }
            }
            for (int tap = taps - 1; tap > 0; tap--) ring[tap] = ring[tap - 1];
            ring[0] = down; /* of frame t - k at place k */
            long s = t - left;
            if (s < 0) continue;
            vec sum = {0};
            for (int tap = 0; tap < taps; tap++) { /* outputs s + left - tap, which is t - tap */
                sum += w[tap] * ring[tap];
            }
            store_some(grad_x + base + s * channels, sum, n);
        }
        store_some(parts_bias + clip * channels + c, to_bias, n);
        for (int tap = 0; tap < taps; tap++)
            for (long lane = 0; lane < (n < LANES ? n : LANES); lane++)
                parts_weight[(clip * channels + c + lane) * taps + tap] = to_weight[tap][lane];
    }
}

/* The usual lengths are compiled apart, so that their loops over taps unroll. */
#define BY_LENGTH(f, ...)                                                                  \
    switch (taps) {                                                                        \
        case 3: f(__VA_ARGS__, batch, frames, channels, 3, left, silu, threads); break;    \
        case 4: f(__VA_ARGS__, batch, frames, channels, 4, left, silu, threads); break;    \
        case 7: f(__VA_ARGS__, batch, frames, channels, 7, left, silu, threads); break;    \
        default: f(__VA_ARGS__, batch, frames, channels, taps, left, silu, threads);       \
    }

/* out, x (B, T, C); weight (C, taps), taps at most 16; bias (C) or null. */
EXPORT void depthwise_forward(
    float *out, const float *x, const float *weight, const float *bias, long batch, long frames, long channels,
    long taps, long left, long silu, long threads) {
    BY_LENGTH(forward_of, out, x, weight, bias)
}

/* Also grad_x (B, T, C), parts_weight (B, C, taps) and parts_bias (B, C): the gradients of each clip. */
EXPORT void depthwise_backward(
    float *grad_x, float *parts_weight, float *parts_bias, const float *grad, const float *x, const float *weight,
    const float *bias, long batch, long frames, long channels, long taps, long left, long silu, long threads) {
    BY_LENGTH(backward_of, grad_x, parts_weight, parts_bias, grad, x, weight, bias)
}
