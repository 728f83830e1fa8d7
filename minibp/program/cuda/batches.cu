// As batches.py. Every number that is read from the data is bounded: what points nowhere gives NaN.

// y = scale x[order].
template <class S> __device__ void gather(const Row &row, const Run &run, T scale) {
    const S *x = (const S *)run.inputs;
    EACH_ROW(i, run.n) {
        long long sample = run.order[run.first + i];
        bool known = 0 <= sample && sample < run.samples;
        EACH_LANE(j, row.size)
            row.y[i * row.size + j] = known ? (T)x[sample * row.size + j] * scale : not_a_number();
    }
}
KERNEL(gather_bytes) { gather<unsigned char>(row, run, (T)row.number); }
KERNEL(gather_float32) { gather<float>(row, run, 1); }
KERNEL(gather_float64) { gather<double>(row, run, 1); }

// The target of output j of a sample: from its label, or from its row.
__device__ T target(const Row &row, const Run &run, long long sample, long long j) {
    if (sample < 0 || sample >= run.samples) return not_a_number();
    if (!run.labels) return run.targets[sample * row.size + j];
    long long label = run.labels[sample];
    return label < 0 || label >= row.size ? not_a_number() : j == label ? 1 : 0;
}

// What multiplies the gradient of a sample: 1/N, or w / Σ w.
__device__ T share(const Run &run, long long sample) {
    if (!run.weights) return (T)(1.0 / run.n);
    bool known = 0 <= sample && sample < run.samples;
    return known ? run.weights[sample] / (T)run.steps[run.step].total : not_a_number();
}
