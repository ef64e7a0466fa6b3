/* RMS norm, gated by silu(gate) before or after it, over rows. See auricle/nn/norm.py. */
#include "vector.h"

/* out, x, gate (rows, columns); weight (columns); roots (rows). */
EXPORT void gated_norm_forward(
    float *out, float *roots, const float *x, const float *gate, const float *weight, long rows,
    long columns, long gate_first, float eps, long threads) {
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long row = 0; row < rows; row++) {
        const float *x_row = x + row * columns, *gate_row = gate + row * columns;
        float *out_row = out + row * columns;
        vec squares = {0};
        for (long c = 0; c < columns; c += LANES) {
            long n = columns - c;
            vec h = load_some(x_row + c, n);
            if (gate_first) {
                vec g = load_some(gate_row + c, n);
                h *= g * vsigmoid(g);
            }
            squares += h * h;
            store_some(out_row + c, h, n);
        }
        float root = 1.0f / sqrtf(total(squares) / (float)columns + eps);
        roots[row] = root;
        for (long c = 0; c < columns; c += LANES) {
            long n = columns - c;
            vec made = load_some(out_row + c, n) * root * load_some(weight + c, n);
            if (!gate_first) {
                vec g = load_some(gate_row + c, n);
                made *= g * vsigmoid(g);
            }
            store_some(out_row + c, made, n);
        }
    }
}

/* As above, with the gradients; parts (blocks, columns) gets the weight's gradient of each block of rows. */
EXPORT void gated_norm_backward(
    float *grad_x, float *grad_gate, float *parts, const float *grad,
    const float *roots, const float *x, const float *gate, const float *weight, long rows, long columns, long block, long gate_first, long threads) {
    long blocks = (rows + block - 1) / block;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (long part = 0; part < blocks; part++) {
        float *into = parts + part * columns;
        memset(into, 0, (size_t)columns * sizeof(float));
        long end = (part + 1) * block < rows ? (part + 1) * block : rows;
        for (long row = part * block; row < end; row++) {
            const float *x_row = x + row * columns, *gate_row = gate + row * columns, *down = grad + row * columns;
                float *x_out = grad_x + row * columns, *gate_out = grad_gate + row * columns;
            float root = roots[row];
            vec along = {0};
            for (long c = 0; c < columns; c += LANES) {
                long n = columns - c;
                vec g = load_some(gate_row + c, n), s = vsigmoid(g), opened = g * s;
                vec h = load_some(x_row + c, n);
                vec unit = (gate_first ? h * opened : h) * root, from = load_some(down + c, n);
                vec inner = gate_first ? from : from * opened;
                store_some(into + c, load_some(into + c, n) + inner * unit, n);
                along += inner * load_some(weight + c, n) * unit;
            }
            float mean = total(along) / (float)columns;
            for (long c = 0; c < columns; c += LANES) {
                long n = columns - c;
                vec g = load_some(gate_row + c, n), s = vsigmoid(g), opened = g * s;
                vec slope = s * (1.0f + g * (1.0f - s)); /* of silu */
                vec h = load_some(x_row + c, n);
                vec unit = (gate_first ? h * opened : h) * root, from = load_some(down + c, n);
                vec w = load_some(weight + c, n);
                vec back = ((gate_first ? from : from * opened) * w - unit * mean) * root;
                if (gate_first) {
                    store_some(gate_out + c, back * h * slope, n);
                    back *= opened;
                } else {
                    store_some(gate_out + c, from * unit * w * slope, n);
                }
                store_some(x_out + c, back, n);
            }
        }
    }
}
