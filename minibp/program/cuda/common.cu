// What kernels share. Before this file stand, written by kernels.py: T, which is float or double; Row, the fields of a row
// of the table (table.py); Step and Run, what the rows of a step share.
//
// A kernel takes a row and the run, as the operations of the compiled program do, and its formula is theirs. Sums are added
// in an order that depends on nothing but the sizes, so that the same training gives the same bits.

#define KERNEL(name) extern "C" __global__ void __launch_bounds__(1024) minibp_##name(Row row, Run run)

// The elements 0 to n - 1, shared out among all threads.
#define EACH(i, n)                                                                        \
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < (n);         \
         i += gridDim.x * (long long)blockDim.x)

// The rows of a matrix, shared out among all warps; and the columns of such a row, among the 32 threads of its warp.
#define EACH_ROW(i, n)                                                                    \
    for (long long i = (blockIdx.x * (long long)blockDim.x + threadIdx.x) / 32; i < (n);  \
         i += gridDim.x * (long long)blockDim.x / 32)
#define EACH_LANE(j, k) for (long long j = threadIdx.x % 32; j < (k); j += 32)

// A matrix in blocks of 32 columns: the column of this thread, which may lie beyond the last one; and the rows of the
// column, shared out among its 32 threads.
#define MY_COLUMN (blockIdx.x * 32ll + threadIdx.x)
#define EACH_ROW_OF_COLUMN(i, n) for (long long i = threadIdx.y; i < (n); i += 32)

__device__ T not_a_number() { return (T)nan(""); }

// x, and NaN where x is infinite.
__device__ T finite_or_nan(T x) { return x + (x - x); }

// The sum of the numbers that the threads of a warp hold, for each of them.
__device__ T sum_of_warp(T x) {
    for (int step = 16; step; step /= 2) x += __shfl_xor_sync(0xffffffff, x, step);
    return x;
}

// Likewise the largest.
__device__ T largest_of_warp(T x) {
    for (int step = 16; step; step /= 2) {
        T other = __shfl_xor_sync(0xffffffff, x, step);
        x = other > x ? other : x;
    }
    return x;
}

// The sum of the numbers that the 32 threads of a column hold, for each of them.
__device__ T sum_of_column(T x) {
    __shared__ T parts[32][32];
    parts[threadIdx.y][threadIdx.x] = x;
    __syncthreads();
    T sum = 0;
    for (int i = 0; i < 32; i++) sum += parts[i][threadIdx.x];
    __syncthreads();  // the next call writes to the same memory
    return sum;
}
