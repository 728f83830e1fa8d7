/* A CUDA driver whose modules are shared libraries that g++ made of CuPy's kernels (see kernels.h). */
#include <dlfcn.h>
#include "fake.h"
#include "threads.h"

enum { OK = 0, INVALID_IMAGE = 200, NOT_FOUND = 500 };
struct function { kernel *kernel; int barriers; char name[200]; };
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

int cuGetErrorName(int e, const char **s) { *s = e == NOT_FOUND ? "CUDA_ERROR_NOT_FOUND" : "CUDA_ERROR_UNKNOWN"; return OK; }
int cuGetErrorString(int e, const char **s) { *s = "said by the fake driver"; return OK; }
int cuDevicePrimaryCtxRelease_v2(int device) { return OK; }
int cuCtxGetCurrent(void **c) { *c = (void *)(long)(1 + fake_current()); return OK; }
int cuCtxSetCurrent(void *c) { return OK; }
int cuCtxGetDevice(int *device) { *device = fake_current(); return OK; }
int cuModuleLoadData(void **module, const void *path) {
    *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!*module) fprintf(stderr, "%s\n", dlerror());
    return *module ? OK : INVALID_IMAGE;
}
int cuModuleUnload(void *module) { return OK; }
int cuModuleGetFunction(struct function **out, void *module, const char *name) {
    char symbol[300];
    snprintf(symbol, sizeof symbol, "on_cpu_%s", name);
    struct function *f = *out = malloc(sizeof *f);
    f->kernel = (kernel *)dlsym(module, symbol);
    f->barriers = dlsym(module, "on_cpu_has_barriers") != NULL;
    const char **note = dlsym(module, "on_cpu_note");
    snprintf(f->name, sizeof f->name, "%s%s", name, note ? *note : "");
    return f->kernel ? OK : NOT_FOUND;
}
int cuLaunchKernel(struct function *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **args, void **extra) {
    pthread_mutex_lock(&one_at_a_time);
    fake.launches++;
    run_kernel(f->kernel, f->barriers, args, (struct index){gx, gy, gz}, (struct index){bx, by, bz});
    pthread_mutex_unlock(&one_at_a_time);
    fake_note(f->name);
    return OK;
}
int cuFuncGetAttribute(int *v, int which, void *f) { *v = 0; return OK; }
int cuFuncSetAttribute(void *f, int which, int v) { return OK; }
