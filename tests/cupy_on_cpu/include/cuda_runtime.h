/* What CuPy's extension `runtime` needs of CUDA's header of this name: the declarations, without the compiler's part. */
#include <cuda_runtime_api.h>
#include <driver_functions.h>
