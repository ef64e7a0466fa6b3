/* Selective scan with a diagonal state matrix, frame after frame, sixteen channels at once with their states in cache.
   See auricle/nn/ssm/selective_scan.py. */
#include "vector.h"

/* Frames between kept states; inside, the backward pass makes the states again. */
#define SPAN 16

/* y, x, delta (B, T, E); A (N, E); b, c (B, T, N); kept (B, spans, N, E): the states that each span finds. E is a
   multiple of sixteen, N at most 64. */
EXPORT void selective_scan_forward(
    float *y, float *kept, const float *x, const float *delta, const float *A, const float *b, const float *c, long batch,
    long frames, long channels, long states, long threads) {
    long groups = channels / LANES, spans = (frames + SPAN - 1) / SPAN;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < batch * groups; task++) {
        long clip = task / groups, e = task % groups * LANES;
        vec state[64], a[64];
        for (long n = 0; n < states; n++) {
            state[n] = (vec){0};
            a[n] = load(A + n * channels + e);
        }
        for (long t = 0; t < frames; t++) {
            if (t % SPAN == 0)
                for (long n = 0; n < states; n++)
                    store(kept + ((clip * spans + t / SPAN) * states + n) * channels + e, state[n]);
            long at = (clip * frames + t) * channels + e;
            const float *b_t = b + (clip * frames + t) * states, *c_t = c + (clip * frames + t) * states;
            soon(x + at, channels, 0);
            soon(delta + at, channels, 0);
            soon(y + at, channels, 1);
            vec step = load(delta + at), drive = step * load(x + at), sum = {0};
            for (long n = 0; n < states; n++) {
                state[n] = vexp(step * a[n]) * state[n] + drive * b_t[n];
                sum += state[n] * c_t[n];
            }
            store(y + at, sum);
        }
    }
}

/* grad_x, grad_delta (B, T, E); parts_A (B, N, E), parts_b, parts_c (P, B, T, N): the gradients of each clip and each
   of P parts of the channels. */
EXPORT void selective_scan_backward(
    float *grad_x, float *grad_delta, float *parts_A, float *parts_b, float *parts_c, const float *grad, const float *kept,
    const float *x, const float *delta, const float *A, const float *b, const float *c, long batch, long frames,
    long channels, long states, long parts, long threads) {
    long groups = channels / LANES, spans = (frames + SPAN - 1) / SPAN, each = (groups + parts - 1) / parts;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < batch * parts; task++) {
        long clip = task / parts, part = task % parts;
        long first = part * each, last = first + each < groups ? first + each : groups;
        /* gradients of the states that flow back from later spans, for each group of channels */
        size_t room = (size_t)(each * states) * sizeof(vec), inside = (size_t)(SPAN * states) * sizeof(vec);
        vec *ahead = aligned_alloc(64, room), *to_A = aligned_alloc(64, room);
        vec *decay = aligned_alloc(64, inside), *found = aligned_alloc(64, inside);
        vec *to_b = aligned_alloc(64, inside), *to_c = aligned_alloc(64, inside);
        memset(ahead, 0, room);
        memset(to_A, 0, room);
        for (long span = spans - 1; span >= 0; span--) {
            long begin = span * SPAN, size = begin + SPAN < frames ? SPAN : frames - begin;
            memset(to_b, 0, inside);
            memset(to_c, 0, inside);
            for (long group = first; group < last; group++) {
                long e = group * LANES;
                vec *future = ahead + (group - first) * states, *of_A = to_A + (group - first) * states;
                vec a[64], state[64];
                for (long n = 0; n < states; n++) {
                    a[n] = load(A + n * channels + e);
                    state[n] = load(kept + ((clip * spans + span) * states + n) * channels + e);
                }
                for (long s = 0; s < size; s++) {
                    long at = (clip * frames + begin + s) * channels + e;
                    const float *b_t = b + (clip * frames + begin + s) * states;
                    vec step = load(delta + at), drive = step * load(x + at), down = load(grad + at);
                    for (long n = 0; n < states; n++) {
                        vec left = vexp(step * a[n]);
                        decay[s * states + n] = left;
                        left *= state[n];
                        found[s * states + n] = left; /* what the frame finds, decayed */
                        state[n] = left + drive * b_t[n];
                        to_c[s * states + n] += down * state[n];
                    }
                }
                for (long s = size - 1; s >= 0; s--) {
                    long at = (clip * frames + begin + s) * channels + e;
                    const float *b_t = b + (clip * frames + begin + s) * states;
                    const float *c_t = c + (clip * frames + begin + s) * states;
                    vec step = load(delta + at), input = load(x + at), down = load(grad + at);
                    vec drive = step * input, pull = {0}, slope = {0};
                    for (long n = 0; n < states; n++) {
                        vec adjoint = future[n] + down * c_t[n];
                        pull += adjoint * b_t[n];
                        to_b[s * states + n] += adjoint * drive;
                        vec exponent = adjoint * found[s * states + n];
                        slope += exponent * a[n];
                        of_A[n] += exponent * step;
                        future[n] = adjoint * decay[s * states + n];
                    }
                    store(grad_x + at, pull * step);
                    store(grad_delta + at, pull * input + slope);
                }
            }
            for (long s = 0; s < size; s++) {
                long at = ((part * batch + clip) * frames + begin + s) * states;
                for (long n = 0; n < states; n++) {
                    parts_b[at + n] = total(to_b[s * states + n]);
                    parts_c[at + n] = total(to_c[s * states + n]);
                }
            }
        }
        for (long group = first; group < last; group++)
            for (long n = 0; n < states; n++)
                store(parts_A + (clip * states + n) * channels + group * LANES, to_A[(group - first) * states + n]);
        free(ahead), free(to_A), free(decay), free(found), free(to_b), free(to_c);
    }
}
