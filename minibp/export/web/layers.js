// The layers as in minibp: y = f(x) for one sample x. An image is a row of numbers; W lies in memory row by row.
const formulas = {
  Dense({ W, b }, x) { // y = x W + b
    const y = Float64Array.from(b), n = b.length;
    x.forEach((xi, i) => {
      if (xi !== 0) for (let j = 0, k = i * n; j < n; j++, k++) y[j] += xi * W[k];
    });
    return y;
  },
  Sigmoid: (_, x) => x.map((v) => 1 / (1 + Math.exp(-v))),
  Tanh: (_, x) => x.map(Math.tanh),
  ReLU: (_, x) => x.map((v) => Math.max(v, 0)),
  LeakyReLU: ({ slope }, x) => x.map((v) => (v > 0 ? v : slope * v)),
  ELU: ({ alpha }, x) => x.map((v) => (v > 0 ? v : alpha * Math.expm1(v))),
  GELU: (_, x) => x.map((v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))),
  Exp: (_, x) => x.map(Math.exp),
  Softplus: (_, x) => x.map((v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)))), // log(1 + exp(x))
  Softmax(_, x) { // exp(xₖ) / Σⱼ exp(xⱼ); the largest x is subtracted, else exp could overflow
    const largest = x.reduce((a, b) => Math.max(a, b));
    const y = x.map((v) => Math.exp(v - largest)), sum = y.reduce((a, b) => a + b);
    return y.map((v) => v / sum);
  },
  BatchNorm: ({ gamma, beta, running_mean, running_var, eps }, x) =>
    x.map((v, i) => (gamma[i] * (v - running_mean[i])) / Math.sqrt(running_var[i] + eps) + beta[i]),
  LayerNorm({ gamma, beta, eps }, x) {
    const mean = x.reduce((a, b) => a + b) / x.length;
    const variance = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
    return x.map((v, i) => (gamma[i] * (v - mean)) / Math.sqrt(variance + eps) + beta[i]);
  },
  Standardize: ({ mean, std }, x) => x.map((v, i) => (v - mean[i]) / std[i]),
  Sequential: ({ layers }, x) => run(layers, x),
  Residual({ layers }, x) { // y = x + f(x)
    const y = run(layers, x);
    return x.map((v, i) => v + y[i]);
  },
};

const run = (layers, x) => layers.reduce((x, layer) => formulas[layer.class](layer, x), x);
