// As layers.py. The activations are functions of one element, and have four kernels each: the formula, its gradient, and
// both together with the part of the Dense before them that is no product.

struct Relu {  // y = max(x, 0)
    static const bool reads_x = false;  // whether the slope needs x, or y alone
    static __device__ T formula(T x, const Row &) { return x <= 0 ? 0 : x; }  // NaN stays NaN
    static __device__ T slope(T, T y, const Row &) { return y > 0 ? 1 : 0; }
};
struct LeakyRelu {  // y = x where x > 0, else slope x
    static const bool reads_x = true;
    static __device__ T formula(T x, const Row &row) {
        T below = x * (T)row.number;
        return x > below ? x : below;
    }
    static __device__ T slope(T x, T, const Row &row) { return x > 0 ? 1 : (T)row.number; }
};
struct Elu {  // y = x where x > 0, else α (exp(x) - 1)
    static const bool reads_x = true;
    static __device__ T formula(T x, const Row &row) { return x > 0 ? x : (T)row.number * expm1(x); }
    static __device__ T slope(T x, T, const Row &row) { return x > 0 ? 1 : (T)row.number * exp(x); }
};
struct Gelu {  // y = ½ x (1 + tanh u),  u = √(2/π) (x + 0.044715 x³)
    static const bool reads_x = true;
    static __device__ T root() { return (T)0.7978845608028654; }  // √(2/π)
    static __device__ T tanh_u(T x) { return tanh((x * x * (T)0.044715 + 1) * x * root()); }
    static __device__ T formula(T x, const Row &) { return (tanh_u(x) + 1) * x * (T)0.5; }
    static __device__ T slope(T x, T, const Row &) {
        T t = tanh_u(x), du = (x * x * (T)(3 * 0.044715) + 1) * root();
        return (T)0.5 * (1 + t + x * (1 - t * t) * du);
    }
};
struct Sigmoid {  // y = 1 / (1 + exp(-x))
    static const bool reads_x = false;
    static __device__ T formula(T x, const Row &) { return 1 / (1 + exp(-x)); }
    static __device__ T slope(T, T y, const Row &) { return (1 - y) * y; }
};
struct Exp {  // y = exp(x)
    static const bool reads_x = false;
    static __device__ T formula(T x, const Row &) { return exp(x); }
    static __device__ T slope(T, T y, const Row &) { return y; }
};
struct Softplus {  // y = log(1 + exp(x)), as max(x, 0) + log(1 + exp(-|x|)); its slope is σ(x) = 1 - exp(-y)
    static const bool reads_x = false;
    static __device__ T formula(T x, const Row &) { return (x <= 0 ? 0 : x) + log1p(exp(x <= 0 ? x : -x)); }
    static __device__ T slope(T, T y, const Row &) { return -expm1(-y); }
};
struct Tanh {  // y = tanh(x)
    static const bool reads_x = false;
    static __device__ T formula(T x, const Row &) { return tanh(x); }
    static __device__ T slope(T, T y, const Row &) { return 1 - y * y; }
};

template <class F> __device__ void activation(const Row &row, const Run &run) {
    EACH(i, run.n * row.size) row.y[i] = F::formula(row.x[i], row);
}
template <class F> __device__ void activation_gradient(const Row &row, const Run &run) {
    EACH(i, run.n * row.size) row.dx[i] = row.dy[i] * F::slope(F::reads_x ? row.x[i] : 0, row.y[i], row);
}
// After the product x W of a Dense: x += b, y = f(x).
template <class F> __device__ void bias_activation(const Row &row, const Run &run) {
    EACH_ROW(i, run.n) EACH_LANE(j, row.size) {
        T x = row.x[i * row.size + j] + row.b[j];
        if (F::reads_x) row.x[i * row.size + j] = x;
        row.y[i * row.size + j] = F::formula(x, row);
    }
}
// Before the products of a Dense's gradient: dx = dy f'(x), db = Σₙ dx.
template <class F> __device__ void activation_bias_gradient(const Row &row, const Run &run) {
    long long j = MY_COLUMN;
    T sum = 0;
    if (j < row.size) EACH_ROW_OF_COLUMN(i, run.n) {
        long long at = i * row.size + j;
        T dx = row.dy[at] * F::slope(F::reads_x ? row.x[at] : 0, row.y[at], row);
        row.dx[at] = dx;
        sum += dx;
    }
    sum = sum_of_column(sum);
    if (j < row.size && threadIdx.y == 0) row.db[j] = sum;
}
#define ACTIVATION(name, F)                                                        \
    KERNEL(name) { activation<F>(row, run); }                                      \
    KERNEL(name##_gradient) { activation_gradient<F>(row, run); }                  \
    KERNEL(bias_##name) { bias_activation<F>(row, run); }                          \
    KERNEL(name##_bias_gradient) { activation_bias_gradient<F>(row, run); }

ACTIVATION(relu, Relu)
ACTIVATION(leaky_relu, LeakyRelu)
ACTIVATION(elu, Elu)
ACTIVATION(gelu, Gelu)
ACTIVATION(sigmoid, Sigmoid)
ACTIVATION(exp, Exp)
ACTIVATION(softplus, Softplus)
ACTIVATION(tanh, Tanh)

// What is left of a Dense that no activation follows: y += b, and db = Σₙ dy.
KERNEL(bias) {
    EACH_ROW(i, run.n) EACH_LANE(j, row.size) row.y[i * row.size + j] += row.b[j];
}
KERNEL(bias_gradient) {
    long long j = MY_COLUMN;
    T sum = 0;
    if (j < row.size) EACH_ROW_OF_COLUMN(i, run.n) sum += row.dy[i * row.size + j];
    sum = sum_of_column(sum);
    if (j < row.size && threadIdx.y == 0) row.db[j] = sum;
}

// The largest of a row, as a warp finds it.
__device__ T largest_of_row(const T *x, long long k) {
    T largest = x[0];
    EACH_LANE(j, k) largest = x[j] > largest ? x[j] : largest;
    return largest_of_warp(largest);
}

KERNEL(softmax) {  // each row of a sample; samples have `size_in` rows
    EACH_ROW(i, run.n * row.size_in) {
        const T *x = row.x + i * row.size;
        T *y = row.y + i * row.size, largest = largest_of_row(x, row.size), sum = 0;
        EACH_LANE(j, row.size) sum += y[j] = exp(x[j] - largest);
        sum = sum_of_warp(sum);
        EACH_LANE(j, row.size) y[j] /= sum;
    }
}
KERNEL(softmax_gradient) {  // dx = y (dy - Σⱼ dyⱼ yⱼ)
    EACH_ROW(i, run.n * row.size_in) {
        const T *y = row.y + i * row.size, *dy = row.dy + i * row.size;
        T along = 0;
        EACH_LANE(j, row.size) along += dy[j] * y[j];
        along = sum_of_warp(along);
        EACH_LANE(j, row.size) row.dx[i * row.size + j] = (dy[j] - along) * y[j];
    }
}

__device__ unsigned lowbias32(unsigned h) {
    h = (h ^ h >> 16) * 0x21f0aaad;
    h = (h ^ h >> 15) * 0xd35a2d97;
    return h ^ h >> 15;
}
// `RandomLayer.bits` for one number, with the two keys of a step.
__device__ unsigned bits(unsigned number, unsigned first, unsigned second) {
    unsigned h = number + first;
    h = ((h ^ h >> 16) * 0x21f0aaad) ^ second;
    h = ((h ^ h >> 15) * 0xd35a2d97) ^ second;
    return h ^ h >> 15;
}
// The number of this step, as the layer counts.
__device__ unsigned step_of(const Row &row, const Run &run) { return (unsigned)(row.step + 1 + run.step); }

// The factor of element i in the mask of a Dropout: 0, or 1 / (1 - rate).
__device__ T mask(const Row &row, const Run &run, long long i) {
    unsigned step = step_of(row, run);
    unsigned h = bits((unsigned)i, lowbias32((unsigned)row.key_1 + step), lowbias32((unsigned)row.key_2 + step));
    return h >= (unsigned)(long long)(row.number * 4294967296.0) ? (T)(1 / (1 - row.number)) : 0;
}
KERNEL(dropout) {  // y = x m / (1 - rate)
    EACH(i, run.n * row.size) row.y[i] = row.x[i] * mask(row, run, i);
}
KERNEL(dropout_gradient) {  // dx = dy m / (1 - rate), where m is drawn again
    EACH(i, run.n * row.size) row.dx[i] = row.dy[i] * mask(row, run, i);
}

KERNEL(residual) {  // y = x + f(x), where f(x) is in `kept`
    EACH(i, run.n * row.size) row.y[i] = row.x[i] + row.kept[i];
}
KERNEL(residual_gradient) {  // dx = dy + dy ∂f/∂x, where the second is in `kept`
    EACH(i, run.n * row.size) row.dx[i] = row.kept[i] + row.dy[i];
}
