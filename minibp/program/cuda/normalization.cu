// As normalization.py. `w` and `b` of a row are γ and β; xhat and std are kept for the gradient.

// √(σ² + ε), and NaN if σ² is infinite: else x̂ would be 0.
__device__ T root(T var, T eps) {
    var += eps;
    return var / sqrt(var);
}

KERNEL(batch_norm) {  // y = γ x̂ + β, with μ and σ² of the batch, or if frozen in inference mode the running averages
    long long j = MY_COLUMN, n = run.n, k = row.size;
    bool inside = j < k;
    T first = inside && row.training ? row.x[j] : 0, mean = 0, var = 0;
    if (row.training) {  // `Normalization.center` says why x - first is averaged
        T sum = 0, squares = 0;
        if (inside) EACH_ROW_OF_COLUMN(i, n) sum += row.x[i * k + j] - first;
        mean = sum_of_column(sum) / n;
        if (inside) EACH_ROW_OF_COLUMN(i, n) {
            T x = row.x[i * k + j] - first - mean;
            squares += x * x;
        }
        var = sum_of_column(squares) / n;
    } else if (inside) {
        mean = row.mean[j];
        var = row.var[j];
    }
    if (!inside) return;
    if (row.training && n > 1 && threadIdx.y == 0) {
        T before = row.mean[j], now = mean + first, rest = (T)(1 - row.number);
        T after = before + (now - before) * rest;
        row.mean[j] = after == before ? now : after;
        row.var[j] = row.var[j] * (T)row.number + var * (T)((1 - row.number) * ((double)n / (n - 1)));
    }
    T std = root(var, (T)row.eps);
    if (threadIdx.y == 0) row.std[j] = std;
    EACH_ROW_OF_COLUMN(i, n) {
        T xhat = (row.x[i * k + j] - first - mean) / std;
        row.xhat[i * k + j] = xhat;
        row.y[i * k + j] = xhat * row.w[j] + row.b[j];
    }
}

// dγ = Σₙ dy x̂ and dβ = Σₙ dy, for all threads of a column.
__device__ void sums_of_columns(const Row &row, const Run &run, T &along, T &total) {
    long long j = MY_COLUMN;
    along = total = 0;
    if (j < row.size) EACH_ROW_OF_COLUMN(i, run.n) {
        T dy = row.dy[i * row.size + j];
        along += dy * row.xhat[i * row.size + j];
        total += dy;
    }
    along = sum_of_column(along);
    total = sum_of_column(total);
    if (row.trains && j < row.size && threadIdx.y == 0) {
        row.dw[j] = along;
        row.db[j] = total;
    }
}
KERNEL(batch_norm_gradient) {  // as `Normalization.gradient`, over the batch; with constant μ and σ², dy γ / σ
    T along, total, weight = row.training ? (T)(1.0 / run.n) : 0;
    sums_of_columns(row, run, along, total);
    long long j = MY_COLUMN;
    if (row.needs_dx && j < row.size) EACH_ROW_OF_COLUMN(i, run.n) {
        long long at = i * row.size + j;
        T centered = row.dy[at] - total * weight - row.xhat[at] * (along * weight);
        row.dx[at] = centered * row.w[j] / row.std[j];
    }
}

KERNEL(layer_norm) {  // y = γ x̂ + β, with μ and σ² of each sample
    long long k = row.size;
    EACH_ROW(i, run.n) {
        const T *x = row.x + i * k;
        T *xhat = row.xhat + i * k, first = x[0], sum = 0, squares = 0;
        EACH_LANE(j, k) sum += x[j] - first;
        T mean = sum_of_warp(sum) / k;
        EACH_LANE(j, k) {
            xhat[j] = x[j] - first - mean;
            squares += xhat[j] * xhat[j];
        }
        T std = root(sum_of_warp(squares) / k, (T)row.eps);
        EACH_LANE(j, k) {
            xhat[j] /= std;
            row.y[i * k + j] = xhat[j] * row.w[j] + row.b[j];
        }
        if (threadIdx.x % 32 == 0) row.std[i] = std;
    }
}
KERNEL(layer_norm_gradient) {  // as `Normalization.gradient`, over each sample
    long long k = row.size;
    EACH_ROW(i, run.n) {
        const T *dy = row.dy + i * k, *xhat = row.xhat + i * k;
        T along = 0, mean = 0;
        EACH_LANE(j, k) {
            T dxhat = dy[j] * row.w[j];
            along += dxhat * xhat[j];
            mean += dxhat;
        }
        along = sum_of_warp(along) / k;
        mean = sum_of_warp(mean) / k;
        EACH_LANE(j, k) row.dx[i * k + j] = (dy[j] * row.w[j] - mean - xhat[j] * along) / row.std[i];
    }
}
KERNEL(layer_norm_parameters) {  // dγ and dβ
    T along, total;
    sums_of_columns(row, run, along, total);
}

KERNEL(standardize) {  // y = (x - μ) / σ
    EACH_ROW(i, run.n) EACH_LANE(j, row.size) {
        long long at = i * row.size + j;
        row.y[at] = (row.x[at] - row.mean[j]) / row.std[j];
    }
}
KERNEL(standardize_gradient) {  // dx = dy / σ
    EACH_ROW(i, run.n) EACH_LANE(j, row.size) row.dx[i * row.size + j] = row.dy[i * row.size + j] / row.std[j];
}
