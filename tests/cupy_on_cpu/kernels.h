// CUDA C++ for g++: the words that CuPy's kernels use. Their threads are in threads.c.
#pragma once
#include <algorithm>
#include <cassert>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <utility>
#include "threads.h"
using namespace std;
#define __CUDACC_RTC__ 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static  // one block runs at a time
#define rsqrt(x) (1 / sqrt(x))

inline void __syncthreads() { on_cpu_barrier(); }
inline void __syncwarp(unsigned = ~0u) { on_cpu_warp_barrier(); }
template <class T> T __shfl_sync(unsigned, T value, int lane, int = 32) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = on_cpu_shuffle(bits, lane);
    memcpy(&value, &bits, sizeof value);
    return value;
}
template <class T> T __shfl_xor_sync(unsigned all, T value, int mask, int = 32) {
    return __shfl_sync(all, value, on_cpu_lane() ^ mask);
}
template <class T> T __shfl_down_sync(unsigned all, T value, unsigned by, int = 32) {
    unsigned lane = on_cpu_lane();
    return __shfl_sync(all, value, lane + by < 32 ? lane + by : lane);
}
template <class T> T atomicAdd(T *p, T value) { T old = *p; *p = old + value; return old; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline float __int_as_float(unsigned x) { float f; memcpy(&f, &x, 4); return f; }

namespace on_cpu {  // a kernel with the arguments that a launch passes: pointers to them
template <class... A, size_t... I> void call(void (*f)(A...), void **a, index_sequence<I...>) {
    f(*(remove_const_t<remove_reference_t<A>> *)a[I]...);
}
template <class... A> void call(void (*f)(A...), void **a) { call(f, a, index_sequence_for<A...>()); }
}  // namespace on_cpu
