// As losses.py, but the targets of the batch, the losses of its samples and the gradient come from one kernel. Where a Dense
// comes before, its bias is added as well: then `b` is not null.

struct Quadratic {  // ½ (x - t)²
    static __device__ T loss(T x, T t, const Row &) { return (T)0.5 * ((x - t) * (x - t)); }
    static __device__ T slope(T x, T t, const Row &) { return x - t; }
};
struct Absolute {  // |x - t|
    static __device__ T loss(T x, T t, const Row &) { return x - t < 0 ? t - x : x - t; }
    static __device__ T slope(T x, T t, const Row &) { return x - t > 0 ? 1 : x - t < 0 ? -1 : x - t; }  // 0, or NaN
};
struct Huber {  // y (r - ½ y), where y is r = x - t, limited to [-δ, δ]
    static __device__ T slope(T x, T t, const Row &row) {
        T r = x - t, delta = (T)row.number;
        return r > delta ? delta : r < -delta ? -delta : r;
    }
    static __device__ T loss(T x, T t, const Row &row) {
        T y = slope(x, t, row);
        return y * (x - t - (T)0.5 * y);
    }
};
struct Quantile {  // max(q (t - x), (1 - q) (x - t))
    static __device__ T loss(T x, T t, const Row &row) {
        return (x - t > 0 ? (T)(1 - row.number) : -(T)row.number) * (x - t);
    }
    static __device__ T slope(T x, T t, const Row &row) {
        return x - t > 0 ? (T)(1 - row.number) : x - t < 0 ? -(T)row.number : x - t;  // 0, or NaN
    }
};
struct Poisson {  // exp(x) - t x
    static __device__ T loss(T x, T t, const Row &) { return exp(x) - t * x; }
    static __device__ T slope(T x, T t, const Row &) { return exp(x) - t; }
};
struct SigmoidCrossEntropy {  // log(1 + exp(x)) - t x, by e = exp(-|x|), which cannot overflow
    static __device__ T loss(T x, T t, const Row &) {
        return ((x >= 0 ? 1 : 0) - t) * x + log1p(exp(x < 0 ? x : -x));
    }
    static __device__ T slope(T x, T t, const Row &) {
        T e = exp(x < 0 ? x : -x);
        return (x >= 0 ? 1 : e) / (1 + e) - t;
    }
};
struct BinaryCrossEntropy {  // -t log x - (1 - t) log(1 - x)
    static __device__ T above(T x, const Row &row) { return x < (T)row.eps ? (T)row.eps : x; }
    static __device__ T loss(T x, T t, const Row &row) {
        return -(log(above(x, row)) * t + log(above(1 - x, row)) * (1 - t));
    }
    static __device__ T slope(T x, T t, const Row &row) { return (1 - t) / above(1 - x, row) - t / above(x, row); }
};
struct CrossEntropy {  // -t log x, where t may be smoothed
    static __device__ T smoothed(T t, const Row &row) {
        return row.number > 0 ? t * (T)(1 - row.number) + (T)(row.number / row.size) : t;
    }
    static __device__ T above(T x, const Row &row) { return x < (T)row.eps ? (T)row.eps : x; }
    static __device__ T loss(T x, T t, const Row &row) { return -(smoothed(t, row) * log(above(x, row))); }
    static __device__ T slope(T x, T t, const Row &row) { return -(smoothed(t, row) / above(x, row)); }
};

// The loss of sample i of the batch: a sum over its outputs, times its weight.
__device__ void give_loss(const Run &run, long long i, long long sample, T loss) {
    bool known = 0 <= sample && sample < run.samples;
    if (threadIdx.x % 32 == 0) run.losses[run.first + i] = run.weights && known ? loss * run.weights[sample] : loss;
}

template <class L> __device__ void loss_of_each_output(const Row &row, const Run &run) {
    EACH_ROW(i, run.n) {
        long long sample = run.order[run.first + i];
        T loss = 0, scale = share(run, sample);
        EACH_LANE(j, row.size) {
            long long at = i * row.size + j;
            T x = row.b ? row.x[at] + row.b[j] : row.x[at], t = target(row, run, sample, j);
            loss += L::loss(x, t, row);
            row.dx[at] = L::slope(x, t, row) * scale;
        }
        give_loss(run, i, sample, sum_of_warp(loss));
    }
}
KERNEL(quadratic) { loss_of_each_output<Quadratic>(row, run); }
KERNEL(absolute) { loss_of_each_output<Absolute>(row, run); }
KERNEL(huber) { loss_of_each_output<Huber>(row, run); }
KERNEL(quantile) { loss_of_each_output<Quantile>(row, run); }
KERNEL(poisson) { loss_of_each_output<Poisson>(row, run); }
KERNEL(sigmoid_cross_entropy) { loss_of_each_output<SigmoidCrossEntropy>(row, run); }
KERNEL(binary_cross_entropy) { loss_of_each_output<BinaryCrossEntropy>(row, run); }
KERNEL(cross_entropy) { loss_of_each_output<CrossEntropy>(row, run); }

KERNEL(softmax_cross_entropy) {  // log Σₖ exp(xₖ) - Σₖ tₖ xₖ, and dx = (softmax(x) - t) / N
    EACH_ROW(i, run.n) {
        long long sample = run.order[run.first + i];
        T *x = row.x + i * row.size, *dx = row.dx + i * row.size;
        if (row.b) EACH_LANE(j, row.size) x[j] += row.b[j];
        __syncwarp();
        T largest = largest_of_row(x, row.size), sum = 0, score = 0, scale = share(run, sample);
        EACH_LANE(j, row.size) {
            T shifted = x[j] - largest, part = CrossEntropy::smoothed(target(row, run, sample, j), row) * shifted;
            score += part < 0 ? part : 0;  // 0 · -∞ is NaN, and counts as 0
            sum += dx[j] = exp(shifted);
        }
        sum = sum_of_warp(sum);
        EACH_LANE(j, row.size)
            dx[j] = (dx[j] / sum - CrossEntropy::smoothed(target(row, run, sample, j), row)) * scale;
        give_loss(run, i, sample, log(sum) - sum_of_warp(score));
    }
}
