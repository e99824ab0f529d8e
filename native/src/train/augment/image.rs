//! A small picture on the host and the point and neighbourhood operations of augmentation policies.
//!
//! Equations are Pillow's (`ImageEnhance`, `ImageOps`), as torchvision's policies use them.

/// RGB pixels, `[height, width, 3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Picture {
    /// `3 * width * height` bytes.
    pub rgb: Vec<u8>,
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
}

/// Luma of a pixel, 0 to 255.
pub(super) fn grey(p: &[u8]) -> f32 {
    0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2])
}

fn byte(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

impl Picture {
    /// Each value times `factor`.
    pub(super) fn brightness(&mut self, factor: f32) {
        self.rgb.iter_mut().for_each(|v| *v = byte(factor * f32::from(*v)));
    }

    /// Distance from the mean grey times `factor`.
    pub(super) fn contrast(&mut self, factor: f32) {
        let mean = self.rgb.chunks_exact(3).map(grey).sum::<f32>() / (self.rgb.len() / 3).max(1) as f32;
        self.rgb.iter_mut().for_each(|v| *v = byte(mean + factor * (f32::from(*v) - mean)));
    }

    /// Distance from the pixel's own grey times `factor`.
    pub(super) fn saturation(&mut self, factor: f32) {
        for pixel in self.rgb.chunks_exact_mut(3) {
            let own = grey(pixel);
            pixel.iter_mut().for_each(|v| *v = byte(own + factor * (f32::from(*v) - own)));
        }
    }

    /// Distance from the smoothed picture (3 x 3, centre 5 of 13) times `factor`; the border stays.
    pub(super) fn sharpness(&mut self, factor: f32) {
        let old = self.rgb.clone();
        let stride = 3 * self.width;
        for y in 1..self.height.saturating_sub(1) {
            for i in y * stride + 3..(y + 1) * stride - 3 {
                let row = |at: usize| f32::from(old[at - 3]) + f32::from(old[at]) + f32::from(old[at + 3]);
                let own = f32::from(old[i]);
                let smooth = (row(i - stride) + row(i) + row(i + stride) + 4.0 * own) / 13.0;
                self.rgb[i] = byte(smooth + factor * (own - smooth));
            }
        }
    }

    /// Keeps the highest `bits` (0 to 8) of each value.
    pub(super) fn posterize(&mut self, bits: u32) {
        let mask = (0xff00u16 >> bits.min(8)) as u8;
        self.rgb.iter_mut().for_each(|v| *v &= mask);
    }

    /// Inverts values of at least `threshold` (0 to 256).
    pub(super) fn solarize(&mut self, threshold: u16) {
        self.rgb.iter_mut().filter(|v| u16::from(**v) >= threshold).for_each(|v| *v = 255 - *v);
    }

    /// Stretches each channel from its darkest to its lightest value over 0 to 255.
    pub(super) fn autocontrast(&mut self) {
        self.each_channel(|counts| {
            let low = counts.iter().position(|c| *c > 0).unwrap_or(0);
            let high = counts.iter().rposition(|c| *c > 0).unwrap_or(255);
            let scale = if high > low { 255.0 / (high - low) as f32 } else { 1.0 };
            let offset = if high > low { low as f32 } else { 0.0 };
            std::array::from_fn(|v| byte((v as f32 - offset) * scale))
        });
    }

    /// Makes each channel's histogram flat.
    pub(super) fn equalize(&mut self) {
        self.each_channel(|counts| {
            let last = counts.iter().rposition(|c| *c > 0).map_or(0, |v| counts[v]);
            let step = (counts.iter().sum::<usize>() - last) / 255;
            if step == 0 {
                return std::array::from_fn(|v| v as u8);
            }
            let mut sum = step / 2;
            std::array::from_fn(|v| {
                let value = (sum / step).min(255) as u8;
                sum += counts[v];
                value
            })
        });
    }

    /// Replaces each channel's values by what `table` makes of its histogram.
    fn each_channel(&mut self, table: impl Fn(&[usize; 256]) -> [u8; 256]) {
        for channel in 0..3 {
            let mut counts = [0; 256];
            self.rgb.iter().skip(channel).step_by(3).for_each(|v| counts[usize::from(*v)] += 1);
            let table = table(&counts);
            self.rgb.iter_mut().skip(channel).step_by(3).for_each(|v| *v = table[usize::from(*v)]);
        }
    }

    /// Moves pixels: the new picture shows at `p`, measured from its centre, what was at `matrix p + shift`, bilinearly,
    /// and `fill` where nothing was.
    pub(super) fn warp(&mut self, matrix: [[f32; 2]; 2], shift: [f32; 2], fill: [u8; 3]) {
        let old = self.clone();
        let (width, height) = (old.width as isize, old.height as isize);
        let centre = [(old.width as f32 - 1.0) / 2.0, (old.height as f32 - 1.0) / 2.0];
        for (i, pixel) in self.rgb.chunks_exact_mut(3).enumerate() {
            let p = [(i % old.width) as f32 - centre[0], (i / old.width) as f32 - centre[1]];
            let from = |row: usize| matrix[row][0] * p[0] + matrix[row][1] * p[1] + shift[row] + centre[row];
            let (x, y) = (from(0), from(1));
            let (left, top) = (x.floor(), y.floor());
            let (fx, fy) = (x - left, y - top);
            for (c, value) in pixel.iter_mut().enumerate() {
                let at = |dx: isize, dy: isize| {
                    let (x, y) = (left as isize + dx, top as isize + dy);
                    let inside = (0..width).contains(&x) && (0..height).contains(&y);
                    f32::from(if inside { old.rgb[3 * (y * width + x) as usize + c] } else { fill[c] })
                };
                let upper = at(0, 0) * (1.0 - fx) + at(1, 0) * fx;
                let lower = at(0, 1) * (1.0 - fx) + at(1, 1) * fx;
                *value = byte(upper * (1.0 - fy) + lower * fy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture { rgb: (0..5 * 4 * 3).map(|i| (i * 41 % 199 + 20) as u8).collect(), width: 5, height: 4 }
    }

    fn after(change: impl FnOnce(&mut Picture)) -> Picture {
        let mut picture = picture();
        change(&mut picture);
        picture
    }

    #[test]
    fn factor_one_and_full_depth_change_nothing() {
        let changes: [&dyn Fn(&mut Picture); 7] = [
            &|p| p.brightness(1.0),
            &|p| p.contrast(1.0),
            &|p| p.saturation(1.0),
            &|p| p.sharpness(1.0),
            &|p| p.posterize(8),
            &|p| p.solarize(256),
            &|p| p.warp([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0], [0; 3]),
        ];
        for change in changes {
            assert_eq!(after(change), picture());
        }
    }

    #[test]
    fn point_operations_by_hand() {
        let one = |rgb: [u8; 3]| Picture { rgb: rgb.to_vec(), width: 1, height: 1 };
        let mut p = one([100, 200, 30]);
        p.brightness(1.5);
        assert_eq!(p.rgb, [150, 255, 45]);
        let mut p = one([100, 200, 30]);
        p.saturation(0.0);
        assert_eq!(p.rgb, [151; 3], "0.299 100 + 0.587 200 + 0.114 30 = 150.72");
        let mut p = one([0b1011_0111, 255, 1]);
        p.posterize(2);
        assert_eq!(p.rgb, [0b1000_0000, 0b1100_0000, 0]);
        p.posterize(0);
        assert_eq!(p.rgb, [0; 3]);
        let mut p = one([100, 200, 128]);
        p.solarize(128);
        assert_eq!(p.rgb, [100, 55, 127]);
    }

    #[test]
    fn contrast_operations_use_the_whole_range() {
        let stretched = after(Picture::autocontrast);
        for channel in 0..3 {
            let values: Vec<u8> = stretched.rgb.iter().skip(channel).step_by(3).copied().collect();
            assert_eq!((values.iter().min(), values.iter().max()), (Some(&0), Some(&255)));
        }
        // A dark ramp of 32 values, equally many of each, is spread over the whole range.
        let rgb = (0..1024).flat_map(|i| [(i / 4) as u8 / 8; 3]).collect();
        let mut ramp = Picture { rgb, width: 32, height: 32 };
        ramp.equalize();
        let values: Vec<u8> = ramp.rgb.iter().step_by(3).copied().collect();
        assert!(values[0] == 0 && values[1023] > 240 && values.is_sorted(), "{:?}", &values[992..]);
        let mut flat = Picture { rgb: vec![77; 30], width: 5, height: 2 };
        flat.equalize();
        flat.autocontrast();
        assert_eq!(flat.rgb, [77; 30], "one value cannot be spread");
    }

    #[test]
    fn warps_move_whole_pixels_and_fill() {
        let moved = after(|p| p.warp([[1.0, 0.0], [0.0, 1.0]], [2.0, 0.0], [1, 2, 3]));
        let old = picture();
        for y in 0..4 {
            for x in 0..5 {
                let expected: &[u8] = if x + 2 < 5 { &old.rgb[3 * (y * 5 + x + 2)..][..3] } else { &[1, 2, 3] };
                assert_eq!(&moved.rgb[3 * (y * 5 + x)..][..3], expected, "{x} {y}");
            }
        }
        let turned = after(|p| p.warp([[-1.0, 0.0], [0.0, -1.0]], [0.0, 0.0], [0; 3]));
        let mut reversed: Vec<u8> = old.rgb.chunks(3).rev().flatten().copied().collect();
        assert_eq!(turned.rgb, reversed, "half a turn");
        reversed.reverse();
        assert_ne!(turned.rgb, reversed);
    }
}
