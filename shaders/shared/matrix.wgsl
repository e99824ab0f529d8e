// The matrices that a device's matrix units multiply, Sum += Left Right, halves into f32: 16 x 16 by subgroups of 32 threads, or
// EIGHT, 8 x 8 by subgroups of 8 (Gpu::matrix_units says which a device has).
#ifdef EIGHT
const SIDE = 8u;                // of a matrix
const LANES = 8u;               // of a subgroup
alias Left = coop_mat8x8<f16, A>;
alias Right = coop_mat8x8<f16, B>;
alias Sum = coop_mat8x8<f32, C>;
#else
const SIDE = 16u;
const LANES = 32u;
alias Left = coop_mat16x16<f16, A>;
alias Right = coop_mat16x16<f16, B>;
alias Sum = coop_mat16x16<f32, C>;
#endif
