/* Between a kernel, the fake driver and the threads that it runs. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct index { unsigned x, y, z; };
typedef void kernel(void **);
#ifdef __cplusplus
extern "C" {
#endif
extern struct index threadIdx, blockIdx, blockDim, gridDim;
void on_cpu_barrier(void);
void on_cpu_warp_barrier(void);
unsigned on_cpu_lane(void);
uint64_t on_cpu_shuffle(uint64_t value, unsigned lane); /* the value of another thread of the warp */
void run_kernel(kernel *f, int barriers, void **arguments, struct index grid, struct index block);
#ifdef __cplusplus
}
#endif
