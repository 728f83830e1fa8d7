// As optimizers.py. `w`, `dw`, `m` and `v` of a row are a part of the flat vectors. Moments that have overflowed become NaN;
// those that have almost decayed are left, as a GPU is not slower with them.

// g after clipping and decay. It is not written: no optimizer changes gradients.
__device__ T changed(const Row &row, const Run &run, long long i) {
    double decay = row.per_sample ? row.decay / run.steps[run.step].total : row.decay;
    return row.dw[i] * (T)*run.scale + row.w[i] * (T)decay;
}
__device__ T rate(const Run &run) { return (T)run.steps[run.step].rate; }

KERNEL(sgd) {  // w ← w - lr g
    EACH(i, row.size) row.w[i] -= changed(row, run, i) * rate(run);
}
KERNEL(sgd_momentum) {  // m ← μ m + g,  w ← w - lr m
    EACH(i, row.size) {
        T m = row.m[i] * (T)row.number + changed(row, run, i);
        row.m[i] = finite_or_nan(m);
        row.w[i] -= m * rate(run);
    }
}
KERNEL(sgd_nesterov) {  // m ← μ m + g,  w ← w - lr (g + μ m)
    EACH(i, row.size) {
        T g = changed(row, run, i), m = row.m[i] * (T)row.number + g;
        row.m[i] = finite_or_nan(m);
        row.w[i] -= (m * (T)row.number + g) * rate(run);
    }
}
KERNEL(adagrad) {  // v ← v + g²,  w ← w - lr g / (√v + ε)
    EACH(i, row.size) {
        T g = changed(row, run, i), v = finite_or_nan(row.m[i] + g * g);
        row.m[i] = v;
        row.w[i] -= g / (sqrt(v) + (T)row.eps) * rate(run);
    }
}
KERNEL(rmsprop) {  // v ← ρ v + (1 - ρ) g²,  w ← w - lr g / (√v + ε)
    EACH(i, row.size) {
        T g = changed(row, run, i), v = finite_or_nan(row.m[i] * (T)row.number + g * g * (T)(1 - row.number));
        row.m[i] = v;
        row.w[i] -= g / (sqrt(v) + (T)row.eps) * rate(run);
    }
}
// m ← β₁ m + g,  v ← β₂ v + g²,  w ← w - a m / (√v + e), with a and e of the step.
__device__ void adam_step(const Row &row, const Run &run, long long i, T g, T kept) {
    const Step &step = run.steps[run.step];
    T m = finite_or_nan(row.m[i] * (T)row.number + g), v = finite_or_nan(row.v[i] * (T)row.beta2 + g * g);
    row.m[i] = m;
    row.v[i] = v;
    row.w[i] = row.w[i] * kept - m / (sqrt(v) + (T)step.e) * (T)step.a;
}
KERNEL(adam) {
    EACH(i, row.size) adam_step(row, run, i, changed(row, run, i), 1);
}
KERNEL(adamw) {  // w ← w - lr λ w, besides Adam's step
    T kept = (T)(1 - run.steps[run.step].rate * row.decay), scale = (T)*run.scale;
    EACH(i, row.size) adam_step(row, run, i, row.dw[i] * scale, kept);
}

// The norm of all gradients, in two kernels. Squares are of numbers divided by the largest, against overflow: `kept` gets
// the largest |g| of each block, and the sum of its squares.
__device__ T largest_of_block(T x) {
    __shared__ T parts[32];
    x = largest_of_warp(x);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = largest_of_warp(parts[threadIdx.x % 32]);
    __syncthreads();
    return x;
}
__device__ T sum_of_block(T x) {
    __shared__ T parts[32];
    x = sum_of_warp(x);
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
    __syncthreads();
    x = sum_of_warp(parts[threadIdx.x % 32]);
    __syncthreads();
    return x;
}
KERNEL(clip) {
    T largest = 0, sum = 0;
    EACH(i, row.size) largest = fabs(row.dw[i]) > largest ? fabs(row.dw[i]) : largest;
    largest = largest_of_block(largest);
    T factor = 1 / (largest > (T)row.eps ? largest : (T)row.eps);
    EACH(i, row.size) sum += (row.dw[i] * factor) * (row.dw[i] * factor);
    sum = sum_of_block(sum);
    if (threadIdx.x == 0) {
        row.kept[2 * blockIdx.x] = largest;
        row.kept[2 * blockIdx.x + 1] = sum;
    }
}
KERNEL(clip_factor) {  // of `size` blocks: what brings the norm down to `clip_norm`; NaN if it is not finite
    T largest = 0, sum = 0;
    EACH(i, row.size) largest = row.kept[2 * i] > largest ? row.kept[2 * i] : largest;
    largest = largest_of_block(largest);
    T factor = 1 / (largest > (T)row.eps ? largest : (T)row.eps);
    EACH(i, row.size) sum += row.kept[2 * i + 1] * (row.kept[2 * i] * factor) * (row.kept[2 * i] * factor);
    T norm = largest * sqrt(sum_of_block(sum));
    if (threadIdx.x == 0) *run.scale = row.number / (norm > row.number ? norm : row.number) + (norm - norm);
}

KERNEL(max_norm) {  // scales down the columns of W that are longer; those that are not finite become NaN
    long long j = MY_COLUMN;
    T sum = 0, largest = (T)row.number;
    if (j < row.size) EACH_ROW_OF_COLUMN(i, row.size_in) sum += row.w[i * row.size + j] * row.w[i * row.size + j];
    T norm = sqrt(sum_of_column(sum)), factor = (norm > largest ? largest / norm : 1) + (norm - norm);
    if (j < row.size) EACH_ROW_OF_COLUMN(i, row.size_in) row.w[i * row.size + j] *= factor;
}

KERNEL(average) {  // a ← a + (1 - d) / (1 - dᵗ) (w - a), where a is in `m`
    __shared__ double counts;
    if (threadIdx.x == 0) counts = (1 - row.number) / (1 - pow(row.number, (double)(row.step + 1 + run.step)));
    __syncthreads();
    EACH(i, row.size) row.m[i] += (row.w[i] - row.m[i]) * (T)counts;
}
