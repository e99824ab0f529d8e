//! Four numbers at a time: wasm's vectors, and for tests on other machines an array.

#[cfg(target_arch = "wasm32")]
pub(super) use wasm::Four;

#[cfg(not(target_arch = "wasm32"))]
pub(super) use plain::Four;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use std::arch::wasm32::{f32x4_add, f32x4_splat, i32x4_shuffle, v128, v128_load, v128_load32_splat, v128_store};

    #[derive(Clone, Copy)]
    pub(in super::super) struct Four(v128);

    impl Four {
        #[inline(always)]
        pub(in super::super) fn splat(value: f32) -> Self {
            Self(f32x4_splat(value))
        }

        /// # Safety
        /// Four values lie at `from`.
        #[inline(always)]
        pub(in super::super) unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's; a wasm vector may lie anywhere.
            Self(unsafe { v128_load(from.cast()) })
        }

        /// # Safety
        /// A value lies at `from`.
        #[inline(always)]
        pub(in super::super) unsafe fn load_splat(from: *const f32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { v128_load32_splat(from.cast()) })
        }

        /// # Safety
        /// There is room for four values at `to`.
        #[inline(always)]
        pub(in super::super) unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { v128_store(to.cast(), self.0) }
        }

        /// Rows become columns.
        #[inline(always)]
        pub(in super::super) fn turned([a, b, c, d]: [Self; 4]) -> [Self; 4] {
            let near = |a: Self, b: Self| i32x4_shuffle::<0, 4, 1, 5>(a.0, b.0);
            let far = |a: Self, b: Self| i32x4_shuffle::<2, 6, 3, 7>(a.0, b.0);
            let [ab, cd, ab_far, cd_far] = [near(a, b), near(c, d), far(a, b), far(c, d)];
            let halves = |x, y| [Self(i32x4_shuffle::<0, 1, 4, 5>(x, y)), Self(i32x4_shuffle::<2, 3, 6, 7>(x, y))];
            let ([first, second], [third, fourth]) = (halves(ab, cd), halves(ab_far, cd_far));
            [first, second, third, fourth]
        }

        #[inline(always)]
        pub(in super::super) fn plus(self, other: Self) -> Self {
            Self(f32x4_add(self.0, other.0))
        }

        /// `self + a b`, rounded once where the module was built for it and the processor can, else twice.
        #[inline(always)]
        pub(in super::super) fn plus_product(self, a: Self, b: Self) -> Self {
            #[cfg(target_feature = "relaxed-simd")]
            return Self(std::arch::wasm32::f32x4_relaxed_madd(a.0, b.0, self.0));
            #[cfg(not(target_feature = "relaxed-simd"))]
            Self(f32x4_add(self.0, std::arch::wasm32::f32x4_mul(a.0, b.0)))
        }
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod plain {
    use std::array::from_fn;

    #[derive(Clone, Copy)]
    pub(in super::super) struct Four([f32; 4]);

    impl Four {
        pub(in super::super) fn splat(value: f32) -> Self {
            Self([value; 4])
        }

        /// # Safety
        /// Four values lie at `from`.
        pub(in super::super) unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's.
            Self(unsafe { from.cast::<[f32; 4]>().read() })
        }

        /// # Safety
        /// A value lies at `from`.
        pub(in super::super) unsafe fn load_splat(from: *const f32) -> Self {
            // SAFETY: the caller's.
            Self::splat(unsafe { *from })
        }

        /// # Safety
        /// There is room for four values at `to`.
        pub(in super::super) unsafe fn store(self, to: *mut f32) {
            // SAFETY: the caller's.
            unsafe { to.cast::<[f32; 4]>().write(self.0) }
        }

        /// Rows become columns.
        pub(in super::super) fn turned(rows: [Self; 4]) -> [Self; 4] {
            from_fn(|column| Self(from_fn(|row| rows[row].0[column])))
        }

        pub(in super::super) fn plus(self, other: Self) -> Self {
            Self(from_fn(|i| self.0[i] + other.0[i]))
        }

        pub(in super::super) fn plus_product(self, a: Self, b: Self) -> Self {
            Self(from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
        }
    }
}
