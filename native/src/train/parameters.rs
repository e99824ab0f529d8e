//! The parameters of a network, taken together.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::Tensor;
use finegrain::model::Network;

use super::walk;

/// Makes every parameter contiguous: weights that were loaded are transposed views, weights after a step are not, and
/// a run must not depend on whether it was resumed.
pub(super) fn contiguous(network: Network) -> Network {
    walk::change(network, &mut |parameter| parameter.value)
}

/// How many parameters a network has, and how many of them are trained.
pub(super) fn count_parameters(network: &Network) -> (usize, usize) {
    struct Count(usize, usize);
    impl ModuleVisitor for Count {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let count = param.val().dims().iter().product::<usize>();
            self.0 += count;
            if param.is_require_grad() {
                self.1 += count;
            }
        }
    }
    let mut count = Count(0, 0);
    network.clone().train().visit(&mut count);
    (count.0, count.1)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::super::gradients::tests::architecture;
    use super::*;

    #[test]
    fn loaded_weights_become_contiguous_and_keep_their_values() {
        let network = Network::new(&architecture(), &Device::flex());
        let weights = network.weights();
        assert_eq!(contiguous(network.load(&weights).unwrap()).weights(), weights);
    }
}
