// As augmentation.py. They draw the same numbers as the formulas, in each step new ones.

KERNEL(gaussian_noise) {  // y = x + std √(-2 log u) sin(π v), with 16 bits for each of u and v
    unsigned step = step_of(row, run), first = lowbias32((unsigned)row.key_1 + step);
    unsigned second = lowbias32((unsigned)row.key_2 + step);
    T scale = (T)(-2 * row.number * row.number);
    EACH(i, run.n * row.size) {
        unsigned h = bits((unsigned)i, first, second);
        T u = ((T)(h >> 16) + (T)0.5) * (T)(1.0 / 65536), v = ((T)(h & 0xffff) - (T)32767.5) * (T)(3.141592653589793 / 65536);
        row.y[i] = sqrt(log(u) * scale) * sin(v) + row.x[i];
    }
}

struct Map {  // the inverse of shift · rotation · shear · scaling
    T x_of_x, x_of_y, y_of_x, y_of_y, right, below;
};
__device__ Map map_of_image(const Row &row, const Run &run, long long image) {
    unsigned step = step_of(row, run), first = lowbias32((unsigned)row.key_1 + step);
    unsigned second = lowbias32((unsigned)row.key_2 + step);
    T u[6];  // uniform in [-1, 1)
    for (int i = 0; i < 6; i++) u[i] = (T)bits((unsigned)(6 * image + i), first, second) * (T)(1.0 / 2147483648.0) - 1;
    T degree = (T)(3.141592653589793 / 180), angle = u[0] * ((T)row.rotation * degree);
    T lean = tan(u[1] * ((T)row.shear * degree)), width = u[2] * (T)row.scale + 1, height = u[3] * (T)row.scale + 1;
    T c = cos(angle), s = sin(angle);
    return {(c + lean * s) / width, (s - lean * c) / width, -s / height, c / height,
            u[4] * (T)(row.translation * row.width), u[5] * (T)(row.translation * row.height)};
}

// y at (i, j) of an image, by bilinear interpolation at a place that is moved by (dx, dy). Outside the image is 0.
__device__ T sample(const Row &row, const Map &map, const T *x, int i, int j, T dx, T dy) {
    int h = (int)row.height, w = (int)row.width;
    T middle_x = (T)((w - 1) / 2.0), middle_y = (T)((h - 1) / 2.0);
    T along = j - middle_x - map.right, down = i - middle_y - map.below;
    // As in the formula, the image begins at (1, 1), with zeros around it.
    T px = (map.x_of_x * along + (middle_x + 1)) + map.x_of_y * down + dx;
    T py = map.y_of_x * along + (map.y_of_y * down + (middle_y + 1)) + dy;
    px = px > 0 ? (px < w + 1 ? px : w + 1) : 0;
    py = py > 0 ? (py < h + 1 ? py : h + 1) : 0;
    int left = (int)px, top = (int)py;
    px -= left;
    py -= top;
    T corner[4];
    for (int k = 0; k < 4; k++) {
        int r = top + k / 2, c = left + k % 2;
        corner[k] = 1 <= r && r <= h && 1 <= c && c <= w ? x[(r - 1) * w + c - 1] : 0;
    }
    T upper = corner[0] + (corner[1] - corner[0]) * px, lower = corner[2] + (corner[3] - corner[2]) * px;
    return upper + (lower - upper) * py;
}
// One warp makes a row of pixels.
KERNEL(random_affine) {
    int h = (int)row.height, w = (int)row.width;
    EACH_ROW(k, run.n * h) {
        long long image = k / h;
        Map map = map_of_image(row, run, image);
        EACH_LANE(j, w) row.y[k * w + j] = sample(row, map, row.x + image * h * w, k % h, j, 0, 0);
    }
}

// The field of an elastic distortion: Δx and Δy for each pixel, uniform, then smoothed along columns, and along rows where
// it is read. `field` holds (n, 2, h, w), as does `smooth`.
KERNEL(elastic_field) {
    unsigned step = step_of(row, run), first = lowbias32((unsigned)row.key_3 + step);
    unsigned second = lowbias32((unsigned)row.key_4 + step);
    long long pixels = row.height * row.width;
    EACH(i, run.n * pixels) {
        unsigned h = bits((unsigned)i, first, second);
        T *field = row.field + 2 * (i / pixels) * pixels + i % pixels;
        field[0] = (T)(h >> 16) - (T)32767.5;
        field[pixels] = (T)(h & 0xffff) - (T)32767.5;
    }
}
KERNEL(elastic_smooth) {
    int h = (int)row.height, w = (int)row.width;
    EACH_ROW(k, run.n * 2 * h) {
        const T *field = row.field + k / h * h * w, *down = row.down + k % h * h;
        EACH_LANE(j, w) {
            T sum = 0;
            for (int i = 0; i < h; i++) sum += down[i] * field[i * w + j];
            row.smooth[k * w + j] = sum;
        }
    }
}
KERNEL(elastic_distortion) {
    int h = (int)row.height, w = (int)row.width;
    EACH_ROW(k, run.n * h) {
        long long image = k / h;
        Map map = map_of_image(row, run, image);
        const T *dx = row.smooth + (2 * image * h + k % h) * w, *dy = dx + h * w;
        EACH_LANE(j, w) {
            T right = 0, below = 0;
            for (int i = 0; i < w; i++) {
                right += dx[i] * row.across[i * w + j];
                below += dy[i] * row.across[i * w + j];
            }
            row.y[k * w + j] = sample(row, map, row.x + image * h * w, k % h, j, right, below);
        }
    }
}
