/* Gated delta rule in the WY form, chunk after chunk with the state in cache. See auricle/nn/ssm/delta_rule.py.

   Of a chunk that finds the state S (K, V), with D_i the decay from its beginning and D_ij that from frame j to i:
   (I + T) F = beta (v - D k S), T_ij = beta_i D_ij k_i . k_j below the diagonal; F are the corrected values;
   out = M F + D q S, M_ij = D_ij q_i . k_j up to the diagonal; the state that it leaves is D_end S + sum_j D_end,j k_j F_j. */
#include "product.h"

typedef struct {
    long chunks, size, heads, keys, values, room;
    double *sum;                            /* of the log decay from the beginning on */
    float *start, *end, *beta, whole;       /* decay from the beginning, to the end; of the chunk */
    float *decay, *gram, *overlap, *inside; /* (size, room): D, k k^T, -T and M, each in its triangle */
    float *turn, *weighted;
} Work;

static Work work_of(long chunks, long size, long heads, long keys, long values) {
    long room = up(size), most = keys > values ? keys : values;
    Work w = {chunks, size, heads, keys, values, room, aligned_alloc(64, (size_t)room * 8),
              scratch(room), scratch(room), scratch(room), 0,
              scratch(room * room), scratch(room * room), scratch(room * room), scratch(room * room),
              scratch(most * up(room > most ? room : most)), scratch(room * most)};
    return w;
}

static void free_work(Work *w) {
    free(w->sum), free(w->start), free(w->end), free(w->beta), free(w->decay), free(w->gram), free(w->overlap);
    free(w->inside), free(w->turn), free(w->weighted);
}

/* Make the matrices of a chunk whose first frame of the head is number `at` of (B, T, H). */
static void prepare(Work *w, const float *q, const float *k, long stride, const float *beta, const float *log_alpha, long at) {
    double sum = 0.0;
    for (long i = 0; i < w->size; i++) {
        sum += (double)log_alpha[at + i * w->heads];
        w->sum[i] = sum;
        w->beta[i] = beta[at + i * w->heads];
    }
    for (long i = w->size; i < w->room; i++) w->sum[i] = sum;
    for (long i = 0; i < w->room; i += LANES) {
        vec start, end;
        for (long lane = 0; lane < LANES; lane++) {
            start[lane] = (float)w->sum[i + lane];
            end[lane] = (float)(sum - w->sum[i + lane]);
        }
        store(w->start + i, vexp(start));
        store(w->end + i, vexp(end));
    }
    w->whole = (float)exp(sum);
    turned(w->turn, k, stride, w->size, w->keys);
    for (long i = 0; i < w->size; i += ROWS) {
        long n = least(ROWS, w->size - i), width = up(i + n);
        few_rows(w->gram + i * w->room, w->room, k + i * stride, stride, 1, w->turn, w->room, n, width, 0, w->keys, 0);
        few_rows(w->inside + i * w->room, w->room, q + i * stride, stride, 1, w->turn, w->room, n, width, 0, w->keys, 0);
        for (long r = i; r < i + n; r++) {
            float *decay = w->decay + r * w->room, *gram = w->gram + r * w->room;
            float *overlap = w->overlap + r * w->room, *inside = w->inside + r * w->room;
            for (long j = 0; j < width; j += LANES) {
                vec e;
                for (long lane = 0; lane < LANES; lane++) e[lane] = j + lane <= r ? (float)(w->sum[r] - w->sum[j + lane]) : -1e9f;
                vec d = choose(e < -80.0f, (vec){0}, vexp(e));
                store(decay + j, d);
                store(overlap + j, -w->beta[r] * d * load(gram + j));
                store(inside + j, d * load(inside + j));
            }
            overlap[r] = 0.0f;
        }
    }
}

/* out, fresh, v (B, T, H, V); q, k (B, T, H, K); beta, log_alpha (B, T, H); kept (B, H, chunks, K, V), the state that each
   chunk finds. T = chunks * size. K and V are multiples of sixteen. */
EXPORT void delta_rule_forward(
    float *out, float *fresh, float *kept, const float *q, const float *k, const float *v, const float *beta,
    const float *log_alpha, long batch, long chunks, long size, long heads, long keys, long values, long threads) {
    long sk = heads * keys, sv = heads * values, space = keys * values;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < batch * heads; task++) {
        long clip = task / heads, h = task % heads;
        Work w = work_of(chunks, size, heads, keys, values);
        float *state = scratch(space);
        memset(state, 0, (size_t)space * sizeof(float));
        for (long c = 0; c < chunks; c++) {
            long at = (clip * chunks + c) * size * heads + h;
            const float *q_c = q + at * keys, *k_c = k + at * keys, *v_c = v + at * values;
            float *f = fresh + at * values, *o = out + at * values;
            prepare(&w, q_c, k_c, sk, beta, log_alpha, at);
            memcpy(kept + (task * chunks + c) * space, state, (size_t)space * sizeof(float));
            if (c > 0) {
                scaled(w.weighted, keys, k_c, sk, w.start, size, keys);
                multiply(f, sv, w.weighted, keys, 1, state, values, size, values, keys, 0);
            }
            for (long i = 0; i < size; i++) {
                for (long p = 0; p < values; p += LANES) {
                    vec held = c > 0 ? load(f + i * sv + p) : (vec){0};
                    store(f + i * sv + p, w.beta[i] * (load(v_c + i * sv + p) - held));
                }
            }
            for (long i = 0; i < size; i += ROWS) { /* solve downwards */
                long n = least(ROWS, size - i);
                few_rows(f + i * sv, sv, w.overlap + i * w.room, w.room, 1, f, sv, n, values, 0, i, 1);
                for (long r = i + 1; r < i + n; r++)
                    few_rows(f + r * sv, sv, w.overlap + r * w.room, w.room, 1, f, sv, 1, values, i, r, 1);
            }
            for (long i = 0; i < size; i += ROWS) {
                long n = least(ROWS, size - i);
                few_rows(o + i * sv, sv, w.inside + i * w.room, w.room, 1, f, sv, n, values, 0, i + n, 0);
            }
            if (c > 0) {
                scaled(w.weighted, keys, q_c, sk, w.start, size, keys);
                multiply(o, sv, w.weighted, keys, 1, state, values, size, values, keys, 1);
            }
            if (c + 1 < chunks) {
                for (long p = 0; p < space; p += LANES) store(state + p, load(state + p) * w.whole);
                scaled(w.weighted, keys, k_c, sk, w.end, size, keys);
                multiply(state, values, w.weighted, 1, keys, f, sv, keys, values, size, 1);
            }
        }
        free(state), free_work(&w);
    }
}

EXPORT void delta_rule_backward(
    float *grad_q, float *grad_k, float *grad_v, float *grad_beta, float *grad_log_alpha, const float *grad,
    const float *fresh, const float *kept, const float *q, const float *k, const float *v, const float *beta,
    const float *log_alpha, long batch, long chunks, long size, long heads, long keys, long values, long threads) {
    long sk = heads * keys, sv = heads * values, space = keys * values, most = keys > values ? keys : values;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < batch * heads; task++) {
        long clip = task / heads, h = task % heads;
        Work w = work_of(chunks, size, heads, keys, values);
        long room = w.room;
        float *ahead = scratch(space), *solved = scratch(room * values), *held = scratch(room * values);
        float *to_keys = scratch(room * most), *to_inside = scratch(room * room), *to_gram = scratch(room * room);
        float *to_row = scratch(room), *to_column = scratch(room);
        double *to_sum = aligned_alloc(64, (size_t)room * 8);
        memset(ahead, 0, (size_t)space * sizeof(float));
        for (long c = chunks - 1; c >= 0; c--) {
            long at = (clip * chunks + c) * size * heads + h;
            const float *q_c = q + at * keys, *k_c = k + at * keys, *v_c = v + at * values, *f = fresh + at * values;
            const float *down = grad + at * values, *s = kept + (task * chunks + c) * space;
            float *dq = grad_q + at * keys, *dk = grad_k + at * keys, *dv = grad_v + at * values;
            prepare(&w, q_c, k_c, sk, beta, log_alpha, at);
            double at_end = 0.0; /* gradient of the chunk's whole log decay */
            for (long i = 0; i < size; i++) to_sum[i] = 0.0;
            /* of F: through the outputs and through the state that is left */
            for (long j = 0; j < size; j += ROWS)
                few_rows(solved + j * values, values, w.inside + j, 1, room, down, sv, least(ROWS, size - j), values, j, size, 0);
            if (c + 1 < chunks) {
                scaled(w.weighted, keys, k_c, sk, w.end, size, keys);
                multiply(solved, values, w.weighted, keys, 1, ahead, values, size, values, keys, 1);
            }
            for (long j = (size - 1) / ROWS * ROWS; j >= 0; j -= ROWS) { /* solve upwards */
                long n = least(ROWS, size - j);
                few_rows(solved + j * values, values, w.overlap + j, 1, room, solved, values, n, values, j + n, size, 1);
                for (long r = j + n - 2; r >= j; r--)
                    few_rows(solved + r * values, values, w.overlap + r, 1, room, solved, values, 1, values, r + 1, j + n, 1);
            }
            /* of M and T, both against F */
            turned(w.turn, f, sv, size, values);
            memset(to_column, 0, (size_t)room * sizeof(float));
            for (long i = 0; i < size; i += ROWS) {
                long n = least(ROWS, size - i), width = up(i + n);
                few_rows(to_inside + i * room, room, down + i * sv, sv, 1, w.turn, room, n, width, 0, values, 0);
                few_rows(to_gram + i * room, room, solved + i * values, values, 1, w.turn, room, n, width, 0, values, 0);
                for (long r = i; r < i + n; r++) {
                    vec to_beta = {0}, logs = {0};
                    to_gram[r * room + r] = 0.0f; /* T has no diagonal */
                    for (long j = 0; j < width; j += LANES) {
                        vec d = load(w.decay + r * room + j);
                        vec of_inside = load(to_inside + r * room + j) * d, of_gram = -load(to_gram + r * room + j) * d;
                        vec raw = of_gram * load(w.gram + r * room + j);
                        vec both = load(to_inside + r * room + j) * load(w.inside + r * room + j) + raw * w.beta[r];
                        to_beta += raw;
                        logs += both;
                        store(to_column + j, load(to_column + j) + both);
                        store(to_inside + r * room + j, of_inside);
                        store(to_gram + r * room + j, of_gram * w.beta[r]);
                    }
                    to_row[r] = total(logs);
                    grad_beta[at + r * heads] = total(to_beta);
                }
            }
            for (long i = 0; i < size; i++) to_sum[i] += (double)to_row[i] - (double)to_column[i];
            for (long i = 0; i < size; i += ROWS) {
                long n = least(ROWS, size - i);
                few_rows(dq + i * sk, sk, to_inside + i * room, room, 1, k_c, sk, n, keys, 0, i + n, 0);
                few_rows(dk + i * sk, sk, to_inside + i, 1, room, q_c, sk, n, keys, i, size, 0);
                few_rows(dk + i * sk, sk, to_gram + i * room, room, 1, k_c, sk, n, keys, 0, i + n, 1);
                few_rows(dk + i * sk, sk, to_gram + i, 1, room, k_c, sk, n, keys, i, size, 1);
            }
            if (c + 1 < chunks) { /* what the keys wrote to the state that is left */
                turned(w.turn, ahead, values, keys, values); /* (V, K) */
                multiply(to_keys, keys, f, sv, 1, w.turn, up(keys), size, keys, values, 0);
                for (long i = 0; i < size; i++) {
                    float pull = w.end[i] * dot(to_keys + i * keys, k_c + i * sk, keys);
                    to_sum[i] -= pull;
                    at_end += pull;
                    for (long p = 0; p < keys; p += LANES)
                        store(dk + i * sk + p, load(dk + i * sk + p) + load(to_keys + i * keys + p) * w.end[i]);
                }
            }
            if (c > 0) { /* what queries and keys read from the state that was found */
                multiply(held, values, k_c, sk, 1, s, values, size, values, keys, 0);
                turned(w.turn, s, values, keys, values);
                multiply(to_keys, keys, down, sv, 1, w.turn, up(keys), size, keys, values, 0);
                for (long i = 0; i < size; i++) {
                    to_sum[i] += w.start[i] * dot(to_keys + i * keys, q_c + i * sk, keys);
                    for (long p = 0; p < keys; p += LANES)
                        store(dq + i * sk + p, load(dq + i * sk + p) + load(to_keys + i * keys + p) * w.start[i]);
                }
                for (long i = 0; i < size; i++) {
                    float reading = dot(solved + i * values, held + i * values, values) * w.start[i];
                    grad_beta[at + i * heads] -= reading;
                    to_sum[i] -= w.beta[i] * reading;
                }
                for (long i = 0; i < size; i++) /* of k S, in the place of what it was */
                    for (long p = 0; p < values; p += LANES)
                        store(held + i * values + p, load(solved + i * values + p) * (-w.beta[i] * w.start[i]));
                multiply(dk, sk, held, values, 1, w.turn, up(keys), size, keys, values, 1);
                at_end += w.whole * dot(ahead, s, space);
                for (long p = 0; p < space; p += LANES) store(ahead + p, load(ahead + p) * w.whole);
                scaled(w.weighted, keys, q_c, sk, w.start, size, keys);
                multiply(ahead, values, w.weighted, 1, keys, down, sv, keys, values, size, 1);
                multiply(ahead, values, k_c, 1, sk, held, values, keys, values, size, 1);
            }
            for (long i = 0; i < size; i++) {
                grad_beta[at + i * heads] += dot(solved + i * values, v_c + i * sv, values);
                for (long p = 0; p < values; p += LANES) store(dv + i * sv + p, load(solved + i * values + p) * w.beta[i]);
            }
            for (long i = size - 1; i >= 0; i--) {
                at_end += to_sum[i];
                grad_log_alpha[at + i * heads] = (float)at_end;
            }
        }
        free(ahead), free(solved), free(held), free(to_keys), free(to_inside), free(to_gram), free(to_row);
        free(to_column), free(to_sum), free_work(&w);
    }
}
