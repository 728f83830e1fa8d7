// From a drawing to the image that the network gets. A drawing is a square of values, row by row, 0 (paper) to 255 (ink).

const prepare = {
  // As MNIST was made (LeCun, Cortes & Burges, "The MNIST database of handwritten digits", 1998): the digit fills a box
  // of 20 x 20, with its aspect ratio kept, in greys that come from anti-aliasing. The box is put into the image of
  // 28 x 28, in whole pixels, such that the centre of mass lies in pixel (14, 14), counted from 0.
  28(drawing) {
    const ink = measure(drawing), scale = Math.max(ink.width, ink.height) / 20;
    const start = (edge, centre) => edge - scale * (14 - Math.floor((centre - edge) / scale));
    return shrink(drawing, start(ink.left, ink.x), start(ink.top, ink.y), scale, 28);
  },

  // As the 8 x 8 digits were made (Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", 1998, with programs
  // of NIST): upright, 32 high and at most 20 wide in a black and white image of 32 x 32, whose ink is then counted in
  // blocks of 4 x 4. minibp keeps the counts 0 to 16 as 0 to 255.
  8(drawing) {
    const ink = measure(drawing, true), width = Math.min(20, (32 * ink.width) / ink.height);
    const side = Math.sqrt(drawing.length), counts = new Uint8Array(64);
    for (let row = 0; row < 32; row++) {
      const y = ink.top + ((row + 0.5) / 32) * ink.height;
      for (let column = 0; column < 32; column++) {
        const along = (column + 0.5 - 16) / width + 0.5; // 0 at the left edge of the digit, 1 at the right edge
        const x = ink.left + along * ink.width + ink.slant * (y - ink.y);
        const inside = along > 0 && along < 1 && x > 0 && x < side;
        if (inside && drawing[Math.floor(y) * side + Math.floor(x)] > 127) counts[8 * (row >> 2) + (column >> 2)]++;
      }
    }
    return counts.map((count) => Math.round((count * 255) / 16));
  },
};

// The edges of the ink, its centre of mass (x, y), and its slant: the slope of the line x = slant y that fits it best.
// The edges of an `upright` digit are those that it has after each row was moved to undo the slant.
function measure(drawing, upright = false) {
  const side = Math.sqrt(drawing.length), pixels = [];
  drawing.forEach((v, i) => { if (v) pixels.push({ v, x: (i % side) + 0.5, y: Math.floor(i / side) + 0.5 }); });
  const sum = (term) => pixels.reduce((total, pixel) => total + term(pixel), 0);
  const mass = sum(({ v }) => v), x = sum((at) => at.v * at.x) / mass, y = sum((at) => at.v * at.y) / mass;
  const along = sum((at) => at.v * (at.x - x) * (at.y - y)), down = sum((at) => at.v * (at.y - y) ** 2);
  const slant = upright && down ? along / down : 0;
  const ink = { x, y, slant, left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (const at of pixels) {
    const moved = at.x - slant * (at.y - y);
    ink.left = Math.min(ink.left, moved - 0.5);
    ink.right = Math.max(ink.right, moved + 0.5);
    ink.top = Math.min(ink.top, at.y - 0.5);
    ink.bottom = Math.max(ink.bottom, at.y + 0.5);
  }
  return { ...ink, width: ink.right - ink.left, height: ink.bottom - ink.top };
}

// The mean ink in each of n x n squares, `scale` wide, from a corner (left, top) that may lie outside of the drawing.
function shrink(drawing, left, top, scale, n) {
  const side = Math.sqrt(drawing.length), image = new Uint8Array(n * n);
  const overlap = (pixel, start) => Math.min(start + scale, pixel + 1) - Math.max(start, pixel);
  image.forEach((_, i) => {
    const x0 = left + (i % n) * scale, y0 = top + Math.floor(i / n) * scale;
    let sum = 0;
    for (let y = Math.max(Math.floor(y0), 0); y < Math.min(y0 + scale, side); y++)
      for (let x = Math.max(Math.floor(x0), 0); x < Math.min(x0 + scale, side); x++)
        sum += drawing[y * side + x] * overlap(x, x0) * overlap(y, y0);
    image[i] = Math.round(sum / scale ** 2);
  });
  return image;
}
