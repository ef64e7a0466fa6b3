/* Products with one side of a semiseparable matrix, chunk after chunk. See auricle/nn/ssm/semiseparable.py.

   y_i += sum_j (rows_i . columns_j) exp(row_log_i + column_log_j) x_j over a triangle, per head. Inside a chunk the matrix
   is made a head at a time, in the processor's cache, and only its triangle; an upper triangle is a lower one whose frames
   run backwards. Rows of a tile share the exponential of each column: exp(row_i + column_j) is the product of
   exp(row_i - row_first), at most 1, and exp(row_first + column_j), which no later row exceeds. */
#include "product.h"

typedef struct {
    long batch, chunks, size, heads, width, states, strict, backwards, parts;
    long room, way; /* the frames of a chunk up to whole vectors; 1 or -1 */
} Sizes;

#define SIZES                                                                                            \
    Sizes z = {batch, chunks, size, heads, width, states, strict, backwards, parts, up(size), backwards ? -1 : 1}
#define SIZE_ARGUMENTS                                                                                   \
    long batch, long chunks, long size, long heads, long width, long states, long strict, long backwards, long parts

/* the first frame of the k-th chunk that a clip goes through, in its own order */
INLINE long first_frame(const Sizes *z, long clip, long k) {
    return z->backwards ? (clip * z->chunks + z->chunks - k) * z->size - 1 : (clip * z->chunks + k) * z->size;
}

/* What a head's frames of a chunk are worth: logs side by side, and their exponentials. */
typedef struct {
    double *row, *column;        /* (room) */
    float *enter, *leave, through; /* (room) */
} Logs;

static Logs logs_of(const Sizes *z) {
    Logs logs = {aligned_alloc(64, (size_t)z->room * 8), aligned_alloc(64, (size_t)z->room * 8), scratch(z->room), scratch(z->room), 0};
    return logs;
}

static void free_logs(Logs *l) { free(l->row), free(l->column), free(l->enter), free(l->leave); }

INLINE vec vexp_low(vec e) { return choose(e < -80.0f, (vec){0}, vexp(choose(e > 60.0f, all(60.0f), e))); }

static void fetch(Logs *l, const Sizes *z, const double *row_log, const double *column_log, double whole, long at) {
    for (long i = 0; i < z->size; i++) {
        l->row[i] = row_log[at + i * z->way * z->heads];
        l->column[i] = column_log[at + i * z->way * z->heads];
    }
    for (long i = z->size; i < z->room; i++) l->row[i] = l->column[i] = -1e9;
    for (long i = 0; i < z->room; i += LANES) {
        vec row, column;
        for (long lane = 0; lane < LANES; lane++) {
            row[lane] = (float)l->row[i + lane];
            column[lane] = (float)(whole + l->column[i + lane]);
        }
        store(l->enter + i, vexp_low(row));
        store(l->leave + i, vexp_low(column));
    }
    l->through = (float)exp(whole);
}

/* The scores rows_i . columns_j, (size, room), zero outside the triangle up to the end of the tile. */
static void scores_of(float *scores, const Sizes *z, const float *rows, const float *columns, float *turn) {
    long stride = z->way * z->states;
    turned(turn, columns, stride, z->size, z->states);
    for (long i = 0; i < z->size; i += ROWS) {
        long n = least(ROWS, z->size - i), width = up(i + n);
        few_rows(scores + i * z->room, z->room, rows + i * stride, stride, 1, turn, z->room, n, width, 0, z->states, 0);
        for (long r = i; r < i + n; r++)
            for (long j = r + 1 - z->strict; j < width; j++) scores[r * z->room + j] = 0.0f;
    }
}

INLINE vec exponents(double row, const double *column) {
    float sums[LANES];
    for (long lane = 0; lane < LANES; lane++) sums[lane] = (float)(row + column[lane]);
    return vexp_low(load(sums));
}

/* decay[i, j] = exp(row_log_i + column_log_j) for the tile of sixteen rows from i and all columns up to its end. */
static void decays_of(float *decay, const Sizes *z, const Logs *l, long i) {
    long rows = least(LANES, z->size - i);
    float within[LANES];
    for (long r = 0; r < LANES; r++) within[r] = r < rows ? (float)(l->row[i + r] - l->row[i]) : -80.0f;
    store(within, vexp_low(load(within)));
    for (long j = 0; j < i; j += LANES) {
        vec shared = exponents(l->row[i], l->column + j);
        for (long r = 0; r < rows; r++) store(decay + r * z->room + j, shared * within[r]);
    }
    for (long r = 0; r < rows; r++) /* the tile on the diagonal, where the product above could overflow */
        store(decay + r * z->room + i, exponents(l->row[i + r], l->column + i));
}

/* y, x (B, T, H, P), y is added to; rows, columns (B, T, N); row_log, column_log (B, T, H) and whole (B, K, H) double;
   kept (B, K, H, N, P): the state that each chunk finds, or null where there is one chunk. T = K Q. N and P are
   multiples of sixteen. The heads are worked on in `parts`. */
EXPORT void semiseparable_forward(
    float *y, float *kept, const float *x, const float *rows, const float *columns, const double *row_log,
    const double *column_log, const double *whole, SIZE_ARGUMENTS, long threads) {
    SIZES;
    long each = (heads + parts - 1) / parts, space = states * width, stride = z.way * heads * width, sn = z.way * states;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < batch * parts; task++) {
        long clip = task / parts, first = task % parts * each, last = least(first + each, heads);
        float *turn = scratch(states * z.room), *scores = scratch(z.room * z.room), *matrix = scratch(LANES * z.room);
        float *state = scratch(each * space), *factor = scratch(z.room * states);
        Logs l = logs_of(&z);
        memset(state, 0, (size_t)(each * space) * sizeof(float));
        for (long k = 0; k < chunks; k++) {
            long frame = first_frame(&z, clip, k);
            const float *r = rows + frame * states, *c = columns + frame * states;
            scores_of(scores, &z, r, c, turn);
            for (long h = first; h < last; h++) {
                long number = (clip * chunks + (backwards ? chunks - 1 - k : k)) * heads + h;
                float *s = state + (h - first) * space, *to = y + (frame * heads + h) * width;
                const float *from = x + (frame * heads + h) * width;
                fetch(&l, &z, row_log, column_log, whole[number], frame * heads + h);
                for (long i = 0; i < size; i += LANES) {
                    long end = least(i + LANES, size);
                    decays_of(matrix, &z, &l, i);
                    for (long q = i; q < end; q++)
                        for (long j = 0; j < up(end); j += LANES) {
                            float *at = matrix + (q - i) * z.room + j;
                            store(at, load(at) * load(scores + q * z.room + j));
                        }
                    for (long q = i; q < end; q += ROWS) {
                        long n = least(ROWS, end - q);
                        few_rows(to + q * stride, stride, matrix + (q - i) * z.room, z.room, 1, from, stride, n, width, 0,
                                 q + n, 1);
                    }
                }
                if (!kept) continue;
                memcpy(kept + number * space, s, (size_t)space * sizeof(float));
                if (k > 0) {
                    scaled(factor, states, r, sn, l.enter, size, states);
                    multiply(to, stride, factor, states, 1, s, width, size, width, states, 1);
                }
                if (k + 1 < chunks) {
                    for (long p = 0; p < space; p += LANES) store(s + p, load(s + p) * l.through);
                    scaled(factor, states, c, sn, l.leave, size, states);
                    multiply(s, width, factor, 1, states, from, stride, states, width, size, 1);
                }
            }
        }
        free(turn), free(scores), free(matrix), free(state), free(factor), free_logs(&l);
    }
}

/* Adds to grad_x (B, T, H, P); fills grad_rows and grad_columns (parts, B, T, N), grad_row_log and grad_column_log
   (B, T, H) and grad_whole (B, K, H). */
EXPORT void semiseparable_backward(
    float *grad_x, float *grad_rows, float *grad_columns, float *grad_row_log, float *grad_column_log, float *grad_whole,
    const float *grad, const float *kept, const float *x, const float *rows, const float *columns, const double *row_log,
    const double *column_log, const double *whole, SIZE_ARGUMENTS, long threads) {
    SIZES;
    long each = (heads + parts - 1) / parts, space = states * width, stride = z.way * heads * width, sn = z.way * states;
    long most = states > width ? states : width;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long task = 0; task < batch * parts; task++) {
        long part = task % parts, clip = task / parts, first = part * each, last = least(first + each, heads);
        size_t square = (size_t)(z.room * z.room) * sizeof(float);
        float *turn = scratch(most * up(z.room > most ? z.room : most)), *scores = scratch(z.room * z.room);
        float *to_scores = scratch(z.room * z.room), *matrix = scratch(z.room * z.room);
        float *to_matrix = scratch(LANES * z.room), *decay = scratch(LANES * z.room), *to_column = scratch(z.room);
        float *ahead = scratch(each * space), *factor = scratch(z.room * most), *back = scratch(z.room * states);
        Logs l = logs_of(&z);
        memset(ahead, 0, (size_t)(each * space) * sizeof(float));
        for (long k = chunks - 1; k >= 0; k--) {
            long frame = first_frame(&z, clip, k);
            const float *r = rows + frame * states, *c = columns + frame * states;
            float *to_rows = grad_rows + (part * batch * chunks * size + frame) * states;
            float *to_columns = grad_columns + (part * batch * chunks * size + frame) * states;
            for (long i = 0; i < size; i++) {
                memset(to_rows + i * sn, 0, (size_t)states * sizeof(float));
                memset(to_columns + i * sn, 0, (size_t)states * sizeof(float));
            }
            scores_of(scores, &z, r, c, turn);
            memset(to_scores, 0, square);
            for (long h = first; h < last; h++) {
                long number = (clip * chunks + (backwards ? chunks - 1 - k : k)) * heads + h, at = frame * heads + h;
                const float *from = x + at * width, *down = grad + at * width;
                float *to = grad_x + at * width, *g = ahead + (h - first) * space;
                long log = z.way * heads;
                fetch(&l, &z, row_log, column_log, whole[number], at);
                turned(turn, from, stride, size, width);
                memset(to_column, 0, (size_t)z.room * sizeof(float));
                for (long i = 0; i < size; i += LANES) {
                    long end = least(i + LANES, size);
                    decays_of(decay, &z, &l, i);
                    for (long q = i; q < end; q += ROWS)
                        few_rows(to_matrix + (q - i) * z.room, z.room, down + q * stride, stride, 1, turn, z.room,
                                 least(ROWS, end - q), up(end), 0, width, 0);
                    for (long q = i; q < end; q++) {
                        vec to_row = {0};
                        for (long j = 0; j < up(end); j += LANES) {
                            vec d = load(decay + (q - i) * z.room + j), s = load(scores + q * z.room + j);
                            vec change = d * load(to_matrix + (q - i) * z.room + j), both = change * s;
                            float *of = to_scores + q * z.room + j;
                            store(of, load(of) + change);
                            store(matrix + q * z.room + j, d * s);
                            to_row += both;
                            store(to_column + j, load(to_column + j) + both);
                        }
                        grad_row_log[at + q * log] = total(to_row);
                    }
                }
                for (long j = 0; j < size; j++) grad_column_log[at + j * log] = to_column[j];
                for (long j = 0; j < size; j += ROWS)
                    few_rows(to + j * stride, stride, matrix + j, 1, z.room, down, stride, least(ROWS, size - j), width, j,
                             size, 1);
                float to_whole = 0.0f;
                if (k + 1 < chunks) { /* what the chunk wrote to the state */
                    turned(turn, g, width, states, width); /* (P, N) */
                    multiply(back, states, from, stride, 1, turn, up(states), size, states, width, 0);
                    for (long j = 0; j < size; j++) {
                        float *of = to_columns + j * sn, weight = l.leave[j], pull = weight * dot(back + j * states, c + j * sn, states);
                        for (long n = 0; n < states; n += LANES)
                            store(of + n, load(of + n) + load(back + j * states + n) * weight);
                        grad_column_log[at + j * log] += pull;
                        to_whole += pull;
                    }
                    scaled(factor, states, c, sn, l.leave, size, states);
                    multiply(to, stride, factor, states, 1, g, width, size, width, states, 1);
                }
                if (k > 0) { /* what it read from the state that it found */
                    const float *s = kept + number * space;
                    turned(turn, s, width, states, width);
                    multiply(back, states, down, stride, 1, turn, up(states), size, states, width, 0);
                    for (long i = 0; i < size; i++) {
                        float *of = to_rows + i * sn, weight = l.enter[i];
                        grad_row_log[at + i * log] += weight * dot(back + i * states, r + i * sn, states);
                        for (long n = 0; n < states; n += LANES)
                            store(of + n, load(of + n) + load(back + i * states + n) * weight);
                    }
                    to_whole += l.through * dot(g, s, space);
                    for (long p = 0; p < space; p += LANES) store(g + p, load(g + p) * l.through);
                    scaled(factor, states, r, sn, l.enter, size, states);
                    multiply(g, width, factor, 1, states, down, stride, states, width, size, 1);
                }
                grad_whole[number] = to_whole;
            }
            for (long i = 0; i < size; i++) /* what lies outside the triangle has no score and takes no gradient */
                for (long j = i + 1 - strict; j < up(i + 1); j++) to_scores[i * z.room + j] = 0.0f;
            for (long i = 0; i < size; i += ROWS) {
                long n = least(ROWS, size - i);
                few_rows(to_rows + i * sn, sn, to_scores + i * z.room, z.room, 1, c, sn, n, states, 0, i + n, 1);
                few_rows(to_columns + i * sn, sn, to_scores + i, 1, z.room, r, sn, n, states, i, size, 1);
            }
        }
        free(turn), free(scores), free(to_scores), free(matrix), free(to_matrix), free(decay), free(to_column);
        free(ahead), free(factor), free(back), free_logs(&l);
    }
}
