/* The products of cuBLAS, by loops. Matrices are stored column by column. */
#include "fake.h"

enum { OK = 0, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum { FLOAT = 0, DOUBLE = 1 };
int cublasCreate_v2(void **h) { *h = malloc(8); return OK; }
int cublasDestroy_v2(void *h) { free(h); return OK; }
int cublasSetStream_v2(void *h, void *stream) { return OK; }
int cublasSetMathMode(void *h, int mode) { return OK; }
int cublasGetMathMode(void *h, int *mode) { *mode = 0; return OK; }
int cublasGetVersion_v2(void *h, int *v) { *v = 120900; return OK; }

#define PRODUCT(T)                                                                                       \
    static void product_##T(int ta, int tb, long m, long n, long k, T alpha, const T *a, long lda, const T *b, \
                            long ldb, T beta, T *c, long ldc) {                                           \
        for (long j = 0; j < n; j++) {                                                                    \
            T *column = c + j * ldc, sum[m];                                                              \
            memset(sum, 0, m * sizeof(T));                                                                \
            for (long l = 0; l < k; l++) {                                                                \
                T factor = tb ? b[l * ldb + j] : b[j * ldb + l];                                          \
                if (ta) for (long i = 0; i < m; i++) sum[i] += a[i * lda + l] * factor;                   \
                else for (long i = 0; i < m; i++) sum[i] += a[l * lda + i] * factor;                      \
            }                                                                                             \
            for (long i = 0; i < m; i++) column[i] = alpha * sum[i] + (beta ? beta * column[i] : 0);      \
        }                                                                                                 \
    }
PRODUCT(float)
PRODUCT(double)

int cublasGemmStridedBatchedEx(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int type_a,
                               int lda, long long step_a, const void *b, int type_b, int ldb, long long step_b,
                               const void *beta, void *c, int type_c, int ldc, long long step_c, int count, int compute,
                               int algorithm) {
    int device = fake_current();
    if (fake_device_of(a) != device || fake_device_of(b) != device || fake_device_of(c) != device)
        return EXECUTION_FAILED; /* a GPU would read another's memory: an error some time later, or wrong numbers */
    if (type_a != type_c || type_b != type_c || (type_c != FLOAT && type_c != DOUBLE)) return NOT_SUPPORTED;
    fake.gemms++;
    fake_note("gemm");
    for (int i = 0; i < count; i++)
        if (type_c == FLOAT)
            product_float(ta, tb, m, n, k, *(float *)alpha, (float *)a + i * step_a, lda, (float *)b + i * step_b, ldb,
                          *(float *)beta, (float *)c + i * step_c, ldc);
        else
            product_double(ta, tb, m, n, k, *(double *)alpha, (double *)a + i * step_a, lda, (double *)b + i * step_b, ldb,
                           *(double *)beta, (double *)c + i * step_c, ldc);
    return OK;
}
int cublasGemmEx(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int type_a, int lda,
                 const void *b, int type_b, int ldb, const void *beta, void *c, int type_c, int ldc, int compute,
                 int algorithm) {
    return cublasGemmStridedBatchedEx(h, ta, tb, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb, 0, beta, c, type_c, ldc,
                                      0, 1, compute, algorithm);
}
int cublasSgemm_v2(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda, const void *b,
                   int ldb, const void *beta, void *c, int ldc) {
    return cublasGemmEx(h, ta, tb, m, n, k, alpha, a, FLOAT, lda, b, FLOAT, ldb, beta, c, FLOAT, ldc, 0, 0);
}
int cublasDgemm_v2(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda, const void *b,
                   int ldb, const void *beta, void *c, int ldc) {
    return cublasGemmEx(h, ta, tb, m, n, k, alpha, a, DOUBLE, lda, b, DOUBLE, ldb, beta, c, DOUBLE, ldc, 0, 0);
}

/* Each matrix at its own address: the products of many matrices with one, as CuPy makes them. They count as one. */
static int batched(int ta, int tb, int m, int n, int k, const void *alpha, const void *const *a, int lda, const void *const *b,
                   int ldb, const void *beta, void *const *c, int ldc, int count, int type) {
    long before = fake.gemms;
    for (int i = 0; i < count; i++) {
        int status = cublasGemmEx(NULL, ta, tb, m, n, k, alpha, a[i], type, lda, b[i], type, ldb, beta, c[i], type, ldc, 0, 0);
        if (status != OK) return status;
    }
    fake.gemms = before + 1;
    return OK;
}
int cublasSgemmBatched(void *h, int ta, int tb, int m, int n, int k, const float *alpha, const void *const *a, int lda,
                       const void *const *b, int ldb, const float *beta, void *const *c, int ldc, int count) {
    return batched(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, count, FLOAT);
}
int cublasDgemmBatched(void *h, int ta, int tb, int m, int n, int k, const double *alpha, const void *const *a, int lda,
                       const void *const *b, int ldb, const double *beta, void *const *c, int ldc, int count) {
    return batched(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc, count, DOUBLE);
}
